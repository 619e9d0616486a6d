from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from evenly.classifiers.classifier import no_log
from evenly.classifiers.images import ImageClassifier
from evenly.classifiers.networks.network import Network, ParameterGroup
from evenly.classifiers.training.fitting import fit_network, pair_numbers
from evenly.classifiers.training.reweighting import unseen_rows
from evenly.classifiers.training.steps import FeatureInputs, Rows
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


class Given(Network):
    """A head on inputs that are features already."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(5, 2)

    def features(self, batch: torch.Tensor) -> torch.Tensor:
        return batch

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        return self.head(features)  # type: ignore[no-any-return]

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup("head", tuple(self.head.parameters()), "head")]


def worst_group_errors(
    plan_for: PlanMaker,
    known_groups: bool = False,
    noise: float = 0.6,
    seeds: tuple[int, ...] = (1, 2, 3),
    **training: object,
) -> tuple[list[float], list[str]]:
    """Errors of a head that has had little training, where a feature goes with the class in 95% of rows.

    What the fit notes comes with them; validation groups are known or not.
    """
    errors: list[float] = []
    notes: list[str] = []
    for seed in seeds:
        drawn = np.random.default_rng(seed)

        def rows(n: int, drawn: np.random.Generator = drawn) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
            codes = drawn.integers(0, 2, n)
            shortcut = np.where(drawn.random(n) < 0.05, 1 - codes, codes)
            shape = 0.4 * (2 * codes[:, None] - 1 + noise * drawn.normal(size=(n, 4)))
            sign = 2 * shortcut - 1 + 0.1 * drawn.normal(size=n)
            return torch.tensor(np.column_stack([shape, sign]), dtype=torch.float32), codes, shortcut

        (x, y, _), (held, held_y, marks), (test, true, shortcut) = rows(1000), rows(300), rows(2000)
        options = {"epochs": 2, "min_steps_per_epoch": 25, "batch_size": 64, "learning_rate": 5e-3}
        plan = plan_for("small_cnn", unfreeze="all", seed=seed, **options, **training)
        torch.manual_seed(seed)
        network = Given()
        fitted_on, watched = Rows(FeatureInputs(x), y), Rows(FeatureInputs(held), held_y)
        groups = pair_numbers(held_y, marks) if known_groups else None
        fit = fit_network(network, plan, ("a", "b"), fitted_on, watched, no_log, groups=groups)
        notes += fit.summary.notes
        wrong = network.head(test).argmax(dim=1).numpy() != true
        errors.append(max(wrong[(true == k) & (shortcut == v)].mean() for k in (0, 1) for v in (0, 1)))
    return errors, notes


def test_afr_errs_less_on_the_worst_group_although_no_row_says_its_group(plan_for: PlanMaker) -> None:
    plain, _ = worst_group_errors(plan_for)
    afr, notes = worst_group_errors(plan_for, retrain_head="afr", afr_gamma=4)
    assert np.mean(plain) > 0.2
    assert np.mean(afr) < 0.6 * np.mean(plain)
    assert all("with γ = 4, λ = 0, " in note for note in notes)


def test_groups_of_validation_rows_settle_how_doubt_weighs(plan_for: PlanMaker) -> None:
    overlapping: dict[str, Any] = {"noise": 2, "seeds": (1, 2)}
    plain, _ = worst_group_errors(plan_for, **overlapping)
    blind, _ = worst_group_errors(plan_for, **overlapping, retrain_head="afr")
    chosen, notes = worst_group_errors(plan_for, known_groups=True, **overlapping, retrain_head="afr")
    assert np.mean(chosen) < np.mean(plain) < np.mean(blind)
    assert len(set(notes)) > 1 and all("worst group of the validation rows" in note for note in notes)


def test_afr_keeps_the_head_that_no_reweighting_betters(plan_for: PlanMaker) -> None:
    drawn = np.random.default_rng(5)
    codes = drawn.integers(0, 2, 400)
    x = torch.tensor(2.0 * codes[:, None] - 1 + 0.1 * drawn.normal(size=(400, 5)), dtype=torch.float32)
    rows, groups = Rows(FeatureInputs(x), codes), pair_numbers(codes, drawn.integers(0, 2, 400))
    plan = plan_for("small_cnn", unfreeze="all", epochs=1, learning_rate=0.05, retrain_head="afr")
    network = Given()
    fit = fit_network(network, plan, ("a", "b"), rows, rows, no_log, groups=groups)
    assert fit.summary.metrics["val/macro_f1"] == 1.0
    assert (network.head(x).argmax(dim=1).numpy() == codes).all()


def test_copies_of_a_row_that_afr_retrains_on_are_not_seen_before() -> None:
    codes = np.repeat([0, 1, 2], [40, 10, 1])
    families = np.concatenate([np.arange(20), np.arange(20), 20 + np.arange(11)])
    unseen = unseen_rows(codes, families, seed=1)
    assert not set(families[unseen]) & set(families[~unseen])
    assert [int(unseen[codes == code].sum()) for code in (0, 1, 2)] == [8, 2, 0]


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
