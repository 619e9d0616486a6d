"""params.yaml as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import PositiveInt

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


def read_params(path: str | Path = PARAMS_FILE) -> Params:
    """All settings of a project."""
    return settings_from(Params, read_yaml(path), str(path))
