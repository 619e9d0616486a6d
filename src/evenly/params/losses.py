"""Losses and their settings. No work is done here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from evenly.params.base import ClassName, Settings

Share = Annotated[float, Field(ge=0, lt=1)]


class AnyLossSettings(Settings):
    """What the settings of all losses have."""

    #: Whether the loss is cross-entropy with a constant weight a class, which models without batches take.
    by_row_weights: ClassVar[bool] = False


class SmoothedSettings(AnyLossSettings):
    """Of the losses that are cross-entropies: targets become (1−ε)·one-hot + ε/k with ε = `label_smoothing`.

    For networks only. Focal loss and LDAM have none: they already decide how certain a score has to be.
    """

    label_smoothing: Share = 0.0


class CrossEntropySettings(SmoothedSettings):
    """Plain cross-entropy."""

    by_row_weights = True


class WeightedSettings(SmoothedSettings):
    """Class weights n_c^−`power`, normalised: 1 is inverse frequency, 0.5 its square root."""

    by_row_weights = True
    power: PositiveFloat = 1.0


class FocalSettings(AnyLossSettings):
    """α_c (1 − p)^`gamma` · cross-entropy; `alpha` is none, inverse_frequency, or {class: weight}."""

    gamma: NonNegativeFloat = 2.0
    alpha: Literal["none", "inverse_frequency"] | dict[ClassName, PositiveFloat] = "none"


class ClassBalancedSettings(SmoothedSettings):
    """Class weights (1 − β) / (1 − β^n_c), normalised."""

    by_row_weights = True
    beta: Share = 0.999


class LdamSettings(AnyLossSettings):
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


#: The settings class of every loss, by name.
LOSSES: dict[str, type[AnyLossSettings]] = {
    name: type(default.default) for name, default in LossSettings.model_fields.items()
}
if TYPE_CHECKING:
    LossName = str
else:
    LossName = Literal[tuple(LOSSES)]
