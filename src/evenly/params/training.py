"""Models, losses and how a network is trained, and which of them go together. No work is done here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

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
    "image_transformer",
    "torchvision",
    "timm",
    "transformer",
]
Share = Annotated[float, Field(ge=0, lt=1)]

IMAGE_NETWORKS: frozenset[ModelName] = frozenset(
    {"small_cnn", "shufflenet_v2", "image_transformer", "torchvision", "timm"}
)
TEXT_NETWORKS: frozenset[ModelName] = frozenset({"transformer"})
NETWORKS: frozenset[ModelName] = IMAGE_NETWORKS | TEXT_NETWORKS
#: Models that read the text itself: rows that exist as vectors only, such as those of SMOTE, teach them
#: nothing. Images and tables come back from their vectors, texts do not.
NEEDS_PAYLOAD: frozenset[ModelName] = TEXT_NETWORKS

_ALL: frozenset[Modality] = frozenset({"text", "image", "table"})
_IMAGE: frozenset[Modality] = frozenset({"image"})
_TEXT: frozenset[Modality] = frozenset({"text"})
#: Which modalities a model takes: vector models take whatever `featurize` turns into vectors.
MODALITIES: dict[ModelName, frozenset[Modality]] = {
    "logistic_regression": _ALL,
    "random_forest": _ALL,
    "hist_gradient_boosting": _ALL,
    "catboost": _ALL,
    "small_cnn": _IMAGE,
    "shufflenet_v2": _IMAGE,
    "image_transformer": _IMAGE,
    "torchvision": _IMAGE,
    "timm": _IMAGE,
    "transformer": _TEXT,
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
    "image_transformer": _ANY_LOSS,
    "torchvision": _ANY_LOSS,
    "timm": _ANY_LOSS,
    "transformer": _ANY_LOSS,
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
    "image_transformer": _ANY_SAMPLER,
    "torchvision": _ANY_SAMPLER,
    "timm": _ANY_SAMPLER,
    "transformer": _ANY_SAMPLER,
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


class UnfreezeSettings(Settings):
    """Which layers are trained when. In YAML the method alone (`unfreeze: gradual`) stands for `{method: …}`.

    Frozen layers neither drop out nor update their statistics. Patience is counted from the epoch in which
    everything is trained.

    Attributes
    ----------
    method
        `all`: everything from the start. `gradual`: the head first, then one layer group more from the top
        at a time (1801.06146). `probe_then_finetune`: the head alone for `probe_epochs`, then everything
        (2202.10054). `auto`: the latter for pretrained networks, else `all`.
    by, every, patience
        `gradual` takes the next group every so many epochs (`by: epoch`), or whenever so many brought nothing
        better on validation (`by: metric`).
    probe_epochs
        Of `probe_then_finetune`. They are cheap: the frozen part of the network is computed once.
    """

    method: Literal["auto", "all", "gradual", "probe_then_finetune"] = "auto"
    by: Literal["epoch", "metric"] = "epoch"
    every: PositiveInt = 4
    patience: PositiveInt = 2
    probe_epochs: PositiveInt = 3

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"method": value} if isinstance(value, str) else value


class MixSettings(Settings):
    """Training on weighted means of two rows, λ from Beta(`alpha`, `alpha`), one λ a batch.

    `remix` gives a mean of a rare and a common class to the rare one alone where the common one is at least
    `kappa` times as frequent and the rare row has a share λ above 1 − `tau`. Images are mixed as pixels,
    texts in what the head scores.
    """

    method: Literal["mixup", "remix"] = "mixup"
    alpha: PositiveFloat = 0.2
    kappa: Annotated[float, Field(gt=1)] = 3.0
    tau: Annotated[float, Field(ge=0, le=1)] = 0.5

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"method": value} if isinstance(value, str) else value


class TrainingSettings(Settings):
    """How a network is trained. Vector models have none of this: their settings are under `models`.

    An epoch is one pass over the rows, but never fewer than `min_steps_per_epoch` steps (the rows are then
    repeated, newly shuffled), so that schedules and patience mean the same before and after balancing.

    `head_learning_rate` is that of the layers behind the pretrained or convolutional body; null takes
    `learning_rate`. `warmup` is the share of all steps over which the rate of a layer rises from 0, counted
    from the epoch in which it is first trained. `augment` names a policy whose transforms are drawn anew for
    every batch of images. `retrain_head` trains the head anew at the end, on batches with every class, or
    every class and value of the spurious attribute, alike (2204.02937).

    Measured with the defaults and the small CNN on 8×8 digits with a tail of 50 (358 rows, 3 seeds, 1 core):
    about 11 epochs and 5 s, macro F1 .894±.003 with cross-entropy and .953±.009 with the logit-adjusted loss.
    """

    epochs: PositiveInt = 30
    min_steps_per_epoch: PositiveInt = 25
    batch_size: Annotated[int, Field(ge=2)] = 64
    sampler: SamplerName = "uniform"
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: PositiveFloat = 5e-4
    head_learning_rate: PositiveFloat | None = None
    weight_decay: NonNegativeFloat = 1e-4
    momentum: Share = 0.9
    warmup: Share = 0.0
    schedule: Literal["step", "linear", "cosine", "plateau", "none"] = "step"
    step_epochs: PositiveInt = 15
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.1
    plateau_patience: PositiveInt = 2
    gradient_clip: PositiveFloat | None = None
    unfreeze: UnfreezeSettings = UnfreezeSettings()
    mix: MixSettings | None = None
    augment: str | None = None
    retrain_head: Literal["none", "class", "group"] = "none"
    monitor: Literal["macro_f1", "balanced_accuracy", "loss"] = "macro_f1"
    patience: PositiveInt | None = 5
    precision: Literal["auto", "bf16", "off"] = "auto"

    @property
    def most_epochs(self) -> int:
        """The most epochs that a training can have, those of the head included."""
        return self.epochs if self.retrain_head == "none" else 2 * self.epochs


def _checked_changes(changes: dict[str, Any]) -> dict[str, Any]:
    TrainingSettings.model_validate(changes)
    return changes


#: Some keys of `train` with other values: what a model or a recipe trains with instead.
TrainingChanges = Annotated[dict[str, Any], AfterValidator(_checked_changes)]


def changed_training(training: TrainingSettings, *changes: Mapping[str, Any]) -> TrainingSettings:
    """Training settings with some of their keys replaced; later changes win."""
    values = training.model_dump()
    for change in changes:
        values |= change
    return TrainingSettings.model_validate(values)


def check_training(
    model: ModelName, modality: Modality, training: TrainingSettings, changes: Mapping[str, Any]
) -> None:
    """Refuse what a recipe or `train` asks of a training that this model or data set cannot have.

    Parameters
    ----------
    model, modality
        What is trained, on what.
    training
        As it would be trained.
    changes
        What the recipe says otherwise than `train`.

    Raises
    ------
    RecipeError
        Naming the key and the models or data that have it.
    """
    if model not in NETWORKS:
        if changes:
            raise RecipeError(
                f"The recipe sets train.{min(changes)}, but {model} is not trained in epochs; choose a "
                f"network ({_listed(NETWORKS)}), or set models.{model}."
            )
    elif training.augment is not None and modality != "image":
        raise RecipeError(
            f"train.augment is {training.augment!r}, but only images are augmented while training, and this "
            f"is {modality} data; use `augment` in the recipe instead."
        )


def resolved_unfreezing(training: TrainingSettings, pretrained: bool) -> TrainingSettings:
    """Training settings that say how to unfreeze instead of `auto`."""
    if training.unfreeze.method != "auto":
        return training
    method: Literal["probe_then_finetune", "all"] = "probe_then_finetune" if pretrained else "all"
    return training.model_copy(update={"unfreeze": training.unfreeze.model_copy(update={"method": method})})


ImageSize = Annotated[int, Field(ge=4, le=1024)]


class NetworkSettings(Settings):
    """What all networks have.

    Attributes
    ----------
    dropout
        Share of what the head sees that is dropped while training.
    training
        Keys of `train` with other values, for this model. Models with `pretrained` weights, and the
        transformer for texts, start from values of their own (`training_defaults`).
    """

    dropout: Share = 0.0
    training: TrainingChanges = Field(default_factory=dict)


class SmallCnnSettings(NetworkSettings):
    """A small convolutional network; `width` channels in its first stage, doubled at each of the next two.

    `image_size` is the side in pixels to resize to; null takes the size of `features.image`.
    """

    kind: Literal["small_cnn"] = "small_cnn"
    width: Annotated[int, Field(ge=4, le=512, multiple_of=4)] = 32
    image_size: ImageSize | None = None


class ShuffleNetV2Settings(NetworkSettings):
    """ShuffleNetV2 in the two smallest widths of the paper; `image_size` as for the small CNN."""

    kind: Literal["shufflenet_v2"] = "shufflenet_v2"
    width: Literal["0.5x", "1.0x"] = "0.5x"
    image_size: ImageSize | None = None


Normalisation = Literal["auto", "training", "imagenet", "half"]


class ImageTransformerSettings(NetworkSettings):
    """An image network of the transformers library, from scratch or with pretrained weights.

    Attributes
    ----------
    pretrained
        A hub id or a folder; null builds `architecture` from scratch.
    architecture
        The model type in transformers: resnet, convnext, mobilenet_v2, regnet, vit, swin, …
    options
        Arguments of its config, such as `{depths: [2, 2, 2, 2], hidden_sizes: [64, 128, 256, 512]}`.
    image_size
        Side in pixels; null takes what the pretrained network was trained with, else `features.image`.
    normalisation
        Of the pixels: by mean and deviation of the `training` rows, by those of `imagenet`, or `half`: −1 to
        1. `auto` is what the pretrained network was trained with, else `training`.
    """

    kind: Literal["image_transformer"] = "image_transformer"
    pretrained: str | None = None
    architecture: str = "resnet"
    options: dict[str, Any] = Field(default_factory=dict)
    image_size: ImageSize | None = None
    normalisation: Normalisation = "auto"


class TorchvisionSettings(NetworkSettings):
    """A classifier of torchvision by its name there, for the extra `vision`.

    `pretrained: true` takes its default weights. `image_size` and `normalisation` as for transformers.
    """

    kind: Literal["torchvision"] = "torchvision"
    name: str = "resnet18"
    pretrained: bool = False
    image_size: ImageSize | None = None
    normalisation: Normalisation = "auto"


class TimmSettings(NetworkSettings):
    """A network of timm by its name there, for the extra `vision`; everything else as for torchvision."""

    kind: Literal["timm"] = "timm"
    name: str = "resnet18"
    pretrained: bool = False
    image_size: ImageSize | None = None
    normalisation: Normalisation = "auto"


class ScratchSettings(Settings):
    """An encoder without pretrained weights, and the size of the vocabulary that training texts give it."""

    layers: PositiveInt = 2
    width: Annotated[int, Field(ge=8, le=4096)] = 128
    heads: PositiveInt = 4
    vocabulary: Annotated[int, Field(ge=300, le=200_000)] = 8000

    @model_validator(mode="after")
    def _heads_divide(self) -> ScratchSettings:
        if self.width % self.heads:
            raise ValueError(f"heads must divide width, and {self.heads} does not divide {self.width}")
        return self


class TransformerSettings(NetworkSettings):
    """An encoder for texts with a head of its own.

    Attributes
    ----------
    pretrained
        `minilm`, `albert`, `tinybert`, a hub id (`name@revision` pins one), or a folder; null trains the
        small encoder of `scratch`, with a tokenizer of its own, on the training texts alone.
    max_length
        Tokens of a text that are read.
    pooling
        A text's vector: the `mean` of its token vectors, or the `first` of them ([CLS]). `auto` is what a
        sentence encoder says that it was trained with, else the mean.
    head
        Widths of the head's hidden layers; empty for a linear head.
    """

    kind: Literal["transformer"] = "transformer"
    pretrained: str | None = "minilm"
    max_length: Annotated[int, Field(ge=4, le=8192)] = 128
    pooling: Literal["auto", "mean", "first"] = "auto"
    head: tuple[PositiveInt, ...] = ()
    dropout: Share = 0.1
    scratch: ScratchSettings = ScratchSettings()


ModelSettings = Annotated[
    LogisticRegressionSettings
    | RandomForestSettings
    | HistGradientBoostingSettings
    | CatBoostSettings
    | SmallCnnSettings
    | ShuffleNetV2Settings
    | ImageTransformerSettings
    | TorchvisionSettings
    | TimmSettings
    | TransformerSettings,
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
    image_transformer: ImageTransformerSettings = ImageTransformerSettings()
    torchvision: TorchvisionSettings = TorchvisionSettings()
    timm: TimmSettings = TimmSettings()
    transformer: TransformerSettings = TransformerSettings()


#: What fine-tuning a pretrained encoder of texts changes in `train`.
TEXT_FINE_TUNING: dict[str, Any] = {
    "epochs": 8,
    "min_steps_per_epoch": 10,
    "batch_size": 32,
    "optimizer": "adamw",
    "learning_rate": 5e-5,
    "head_learning_rate": 1e-3,
    "weight_decay": 0.01,
    "schedule": "linear",
    "warmup": 0.06,
    "gradient_clip": 1.0,
    "patience": 2,
}
#: What training an encoder of texts from scratch changes in `train`.
TEXT_FROM_SCRATCH: dict[str, Any] = TEXT_FINE_TUNING | {
    "epochs": 30,
    "learning_rate": 1e-3,
    "head_learning_rate": None,
    "patience": 5,
}
#: What fine-tuning a pretrained image network changes in `train`.
IMAGE_FINE_TUNING: dict[str, Any] = TEXT_FINE_TUNING | {
    "epochs": 12,
    "learning_rate": 1e-4,
    "schedule": "cosine",
    "patience": 3,
}


def is_pretrained(settings: ModelSettings) -> bool:
    """Whether a model starts from weights that others have trained."""
    return bool(getattr(settings, "pretrained", None))


def training_defaults(settings: ModelSettings) -> dict[str, Any]:
    """Keys of `train` that a model has other values for, before its own `training` is looked at."""
    if isinstance(settings, TransformerSettings):
        return TEXT_FINE_TUNING if settings.pretrained else TEXT_FROM_SCRATCH
    return IMAGE_FINE_TUNING if is_pretrained(settings) else {}


def resolved_training(
    training: TrainingSettings, settings: ModelSettings, *changes: Mapping[str, Any]
) -> TrainingSettings:
    """How a model is trained: `train`, changed by what suits the model, its own `training`, and a recipe.

    Parameters
    ----------
    training
        The section `train`.
    settings
        Of the model.
    changes
        More keys to change, such as a recipe's; the last one wins.
    """
    own = settings.training if isinstance(settings, NetworkSettings) else {}
    changed = changed_training(training, training_defaults(settings), own, *changes)
    return resolved_unfreezing(changed, is_pretrained(settings))


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
    own = getattr(losses, loss)
    if model not in NETWORKS and isinstance(own, SmoothedSettings) and own.label_smoothing:
        raise RecipeError(
            f"{model} has no label smoothing; set losses.{loss}.label_smoothing to 0, "
            f"or choose a network ({_listed(NETWORKS)})."
        )


def _listed(names: frozenset[LossName] | frozenset[ModelName]) -> str:
    return ", ".join(sorted(names))
