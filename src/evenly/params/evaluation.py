"""How a model is judged: intervals, calibration bins, threshold tuning, and where it will be used."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeFloat, PositiveFloat

from evenly.params.base import ClassName, Settings, class_name

_WORDS = ("validation", "train", "uniform")


def _checked_prior(value: Any) -> Any:
    """Class names as text (YAML reads `0: 0.5` with a number as key), and one sentence for anything else."""
    if isinstance(value, str) and value in _WORDS:
        return value
    if not isinstance(value, dict) or not value:
        raise ValueError(f"give one of {', '.join(_WORDS)}, or a mapping of every class to its share")
    for name, share in value.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not share > 0:
            raise ValueError(f"the share of class {name} must be a number above 0")
    return {class_name(name): share for name, share in value.items()}


#: Class shares where the model will be used: those of a split, equal ones, or a mapping that is normalised.
PriorSetting = Annotated[
    Literal["validation", "train", "uniform"] | dict[str, PositiveFloat], BeforeValidator(_checked_prior)
]


class GivenPrior(Settings):
    """A prior that a file of its own gives: every class with its share; the shares are normalised."""

    shares: Annotated[dict[str, PositiveFloat], BeforeValidator(_checked_prior)]


#: Metrics that thresholds can be tuned for.
Tuned = Literal[
    "auto", "macro_f1", "balanced_accuracy", "accuracy", "worst_class_recall", "g_mean", "weighted_f1",
    "macro_precision", "mcc", "rare_f1", "expected_cost",
]  # fmt: skip


def _checked_costs(value: Any) -> Any:
    if value is None or (isinstance(value, str) and value):
        return value
    form = "give {true class: {predicted class: cost}}, or the name of a column of numbers"
    if not isinstance(value, dict) or not value:
        raise ValueError(form)
    for name, row in value.items():
        if not isinstance(row, dict):
            raise ValueError(f"what is said of class {name} is no mapping; {form}")
        for other, cost in row.items():
            number = isinstance(cost, int | float) and not isinstance(cost, bool)
            if not number or not math.isfinite(cost):
                raise ValueError(f"the cost of {other} for {name} must be a number")
    return {
        class_name(name): {class_name(other): float(cost) for other, cost in row.items()}
        for name, row in value.items()
    }


class EvaluateSettings(Settings):
    """What `evaluate` computes beyond the metrics themselves."""

    #: Bootstrap resamples behind every 95% interval.
    bootstrap: Annotated[int, Field(ge=200, le=100_000)] = 2000
    #: Equal-mass bins of the calibration errors and of the reliability plot, fewer below 20 test rows a bin.
    calibration_bins: Annotated[int, Field(ge=2, le=100)] = 15
    #: A tuned threshold keeps n / (n + shrinkage) of its distance from neutral, n being the class's rows in
    #: validation.
    threshold_shrinkage: NonNegativeFloat = 5.0
    #: What the tuned thresholds are tuned for, on validation rows; auto: the costs where there are some, else
    #: macro F1.
    tune_for: Tuned = "auto"
    #: The class with metrics of its own; null: the one with the fewest training rows.
    rare_class: ClassName | None = None
    #: The threshold of the rare class is also chosen, on validation rows, for so much precision and recall.
    wanted_precision: Annotated[float, Field(gt=0, le=1)] | None = 0.9
    wanted_recall: Annotated[float, Field(gt=0, le=1)] | None = 0.9
    #: What a decision costs: {true class: {predicted class: cost}}, 0 where nothing is said; or a column of
    #: numbers of a table: what a mistake on the row costs.
    costs: Annotated[dict[str, dict[str, float]] | str | None, BeforeValidator(_checked_costs)] = None
    #: Share of the rows of every class whose prediction sets shall hold it.
    coverage: Annotated[float, Field(ge=0.5, lt=1)] = 0.9
    #: Whether the quality of synthetic rows is measured, by producer, where there are any.
    quality: Literal["auto", "off"] = "auto"
    #: Whether the models are also tried on damaged test rows: typing errors, noise, missing values.
    robustness: bool = True
