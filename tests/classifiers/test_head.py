from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from evenly.classifiers.images import ImageClassifier
from evenly.confusion import balanced_accuracy, outcomes
from evenly.errors import ModelError
from evenly.plans import TrainPlan
from evenly.samples import SampleTable

PlanMaker = Callable[..., TrainPlan]
Digits = tuple[SampleTable, SampleTable, SampleTable]


def fitted(plan: TrainPlan, train: SampleTable, validation: SampleTable) -> ImageClassifier:
    classifier = ImageClassifier(plan, train.schema)
    classifier.fit(train, validation)
    return classifier


def test_a_head_trained_anew_on_balanced_classes_finds_more_of_the_tail(
    digits: Digits, plan_for: PlanMaker
) -> None:
    train, validation, test = digits
    common = {"width": 16, "epochs": 4, "min_steps_per_epoch": 15, "monitor": "balanced_accuracy"}
    plain = fitted(plan_for("small_cnn", **common), train, validation)
    anew = fitted(plan_for("small_cnn", **common, retrain_head="class"), train, validation)
    for name, value in plain.network.body.state_dict().items():
        assert torch.equal(anew.network.body.state_dict()[name], value), name
    assert not torch.equal(anew.network.head.weight, plain.network.head.weight)  # type: ignore[arg-type]
    recall = [
        balanced_accuracy(outcomes(test.codes, model.predict_proba(test).argmax(axis=1), 10))
        for model in (plain, anew)
    ]
    assert recall[1] > recall[0]
    np.testing.assert_allclose(anew.effective_prior, 0.1)


def test_groups_are_balanced_within_classes(digits: Digits, plan_for: PlanMaker) -> None:
    train, validation, _ = digits
    # Class 0 has two groups, every other class one: 2/11 of what the head sees are of class 0.
    attribute = [f"{label == '0' and number % 2}" for number, label in enumerate(train.labels)]
    grouped = train.with_column("attribute", attribute)
    anew = fitted(plan_for("small_cnn", retrain_head="group"), grouped, validation)
    np.testing.assert_allclose(anew.effective_prior, [2 / 11, *[1 / 11] * 9])


def test_balancing_groups_needs_an_attribute(digits: Digits, plan_for: PlanMaker) -> None:
    train, validation, _ = digits
    with pytest.raises(ModelError, match=r"retrain_head is group, .*\(columns: attribute"):
        fitted(plan_for("small_cnn", retrain_head="group", epochs=1), train, validation)


def test_the_epochs_of_the_head_follow_those_of_the_network(digits: Digits, plan_for: PlanMaker) -> None:
    train, validation, _ = digits
    steps: list[int] = []
    trainable: list[float] = []

    def log(step: int, metrics: dict[str, float]) -> None:
        steps.append(step)
        trainable.append(metrics["trainable_parameters"])

    classifier = ImageClassifier(plan_for("small_cnn", retrain_head="class", epochs=2), train.schema)
    summary = classifier.fit(train, validation, log)  # type: ignore[arg-type]
    assert steps == [0, 1, 2, 3] and summary.steps == 4 and summary.best_step in (2, 3)
    assert trainable[0] == trainable[1] > trainable[2] == trainable[3] == 32 * 10 + 10
