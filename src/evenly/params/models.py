"""Models, their settings and training defaults, and which data, losses and samplers go with them.

No work is done here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from evenly.errors import RecipeError
from evenly.params.base import Settings
from evenly.params.losses import LossName, LossSettings, Share, SmoothedSettings
from evenly.params.training import (
    SamplerName,
    TrainingChanges,
    TrainingSettings,
    changed_training,
    resolved_unfreezing,
)

Modality = Literal["text", "image", "table"]
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
