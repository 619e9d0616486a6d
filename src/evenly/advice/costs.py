"""What a run of a technique will cost: seconds from a sweep's measurements or from the size of the work, and
tokens and money from the plan of the language model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evenly.datasets.load import Splits, load_splits
from evenly.errors import DataError
from evenly.experiments.experiments import Experiment, Workshop
from evenly.experiments.ledger import measured_seconds
from evenly.features.images import ENCODED_DIMENSION, becomes_vectors
from evenly.params.datasets import DATASETS_FILE, DatasetEntry, read_entry
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
    splits: Splits,
    params: Params,
    entry: DatasetEntry,
    keys: Mapping[str, str],
    root: Path,
    journals: Path,
) -> Cost:
    """Estimate what an experiment costs on its rows. Nothing is sent anywhere.

    Measurements of sweeps lie in the project's folder `root`; an answer in `journals` is not paid for again.
    """
    chosen = params.model_copy(update={"balancing": experiment.technique.recipe})
    train = splits.train
    encoded = train.modality == "image" and becomes_vectors(train.images, params.features.image)
    plans = make_plans(train.counts, train.schema, chosen, entry, keys, encoded=encoded)
    tokens, money = _asking(plans, splits, params, keys, root, journals)
    measured = measured_seconds(root, experiment)
    if measured is not None:
        seconds, like = measured
        return Cost(seconds, f"measured with {like}", tokens, money)
    fit = _fit_seconds(plans, train, encoded)
    if fit is None:
        return Cost(None, "unknown", tokens, money)
    return Cost(_RUN_S + fit, "estimated", tokens, money)


def planned_costs(
    workshop: Workshop, experiments: Sequence[Experiment], keys: Mapping[str, str], journals: Path
) -> list[tuple[Experiment, int, Cost]]:
    """Estimate what experiments cost: the first of each technique on each data set, how many, cost of each.

    Where a data set cannot be read, the basis of its costs says why.
    """
    splits: dict[str, tuple[DatasetEntry, Splits] | str] = {}
    counts = Counter((one.dataset, one.technique) for one in experiments)
    firsts = {(one.dataset, one.technique): one for one in reversed(experiments)}
    found: list[tuple[Experiment, int, Cost]] = []
    for key, number in counts.items():
        one = firsts[key]
        if one.dataset not in splits:
            try:
                entry = read_entry(one.dataset, workshop.root / DATASETS_FILE)
                read = load_splits(entry, one.dataset, one.seed, [workshop.root])
                splits[one.dataset] = entry, read
            except DataError as error:
                splits[one.dataset] = str(error)
        data = splits[one.dataset]
        if isinstance(data, str):
            found.append((one, number, Cost(None, data)))
            continue
        entry, found_splits = data
        params = workshop.settings(one)
        found.append((one, number, run_cost(one, found_splits, params, entry, keys, workshop.root, journals)))
    return found


def _asking(
    plans: Plans, splits: Splits, params: Params, keys: Mapping[str, str], root: Path, journals: Path
) -> tuple[int, float | None]:
    """Tokens and money of the language models of a run: for rows, their judge, and as its model."""
    tokens, train = 0, splits.train
    money: float | None = 0.0
    if plans.train.asked is not None:
        from evenly.llm.preview import asked_estimate

        texts = [text or "" for part in (splits.validation, splits.test) for text in part.texts]
        found = asked_estimate(plans.train, train, texts, journals)
        tokens, money = found.prompt_tokens + found.completion_tokens, found.cost
    if plans.llm is None:
        return tokens, money
    from evenly.llm.judging import LlmJudge
    from evenly.llm.preview import plan_estimate
    from evenly.llm.writing.prompts import Prompts

    settings = plans.llm.model.applied_to(params.llm)
    prompts, judge = Prompts(root / "prompts"), None
    if params.filter.judge is not None:
        column = plans.llm.label_column
        judge = LlmJudge(settings, train, plans.llm.notes, prompts, keys, journals, label_column=column)
    estimate = plan_estimate(plans.llm, train, prompts, settings, journals, judge, root / "metrics")
    tokens += estimate.prompt_tokens + estimate.completion_tokens
    return tokens, None if money is None or estimate.cost is None else money + estimate.cost


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
