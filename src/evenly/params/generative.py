"""What a recipe asks of a generator that is trained on the training rows: which kind, how it is trained and
sampled, and for which classes it is refused.

Counts are turned into plans in `evenly.planning`; the generators live in `evenly.generators`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from evenly.errors import RecipeError
from evenly.params.base import Settings
from evenly.samples import Modality

GeneratorKind = Literal["gan", "vae", "language_model"]
SamplingMode = Literal["prior", "near", "interpolate"]
Numbers = Literal["modes", "quantile"]
Distortion = Literal["colour", "translation", "cutout"]


@dataclass(frozen=True)
class KindSpec:
    """A kind of generator: for which data, below how many real training rows it is left, and why.

    `settings` are those of `generate` that a search varies beside what all kinds have.
    """

    title: str
    modalities: tuple[Modality, ...]
    min_per_class: int
    with_fewer: str
    source: str = "docs/recipes.md"
    settings: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


KINDS: Mapping[GeneratorKind, KindSpec] = {
    "gan": KindSpec("a GAN", ("image", "table"), 50, ": a GAN makes things worse there", "arXiv 2603.16134"),
    "vae": KindSpec(
        "a VAE",
        ("image", "table"),
        10,
        ", too few to learn a distribution from",
        settings={"sampling.mode": ("prior", "near", "interpolate")},
    ),
    "language_model": KindSpec(
        "a language model",
        ("text",),
        10,
        "; a small model trained on them writes plausible word salad",
        settings={"language_model.temperature": (0.8, 1.0, 1.2)},
    ),
}


class GeneratorTraining(Settings):
    """What the training of every generator has, by Adam; `latent` is the length of a latent vector."""

    #: The kind of a recipe, the data that it learns from, and what it is judged by while it is trained.
    kind: ClassVar[GeneratorKind]
    modality: ClassVar[Modality]
    criterion: ClassVar[str]

    steps: PositiveInt = 1500
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    #: How evenly classes share a batch: 0 as in the training rows, 1 all alike, between them a class of n
    #: rows counts n^(1 − balance).
    balance: Annotated[float, Field(ge=0, le=1)] = 1.0
    #: How often, evenly spaced, the generator is judged on held-out training rows; the best state is kept.
    checkpoints: PositiveInt = 10
    #: Training stops after so many checkpoints without a better one; null runs all steps.
    patience: PositiveInt | None = 3
    #: Share of the training rows of each class of ten or more that only judge; 0 keeps the last state.
    hold_out: Annotated[float, Field(ge=0, le=0.5)] = 0.15


class ImageGanSettings(GeneratorTraining):
    """A conditional DCGAN with a projection discriminator."""

    name: Literal["image_gan"] = "image_gan"
    kind = "gan"
    modality = "image"
    criterion = "mmd"
    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 5e-4
    latent: PositiveInt = 64
    #: Channels at the coarsest grid of about 4×4, halved with every doubling of the side.
    width: Annotated[int, Field(ge=16, le=1024)] = 64
    #: Differentiable augmentations of what the discriminator sees, real and made.
    distortions: tuple[Distortion, ...] = ("colour", "translation", "cutout")
    #: Weight of a reward for the difference between two images of one class.
    diversity: NonNegativeFloat = 1.0
    #: Decay of the moving average of the generator's weights that is sampled.
    average: Annotated[float, Field(ge=0, lt=1)] = 0.995


class ImageVaeSettings(GeneratorTraining):
    """A conditional variational autoencoder of images."""

    name: Literal["image_vae"] = "image_vae"
    kind = "vae"
    modality = "image"
    criterion = "negative_elbo"
    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 1e-3
    latent: PositiveInt = 16
    #: Units of both hidden layers (images of up to 16 pixels a side), or channels at the coarsest grid of the
    #: convolutional network that larger ones get.
    hidden: Annotated[int, Field(ge=16, le=2048)] = 256
    #: Standard deviation of the decoder on pixels in −1..1: larger leaves more to the label and less to the
    #: latent vector.
    sigma: PositiveFloat = 0.6


class TableGanSettings(GeneratorTraining):
    """A conditional Wasserstein GAN with gradient penalty for tables."""

    name: Literal["table_gan"] = "table_gan"
    kind = "gan"
    modality = "table"
    criterion = "mmd"
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 5e-4
    latent: PositiveInt = 64
    #: Units of each of the two hidden layers of generator and critic.
    hidden: PositiveInt = 256
    #: Steps of the critic for each of the generator, and the weight of its penalty.
    critic_steps: PositiveInt = 2
    gradient_penalty: NonNegativeFloat = 10.0
    #: Of the Gumbel-softmax that draws categories.
    temperature: PositiveFloat = 0.2
    #: How numbers are normalised: by their quantiles, or by the modes of a Gaussian mixture. On breast_cancer
    #: and wine quantiles kept correlations better (mean error .08 against .13) in less than half of the time.
    numbers: Numbers = "quantile"
    #: Components of the mixture at most.
    max_modes: PositiveInt = 10


class TableVaeSettings(GeneratorTraining):
    """A conditional variational autoencoder of tables that learns how noisy each number is.

    `latent`, `hidden`, `numbers` and `max_modes` are as for the GAN.
    """

    name: Literal["table_vae"] = "table_vae"
    kind = "vae"
    modality = "table"
    criterion = "negative_elbo"
    batch_size: PositiveInt = 256
    learning_rate: PositiveFloat = 1e-3
    latent: PositiveInt = 16
    hidden: PositiveInt = 128
    numbers: Numbers = "quantile"
    max_modes: PositiveInt = 10


class LanguageModelSettings(GeneratorTraining):
    """A causal language model on texts that begin with their label."""

    name: Literal["language_model"] = "language_model"
    kind = "language_model"
    modality = "text"
    criterion = "nll"
    steps: PositiveInt = 800
    batch_size: PositiveInt = 32
    #: Null takes 1e-3 from scratch and 5e-5 for fine-tuning.
    learning_rate: PositiveFloat | None = None  # type: ignore[assignment]
    balance: Annotated[float, Field(ge=0, le=1)] = 0.5
    #: Hub id or folder of a pretrained causal model to fine-tune; null trains a small transformer from
    #: scratch, whose shape the next five settings give.
    model: str | None = None
    #: Entries of the byte-pair vocabulary, learned on the training texts.
    vocabulary: Annotated[int, Field(ge=256, le=32_000)] = 2000
    layers: PositiveInt = 3
    width: PositiveInt = 128
    heads: PositiveInt = 4
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    #: Tokens of a text at most; longer ones are cut.
    context: Annotated[int, Field(ge=8, le=4096)] = 64
    #: Nucleus: tokens are drawn from the fewest that together have this probability.
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
    """How a trained generator is sampled."""

    #: `prior` draws latent vectors from the normal prior. With a VAE also `near`, about the latent vector of
    #: a real row, and `interpolate`, between those of a real row and one of its nearest of the same class.
    mode: SamplingMode = "prior"
    #: Standard deviations: of the prior, or for `near` of what the encoder says about the row.
    spread: PositiveFloat = 1.0
    #: `interpolate`: the partner is one of so many nearest rows.
    k_neighbors: PositiveInt = 5
    #: This share of a class's rows is taken for lying near the decision boundary of a classifier of the real
    #: training rows, the others as they come.
    hard: Annotated[float, Field(ge=0, le=1)] = 0.0
    #: So many times the rows asked for are drawn where `hard` is above 0, to choose from.
    candidates_factor: Annotated[float, Field(ge=1, le=100)] = 4.0


class GenerativeSettings(Settings):
    """The `generate` block of a recipe, but for its targets."""

    #: `gan` and `vae` for images and tables, `language_model` for texts.
    kind: GeneratorKind
    #: Generated rows are at most this share of a class's rows.
    max_synthetic_share: Annotated[float, Field(gt=0, le=1)] = 0.3
    #: A class with fewer real training rows falls back to augmentation; null takes that of `KINDS`.
    min_per_class: PositiveInt | None = None
    sampling: SamplingSettings = SamplingSettings()
    #: Settings of each generator; a plan keeps those of the one that it uses.
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
    """Settings of the one generator that a recipe means for a modality; refused where there is none."""
    if modality not in KINDS[settings.kind].modalities:
        fitting = " or ".join(name for name, kind in KINDS.items() if modality in kind.modalities)
        raise RecipeError(
            f"params.yaml: {where}.kind is {settings.kind!r}, but {modality} data takes {fitting}."
        )
    generators = [one for _, one in settings if isinstance(one, GeneratorTraining)]
    chosen = next(one for one in generators if (one.kind, one.modality) == (settings.kind, modality))
    return cast(GeneratorSettings, chosen)


def left_to_augmentation(
    wanted: Mapping[str, int], real: Mapping[str, int], settings: GenerativeSettings
) -> dict[str, str]:
    """The classes that want rows and are too small for a generator to learn from, with a sentence each."""
    kind = KINDS[settings.kind]
    least = settings.min_per_class or kind.min_per_class
    return {
        name: f"Class {name!r} has {real[name]} training rows and {kind.title} needs {least} "
        f"(generate.min_per_class): its {count} rows are left to augmentation."
        for name, count in wanted.items()
        if count and real[name] < least
    }


def share_capped(wanted: Mapping[str, int], others: Mapping[str, int], share: float) -> dict[str, int]:
    """New rows of each class, at most the share in (0, 1] of all its rows, of which there are `others`."""
    if share >= 1:
        return dict(wanted)
    # m ≤ share · (m + n); the tiny addition keeps 0.3 / 0.7 · 70 from falling just below 30.
    return {name: min(m, math.floor(share / (1 - share) * others[name] + 1e-9)) for name, m in wanted.items()}
