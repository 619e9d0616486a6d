"""params.yaml as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveInt, model_validator

from evenly.params.augmentation import Policy
from evenly.params.base import Settings, read_yaml, settings_from
from evenly.params.evaluation import EvaluateSettings, PriorSetting
from evenly.params.features import FeatureSettings
from evenly.params.generation import OptionalEngine
from evenly.params.losses import LossName, LossSettings
from evenly.params.models import ModelName, ModelsSettings
from evenly.params.recipes import Recipe, TierSettings
from evenly.params.screening import FilterSettings
from evenly.params.training import TrainingSettings

PARAMS_FILE = "params.yaml"


class Params(Settings):
    """Every setting that changes a result. What does not (folders, concurrency, keys) is no parameter."""

    seed: int
    dataset: str
    balancing: str
    model: ModelName | Literal["auto"]
    loss: LossName | Literal["auto"]
    deployment_prior: PriorSetting
    threads: PositiveInt
    tiers: TierSettings
    features: FeatureSettings
    llm: OptionalEngine
    policies: dict[str, Policy]
    filter: FilterSettings
    models: ModelsSettings
    train: TrainingSettings
    losses: LossSettings
    evaluate: EvaluateSettings
    recipes: dict[str, Recipe]

    @model_validator(mode="before")
    @classmethod
    def _model_with_its_settings(cls, values: Any) -> Any:
        """`model: {name: sklearn, class: …}` is a name and, in `models`, other settings."""
        model = values.get("model") if isinstance(values, dict) else None
        if not isinstance(model, dict) or not isinstance(model.get("name"), str):
            return values
        name = model["name"]
        models = values.get("models")
        if not isinstance(models, dict) or not isinstance(models.get(name, {}), dict):
            return values
        own = {**models.get(name, {}), **{key: value for key, value in model.items() if key != "name"}}
        return {**values, "model": name, "models": {**models, name: own}}


def read_params(path: str | Path = PARAMS_FILE) -> Params:
    """All settings of a project."""
    return settings_from(Params, read_yaml(path), str(path))
