"""Calls carried out: asked, taken up where an answer was cut, relabelled, and given back as outcomes.

Which calls are made, and what of their outcomes is taken, is decided in `evenly.llm.quota`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from evenly.errors import EvenlyError
from evenly.llm.answers import parse_items
from evenly.llm.asking import MOST_PARTS, Asking, Call
from evenly.llm.candidates import Outcome, relabelled, take_in
from evenly.llm.chat import PAID, Answer, ChatRequest
from evenly.llm.engine import Engine
from evenly.llm.training_rows import Cell

#: Failures of the way there and back: a class that is short because of them is interrupted, not finished.
OUTAGE = frozenset(
    {"auth", "quota", "rate_limited", "server", "timeout", "connection", "malformed", "stopped"}
)
#: So many requests that the server will not take, before it took any: it is the model's name or a setting.
#: Later ones are about their content (a filter's, say), and count against their class like a refusal.
_HOPELESS_REQUESTS = 3
KEPT = "Answers so far are in the journal; once this is mended, the same command goes on from there."


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
        asking, outcome = self._asking, Outcome(call)
        count, sources = call.size, call.sources
        for part in range(MOST_PARTS):
            asked_all = outcome.items + count >= call.size
            answer = await self._ask(asking.request(call, part, count, sources), outcome)
            items = _items(answer)
            take_in(outcome, asking, items)
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
            relabelled(outcome, _items(answer), asking.candidates(call.cell.label))
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
                    raise GenerationError(f"{answer.error} {KEPT}")
            elif answer.failure == "bad_request":
                self._refused += 1
                if self._refused >= _HOPELESS_REQUESTS and not self._taken:
                    raise GenerationError(f"{answer.error} {KEPT}")
        self._taken = self._taken or answer.ok or answer.failure in PAID
        return answer


def _items(answer: Answer) -> list[Any]:
    """What can be read out of an answer, a cut one included."""
    return list(parse_items(answer.text).items) if answer.ok or answer.failure == "truncated" else []


def _usable(answer: Answer) -> bool:
    """Whether an answer is worth keeping; one without a single item is asked for again.

    A refusal is final, and a cut answer is followed by a smaller request instead.
    """
    return answer.failure in ("refusal", "truncated") or bool(parse_items(answer.text).items)
