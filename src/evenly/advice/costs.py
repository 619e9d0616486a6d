"""What a run of a technique will cost: seconds from a sweep's measurements or from the size of the work, and
tokens and money from the plan of the language model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evenly.experiments.experiments import Experiment
from evenly.experiments.ledger import measured_seconds
from evenly.params.datasets import DatasetEntry
from evenly.params.models import NETWORKS, RandomForestSettings
from evenly.params.project import Params
from evenly.planning import Plans, make_plans
from evenly.samples import SampleTable

#: Wall seconds of a run of the pipeline besides the fit: 23 s a run, 6 s of them the fit, on one CPU core
#: (docs/results/digits_lt.md).
_RUN_S = 17.0
#: Seconds of one CPU core: for a row and pixel of `small_cnn` (docs/results/digits_lt.md), and measured
#: with scikit-learn 1.9 on 400 to 4,000 rows of 30 to 256 numbers.
_PIXEL_S = 2e-6
_FOREST_S = 5.5e-7  # a tree, row, and square root of columns
_BOOSTING_S = 2.2e-8  # a round, row, column, and class where there are more than two
_LINEAR_S = 1e-7  # a row, column and class
#: Boosting stops early; this is about where.
_ROUNDS = 100


@dataclass(frozen=True)
class Cost:
    """What one run costs.

    Attributes
    ----------
    seconds, basis
        Wall seconds, and what they are known from: `measured with this technique` or `with other
        techniques`, `estimated`, or `unknown`; None where nothing is known before the first run.
    tokens, money
        Of a language model; money is None where its price is unknown.
    """

    seconds: float | None
    basis: str
    tokens: int = 0
    money: float | None = 0.0


def run_cost(
    experiment: Experiment,
    train: SampleTable,
    params: Params,
    entry: DatasetEntry,
    keys: Mapping[str, str],
    root: Path,
    journals: Path,
) -> Cost:
    """Estimate what an experiment costs. Nothing is sent anywhere.

    Parameters
    ----------
    experiment
        What would be run.
    train, entry
        Its data.
    params
        As they are now.
    keys
        Names of environment variables to their values: whether the key of an endpoint is there.
    root
        The project's folder, in which sweeps have left their measurements.
    journals
        Folder of the answers of language models: what is there is not paid for again.
    """
    chosen = params.model_copy(update={"balancing": experiment.technique.recipe})
    plans = make_plans(train.counts, train.schema, chosen, entry, keys)
    tokens, money = _asking(plans, train, params, root, journals)
    measured = measured_seconds(root, experiment)
    if measured is not None:
        seconds, like = measured
        return Cost(seconds, f"measured with {like}", tokens, money)
    fit = _fit_seconds(plans, train)
    if fit is None:
        return Cost(None, "unknown", tokens, money)
    return Cost(_RUN_S + fit, "estimated", tokens, money)


def _asking(
    plans: Plans, train: SampleTable, params: Params, root: Path, journals: Path
) -> tuple[int, float | None]:
    """Tokens and money of the plan for a language model; nothing where there is none."""
    if plans.llm is None or params.llm is None:
        return 0, 0.0
    from evenly.llm.preview import plan_estimate
    from evenly.llm.prompts import Prompts

    told = plan_estimate(plans.llm, train, Prompts(root / "prompts"), params.llm, journals)
    return told.prompt_tokens + told.completion_tokens, told.cost


def _fit_seconds(plans: Plans, train: SampleTable) -> float | None:
    """Seconds of fitting the planned model on the planned rows; None where a guess would be no more than one.

    Pretrained networks and generators depend on the machine more than on the data.
    """
    plan, rows = plans.train, sum(list(plans.expected.values())[-1].values())
    if plans.generate is not None or plans.finetune is not None:
        return None
    if plan.model in NETWORKS:
        if plan.model != "small_cnn":
            return None
        training = plan.training
        shown = max(rows, training.min_steps_per_epoch * training.batch_size)
        return _PIXEL_S * training.epochs * shown * _pixels(train)
    columns, classes = _columns(plan.model, train), len(train.classes)
    if isinstance(plan.settings, RandomForestSettings):
        return _FOREST_S * plan.settings.trees * rows * math.sqrt(columns)
    if plan.model == "logistic_regression":
        return _LINEAR_S * rows * columns * classes
    return _BOOSTING_S * _ROUNDS * rows * columns * (classes if classes > 2 else 1)


def _columns(model: str, train: SampleTable) -> int:
    if train.modality == "table":
        return sum(max(1, len(feature.categories)) for feature in train.schema.features)
    return _pixels(train) if train.modality == "image" else 256


def _pixels(train: SampleTable) -> int:
    """Pixels of the first image, at most 64 a side, as features and the small network take them."""
    from evenly.features.images import decode_images

    first = [encoded for encoded in train.take([0]).images if encoded is not None]
    height, width = decode_images(first)[0].shape[:2]
    scale = min(1.0, 64 / max(height, width))
    return int(round(height * scale) * round(width * scale))
