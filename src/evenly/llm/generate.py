"""New samples by a plan: every class filled to its quota, all classes at once, exactly and repeatably.

    generation = generate_samples(plan, train, Prompts(), settings, keys, folder)

What is asked is made in `evenly.llm.writing.requests`, what is taken is decided in
`evenly.llm.writing.quota`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenly.errors import DataError, EvenlyError
from evenly.llm.engine.engine import Engine
from evenly.llm.engine.messages import GO_ON, OUTAGE, PAID, Answer, ChatRequest
from evenly.llm.writing.answers import Outcome, parse_answer, parse_items, relabelled, take_in
from evenly.llm.writing.prompts import Prompts
from evenly.llm.writing.quota import Novelty, Quota, RowKey, Shaping, TextIndex, ngram_frequencies, row_key
from evenly.llm.writing.requests import MOST_PARTS, Asking, Call
from evenly.llm.writing.result import generation_metrics, samples_taken
from evenly.llm.writing.training_rows import Cell, TrainingRows
from evenly.params.llm import EngineSettings
from evenly.plans import LlmPlan
from evenly.samples import SampleTable

#: So many requests that the server will not take, before it took any: it is the model's name or a setting.
#: Later ones are about their content (a filter's, say), and count against their class like a refusal.
_HOPELESS_REQUESTS = 3


class GenerationError(EvenlyError):
    """The endpoint could not be asked to the end; what it has answered is kept, and asked for no more."""


class Crew:
    """Workers that carry out calls: the first calls of all classes before the second ones of any.

    So a spending cap that ends the work early leaves every class with about the same share.
    """

    def __init__(self, engine: Engine, asking: Asking, size: int) -> None:
        self.size = size
        self.last_error: str | None = None
        self._capped = self._taken = False
        self._refused = 0
        self._engine = engine
        self._asking = asking
        self._queue: asyncio.PriorityQueue[tuple[int, int, Cell]] = asyncio.PriorityQueue()
        self._futures: dict[tuple[int, int], asyncio.Future[Outcome]] = {}

    def submit(self, cell: Cell, number: int, place: int) -> asyncio.Future[Outcome]:
        """Have the `number`-th call of a cell carried out when its turn comes; `place` is the cell's own."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._futures[number, place] = future
        self._queue.put_nowait((number, place, cell))
        return future

    async def work(self) -> None:
        """Carry out one call after the other."""
        while True:
            number, place, cell = await self._queue.get()
            future = self._futures.pop((number, place))
            try:
                outcome = await self._carry_out(self._asking.call(cell, number))
            except Exception as error:
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # one failure ends the run; nobody may be waiting for this one
                continue
            if not future.done():
                future.set_result(outcome)

    async def _carry_out(self, call: Call) -> Outcome:
        """Ask for a call's samples, in parts where an answer was cut, and have them relabelled if need be."""
        asking, outcome = self._asking, Outcome(call=call)
        count, sources = call.size, call.sources
        for part in range(MOST_PARTS):
            asked_all = outcome.items + count >= call.size
            answer = await self._ask(asking.request(call, part, count, sources), outcome)
            items, around = _read(answer)
            take_in(outcome, asking, items, around)
            cut = answer.failure == "truncated"
            if outcome.items >= call.size or not (cut or (answer.ok and not asked_all)):
                break
            # A smaller request: what fitted into the cut answer, or half where not one sample did.
            if not items and (count == 1 or len(sources) == 1):
                break
            fits = len(items) if items else count // 2
            count = max(1, min(call.size - outcome.items, fits if cut else count))
            if asking.plan.mode == "paraphrase":
                sources = asking.sources_left(call, [c.parent for c in outcome.candidates], count)
                if not sources:
                    break
        if asking.plan.mode == "boundary" and outcome.candidates:
            texts = [(k, candidate.text or "") for k, candidate in enumerate(outcome.candidates, start=1)]
            answer = await self._ask(asking.relabel_request(call, texts), outcome)
            relabelled(outcome, _read(answer)[0], asking.candidates(call.cell.label))
        return outcome

    async def _ask(self, request: ChatRequest, outcome: Outcome) -> Answer:
        answer = await self._engine.complete(request, _usable)
        outcome.requests += 1
        outcome.model = outcome.model or answer.model
        outcome.prompt_tokens += answer.usage.prompt_tokens
        outcome.completion_tokens += answer.usage.completion_tokens
        if answer.failure == "truncated":
            outcome.cut += 1
        elif answer.failure is not None:
            outcome.failures[answer.failure] += 1
            if answer.failure == "budget":
                outcome.spent = self._capped = True
            elif answer.failure in OUTAGE:
                self.last_error = answer.error
                if self._engine.stopped is not None and not self._capped:
                    raise GenerationError(f"{answer.error} {GO_ON}")
            elif answer.failure == "bad_request":
                self._refused += 1
                if self._refused >= _HOPELESS_REQUESTS and not self._taken:
                    raise GenerationError(f"{answer.error} {GO_ON}")
        self._taken = self._taken or answer.ok or answer.failure in PAID
        return answer


def _read(answer: Answer) -> tuple[list[Any], dict[str, Any]]:
    """The items that can be read out of an answer, a cut one included, and what it says around them."""
    return parse_answer(answer.text) if answer.ok or answer.failure == "truncated" else ([], {})


def _usable(answer: Answer) -> bool:
    """Whether an answer is worth keeping; one without a single item is asked for again.

    A refusal is final, and a cut answer is followed by a smaller request instead.
    """
    return answer.failure in ("refusal", "truncated") or bool(parse_items(answer.text))


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
        quotas.append(
            Quota(
                cell=cell,
                wanted=wanted,
                size=size,
                most_calls=most,
                novelty=Novelty(shaping, real_texts, real_rows),
                patience=math.ceil(plan.asking.patience / max(size, 1)),
                least_yield=plan.asking.least_yield,
            )
        )
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
        crew = Crew(engine, asking, 2 * settings.concurrency * settings.copies)
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
        if any(quota.spent for quota in quotas) and not any(quota.taken for quota in quotas):
            raise GenerationError(
                f"Not one sample could be paid for. {engine.stopped} Raise the cap; a lower llm.max_tokens "
                "lowers what a call may cost at worst."
            )
        samples = samples_taken(quotas, asking)
        return Generation(samples, generation_metrics(quotas, asking.plan, engine))


async def _fill(quota: Quota, crew: Crew, place: int) -> None:
    """Have calls made and judge them in order until the quota is met or given up."""
    running: list[asyncio.Future[Outcome]] = []
    while not quota.done:
        while len(running) < quota.due:
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
                f"failed for good. {last_error or ''} {GO_ON}"
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
