"""Recipes: which producers make how many samples for which classes, and how the model is then trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from evenly.params.base import Settings
from evenly.params.generation import AskingSettings, Mode
from evenly.params.generative import GenerativeSettings
from evenly.params.losses import LossName, LossSettings
from evenly.params.mining import MiningSettings
from evenly.params.models import MODELS, ModelName, ModelSettings, ModelsSettings
from evenly.params.resampling import BalanceOn, ResampleSettings, Targets
from evenly.params.training import FinetuneSettings, SamplerName, TrainingChanges, TrainingSettings


class AugmentSettings(Settings):
    """What `offline_augment` makes: label-preserving transforms of real training rows, by a named policy."""

    policy: str = "auto"
    targets: Targets = Targets(to="match_majority")
    #: At least this many transformed copies of every row of every class, whatever the targets say.
    copies_of_all: NonNegativeInt = 0


class LlmRecipe(AskingSettings):
    """What `llm_generate` asks a language model for: the mode, how many samples each class is brought to,
    and how.

    `mode: auto` is `generate` for texts and `table` for tables.
    """

    mode: Mode | Literal["auto"] = "auto"
    targets: Targets = Targets(to="match_majority")

    @model_validator(mode="after")
    def _boundary_has_partners(self) -> LlmRecipe:
        if self.mode == "boundary" and self.confusable == 0:
            raise ValueError("mode boundary needs confusable: 1 or more, the classes to stand between")
        return self


class ImportedRecipe(Settings):
    """Rows made elsewhere (`evenly import-rows`), of these origins, or of all that are there."""

    origins: tuple[str, ...] = ()


class GenerateRecipe(GenerativeSettings):
    """What `generate` trains and samples, and how many rows each class is brought to."""

    targets: Targets = Targets(to="match_majority")


class RecipeTraining(Settings):
    """What a recipe asks of the training: it holds unless `loss` in params.yaml says otherwise.

    In YAML, keys of `train` stand beside these (`train: {loss: focal, epochs: 50}`) and come into `settings`:
    with what other values than those of `train` a network is trained.

    `synthetic_weight` is what a row counts that is neither real nor a copy of a real one, and `losses` are
    keys of `losses` with other values, such as `{cross_entropy: {label_smoothing: 0.1}}`.
    """

    loss: LossName | None = None
    losses: dict[LossName, dict[str, Any]] = Field(default_factory=dict)
    sampler: SamplerName | None = None
    synthetic_weight: Annotated[float, Field(ge=0, le=1)] = 1.0
    settings: TrainingChanges = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _keys_of_train(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "settings" in value:
            return value
        keys = [key for key in value if key in TrainingSettings.model_fields and key not in cls.model_fields]
        rest = {key: content for key, content in value.items() if key not in keys}
        return {**rest, "settings": {key: value[key] for key in keys}} if keys else rest

    @model_validator(mode="after")
    def _keys_of_losses(self) -> RecipeTraining:
        LossSettings.model_validate(self.losses)
        return self

    def changed_losses(self, losses: LossSettings) -> LossSettings:
        """`losses` with the values that this recipe has instead."""
        values = losses.model_dump()
        for name, changes in self.losses.items():
            values[name] |= changes
        return LossSettings.model_validate(values)


class RecipeModel(Settings):
    """Which model a recipe trains: it holds unless `model` in params.yaml names another.

    In YAML, keys of the model stand beside its name (`model: {name: transformer, head: [384]}`) and come into
    `settings`: with what other values than those of `models` it is trained. The name alone will do.
    """

    name: ModelName
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _keys_of_models(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if not isinstance(value, dict) or "settings" in value:
            return value
        return {"name": value.get("name"), "settings": {k: v for k, v in value.items() if k != "name"}}

    @model_validator(mode="after")
    def _settings_of_the_model(self) -> RecipeModel:
        self.changed_settings(ModelsSettings())
        return self

    def changed_settings(self, models: ModelsSettings) -> ModelSettings:
        """The model's entry of `models` with the values that this recipe has instead."""
        entry: ModelSettings = getattr(models, self.name)
        return type(entry).model_validate(entry.model_dump() | self.settings)


#: In the order in which they fill up.
PRODUCERS = ("llm", "imported", "augment", "generate", "resample")


class Recipe(Settings):
    """One balancing technique: any of the producers, what to train how, and whether there is a second round.

    Producers fill up in the order llm, augment, generate, resample; what each is asked for counts what those
    before it are asked for. `imported` takes rows that are there already, and asks nobody. `mining` finds the
    rows that the trained model finds hard, and `finetune` trains it on with them.

    With `balance_on: group`, all that is said of classes here (targets, tiers, overrides) is said of the
    groups that the training rows have, which are called `class/value`.
    """

    description: str = ""
    balance_on: BalanceOn = "class"
    llm: LlmRecipe | None = None
    imported: ImportedRecipe | None = None
    augment: AugmentSettings | None = None
    generate: GenerateRecipe | None = None
    resample: ResampleSettings | None = None
    model: RecipeModel | None = None
    train: RecipeTraining = RecipeTraining()
    mining: MiningSettings | None = None
    finetune: FinetuneSettings | None = None

    @property
    def producers(self) -> tuple[str, ...]:
        """Which producers it has, in the order in which they fill up."""
        return tuple(name for name in PRODUCERS if getattr(self, name) is not None)

    @property
    def asks(self) -> bool:
        """Whether a language model writes its rows, or is its model."""
        return self.llm is not None or (self.model is not None and bool(MODELS[self.model.name].asked_by))

    @model_validator(mode="after")
    def _finetune_needs_hard_rows(self) -> Recipe:
        if self.finetune is not None and self.mining is None:
            raise ValueError("finetune trains on hard rows: add `mining: {by: misclassified}`")
        return self


class TierSettings(Settings):
    """Where the tiers begin: `minority` below `minority_below` × the mean class size, `ultra_minority` below
    a count.
    """

    minority_below: PositiveFloat = 0.1
    ultra_minority_below: PositiveInt = 10
