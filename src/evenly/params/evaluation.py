"""How a model is judged: intervals, calibration bins, threshold tuning, and where it will be used."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeFloat, PositiveFloat

from evenly.params.base import Settings

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
    return {str(name).lower() if isinstance(name, bool) else str(name): s for name, s in value.items()}


#: Class shares where the model will be used: those of a split, equal ones, or a mapping that is normalised.
PriorSetting = Annotated[
    Literal["validation", "train", "uniform"] | dict[str, PositiveFloat], BeforeValidator(_checked_prior)
]


class GivenPrior(Settings):
    """A prior that a file of its own gives: every class with its share; the shares are normalised."""

    shares: Annotated[dict[str, PositiveFloat], BeforeValidator(_checked_prior)]


class EvaluateSettings(Settings):
    """What `evaluate` computes beyond the metrics themselves."""

    #: Bootstrap resamples behind every 95% interval.
    bootstrap: Annotated[int, Field(ge=200, le=100_000)] = 2000
    #: Equal-mass bins of the calibration errors and of the reliability plot, fewer below 20 test rows a bin.
    calibration_bins: Annotated[int, Field(ge=2, le=100)] = 15
    #: A tuned threshold keeps n / (n + shrinkage) of its distance from neutral, n being the class's rows in
    #: validation.
    threshold_shrinkage: NonNegativeFloat = 5.0
    #: Whether the quality of synthetic rows is measured, by producer, where there are any.
    quality: Literal["auto", "off"] = "auto"
    #: Whether the models are also tried on damaged test rows: typing errors, noise, missing values.
    robustness: bool = True
