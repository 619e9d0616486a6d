"""New samples by a plan: every class filled to its quota, all classes at once, exactly and repeatably.

    generation = generate_samples(plan, train, Prompts(), settings, keys, folder)

What is asked is made in `evenly.llm.asking`, what is taken is decided in
`evenly.llm.quota`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenly.errors import DataError
from evenly.llm.asking import Asking
from evenly.llm.candidates import Outcome
from evenly.llm.crew import KEPT, OUTAGE, Crew, GenerationError
from evenly.llm.engine import Engine
from evenly.llm.nearness import Shaping, TextIndex, ngram_frequencies
from evenly.llm.prompts import Prompts
from evenly.llm.quota import Novelty, Quota, RowKey, row_key
from evenly.llm.result import generation_metrics, samples_taken
from evenly.llm.training_rows import Cell, TrainingRows
from evenly.params.llm import EngineSettings
from evenly.plans import LlmPlan
from evenly.samples import SampleTable

_TICK_SECONDS = 0.25


@dataclass(frozen=True)
class Progress:
    """How far a generation has got: the quotas in order, and the engine with its counters."""

    quotas: Sequence[Quota]
    engine: Engine


@dataclass(frozen=True)
class Generation:
    """What came of a plan: the samples (None where there is not one), and the content of metrics/llm.json."""

    samples: SampleTable | None
    metrics: dict[str, Any]


Watch = Callable[[Progress], None]


def generate_samples(
    plan: LlmPlan,
    train: SampleTable,
    prompts: Prompts,
    settings: EngineSettings,
    keys: Mapping[str, str],
    folder: Path,
    watch: Watch | None = None,
) -> Generation:
    """Ask for the plan's samples until every class has its number or its attempts are spent.

    Parameters
    ----------
    plan
        How many samples of which classes, and how they are asked for.
    train
        The training split: the only rows that prompts are made of.
    settings
        The endpoint and how to treat it: `plan.model.applied_to(…)`.
    keys
        Environment variables by name.
    folder
        Where the journals lie.
    watch
        Called four times a second, and once at the end.

    Raises
    ------
    DataError
        When the plan names a class that the training rows do not have.
    ParameterError
        When a prompt file is wrong, or the key is not set.
    GenerationError
        When the endpoint refuses the key, has no quota left, or is gone. Run again to go on.
    """
    quotas, asking = prepared(plan, train, prompts)
    for quota in quotas[:1]:
        asking.request(asking.call(quota.cell, 0), 0, max(quota.size, 1))  # a wrong prompt file fails here
    return asyncio.run(_generate(quotas, asking, settings, keys, folder, watch))


def prepared(plan: LlmPlan, train: SampleTable, prompts: Prompts) -> tuple[list[Quota], Asking]:
    """The plan's quotas in the order of classes, and what makes their requests. Nothing is sent."""
    rows = TrainingRows(train, plan.notes, plan.asking.keywords)
    asking = Asking(plan, rows, prompts)
    shaping, real_texts, real_rows = _real_rows(plan, rows)
    quotas = []
    for cell, wanted in wanted_cells(plan, rows.samples.classes):
        size = asking.call(cell, 0).size
        most = math.ceil(plan.asking.attempts * math.ceil(wanted / size)) if size else 0
        quotas.append(Quota(cell, wanted, size, most, Novelty(shaping, real_texts, real_rows)))
    return quotas, asking


def wanted_cells(plan: LlmPlan, classes: Sequence[str]) -> list[tuple[Cell, int]]:
    """The cells that samples are wanted for, in the order of classes and then of attribute values."""
    unknown = sorted((set(plan.counts) | set(plan.group_counts)) - set(classes))
    if unknown:
        raise DataError(f"The plan wants samples of {unknown[0]!r}, which is no class of the training rows.")
    cells = []
    for label in classes:
        if plan.counts.get(label):
            cells.append((Cell(label), plan.counts[label]))
        groups = plan.group_counts.get(label, {})
        cells += [(Cell(label, value), groups[value]) for value in sorted(groups) if groups[value]]
    return cells


def _real_rows(plan: LlmPlan, rows: TrainingRows) -> tuple[Shaping, TextIndex, frozenset[RowKey]]:
    """The training rows as the check for duplicates needs them, and how it compares texts."""
    threshold, n = plan.asking.near_duplicate, plan.asking.ngram
    index = TextIndex(threshold)
    if plan.mode == "table":
        return Shaping(None, n, {}), index, frozenset(row_key(row) for row in rows.rows)
    shaping = Shaping(threshold, n, ngram_frequencies(rows.texts, n) if threshold is not None else {})
    for text in rows.texts:
        index.add(shaping.shape(text))
    return shaping, index, frozenset()


async def _generate(
    quotas: list[Quota],
    asking: Asking,
    settings: EngineSettings,
    keys: Mapping[str, str],
    folder: Path,
    watch: Watch | None,
) -> Generation:
    async with Engine(settings, keys, folder) as engine:
        crew = Crew(engine, asking, 2 * settings.concurrency)
        fills = [asyncio.create_task(_fill(quota, crew, place)) for place, quota in enumerate(quotas)]
        helpers = [asyncio.create_task(crew.work()) for _ in range(crew.size)]
        if watch is not None:
            helpers.append(asyncio.create_task(_tick(watch, Progress(quotas, engine))))
        try:
            await asyncio.gather(*fills)
        finally:
            for task in (*fills, *helpers):
                task.cancel()
            await asyncio.gather(*fills, *helpers, return_exceptions=True)
            if watch is not None:
                watch(Progress(quotas, engine))
        _refuse_half_done(quotas, crew.last_error)
        _settle_strays(quotas)
        samples = samples_taken(quotas, asking)
        return Generation(samples, generation_metrics(quotas, asking.plan, engine))


async def _fill(quota: Quota, crew: Crew, place: int) -> None:
    """Have calls made and judge them in order until the quota is met or given up."""
    running: list[asyncio.Future[Outcome]] = []
    while not quota.done:
        while len(running) < quota.calls:
            running.append(crew.submit(quota.cell, len(running), place))
        outcome = await running[quota.judged]
        quota.judge(outcome)


async def _tick(watch: Watch, progress: Progress) -> None:
    while True:
        watch(progress)
        await asyncio.sleep(_TICK_SECONDS)


def _refuse_half_done(quotas: Sequence[Quota], last_error: str | None) -> None:
    """Raise where a class is short because the endpoint failed: that must not be taken for a result."""
    for quota in quotas:
        failed = sum(count for kind, count in quota.failures.items() if kind in OUTAGE)
        if quota.missing > 0 and failed and not quota.spent:
            raise GenerationError(
                f"Class {quota.cell.name!r} has {len(quota.taken)} of {quota.wanted} samples; {failed} calls "
                f"failed for good. {last_error or ''} {KEPT}"
            )


def _settle_strays(quotas: Sequence[Quota]) -> None:
    """Offer samples that turned out to belong to another class to that class, in order, where it is short.

    Where groups are asked for, that is the other class's group with the same value of the attribute.
    """
    by_cell = {quota.cell: quota for quota in quotas}
    for quota in quotas:
        for stray in quota.strays:
            other = by_cell.get(Cell(stray.candidate.label, quota.cell.attribute))
            if other is not None:
                other.adopt(stray)
