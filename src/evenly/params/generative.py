"""What a recipe asks of a generator that is trained on the training rows: which kind, how it is trained and
sampled, and for which classes it is refused.

Counts are turned into plans in `evenly.planning`; the generators live in `evenly.generators`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, cast

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from evenly.errors import RecipeError
from evenly.params.base import Settings
from evenly.samples import Modality

GeneratorKind = Literal["gan", "vae", "language_model"]
SamplingMode = Literal["prior", "near", "interpolate"]
Numbers = Literal["modes", "quantile"]
Distortion = Literal["colour", "translation", "cutout"]


@dataclass(frozen=True)
class KindSpec:
    """A kind of generator: for which data, and why it is left where classes have too few rows.

    A class with fewer than `min_per_class` real training rows is left to augmentation, unless the recipe says
    otherwise.
    """

    title: str
    modalities: tuple[Modality, ...]
    min_per_class: int
    with_fewer: str
    source: str = "docs/recipes.md"


KINDS: Mapping[GeneratorKind, KindSpec] = {
    "gan": KindSpec("a GAN", ("image", "table"), 50, ": a GAN makes things worse there", "arXiv 2603.16134"),
    "vae": KindSpec("a VAE", ("image", "table"), 10, ", too few to learn a distribution from"),
    "language_model": KindSpec(
        "a language model", ("text",), 10, "; a small model trained on them writes plausible word salad"
    ),
}


class GeneratorTraining(Settings):
    """What the training of every generator has.

    Attributes
    ----------
    steps
        Optimisation steps at most.
    batch_size
        Rows a step.
    learning_rate
        Of Adam.
    balance
        How evenly classes share a batch: 0 as in the training rows, 1 all alike, between them a class of n
        rows counts n^(1 − balance).
    checkpoints
        How often, evenly spaced, the generator is judged on held-out training rows; the best state is kept.
    patience
        Training stops after so many checkpoints without a better one; null runs all steps.
    hold_out
        Share of the training rows of each class of ten or more that only judge; 0 keeps the last state.
    kind, modality, criterion
        The kind of a recipe, the data that it learns from, and what it is judged by while it is trained.
    """

    kind: ClassVar[GeneratorKind]
    modality: ClassVar[Modality]
    criterion: ClassVar[str]

    steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    balance: Annotated[float, Field(ge=0, le=1)] = 1.0
    checkpoints: PositiveInt = 10
    patience: PositiveInt | None = None
    hold_out: Annotated[float, Field(ge=0, le=0.5)] = 0.15


class ImageGanSettings(GeneratorTraining):
    """A conditional DCGAN with a projection discriminator.

    Attributes
    ----------
    latent
        Length of the latent vector.
    width
        Channels at the coarsest grid of about 4×4, halved with every doubling of the side.
    distortions
        Differentiable augmentations of what the discriminator sees, real and made.
    diversity
        Weight of a reward for the difference between two images of one class.
    average
        Decay of the moving average of the generator's weights that is sampled.
    """

    name: Literal["image_gan"] = "image_gan"
    kind: ClassVar[GeneratorKind] = "gan"
    modality: ClassVar[Modality] = "image"
    criterion: ClassVar[str] = "mmd"
    steps: PositiveInt = 1500
    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 5e-4
    patience: PositiveInt | None = 3
    latent: PositiveInt = 64
    width: Annotated[int, Field(ge=16, le=1024)] = 64
    distortions: tuple[Distortion, ...] = ("colour", "translation", "cutout")
    diversity: NonNegativeFloat = 1.0
    average: Annotated[float, Field(ge=0, lt=1)] = 0.995


class ImageVaeSettings(GeneratorTraining):
    """A conditional variational autoencoder of images.

    Attributes
    ----------
    latent
        Length of the latent vector.
    hidden
        Units of both hidden layers (images of up to 16 pixels a side), or channels at the coarsest grid of
        the convolutional network that larger ones get.
    sigma
        Standard deviation of the decoder on pixels in −1..1: larger leaves more to the label and less to the
        latent vector.
    """

    name: Literal["image_vae"] = "image_vae"
    kind: ClassVar[GeneratorKind] = "vae"
    modality: ClassVar[Modality] = "image"
    criterion: ClassVar[str] = "negative_elbo"
    steps: PositiveInt = 1500
    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 1e-3
    patience: PositiveInt | None = 3
    latent: PositiveInt = 16
    hidden: Annotated[int, Field(ge=16, le=2048)] = 256
    sigma: PositiveFloat = 0.6


class TableGanSettings(GeneratorTraining):
    """A conditional Wasserstein GAN with gradient penalty for tables.

    Attributes
    ----------
    latent
        Length of the latent vector.
    hidden
        Units of each of the two hidden layers of generator and critic.
    critic_steps
        Steps of the critic for each of the generator.
    gradient_penalty
        Its weight.
    temperature
        Of the Gumbel-softmax that draws categories.
    numbers
        How numbers are normalised: by their quantiles, or by the modes of a Gaussian mixture. On
        breast_cancer and wine quantiles kept correlations better (mean error .08 against .13) in less than
        half of the time.
    max_modes
        Components of the mixture at most.
    """

    name: Literal["table_gan"] = "table_gan"
    kind: ClassVar[GeneratorKind] = "gan"
    modality: ClassVar[Modality] = "table"
    criterion: ClassVar[str] = "mmd"
    steps: PositiveInt = 1500
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 5e-4
    patience: PositiveInt | None = 3
    latent: PositiveInt = 64
    hidden: PositiveInt = 256
    critic_steps: PositiveInt = 2
    gradient_penalty: NonNegativeFloat = 10.0
    temperature: PositiveFloat = 0.2
    numbers: Numbers = "quantile"
    max_modes: PositiveInt = 10


class TableVaeSettings(GeneratorTraining):
    """A conditional variational autoencoder of tables that learns how noisy each number is.

    `latent`, `hidden`, `numbers` and `max_modes` are as for the GAN.
    """

    name: Literal["table_vae"] = "table_vae"
    kind: ClassVar[GeneratorKind] = "vae"
    modality: ClassVar[Modality] = "table"
    criterion: ClassVar[str] = "negative_elbo"
    steps: PositiveInt = 1500
    batch_size: PositiveInt = 256
    learning_rate: PositiveFloat = 1e-3
    patience: PositiveInt | None = 3
    latent: PositiveInt = 16
    hidden: PositiveInt = 128
    numbers: Numbers = "quantile"
    max_modes: PositiveInt = 10


class LanguageModelSettings(GeneratorTraining):
    """A causal language model on texts that begin with their label.

    Attributes
    ----------
    model
        Hub id or folder of a pretrained causal model to fine-tune; null trains a small transformer from
        scratch, whose shape the next five settings give.
    vocabulary
        Entries of the byte-pair vocabulary, learned on the training texts.
    layers, width, heads
        Blocks, their width, and attention heads.
    dropout
        While training.
    context
        Tokens of a text at most; longer ones are cut.
    top_p
        Nucleus: tokens are drawn from the fewest that together have this probability.
    temperature
        Divides the logits.
    learning_rate
        Null takes 1e-3 from scratch and 5e-5 for fine-tuning.
    """

    name: Literal["language_model"] = "language_model"
    kind: ClassVar[GeneratorKind] = "language_model"
    modality: ClassVar[Modality] = "text"
    criterion: ClassVar[str] = "nll"
    steps: PositiveInt = 800
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat | None = None  # type: ignore[assignment]
    balance: Annotated[float, Field(ge=0, le=1)] = 0.5
    patience: PositiveInt | None = 3
    model: str | None = None
    vocabulary: Annotated[int, Field(ge=256, le=32_000)] = 2000
    layers: PositiveInt = 3
    width: PositiveInt = 128
    heads: PositiveInt = 4
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    context: Annotated[int, Field(ge=8, le=4096)] = 64
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.9
    temperature: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _heads_divide(self) -> LanguageModelSettings:
        if self.width % self.heads:
            raise ValueError(f"heads must divide width ({self.width})")
        return self


GeneratorSettings = Annotated[
    ImageGanSettings | ImageVaeSettings | TableGanSettings | TableVaeSettings | LanguageModelSettings,
    Field(discriminator="name"),
]


class SamplingSettings(Settings):
    """How a trained generator is sampled.

    Attributes
    ----------
    mode
        `prior` draws latent vectors from the normal prior. With a VAE also `near`, about the latent vector of
        a real row, and `interpolate`, between those of a real row and one of its nearest of the same class.
    spread
        Standard deviations: of the prior, or for `near` of what the encoder says about the row.
    k_neighbors
        `interpolate`: the partner is one of so many nearest rows.
    hard
        This share of a class's rows is taken for lying near the decision boundary of a classifier of the real
        training rows, the others as they come.
    candidates_factor
        So many times the rows asked for are drawn where `hard` is above 0, to choose from.
    """

    mode: SamplingMode = "prior"
    spread: PositiveFloat = 1.0
    k_neighbors: PositiveInt = 5
    hard: Annotated[float, Field(ge=0, le=1)] = 0.0
    candidates_factor: Annotated[float, Field(ge=1, le=100)] = 4.0


class GenerativeSettings(Settings):
    """The `generate` block of a recipe, but for its targets.

    Attributes
    ----------
    kind
        `gan` and `vae` for images and tables, `language_model` for texts.
    max_synthetic_share
        Generated rows are at most this share of a class's rows.
    min_per_class
        A class with fewer real training rows falls back to augmentation; null takes that of `KINDS`.
    sampling
        How the trained generator is sampled.
    image_gan, image_vae, table_gan, table_vae, language_model
        Settings of each generator; a plan keeps those of the one that it uses.
    """

    kind: GeneratorKind
    max_synthetic_share: Annotated[float, Field(gt=0, le=1)] = 0.3
    min_per_class: PositiveInt | None = None
    sampling: SamplingSettings = SamplingSettings()
    image_gan: ImageGanSettings = ImageGanSettings()
    image_vae: ImageVaeSettings = ImageVaeSettings()
    table_gan: TableGanSettings = TableGanSettings()
    table_vae: TableVaeSettings = TableVaeSettings()
    language_model: LanguageModelSettings = LanguageModelSettings()

    @model_validator(mode="after")
    def _mode_needs_encoder(self) -> GenerativeSettings:
        if self.sampling.mode != "prior" and self.kind != "vae":
            raise ValueError(
                f"sampling.mode {self.sampling.mode} starts from encoded rows, which only kind vae has; "
                "use prior"
            )
        return self


def generator_settings(settings: GenerativeSettings, modality: Modality, where: str) -> GeneratorSettings:
    """Settings of the one generator that a recipe means for a modality.

    Raises
    ------
    RecipeError
        When there is none.
    """
    if modality not in KINDS[settings.kind].modalities:
        fitting = " or ".join(name for name, kind in KINDS.items() if modality in kind.modalities)
        raise RecipeError(
            f"params.yaml: {where}.kind is {settings.kind!r}, but {modality} data takes {fitting}."
        )
    generators = [one for _, one in settings if isinstance(one, GeneratorTraining)]
    chosen = next(one for one in generators if (one.kind, one.modality) == (settings.kind, modality))
    return cast(GeneratorSettings, chosen)


@dataclass(frozen=True)
class Gated:
    """Which rows a generator makes, and which are left to augmentation.

    Attributes
    ----------
    counts
        New rows per class from the generator.
    fallbacks
        New rows per class that augmentation is to make instead.
    reasons
        For each class of `fallbacks`, one sentence.
    """

    counts: dict[str, NonNegativeInt]
    fallbacks: dict[str, NonNegativeInt]
    reasons: dict[str, str]


def gated_counts(asked: Mapping[str, int], real: Mapping[str, int], settings: GenerativeSettings) -> Gated:
    """Refuse a generator for classes too small to learn from.

    Parameters
    ----------
    asked
        New rows per class.
    real
        Real training rows per class.
    settings
        Of the recipe.
    """
    kind = KINDS[settings.kind]
    least = settings.min_per_class or kind.min_per_class
    refused = [name for name, count in asked.items() if count and real[name] < least]
    return Gated(
        counts={name: 0 if name in refused else count for name, count in asked.items()},
        fallbacks={name: asked[name] for name in refused},
        reasons={
            name: f"Class {name!r} has {real[name]} training rows and {kind.title} needs {least} "
            f"(generate.min_per_class): its {asked[name]} rows are left to augmentation."
            for name in refused
        },
    )


def share_capped(asked: Mapping[str, int], others: Mapping[str, int], share: float) -> dict[str, int]:
    """Cap new rows so that they are at most a share of all rows of their class.

    Parameters
    ----------
    asked
        New rows per class.
    others
        All other rows that the class will have.
    share
        In (0, 1]; 1 caps nothing.
    """
    if share >= 1:
        return dict(asked)
    # m ≤ share · (m + n); the tiny addition keeps 0.3 / 0.7 · 70 from falling just below 30.
    return {name: min(m, math.floor(share / (1 - share) * others[name] + 1e-9)) for name, m in asked.items()}
