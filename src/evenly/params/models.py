"""Every model as one specification: its settings, what it reads, and what follows from that.

No work is done here: the module that a specification names does it.
"""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import (
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    create_model,
    model_validator,
)

from evenly.errors import RecipeError
from evenly.params.base import Settings
from evenly.params.losses import LOSSES, LossName, LossSettings, Share, SmoothedSettings
from evenly.params.training import (
    SAMPLERS,
    SamplerName,
    TrainingChanges,
    TrainingSettings,
    changed_training,
    resolved_unfreezing,
)
from evenly.samples import Modality

#: What suits the fine-tuning of an encoder of texts, its training from scratch, and the fine-tuning of an
#: image network, in other values of `train`.
TEXT_FINE_TUNING: dict[str, Any] = {
    "epochs": 8,
    "patience": 2,
    "min_steps_per_epoch": 10,
    "batch_size": 32,
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "gradient_clip": 1.0,
    "learning_rate": 5e-5,
    "head_learning_rate": 1e-3,
    "schedule": "linear",
    "warmup": 0.06,
}
TEXT_FROM_SCRATCH = TEXT_FINE_TUNING | {
    "epochs": 30,
    "patience": 5,
    "learning_rate": 1e-3,
    "head_learning_rate": None,
}
IMAGE_FINE_TUNING = TEXT_FINE_TUNING | {
    "epochs": 12,
    "patience": 3,
    "learning_rate": 1e-4,
    "schedule": "cosine",
}


class AnyModelSettings(Settings):
    """What the settings of all models have: `kind`, the model's name."""

    kind: str

    @property
    def is_pretrained(self) -> bool:
        """Whether the model starts from weights that others have trained."""
        return bool(getattr(self, "pretrained", None))

    @property
    def title(self) -> str:
        """What the model is called where people read it."""
        return self.kind

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions whose versions a saved model names besides those of its specification."""
        return ()


class LogisticRegressionSettings(AnyModelSettings):
    """Multinomial logistic regression.

    Attributes
    ----------
    reads
        What it sees of a row: the `vectors` that `featurize` makes, the `terms` of a text (sparse tf-idf
        weights of its words and characters), or `both`. `auto` is `vectors` for images and tables and where
        the recipe makes rows that have no text; else `terms`, or `both` with `features.text.method: encoder`.
    C
        Inverse strength of the L2 penalty. `auto` is 10 on vectors; where terms are read, the value with the
        least loss on validation rows, or on folds of the training rows where the former are few.
    max_iter
        Steps of the solver at most.
    max_terms
        The most frequent this many of word n-grams and of character n-grams are read.
    """

    kind: Literal["logistic_regression"] = "logistic_regression"
    reads: Literal["auto", "vectors", "terms", "both"] = "auto"
    C: PositiveFloat | Literal["auto"] = "auto"
    max_iter: PositiveInt = 1000
    max_terms: PositiveInt = 50_000

    @property
    def reads_terms(self) -> bool:
        """Whether it reads terms of texts; `auto` is resolved by planning, and reads vectors before that."""
        return self.reads in ("terms", "both")

    def resolved(self, modality: Modality, vector_rows: bool, encoder: bool) -> LogisticRegressionSettings:
        """Say what `auto` reads: of rows of which some are `vector_rows`, with an `encoder` or without."""
        if self.reads == "auto":
            found = "vectors" if modality != "text" or vector_rows else "both" if encoder else "terms"
            return self.model_copy(update={"reads": found})
        if self.reads_terms and modality != "text":
            raise RecipeError(
                f"models.logistic_regression.reads is {self.reads}, but {modality} data have no terms; "
                "say auto or vectors."
            )
        if self.reads_terms and vector_rows:
            raise RecipeError(
                f"models.logistic_regression.reads is {self.reads}, but the recipe makes rows that are "
                "vectors without a text; say auto or vectors, or use random_over."
            )
        return self


class RandomForestSettings(AnyModelSettings):
    """A random forest; `max_depth: null` grows every tree until its leaves are pure."""

    kind: Literal["random_forest"] = "random_forest"
    trees: PositiveInt = 300
    max_depth: PositiveInt | None = None
    min_samples_leaf: PositiveInt = 1


class BoostingSettings(AnyModelSettings):
    """Boosted trees, stopped when the validation loss has not improved for `patience` rounds."""

    learning_rate: PositiveFloat = 0.1
    rounds: PositiveInt = 500
    patience: PositiveInt = 30
    l2: NonNegativeFloat = 0.0


class HistGradientBoostingSettings(BoostingSettings):
    """Histogram gradient boosting.

    `min_samples_leaf` shrinks to a third of the training rows where they are fewer than three times as many:
    a tree could not split at all otherwise.
    """

    kind: Literal["hist_gradient_boosting"] = "hist_gradient_boosting"
    rounds: PositiveInt = 300
    patience: PositiveInt = 20
    max_leaf_nodes: Annotated[int, Field(ge=2)] = 31
    min_samples_leaf: PositiveInt = 20


class EasyEnsembleSettings(AnyModelSettings):
    """EasyEnsemble: AdaBoost on each of `subsets` draws of as many rows of every class as the smallest has.

    `rounds` of AdaBoost grow a tree of `max_depth` each. It takes no weights of rows.
    """

    kind: Literal["easy_ensemble"] = "easy_ensemble"
    subsets: PositiveInt = 10
    rounds: PositiveInt = 50
    max_depth: PositiveInt = 1


class BalancedRandomForestSettings(RandomForestSettings):
    """A random forest whose trees each see a draw of as many rows of every class as the smallest has."""

    kind: Literal["balanced_random_forest"] = "balanced_random_forest"  # type: ignore[assignment]


class RusBoostSettings(AnyModelSettings):
    """RUSBoost: AdaBoost whose rounds each see as many rows of every class as the smallest has."""

    kind: Literal["rusboost"] = "rusboost"
    rounds: PositiveInt = 50
    learning_rate: PositiveFloat = 1.0
    max_depth: PositiveInt = 1


class CatBoostSettings(BoostingSettings):
    """CatBoost."""

    kind: Literal["catboost"] = "catboost"
    depth: Annotated[int, Field(ge=1, le=16)] = 6
    l2: NonNegativeFloat = 3.0


class SklearnSettings(AnyModelSettings):
    """Any classifier with the interface of scikit-learn, on vectors.

    Attributes
    ----------
    estimator
        In YAML `class`: the dotted path of its class, such as `sklearn.neighbors.KNeighborsClassifier`,
        `lightgbm.LGBMClassifier`, or one of a module in the project's folder.
    options
        Its arguments. A mapping of `class` and `options` among them is an estimator of its own.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    kind: Literal["sklearn"] = "sklearn"
    estimator: str | None = Field(default=None, alias="class")
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _a_dotted_path(self) -> SklearnSettings:
        parts = (self.estimator or "a.b").split(".")
        if len(parts) < 2 or not all(part.isidentifier() for part in parts):
            raise ValueError(
                f"class is {self.estimator!r}; write a dotted path: sklearn.neighbors.KNeighborsClassifier"
            )
        return self

    @property
    def title(self) -> str:
        """The name of the class."""
        return self.estimator.rpartition(".")[2] if self.estimator else self.kind

    @property
    def libraries(self) -> tuple[str, ...]:
        """The distribution that brings the class, where one does."""
        package = (self.estimator or "").partition(".")[0]
        return tuple(dict.fromkeys(importlib.metadata.packages_distributions().get(package, ())))


class LightGbmSettings(BoostingSettings):
    """LightGBM; `min_samples_leaf` shrinks as that of `hist_gradient_boosting` does."""

    kind: Literal["lightgbm"] = "lightgbm"
    max_leaf_nodes: Annotated[int, Field(ge=2)] = 31
    min_samples_leaf: PositiveInt = 20


class XgBoostSettings(BoostingSettings):
    """XGBoost."""

    kind: Literal["xgboost"] = "xgboost"
    max_depth: PositiveInt = 6
    l2: NonNegativeFloat = 1.0


class TabIclSettings(AnyModelSettings):
    """TabICL (2502.05564): a pretrained transformer that reads the training rows beside those it predicts.

    Attributes
    ----------
    pretrained
        Its weights: a checkpoint file, or a hub id (`owner/name@revision`).
    members
        Views of the table (orders of columns and classes, scales) that are averaged.
    """

    kind: Literal["tabicl"] = "tabicl"
    pretrained: str = "jingang/TabICL"
    members: PositiveInt = 8


class NetworkSettings(AnyModelSettings):
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

    @property
    def training_defaults(self) -> dict[str, Any]:
        """Keys of `train` that the model has other values for, before its own `training` is looked at."""
        return IMAGE_FINE_TUNING if self.is_pretrained else {}


class ImageNetworkSettings(NetworkSettings):
    """What image networks have: `image_size`, the side in pixels to resize to.

    Null takes what pretrained weights were trained with, else the size of `features.image`.
    """

    image_size: Annotated[int, Field(ge=4, le=1024)] | None = None


class SmallCnnSettings(ImageNetworkSettings):
    """A small convolutional network; `width` channels in its first stage, doubled at each of the next two."""

    kind: Literal["small_cnn"] = "small_cnn"
    width: Annotated[int, Field(ge=4, le=512, multiple_of=4)] = 32


class ShuffleNetV2Settings(ImageNetworkSettings):
    """ShuffleNetV2 in the two smallest widths of the paper."""

    kind: Literal["shufflenet_v2"] = "shufflenet_v2"
    width: Literal["0.5x", "1.0x"] = "0.5x"


class Lite0Settings(ImageNetworkSettings):
    """EfficientNet-Lite0, `pretrained` with the weights of ImageNet that the extra `lite0` brings."""

    kind: Literal["lite0"] = "lite0"
    pretrained: bool = True


class LibraryImageSettings(ImageNetworkSettings):
    """What image networks of other libraries have.

    Attributes
    ----------
    normalisation
        Of the pixels: by mean and deviation of the `training` rows, by those of `imagenet`, or `half`: −1 to
        1. `auto` is what the pretrained network was trained with, else `training`.
    """

    normalisation: Literal["auto", "training", "imagenet", "half"] = "auto"


class ImageTransformerSettings(LibraryImageSettings):
    """An image network of the transformers library, from scratch or with pretrained weights.

    Attributes
    ----------
    pretrained
        A hub id or a folder; null builds `architecture` from scratch.
    architecture
        The model type in transformers: resnet, convnext, mobilenet_v2, regnet, vit, swin, …
    options
        Arguments of its config, such as `{depths: [2, 2, 2, 2], hidden_sizes: [64, 128, 256, 512]}`.
    """

    kind: Literal["image_transformer"] = "image_transformer"
    pretrained: str | None = None
    architecture: str = "resnet"
    options: dict[str, Any] = Field(default_factory=dict)


class TorchvisionSettings(LibraryImageSettings):
    """A classifier of torchvision by its name there, for the extra `vision`.

    `pretrained: true` takes its default weights.
    """

    kind: Literal["torchvision"] = "torchvision"
    name: str = "resnet18"
    pretrained: bool = False


class TimmSettings(LibraryImageSettings):
    """A network of timm by its name there, for the extra `vision`; everything else as for torchvision."""

    kind: Literal["timm"] = "timm"
    name: str = "resnet18"
    pretrained: bool = False


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

    @property
    def training_defaults(self) -> dict[str, Any]:
        """Keys of `train` that an encoder has other values for."""
        return TEXT_FINE_TUNING if self.pretrained else TEXT_FROM_SCRATCH


class LlmSettings(AnyModelSettings):
    """A language model at the endpoint of `llm`, which is asked for the class of every text.

    Attributes
    ----------
    examples
        Training rows of each class that the prompt shows; 0 shows none.
    instructions
        Added to the prompt as it stands.
    logprobs
        Whether probabilities are read off those of the answer's tokens, where the endpoint gives them.
    smoothing
        Elsewhere, the share that the classes not answered have between them.
    prompt
        A file in `prompts/`.
    """

    kind: Literal["llm"] = "llm"
    examples: NonNegativeInt = 0
    instructions: str = ""
    logprobs: bool = True
    smoothing: Annotated[float, Field(gt=0, lt=1)] = 0.1
    prompt: Annotated[str, Field(pattern=r"^[^/\\]+\.jinja$")] = "classify.jinja"


def installed_version(distribution: str) -> str:
    """Version of a library, whose build for processors alone may have a name of its own."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        if distribution != "xgboost":
            raise
        return importlib.metadata.version("xgboost-cpu")


@dataclass(frozen=True)
class ModelSpec:
    """A model: all that a room must know of it beyond its settings, whose `kind` is its name.

    Attributes
    ----------
    reads
        `vectors`, which `featurize` makes of any data; `images` and `texts` are for networks.
    libraries
        Distributions whose versions a saved model names.
    default_for
        The modality that trains it where nothing else is named.
    strong
        Whether the studies of resampling call it strong: what it gains by resampling is little or nothing.
    seconds
        Guess at the seconds of a fit on a core, from the settings, the rows (of all epochs for a network),
        columns or pixels, and classes; None where they depend on the machine more than on the data.
    regularised
        Settings that hold it back from learning copies by heart: a penalty, flatter trees, fuller leaves.
    in_curves
        Whether `evenly curve` draws it where no classifiers are named.
    balances
        Whether it draws as many rows of every class by itself: its probabilities are those of balanced
        classes, a loss that weighs classes would balance them twice, and it is for tables alone.
    weighs_rows
        Whether rows may count by weights.
    asked_by
        The class (`module:name`) that asks somebody for every prediction, which costs money; empty where
        something is fitted.
    """

    settings: type[AnyModelSettings]
    reads: Literal["vectors", "images", "texts"]
    libraries: tuple[str, ...]
    default_for: Modality | None = None
    strong: bool = False
    seconds: Callable[[Any, int, int, int], float] | None = None
    regularised: Mapping[str, Any] = field(default_factory=dict)
    in_curves: bool = False
    balances: bool = False
    weighs_rows: bool = True
    asked_by: str = ""

    @property
    def is_technique(self) -> bool:
        """Whether a recipe whose model it is stands beside the recipes on the default model, as a rival."""
        return self.balances or bool(self.asked_by)

    @property
    def is_installed(self) -> bool:
        """Whether its libraries are."""
        try:
            return all(installed_version(name) for name in self.libraries)
        except importlib.metadata.PackageNotFoundError:
            return False

    @property
    def modalities(self) -> frozenset[Modality]:
        """The data that it takes."""
        if self.reads == "vectors":
            return frozenset(("table",) if self.balances else ("text", "image", "table"))
        return frozenset(("image",) if self.reads == "images" else ("text",))

    @property
    def is_network(self) -> bool:
        """Whether it is trained in epochs, on batches."""
        return self.reads != "vectors" and not self.asked_by

    @property
    def needs_payload(self) -> bool:
        """Whether rows that are vectors alone teach it nothing, as those of SMOTE do where it reads texts."""
        return self.reads == "texts"

    @property
    def losses(self) -> frozenset[LossName]:
        """The losses that exist for it: without batches, those that can be written as weights of rows."""
        if self.balances or self.asked_by:
            return frozenset({"cross_entropy"})
        return frozenset(name for name, kind in LOSSES.items() if self.is_network or kind.by_row_weights)

    @property
    def samplers(self) -> frozenset[SamplerName]:
        """The samplers that exist for it: only batches can be drawn unevenly."""
        return frozenset(SAMPLERS) if self.is_network else frozenset({"uniform"})


def _boosting_seconds(settings: Any, rows: int, columns: int, classes: int) -> float:
    """Guess the seconds of about 100 rounds, after which validation stops most boosting."""
    return 2.2e-6 * rows * columns * (classes if classes > 2 else 1)


#: Columns of a dense table that terms cost as much as, the choice of `C` included.
_TERM_COLUMNS = 1500

# Seconds were measured with scikit-learn 1.9 on 400 to 4,000 rows of 30 to 256 numbers, those of the small
# CNN on digits (docs/results/digits_lt.md).
_SCIKIT_LEARN = ("numpy", "scikit-learn", "skops")
_IMBALANCED_LEARN = (*_SCIKIT_LEARN, "imbalanced-learn")
_SPECS = (
    ModelSpec(
        LogisticRegressionSettings,
        "vectors",
        _SCIKIT_LEARN,
        "text",
        regularised={"C": 0.1},
        in_curves=True,
        seconds=lambda settings, rows, columns, classes: (
            1e-7 * rows * (_TERM_COLUMNS if settings.reads_terms else columns) * classes
        ),
    ),
    ModelSpec(
        RandomForestSettings,
        "vectors",
        _SCIKIT_LEARN,
        regularised={"min_samples_leaf": 5, "max_depth": 8},
        in_curves=True,
        seconds=lambda settings, rows, columns, _: 5.5e-7 * settings.trees * rows * math.sqrt(columns),
    ),
    ModelSpec(
        HistGradientBoostingSettings,
        "vectors",
        _SCIKIT_LEARN,
        "table",
        strong=True,
        regularised={"max_leaf_nodes": 7, "l2": 10.0},
        seconds=_boosting_seconds,
    ),
    ModelSpec(
        CatBoostSettings,
        "vectors",
        ("numpy", "catboost"),
        strong=True,
        regularised={"depth": 4, "l2": 30.0},
        in_curves=True,
        seconds=_boosting_seconds,
    ),
    ModelSpec(
        LightGbmSettings,
        "vectors",
        ("numpy", "lightgbm"),
        strong=True,
        regularised={"max_leaf_nodes": 7, "l2": 10.0},
        seconds=_boosting_seconds,
    ),
    ModelSpec(
        XgBoostSettings,
        "vectors",
        ("numpy", "xgboost"),
        strong=True,
        regularised={"max_depth": 4, "l2": 30.0},
        seconds=_boosting_seconds,
    ),
    ModelSpec(TabIclSettings, "vectors", ("numpy", "torch", "tabicl"), strong=True, weighs_rows=False),
    ModelSpec(EasyEnsembleSettings, "vectors", _IMBALANCED_LEARN, balances=True, weighs_rows=False),
    ModelSpec(SklearnSettings, "vectors", _SCIKIT_LEARN),
    ModelSpec(BalancedRandomForestSettings, "vectors", _IMBALANCED_LEARN, balances=True),
    ModelSpec(RusBoostSettings, "vectors", _IMBALANCED_LEARN, balances=True),
    ModelSpec(
        SmallCnnSettings,
        "images",
        ("torch",),
        "image",
        seconds=lambda _, rows, pixels, __: 2e-6 * rows * pixels,
    ),
    ModelSpec(ShuffleNetV2Settings, "images", ("torch",)),
    ModelSpec(Lite0Settings, "images", ("torch",)),
    ModelSpec(ImageTransformerSettings, "images", ("torch", "transformers")),
    ModelSpec(TorchvisionSettings, "images", ("torch", "torchvision")),
    ModelSpec(TimmSettings, "images", ("torch", "timm")),
    ModelSpec(TransformerSettings, "texts", ("torch", "transformers", "tokenizers")),
    ModelSpec(
        LlmSettings,
        "texts",
        (),
        weighs_rows=False,
        asked_by="evenly.llm.classifying:AskedClassifier",
    ),
)
#: Every model, by name.
MODELS: dict[str, ModelSpec] = {spec.settings.model_fields["kind"].default: spec for spec in _SPECS}

if TYPE_CHECKING:
    ModelName = str
    ModelSettings = AnyModelSettings

    class ModelsSettings(Settings):
        """Settings of every model, by name."""

        def __getattr__(self, name: str) -> Any: ...

else:
    ModelName = Literal[tuple(MODELS)]
    ModelSettings = Annotated[
        Union[tuple(spec.settings for spec in MODELS.values())],  # noqa: UP007
        Field(discriminator="kind"),
    ]
    ModelsSettings = create_model(
        "ModelsSettings",
        __base__=Settings,
        __module__=__name__,
        __doc__="Settings of every model, by name; a run reads those of its own model alone.",
        **{name: (spec.settings, spec.settings()) for name, spec in MODELS.items()},
    )


#: What tables of fewer training rows than this get; larger ones get boosted trees (docs/results/tables.md).
SMALL_TABLES: tuple[tuple[int, ModelName], ...] = ((200, "logistic_regression"), (1000, "random_forest"))


def default_model(modality: Modality, rows: int, encoded: bool = False) -> ModelName:
    """Name the model that a modality trains where nothing else is named.

    A table has one by its training `rows`, 0 where they are not known yet. A linear model does where the
    features of images are vectors of a pretrained encoder (`encoded`).
    """
    if modality == "image" and encoded:
        return "logistic_regression"
    if modality == "table" and rows:
        for most, name in SMALL_TABLES:
            if rows < most:
                return name
    return next(name for name, spec in MODELS.items() if spec.default_for == modality)


def resolved_training(
    training: TrainingSettings, settings: ModelSettings, *changes: Mapping[str, Any]
) -> TrainingSettings:
    """How a network is trained: `train`, changed by what suits it, its own `training`, and then `changes`."""
    own = (settings.training_defaults, settings.training) if isinstance(settings, NetworkSettings) else ()
    return resolved_unfreezing(changed_training(training, *own, *changes), settings.is_pretrained)


def check_combination(
    model: ModelName, modality: Modality, loss: LossName, sampler: SamplerName, losses: LossSettings
) -> None:
    """Refuse, before any work, what a model cannot do, naming what it can."""
    spec = MODELS[model]
    if modality not in spec.modalities:
        takers = sorted(name for name, other in MODELS.items() if modality in other.modalities)
        raise RecipeError(
            f"The model {model} does not take {modality} data; choose one of {', '.join(takers)}."
        )
    if spec.balances and loss not in spec.losses:
        raise RecipeError(
            f"The loss {loss} does not exist for {model}, which balances the classes inside; take the loss "
            "cross_entropy (`-S loss=auto`), or another model."
        )
    if loss not in spec.losses:
        raise RecipeError(
            f"The loss {loss} does not exist for {model}; it takes {', '.join(sorted(spec.losses))}, "
            f"and the networks ({_networks()}) take every loss."
        )
    if sampler not in spec.samplers:
        raise RecipeError(
            f"The sampler {sampler} does not exist for {model}, which is not trained on batches; "
            "use `loss: weighted`, or random_over / random_under in a recipe."
        )
    own = getattr(losses, loss)
    if not spec.is_network and isinstance(own, SmoothedSettings) and own.label_smoothing:
        raise RecipeError(
            f"{model} has no label smoothing; set losses.{loss}.label_smoothing to 0, "
            f"or choose a network ({_networks()})."
        )


def check_training(
    model: ModelName, modality: Modality, training: TrainingSettings, changes: Mapping[str, Any]
) -> None:
    """Refuse what a recipe (`changes`) or `train` asks of a training that this model or data cannot have."""
    if not MODELS[model].is_network:
        if changes:
            raise RecipeError(
                f"The recipe sets train.{min(changes)}, but {model} is not trained in epochs; choose a "
                f"network ({_networks()}), or set models.{model}."
            )
    elif training.augment is not None and modality != "image":
        raise RecipeError(
            f"train.augment is {training.augment!r}, but only images are augmented while training, and this "
            f"is {modality} data; use `augment` in the recipe instead."
        )
    elif training.views > 1 and modality != "image":
        raise RecipeError(
            f"train.views is {training.views}, but only images have views, and this is {modality} data; set "
            "it to 1."
        )


def _networks() -> str:
    return ", ".join(sorted(name for name, spec in MODELS.items() if spec.is_network))
