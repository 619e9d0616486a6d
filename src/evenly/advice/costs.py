"""What a run of a technique will cost: seconds from a sweep's measurements or from the size of the work, and
tokens and money from the plan of the language model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evenly.experiments.experiments import Experiment
from evenly.experiments.ledger import measured_seconds
from evenly.features.images import ENCODED_DIMENSION, becomes_vectors
from evenly.params.datasets import DatasetEntry
from evenly.params.models import MODELS
from evenly.params.project import Params
from evenly.planning import Plans, make_plans
from evenly.samples import SampleTable

#: Wall seconds of a run of the pipeline besides the fit: 23 s a run, 6 s of them the fit, on one CPU core
#: (docs/results/digits_lt.md).
_RUN_S = 17.0


@dataclass(frozen=True)
class Cost:
    """Wall seconds of one run and their basis (None: `unknown`), and tokens and money of a language model.

    Money is None where its price is unknown.
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
    """Estimate what an experiment costs on its training rows. Nothing is sent anywhere.

    Measurements of sweeps lie in the project's folder `root`; an answer in `journals` is not paid for again.
    """
    chosen = params.model_copy(update={"balancing": experiment.technique.recipe})
    encoded = train.modality == "image" and becomes_vectors(train.images, params.features.image)
    plans = make_plans(train.counts, train.schema, chosen, entry, keys, encoded=encoded)
    tokens, money = _asking(plans, train, params, root, journals)
    measured = measured_seconds(root, experiment)
    if measured is not None:
        seconds, like = measured
        return Cost(seconds, f"measured with {like}", tokens, money)
    fit = _fit_seconds(plans, train, encoded)
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
    from evenly.llm.writing.prompts import Prompts

    estimate = plan_estimate(plans.llm, train, Prompts(root / "prompts"), params.llm, journals)
    return estimate.prompt_tokens + estimate.completion_tokens, estimate.cost


def _fit_seconds(plans: Plans, train: SampleTable, encoded: bool) -> float | None:
    """Seconds of fitting the planned model on the planned rows; None where a guess would be no more than one.

    Pretrained networks and generators depend on the machine more than on the data.
    """
    plan, rows = plans.train, sum(list(plans.expected.values())[-1].values())
    if plans.generate is not None or plans.finetune is not None:
        return None
    spec, columns = MODELS[plan.model], _columns(train, encoded)
    if spec.seconds is None:
        return None
    if spec.is_network:
        training = plan.training
        rows = training.epochs * max(rows, training.min_steps_per_epoch * training.batch_size)
    return spec.seconds(plan.settings, rows, columns, len(train.classes))


def _columns(train: SampleTable, encoded: bool) -> int:
    if train.modality == "table":
        return sum(max(1, len(feature.categories)) for feature in train.schema.features)
    if encoded:
        return ENCODED_DIMENSION
    return _pixels(train) if train.modality == "image" else 256


def _pixels(train: SampleTable) -> int:
    """Pixels of the first image, at most 64 a side, as features and the small network take them."""
    from evenly.features.images import decode_images

    first = [encoded for encoded in train.take([0]).images if encoded is not None]
    height, width = decode_images(first)[0].shape[:2]
    scale = min(1.0, 64 / max(height, width))
    return int(round(height * scale) * round(width * scale))
