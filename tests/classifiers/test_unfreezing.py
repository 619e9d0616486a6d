from __future__ import annotations

import pytest
import torch
from loops import LayeredNetwork, new_network, trained
from torch import nn

from evenly.classifiers.networks.bodies import small_cnn_body
from evenly.classifiers.networks.modalities import ImageNetwork
from evenly.classifiers.training.schedule import Unfreezing, freeze
from evenly.params.training import (
    TrainingSettings,
    UnfreezeSettings,
    changed_training,
    resolved_unfreezing,
)

COMMON = {"min_steps_per_epoch": 3, "batch_size": 32, "learning_rate": 0.01}


def unfreezing(**wanted: object) -> Unfreezing:
    settings = TrainingSettings(unfreeze=wanted, monitor="macro_f1")  # type: ignore[arg-type]
    return Unfreezing(LayeredNetwork().parameter_groups(), settings)


def test_everything_is_trained_from_the_start_by_default() -> None:
    assert TrainingSettings().unfreeze.method == "auto"
    assert [unfreezing().first_trained(epoch, []) for epoch in (0, 9)] == [0, 0]


def test_gradual_unfreezing_takes_one_group_more_from_the_top_every_so_many_epochs() -> None:
    rule = unfreezing(method="gradual", every=2)
    values = [0.5] * 10
    assert [rule.first_trained(epoch, values) for epoch in range(7)] == [2, 2, 1, 1, 0, 0, 0]
    assert rule.trained_since(5, values) == [4, 2, 0]
    assert rule.settled_from(3, values) == 4 and rule.settled_from(9, values) == 4


def test_gradual_unfreezing_by_metric_waits_until_validation_stalls() -> None:
    rule = unfreezing(method="gradual", by="metric", patience=2)
    values = [0.1, 0.2, 0.2, 0.2, 0.3, 0.2, 0.2]
    assert [rule.first_trained(epoch, values[:epoch]) for epoch in range(8)] == [2, 2, 2, 2, 1, 1, 1, 0]


def test_without_validation_rows_a_metric_cannot_stall_and_epochs_count() -> None:
    rule = unfreezing(method="gradual", by="metric", every=3)
    assert [rule.first_trained(epoch, []) for epoch in (0, 3, 6)] == [2, 1, 0]


def test_probing_trains_the_head_alone_and_then_everything() -> None:
    rule = unfreezing(method="probe_then_finetune", probe_epochs=2)
    assert [rule.first_trained(epoch, [0.1] * epoch) for epoch in range(4)] == [2, 2, 0, 0]


def test_frozen_layers_neither_learn_nor_drop_out_nor_update_their_statistics() -> None:
    network = new_network()
    assert freeze(network, network.parameter_groups(), 1) == 16 * 8 + 8 + 8 * 3 + 3
    assert not network.first.training and network.second.training and network.dropout.training
    body = {name: value.clone() for name, value in network.first.state_dict().items()}
    head = network.head.weight.detach().clone()
    wanted = UnfreezeSettings(method="gradual", every=9)
    trained(network, TrainingSettings(epochs=2, unfreeze=wanted, **COMMON))  # type: ignore[arg-type]
    for name, value in body.items():
        assert torch.equal(network.first.state_dict()[name], value), name
    assert not torch.equal(network.head.weight, head)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_what_was_trained_when_is_logged() -> None:
    wanted = UnfreezeSettings(method="gradual", every=1)
    history = trained(new_network(), TrainingSettings(epochs=4, unfreeze=wanted, **COMMON)).history  # type: ignore[arg-type]
    assert [metrics["trainable_parameters"] for metrics in history] == [27, 163, 307, 307]


def test_early_stopping_waits_until_everything_is_trained() -> None:
    # A rate at which nothing is learnt: no epoch after the first is better.
    still = {"learning_rate": 1e-9, "patience": 2, "epochs": 20, "monitor": "macro_f1"}
    network = new_network()
    network.first[1] = nn.Identity()
    at_once = trained(network, TrainingSettings(**still))  # type: ignore[arg-type]
    assert len(at_once.history) == 3
    wanted = UnfreezeSettings(method="gradual", every=3)
    waiting = trained(network, TrainingSettings(**still, unfreeze=wanted))  # type: ignore[arg-type]
    assert len(waiting.history) == 6 + 3


def test_a_probe_computes_the_features_of_each_sample_once() -> None:
    network = new_network()
    wanted = UnfreezeSettings(method="probe_then_finetune", probe_epochs=8)
    history = trained(network, TrainingSettings(epochs=8, unfreeze=wanted, patience=None, **COMMON)).history  # type: ignore[arg-type]
    assert network.passes == 2  # the training rows, the validation rows
    assert history[-1]["train/loss"] < history[0]["train/loss"]
    assert history[-1]["val/loss"] < history[0]["val/loss"]


def test_head_and_body_have_their_own_learning_rates() -> None:
    network = new_network()
    before = network.head.weight.detach().clone(), network.second[0].weight.detach().clone()
    settings = TrainingSettings(
        epochs=1, optimizer="sgd", momentum=0, learning_rate=1e-12, head_learning_rate=0.1, weight_decay=0
    )
    history = trained(network, settings).history
    assert (network.head.weight - before[0]).abs().max() > 1e-3
    assert (network.second[0].weight - before[1]).abs().max() < 1e-8
    assert history[0]["head_learning_rate"] == 0.1 and history[0]["learning_rate"] == 1e-12


def test_the_layers_of_an_image_network_are_groups_that_hold_every_parameter_once() -> None:
    body, dimension = small_cnn_body(1, 8, 4)
    network = ImageNetwork(body, dimension, 1, 3)
    groups = network.parameter_groups()
    assert [group.name for group in groups] == [*(f"layer {n}" for n in range(1, 7)), "head"]
    listed = [id(p) for group in groups for p in group.parameters]
    assert sorted(listed) == sorted(id(p) for p in network.parameters())


@pytest.mark.parametrize(("pretrained", "method"), [(True, "probe_then_finetune"), (False, "all")])
def test_pretrained_networks_are_probed_first_unless_told_otherwise(pretrained: bool, method: str) -> None:
    assert resolved_unfreezing(TrainingSettings(), pretrained).unfreeze.method == method
    given = TrainingSettings(unfreeze="gradual")  # type: ignore[arg-type]
    assert resolved_unfreezing(given, pretrained) == given


def test_changes_of_settings_replace_their_keys_and_are_checked() -> None:
    changed = changed_training(TrainingSettings(epochs=3), {"epochs": 4, "patience": 1}, {"epochs": 5})
    assert (changed.epochs, changed.patience, changed.batch_size) == (5, 1, 64)
    with pytest.raises(ValueError, match="epochs"):
        changed_training(TrainingSettings(), {"epochs": 0})
