"""Models, losses and how a network is trained, and which of them go together. No work is done here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator

from evenly.errors import RecipeError
from evenly.params.base import Settings

Modality = Literal["text", "image", "table"]
LossName = Literal[
    "cross_entropy", "weighted", "focal", "class_balanced", "ldam", "balanced_softmax", "logit_adjusted"
]
SamplerName = Literal["uniform", "class_balanced", "square_root"]
ModelName = Literal[
    "logistic_regression",
    "random_forest",
    "hist_gradient_boosting",
    "catboost",
    "small_cnn",
    "shufflenet_v2",
]
Share = Annotated[float, Field(ge=0, lt=1)]

NETWORKS: frozenset[ModelName] = frozenset({"small_cnn", "shufflenet_v2"})

_ALL: frozenset[Modality] = frozenset({"text", "image", "table"})
_IMAGE: frozenset[Modality] = frozenset({"image"})
#: Which modalities a model takes: vector models take whatever `featurize` turns into vectors.
MODALITIES: dict[ModelName, frozenset[Modality]] = {
    "logistic_regression": _ALL,
    "random_forest": _ALL,
    "hist_gradient_boosting": _ALL,
    "catboost": _ALL,
    "small_cnn": _IMAGE,
    "shufflenet_v2": _IMAGE,
}
DEFAULT_MODEL: dict[Modality, ModelName] = {
    "image": "small_cnn",
    "text": "logistic_regression",
    "table": "hist_gradient_boosting",
}

_BY_WEIGHTS: frozenset[LossName] = frozenset({"cross_entropy", "weighted", "class_balanced"})
_ANY_LOSS: frozenset[LossName] = frozenset(
    {"cross_entropy", "weighted", "focal", "class_balanced", "ldam", "balanced_softmax", "logit_adjusted"}
)
#: The losses that exist for a model: vector models take those that can be written as weights of rows.
SUPPORTED_LOSSES: dict[ModelName, frozenset[LossName]] = {
    "logistic_regression": _BY_WEIGHTS,
    "random_forest": _BY_WEIGHTS,
    "hist_gradient_boosting": _BY_WEIGHTS,
    "catboost": _BY_WEIGHTS,
    "small_cnn": _ANY_LOSS,
    "shufflenet_v2": _ANY_LOSS,
}

_UNIFORM: frozenset[SamplerName] = frozenset({"uniform"})
_ANY_SAMPLER: frozenset[SamplerName] = frozenset({"uniform", "class_balanced", "square_root"})
#: The samplers that exist for a model: only what is trained on batches can draw them unevenly.
SUPPORTED_SAMPLERS: dict[ModelName, frozenset[SamplerName]] = {
    "logistic_regression": _UNIFORM,
    "random_forest": _UNIFORM,
    "hist_gradient_boosting": _UNIFORM,
    "catboost": _UNIFORM,
    "small_cnn": _ANY_SAMPLER,
    "shufflenet_v2": _ANY_SAMPLER,
}


class LogisticRegressionSettings(Settings):
    """Multinomial logistic regression; `C` is the inverse strength of the L2 penalty."""

    kind: Literal["logistic_regression"] = "logistic_regression"
    C: PositiveFloat = 10.0
    max_iter: PositiveInt = 1000


class RandomForestSettings(Settings):
    """A random forest; `max_depth: null` grows every tree until its leaves are pure."""

    kind: Literal["random_forest"] = "random_forest"
    trees: PositiveInt = 300
    max_depth: PositiveInt | None = None
    min_samples_leaf: PositiveInt = 1


class HistGradientBoostingSettings(Settings):
    """Histogram gradient boosting, stopped when the validation loss has not improved for so many rounds.

    `min_samples_leaf` shrinks to a third of the training rows where they are fewer than three times as many:
    a tree could not split at all otherwise.
    """

    kind: Literal["hist_gradient_boosting"] = "hist_gradient_boosting"
    learning_rate: PositiveFloat = 0.1
    rounds: PositiveInt = 300
    patience: PositiveInt = 20
    max_leaf_nodes: Annotated[int, Field(ge=2)] = 31
    min_samples_leaf: PositiveInt = 20
    l2: NonNegativeFloat = 0.0


class CatBoostSettings(Settings):
    """CatBoost, stopped when the validation loss has not improved for `patience` rounds."""

    kind: Literal["catboost"] = "catboost"
    learning_rate: PositiveFloat = 0.1
    rounds: PositiveInt = 500
    patience: PositiveInt = 30
    depth: Annotated[int, Field(ge=1, le=16)] = 6
    l2: NonNegativeFloat = 3.0


ImageSize = Annotated[int, Field(ge=4, le=1024)]


class SmallCnnSettings(Settings):
    """A small convolutional network; `width` channels in its first stage, doubled at each of the next two.

    `image_size` is the side in pixels to resize to; null takes the size of `features.image`.
    """

    kind: Literal["small_cnn"] = "small_cnn"
    width: Annotated[int, Field(ge=4, le=512, multiple_of=4)] = 32
    dropout: Share = 0.0
    image_size: ImageSize | None = None


class ShuffleNetV2Settings(Settings):
    """ShuffleNetV2 in the two smallest widths of the paper; `image_size` as for the small CNN."""

    kind: Literal["shufflenet_v2"] = "shufflenet_v2"
    width: Literal["0.5x", "1.0x"] = "0.5x"
    dropout: Share = 0.0
    image_size: ImageSize | None = None


ModelSettings = Annotated[
    LogisticRegressionSettings
    | RandomForestSettings
    | HistGradientBoostingSettings
    | CatBoostSettings
    | SmallCnnSettings
    | ShuffleNetV2Settings,
    Field(discriminator="kind"),
]


class ModelsSettings(Settings):
    """Settings of every model, by name; a run reads those of its own model alone."""

    logistic_regression: LogisticRegressionSettings = LogisticRegressionSettings()
    random_forest: RandomForestSettings = RandomForestSettings()
    hist_gradient_boosting: HistGradientBoostingSettings = HistGradientBoostingSettings()
    catboost: CatBoostSettings = CatBoostSettings()
    small_cnn: SmallCnnSettings = SmallCnnSettings()
    shufflenet_v2: ShuffleNetV2Settings = ShuffleNetV2Settings()


class CrossEntropySettings(Settings):
    """`label_smoothing` ε: the target becomes (1−ε)·one-hot + ε/k. For networks only."""

    label_smoothing: Share = 0.0


class WeightedSettings(Settings):
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


class ClassBalancedSettings(Settings):
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


class LogitAdjustedSettings(Settings):
    """Cross-entropy on logits + `tau` · log prior; `tau: 1` is balanced softmax."""

    tau: PositiveFloat = 1.0


class LossSettings(Settings):
    """Settings of every loss, by name; `balanced_softmax` has none."""

    cross_entropy: CrossEntropySettings = CrossEntropySettings()
    weighted: WeightedSettings = WeightedSettings()
    focal: FocalSettings = FocalSettings()
    class_balanced: ClassBalancedSettings = ClassBalancedSettings()
    ldam: LdamSettings = LdamSettings()
    logit_adjusted: LogitAdjustedSettings = LogitAdjustedSettings()


class TrainingSettings(Settings):
    """How a network is trained. Vector models have none of this: their settings are under `models`.

    An epoch is one pass over the rows, but never fewer than `min_steps_per_epoch` steps (the rows are then
    repeated, newly shuffled), so that schedules and patience mean the same before and after balancing.

    Measured with the defaults and the small CNN on 8×8 digits with a tail of 50 (358 rows, 3 seeds, 1 core):
    about 11 epochs and 5 s, macro F1 .894±.003 with cross-entropy and .953±.009 with the logit-adjusted loss.
    """

    epochs: PositiveInt = 30
    min_steps_per_epoch: PositiveInt = 25
    batch_size: Annotated[int, Field(ge=2)] = 64
    sampler: SamplerName = "uniform"
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: PositiveFloat = 5e-4
    weight_decay: NonNegativeFloat = 1e-4
    momentum: Share = 0.9
    schedule: Literal["step", "cosine", "plateau", "none"] = "step"
    step_epochs: PositiveInt = 15
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.1
    plateau_patience: PositiveInt = 2
    gradient_clip: PositiveFloat | None = None
    monitor: Literal["macro_f1", "balanced_accuracy", "loss"] = "macro_f1"
    patience: PositiveInt | None = 5
    precision: Literal["auto", "bf16", "off"] = "auto"


def check_combination(
    model: ModelName, modality: Modality, loss: LossName, sampler: SamplerName, losses: LossSettings
) -> None:
    """Refuse, before any work, what a model cannot do.

    Raises
    ------
    RecipeError
        Naming the model, what it cannot take, and what it can.
    """
    if modality not in MODALITIES[model]:
        takers = sorted(name for name, modalities in MODALITIES.items() if modality in modalities)
        raise RecipeError(
            f"The model {model} does not take {modality} data; choose one of {', '.join(takers)}."
        )
    if loss not in SUPPORTED_LOSSES[model]:
        raise RecipeError(
            f"The loss {loss} does not exist for {model}; it takes {_listed(SUPPORTED_LOSSES[model])}, "
            f"and the networks ({_listed(NETWORKS)}) take every loss."
        )
    if sampler not in SUPPORTED_SAMPLERS[model]:
        raise RecipeError(
            f"The sampler {sampler} does not exist for {model}, which is not trained on batches; "
            "use `loss: weighted`, or random_over / random_under in a recipe."
        )
    if loss == "cross_entropy" and losses.cross_entropy.label_smoothing and model not in NETWORKS:
        raise RecipeError(
            f"{model} has no label smoothing; set losses.cross_entropy.label_smoothing to 0, "
            f"or choose a network ({_listed(NETWORKS)})."
        )


def _listed(names: frozenset[LossName] | frozenset[ModelName]) -> str:
    return ", ".join(sorted(names))
