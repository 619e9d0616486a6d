"""What an evaluation found, as plain values: made by `evenly.evaluation.evaluate`, read by all who report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evenly.evaluation.calibration import prediction_sets
from evenly.evaluation.decisions import DecisionRule
from evenly.evaluation.groups import GroupErrors
from evenly.evaluation.intervals import Interval, intervals_json, rounded
from evenly.evaluation.metrics import HEADLINE
from evenly.params.evaluation import PriorSetting
from evenly.resamples import Resamples
from evenly.samples import SampleTable


@dataclass(frozen=True)
class OriginResult:
    """How well a model fits the training rows of one origin; `mean_loss` in nats."""

    origin: str
    rows: int
    accuracy: float
    mean_loss: float


@dataclass(frozen=True)
class ModelResult:
    """What one model scores, by headline metrics."""

    #: The stage that made it.
    name: str
    #: For the test rows in their order, float64 (n, k).
    probabilities: np.ndarray
    test: dict[str, Interval]
    validation: dict[str, float]
    #: On the real rows that the model was fitted on.
    train: dict[str, float]
    #: The training rows by origin, real ones first.
    origins: tuple[OriginResult, ...]


@dataclass(frozen=True)
class RuleResult:
    """A decision rule on test rows: metrics, and its gain over argmax on the same rows (empty for argmax)."""

    rule: DecisionRule
    metrics: dict[str, Interval]
    gain: dict[str, Interval]
    #: On validation rows, each read out by a rule that was made without it: what a rule may be chosen by.
    validation: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ClassResult:
    """One class: its rows in each table, and how the final model does on it (None without test rows).

    `_low` and `_high` are the ends of exact 95% intervals, `threshold_weight` is what the tuned thresholds
    multiply the class's probability by.
    """

    name: str
    train_rows: int
    balanced_rows: int
    validation_rows: int
    test_rows: int
    predicted_rows: int
    precision: float | None
    precision_low: float | None
    precision_high: float | None
    recall: float | None
    recall_low: float | None
    recall_high: float | None
    f1: float | None
    f1_low: float | None
    f1_high: float | None
    average_precision: float | None
    auroc: float | None
    threshold_weight: float
    #: Probability from which the class is in a prediction set, and the share of its test rows that have it in
    #: theirs.
    set_threshold: float
    set_coverage: float | None
    set_coverage_low: float | None
    set_coverage_high: float | None


@dataclass(frozen=True)
class OperatingPoint:
    """The rare class at the threshold that has a wanted `precision` or `recall` (`of`) on validation rows.

    Precision and recall are those on test rows; None where no threshold has it on validation rows.
    """

    of: str
    wanted: float
    threshold: float | None
    precision: Interval | None
    recall: Interval | None

    def values(self) -> dict[str, float]:
        """Threshold, and precision and recall with their ends; empty where there is no threshold."""
        if self.threshold is None or self.precision is None or self.recall is None:
            return {}
        return {"threshold": rounded(self.threshold)} | intervals_json(
            {"precision": self.precision, "recall": self.recall}
        )


@dataclass(frozen=True)
class Evaluation:
    """Everything about one run's models."""

    test: SampleTable
    #: In the order they were made; the last one is final.
    models: tuple[ModelResult, ...]
    #: Final model minus the first one on the same test rows; empty where there is one model.
    difference: dict[str, Interval]
    #: On the final model's scores, argmax first.
    rules: tuple[RuleResult, ...]
    #: Deployment prior as set, and as shares, (k,).
    prior: PriorSetting
    deployment: np.ndarray
    #: Whether rows were weighted to the deployment prior for `rules`, since the test has other shares.
    reweighted: bool
    #: In class order.
    per_class: tuple[ClassResult, ...]
    calibration_bins: int
    #: The class that `rare_…` metrics are of, and its thresholds.
    rare: str
    operating_points: tuple[OperatingPoint, ...]
    #: That prediction sets shall have for every class.
    coverage: float
    #: The metric that rules are chosen by.
    chosen_by: str = "macro_f1"
    #: What the rules score on resamples that all runs share.
    resamples: Resamples = field(default_factory=dict)
    #: None where the data have no spurious attribute.
    groups: GroupErrors | None = None
    #: What a model that is asked has cost; None of one that is fitted.
    spent: Mapping[str, Any] | None = None

    @property
    def final(self) -> ModelResult:
        """The model that the run ends with."""
        return self.models[-1]

    @property
    def chosen_rule(self) -> str:
        """The best rule on validation rows, out of fold, by `chosen_by`; the plainest of equal ones."""
        sign = 1 if HEADLINE[self.chosen_by].higher_is_better else -1
        return max(
            self.rules, key=lambda one: sign * one.validation.get(self.chosen_by, -sign * np.inf)
        ).rule.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in order."""
        return self.test.classes

    @property
    def prediction_sets(self) -> np.ndarray:
        """Which classes are in the set of each test row, bool (n, k)."""
        return prediction_sets(self.final.probabilities, np.array([c.set_threshold for c in self.per_class]))

    @property
    def worst_class(self) -> ClassResult:
        """The class with the smallest recall, the first in class order among equals."""
        tested = [result for result in self.per_class if result.recall is not None]
        return min(tested, key=lambda result: result.recall or 0.0)
