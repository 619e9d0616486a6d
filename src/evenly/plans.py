"""Plan files: what `analyze` asks of each later stage, class by class.

A plan is everything its stage needs to know, so that a stage depends on its plan file and on nothing else in
params.yaml. An empty plan is the file `{}`: the stage has nothing to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from evenly.errors import DataError
from evenly.files import file_digest, json_mapping, write_json
from evenly.params.augmentation import Policy
from evenly.params.base import Settings, settings_from
from evenly.params.datasets import ClassNote
from evenly.params.generation import AskingSettings, Mode
from evenly.params.generative import GeneratorKind, GeneratorSettings, SamplingSettings
from evenly.params.llm import EndpointSettings, EngineSettings, Price
from evenly.params.losses import LossName, LossSettings
from evenly.params.mining import MiningSettings
from evenly.params.models import ModelName, ModelSettings
from evenly.params.resampling import BalanceOn, ResampleMethod
from evenly.params.training import SamplerName, TrainingSettings
from evenly.wording import first_names

#: Of a head that starts at class means (2309.10019).
COSINE_SCALE = 25.0


class RowsPlan(Settings):
    """What the plans have in common that count rows: whether by class, or by group (`evenly.groups`).

    A plan by class is the same file as one that knows nothing of groups.
    """

    balance_on: BalanceOn = Field(default="class", exclude_if=lambda unit: unit == "class")


class AugmentPlan(RowsPlan):
    """For `offline_augment`: so many transforms by `policy` of real rows of each class (or group)."""

    policy: Policy
    counts: dict[str, NonNegativeInt]
    seed: int


class AskedModel(Settings):
    """The engine's settings that change a result: who is asked, how answers are sampled, the cost at most."""

    endpoints: tuple[EndpointSettings, ...]
    temperature: NonNegativeFloat | None
    top_p: PositiveFloat | None
    max_tokens: PositiveInt
    seed: int | None
    prices: dict[str, Price]
    max_cost: PositiveFloat | None
    max_tokens_total: PositiveInt | None
    max_calls: PositiveInt | None

    @classmethod
    def of(cls, engine: EngineSettings) -> AskedModel:
        """What of the engine's settings changes a result; limits, patience and streaming are left behind."""
        named = {endpoint.model for endpoint in engine.endpoints}
        values = {name: value for name, value in engine if name in cls.model_fields}
        values["prices"] = {model: price for model, price in engine.prices.items() if model in named}
        values["endpoints"] = [
            EndpointSettings(**{name: getattr(one, name) for name in EndpointSettings.model_fields})
            for one in engine.endpoints
        ]
        return cls(**values)

    def applied_to(self, engine: EngineSettings | None) -> EngineSettings:
        """These settings with the limits and the patience of `engine` (None: the defaults)."""
        first, *fallbacks = self.endpoints
        own = {name: value for name, value in self if name != "endpoints"}
        return EngineSettings(**{**dict(engine or ()), **dict(first), **own, "fallbacks": fallbacks})


class LlmPlan(Settings):
    """For `llm_generate`: so many new samples of each class, or of each class and value of the attribute."""

    mode: Mode
    counts: dict[str, NonNegativeInt]
    #: New samples per class and value of the spurious attribute, `group_counts[class][value]`.
    group_counts: dict[str, dict[str, NonNegativeInt]] = Field(default_factory=dict)
    #: What the spurious attribute is called, where there are `group_counts`.
    attribute: str | None = None
    #: The column of the data set that holds the class.
    label_column: str | None = None
    notes: dict[str, ClassNote]
    asking: AskingSettings
    model: AskedModel
    seed: int

    @property
    def requested(self) -> dict[str, int]:
        """New samples per class, those of its groups included."""
        named = [*self.counts, *(name for name in self.group_counts if name not in self.counts)]
        return {
            name: self.counts.get(name, 0) + sum(self.group_counts.get(name, {}).values()) for name in named
        }


class ImportedPlan(Settings):
    """For `imported`: rows made elsewhere for this data set, of these origins or of all."""

    dataset: str
    origins: tuple[str, ...]
    where: str


class GeneratePlan(RowsPlan):
    """For `generate`: a generator trained on the real training rows, and so many rows of it per class."""

    kind: GeneratorKind
    #: New rows per class, or per group: the generator is then conditioned on groups.
    counts: dict[str, NonNegativeInt]
    #: Settings of the generator that kind and modality come to.
    generator: GeneratorSettings
    sampling: SamplingSettings
    #: Classes refused for having too few rows, each with the sentence that says so.
    fallbacks: dict[str, str] = Field(default_factory=dict)
    seed: int
    threads: PositiveInt


class ResamplePlan(RowsPlan):
    """For `resample`: each class (or group) of `targets` is brought to that many rows, up or down.

    `sampler` and its `options` are of imbalanced-learn; `thins` says that it brings classes down.
    """

    method: ResampleMethod
    sampler: str | None = Field(default=None, exclude_if=lambda name: name is None)
    options: dict[str, Any] = Field(default_factory=dict, exclude_if=lambda options: not options)
    thins: bool = Field(default=False, exclude_if=lambda thins: not thins)
    targets: dict[str, NonNegativeInt]
    k_neighbors: PositiveInt
    clean_neighbors: PositiveInt
    #: `majority`, `not_minority`, `all`, or the names of classes.
    clean: str | tuple[str, ...]
    seed: int


class AskedPlan(Settings):
    """Of a model that is asked: who answers, what is known of the classes, and which prompt it is.

    `prompt` is the SHA-256 of the file, which `analyze` takes: a run asks anew when it is edited.
    """

    model: AskedModel
    notes: dict[str, ClassNote]
    prompt: str = ""

    def with_prompt(self, path: Path) -> AskedPlan:
        """The plan of the prompt in this file."""
        try:
            return self.model_copy(update={"prompt": file_digest(path)})
        except OSError:
            there = sorted(one.name for one in path.parent.glob("*.jinja"))
            raise DataError(
                f"{path}, which models.llm.prompt names, cannot be read; there are {first_names(there)}."
            ) from None


class TrainPlan(Settings):
    """For `train`: the model, its settings, the loss and everything about the optimisation, all resolved."""

    model: ModelName
    settings: ModelSettings
    loss: LossName
    losses: LossSettings
    sampler: SamplerName
    training: TrainingSettings
    #: Transforms drawn anew for every batch; None draws none.
    augment: Policy | None = None
    #: What a row counts that is neither real nor a copy of a real one.
    synthetic_weight: Annotated[float, Field(ge=0, le=1)] = 1.0
    #: None where a model is fitted.
    asked: AskedPlan | None = Field(default=None, exclude_if=lambda asked: asked is None)
    seed: int
    threads: PositiveInt

    @property
    def cosine_scale(self) -> float | None:
        """What the cosines of a network's scores are multiplied by; None where its head is linear."""
        if self.loss == "ldam":
            return self.losses.ldam.scale
        return COSINE_SCALE if self.training.head == "class_means" else None


class FinetunePlan(Settings):
    """For `finetune`: what an epoch mixes, how a network is trained on it, and when the new model is kept."""

    ratio: PositiveFloat
    originals: Literal["anew", "once"]
    keep: Literal["better", "always"]
    training: TrainingSettings
    seed: int
    threads: PositiveInt


class MinePlan(MiningSettings):
    """For `mine_hard_examples`: which rows are hard, and how wrong labels are told from them."""

    seed: int
    threads: PositiveInt


P = TypeVar("P", bound=Settings)


def write_plan(plan: Settings | None, path: str | Path) -> None:
    """Write a plan as canonical JSON; `None` writes the empty plan."""
    write_json({} if plan is None else plan.model_dump(mode="json"), path)


def read_plan(kind: type[P], path: str | Path) -> P | None:
    """The plan in a file, or None where it is empty."""
    path = Path(path)
    try:
        content = json_mapping(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; run `dvc repro analyze` to make it.") from None
    return settings_from(kind, content, str(path)) if content else None
