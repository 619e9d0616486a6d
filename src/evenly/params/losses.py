"""Losses and their settings. No work is done here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, field_validator

from evenly.params.base import Settings

LossName = Literal[
    "cross_entropy", "weighted", "focal", "class_balanced", "ldam", "balanced_softmax", "logit_adjusted"
]
Share = Annotated[float, Field(ge=0, lt=1)]


class SmoothedSettings(Settings):
    """Of the losses that are cross-entropies: targets become (1−ε)·one-hot + ε/k with ε = `label_smoothing`.

    For networks only. Focal loss and LDAM have none: they already decide how certain a score has to be.
    """

    label_smoothing: Share = 0.0


class CrossEntropySettings(SmoothedSettings):
    """Plain cross-entropy."""


class WeightedSettings(SmoothedSettings):
    """Class weights n_c^−`power`, normalised: 1 is inverse frequency, 0.5 its square root."""

    power: PositiveFloat = 1.0


class FocalSettings(Settings):
    """α_c (1 − p)^`gamma` · cross-entropy; `alpha` is none, inverse_frequency, or {class: weight}."""

    gamma: NonNegativeFloat = 2.0
    alpha: Literal["none", "inverse_frequency"] | dict[str, PositiveFloat] = "none"

    @field_validator("alpha", mode="before")
    @classmethod
    def _names_as_text(cls, value: Any) -> Any:
        # YAML reads the key of `{3: 2.0}` as a number; classes are text.
        return {str(name): weight for name, weight in value.items()} if isinstance(value, dict) else value


class ClassBalancedSettings(SmoothedSettings):
    """Class weights (1 − β) / (1 − β^n_c), normalised."""

    beta: Share = 0.999


class LdamSettings(Settings):
    """Margins ∝ n_c^−1/4, the largest `max_margin`, on logits `scale` · cos θ, with deferred re-weighting.

    After the share `reweight_after` of the epochs, rows weigh by their class as in `class_balanced` with
    `beta`; 1 is never.
    """

    max_margin: PositiveFloat = 0.5
    scale: PositiveFloat = 30.0
    reweight_after: Annotated[float, Field(ge=0, le=1)] = 0.5
    beta: Share = 0.999


class BalancedSoftmaxSettings(SmoothedSettings):
    """Cross-entropy on logits + log of the class counts."""


class LogitAdjustedSettings(SmoothedSettings):
    """Cross-entropy on logits + `tau` · log prior; `tau: 1` is balanced softmax."""

    tau: PositiveFloat = 1.0


class LossSettings(Settings):
    """Settings of every loss, by name."""

    cross_entropy: CrossEntropySettings = CrossEntropySettings()
    weighted: WeightedSettings = WeightedSettings()
    focal: FocalSettings = FocalSettings()
    class_balanced: ClassBalancedSettings = ClassBalancedSettings()
    ldam: LdamSettings = LdamSettings()
    balanced_softmax: BalancedSoftmaxSettings = BalancedSoftmaxSettings()
    logit_adjusted: LogitAdjustedSettings = LogitAdjustedSettings()
