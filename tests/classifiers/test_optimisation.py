from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from evenly.classifiers.networks.network import ParameterGroup
from evenly.classifiers.training.schedule import (
    best_epoch,
    learning_rate_factor,
    make_optimizer,
    should_stop,
    warmup_factor,
)
from evenly.params.training import TrainingSettings

NAN = float("nan")


def test_step_schedule_decays_every_so_many_epochs() -> None:
    wanted = TrainingSettings(schedule="step", step_epochs=15, decay=0.1)
    factors = [learning_rate_factor(wanted, epoch, []) for epoch in (0, 14, 15, 29, 30)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_cosine_schedule_falls_from_one_towards_zero() -> None:
    wanted = TrainingSettings(schedule="cosine", epochs=10)
    factors = [learning_rate_factor(wanted, epoch, []) for epoch in range(10)]
    assert factors[0] == 1 and factors[5] == pytest.approx(0.5) and 0 < factors[9] < 0.03
    assert factors == sorted(factors, reverse=True)


def test_linear_schedule_falls_evenly() -> None:
    wanted = TrainingSettings(schedule="linear", epochs=4)
    assert [learning_rate_factor(wanted, epoch, []) for epoch in range(4)] == [1, 0.75, 0.5, 0.25]


def test_warm_up_rises_over_its_share_of_the_steps() -> None:
    wanted = TrainingSettings(warmup=0.1)
    assert [warmup_factor(wanted, step, 50) for step in (0, 2, 4, 5, 49)] == [0.2, 0.6, 1, 1, 1]
    assert warmup_factor(TrainingSettings(), 0, 50) == 1


def test_plateau_schedule_drops_when_nothing_better_came() -> None:
    wanted = TrainingSettings(schedule="plateau", plateau_patience=2, decay=0.5, monitor="macro_f1")
    values = [0.5, 0.6, 0.6, 0.59, 0.7, 0.7, 0.7, 0.7, 0.7]
    factors = [learning_rate_factor(wanted, epoch, values) for epoch in range(10)]
    assert factors == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_no_schedule_keeps_the_rate() -> None:
    assert learning_rate_factor(TrainingSettings(schedule="none"), 99, []) == 1


def test_the_best_epoch_is_the_first_best_in_the_sense_of_its_monitor() -> None:
    assert best_epoch([0.1, 0.9, NAN, 0.9], TrainingSettings(monitor="macro_f1")) == 1
    assert best_epoch([3.0, 1.0, 2.0, 1.0], TrainingSettings(monitor="loss")) == 1
    assert best_epoch([0.9, 0.1, 0.5], TrainingSettings(), settled_from=1) == 2
    assert best_epoch([NAN], TrainingSettings()) is None


def test_training_stops_after_patience_epochs_without_a_better_one() -> None:
    wanted = TrainingSettings(patience=3)
    assert not should_stop([0.5, 0.4, 0.4], wanted)
    assert should_stop([0.5, 0.4, 0.4, 0.5], wanted)
    assert not should_stop([0.5, 0.4, 0.4, 0.6], wanted)
    assert not should_stop([0.5] + [0.4] * 50, TrainingSettings(patience=None))


def test_patience_is_not_lost_before_the_loss_has_settled() -> None:
    wanted = TrainingSettings(patience=2)
    values = [0.9, 0.5, 0.4, 0.3]
    assert should_stop(values, wanted)
    assert not should_stop(values, wanted, settled_from=3)
    assert not should_stop([*values, 0.2], wanted, settled_from=3)
    assert should_stop([*values, 0.2, 0.1], wanted, settled_from=3)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_weight_decay_spares_biases_and_normalisation(name: str) -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    groups = [ParameterGroup("head", tuple(network.parameters()), "head")]
    optimizer = make_optimizer(groups, TrainingSettings(optimizer=name, weight_decay=0.3))  # type: ignore[arg-type]
    decayed, spared = optimizer.param_groups
    assert decayed["weight_decay"] == 0.3 and spared["weight_decay"] == 0
    assert {id(p) for p in decayed["params"]} == {id(network[0].weight)}
    assert len(spared["params"]) == 3
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    assert type(optimizer) is kinds[name]
    assert math.isclose(decayed["lr"], TrainingSettings().learning_rate)
