"""The engine: asks, retries, falls back, pays once, and remembers.

    async with Engine(settings, keys, folder) as engine:
        answer = await engine.complete(ChatRequest(messages=({"role": "user", "content": "…"},)))

How requests are made of classes and rows, and rows of answers, is not here.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from evenly.llm.engine.budget import Budget, Statistics
from evenly.llm.engine.endpoint import endpoints_from
from evenly.llm.engine.journal import HEARTBEAT_SECONDS, Journal, journal_path
from evenly.llm.engine.lane import Lane, Question
from evenly.llm.engine.messages import NO_USAGE, OUTAGE, PAID, Answer, ChatRequest
from evenly.llm.engine.transport import Transport
from evenly.params.llm import EngineSettings

Accept = Callable[[Answer], bool]
#: Failures that another endpoint may not share.
_FALL_BACK = (OUTAGE - {"stopped"}) | {"bad_request"}
#: When the engine is left in haste, answers already paid for may take this long to arrive.
GRACE_SECONDS = 20.0
T = TypeVar("T")


class Engine:
    """Asks the endpoints of `settings`; an asynchronous context manager.

    Parameters
    ----------
    settings
        The `llm:` section.
    keys
        Environment variables by name: the keys that endpoints name, and proxies. Kept out of every message.
    folder
        Where the journals lie, one file per endpoint and model.

    Raises
    ------
    ParameterError
        When a key is missing.
    DataError
        When a journal cannot be used.
    """

    def __init__(self, settings: EngineSettings, keys: Mapping[str, str], folder: Path) -> None:
        self._settings = settings
        self._endpoints = endpoints_from(settings, keys)
        self._environment = keys
        self._folder = folder
        self._stack = contextlib.AsyncExitStack()
        self._lanes: list[Lane] = []
        #: Those in order, copies of one another together.
        self._pools: list[list[Lane]] = []
        self._running: set[asyncio.Task[Any]] = set()
        self._heart: asyncio.Task[None] | None = None
        self._budget_reason: str | None = None
        self.statistics = Statistics()
        self.budget = Budget(settings)

    async def __aenter__(self) -> Engine:
        async with contextlib.AsyncExitStack() as stack:
            for endpoint in self._endpoints:
                path = journal_path(self._folder, endpoint.base_url, endpoint.model)
                journal = stack.enter_context(Journal(path, endpoint.base_url, endpoint.model))
                transport = await stack.enter_async_context(Transport(endpoint, self._environment))
                lane = Lane(endpoint, journal, transport, self.budget, self.statistics)
                self._lanes.append(lane)
                for pool in self._pools:
                    known = pool[0].endpoint
                    if (known.model, known.extra_body) == (endpoint.model, endpoint.extra_body):
                        pool.append(lane)
                        break
                else:
                    self._pools.append([lane])
            self._stack = stack.pop_all()
        self._heart = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *error: object) -> None:
        """Send nothing more, let what is in flight arrive in the journal, and close."""
        for lane in self._lanes:
            lane.admission.close()
            lane.circuit.close()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=GRACE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._heart is not None:
            self._heart.cancel()
        await self._stack.aclose()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            for lane in self._lanes:
                lane.journal.beat()

    @property
    def stopped(self) -> str | None:
        """Why nothing more can be had, in a sentence: no endpoint is left, or a spending cap is reached."""
        if self._budget_reason is not None:
            return self._budget_reason
        reasons = [lane.circuit.reason for lane in self._lanes]
        return " ".join(reason for reason in reasons if reason) if reasons and all(reasons) else None

    @property
    def cost(self) -> float | None:
        """Money this result has cost, journalled answers included; None where a price is unknown."""
        return None if self.budget.unpriced else self.budget.cost

    @property
    def limit(self) -> int:
        """How many requests at once the first endpoint and its copies are given at the moment."""
        copies = [lane for lane in self._pools[0] if lane.circuit.reason is None]
        return sum(lane.admission.limit for lane in copies or self._lanes[:1])

    def metrics(self) -> dict[str, Any]:
        """For metrics/llm.json."""
        return self.statistics.as_dict(self.cost)

    async def complete(self, request: ChatRequest, accept: Accept | None = None) -> Answer:
        """The answer to a request: from the journal, or asked, paid and journalled before it is given out.

        Parameters
        ----------
        accept
            Says whether an answer that the model gave (possibly cut, empty or refusing) can be used. Where it
            cannot, the request is asked again, `asks` times in all; every answer stays in the journal under
            its own number, so a later run with the same or a more lenient `accept` asks nothing.

        Returns
        -------
        Answer
            A failure is an answer too (`failure`, `error`); only bugs and broken journals raise.
        """
        # A caller who is cancelled does not cancel what is already being paid for.
        return await asyncio.shield(self._own(self._complete(request, accept)))

    async def stream(
        self, requests: Iterable[ChatRequest], accept: Accept | None = None
    ) -> AsyncIterator[tuple[int, Answer]]:
        """Complete many requests, giving each answer with its request's position as it arrives.

        Requests are drawn from the iterable as there is room, so it may be long, or made on the fly.
        """
        room = 4 * self._settings.concurrency * self._settings.copies
        done: asyncio.Queue[asyncio.Task[tuple[int, Answer]]] = asyncio.Queue()

        async def one(position: int, request: ChatRequest) -> tuple[int, Answer]:
            return position, await self._complete(request, accept)

        numbered = enumerate(requests)
        under_way, more = 0, True
        while more or under_way:
            while more and under_way < room:
                numbered_request = next(numbered, None)
                if numbered_request is None:
                    more = False
                else:
                    self._own(one(*numbered_request)).add_done_callback(done.put_nowait)
                    under_way += 1
            if under_way:
                task = await done.get()
                under_way -= 1
                yield task.result()

    async def complete_all(
        self, requests: Sequence[ChatRequest], accept: Accept | None = None
    ) -> list[Answer]:
        """Complete many requests; answers in the order of the requests."""
        answers: dict[int, Answer] = {}
        async for position, answer in self.stream(requests, accept):
            answers[position] = answer
        return [answers[position] for position in range(len(answers))]

    def _own(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _complete(self, request: ChatRequest, accept: Accept | None) -> Answer:
        self.statistics.requests += 1
        attempts = 0
        answer: Answer | None = None
        for ask in range(self._settings.asks):
            if ask:
                self.statistics.retries["asked_again"] += 1
            answer = await self._ask(request, ask)
            attempts += answer.attempts
            if answer.failure is not None and answer.failure not in PAID:
                break
            if accept is None or accept(answer):
                break
        else:
            assert answer is not None
            if answer.failure is None:
                error = f"None of {self._settings.asks} answers could be used."
                answer = replace(answer, failure="unusable", error=error)
        assert answer is not None
        answer = _with_attempts(answer, attempts)
        self.statistics.finish(answer)
        return answer

    async def _ask(self, request: ChatRequest, ask: int) -> Answer:
        """One asking: from any journal, else of the first endpoint that answers."""
        questions: dict[Lane, Question] = {}
        for lane in self._lanes:
            questions[lane] = question = Question.of(request, ask, lane.endpoint)
            if (answer := lane.journalled(question)) is not None:
                return answer
        attempts = 0
        answer = Answer("", "", NO_USAGE, 0, "", "stopped", "The engine is not open.")
        for pool in self._pools:
            # Requests take turns. Whoever asks the same, in whatever process, begins with the same copy, so
            # that its journal has one of them pay.
            first = (_place(request) + request.ordinal + ask) % len(pool) if len(pool) > 1 else 0
            for lane in pool[first:] + pool[:first]:
                answer = await lane.ask(questions[lane])
                attempts += answer.attempts
                if answer.failure == "budget":
                    self._budget_reason = answer.error
                if answer.failure not in _FALL_BACK:
                    return _with_attempts(answer, attempts)
                if answer.failure == "bad_request":
                    break  # so it would be for every copy
        return _with_attempts(answer, attempts)


def _with_attempts(answer: Answer, attempts: int) -> Answer:
    return answer if answer.attempts == attempts else replace(answer, attempts=attempts)


def _place(request: ChatRequest) -> int:
    """A number that is the request's own, wherever it is asked."""
    return zlib.crc32(repr(request.messages).encode("utf-8", "replace"))


def complete_all(
    settings: EngineSettings,
    keys: Mapping[str, str],
    folder: Path,
    requests: Sequence[ChatRequest],
    accept: Accept | None = None,
) -> tuple[list[Answer], dict[str, Any]]:
    """Complete many requests from code that is not asynchronous: answers in order, and metrics."""

    async def run() -> tuple[list[Answer], dict[str, Any]]:
        async with Engine(settings, keys, folder) as engine:
            answers = await engine.complete_all(requests, accept)
            return answers, engine.metrics()

    return asyncio.run(run())
