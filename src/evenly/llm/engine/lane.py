"""One endpoint at work: a request passes its gate, is claimed, sent, tried again, and its answer journalled.

Which endpoint is asked, and what is done with an answer, is the engine's.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from dataclasses import dataclass
from typing import Any, Literal

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, wait_random_exponential

from evenly.llm.engine.budget import Budget, Reservation, Statistics
from evenly.llm.engine.endpoint import Dialect, Endpoint, content_key
from evenly.llm.engine.journal import Entry, Journal, Slot
from evenly.llm.engine.limits import Admission, ClosedError, Ticket, retry_after_seconds
from evenly.llm.engine.messages import (
    NO_USAGE,
    Answer,
    ChatRequest,
    FailureKind,
    Token,
    Usage,
    guessed_prompt_tokens,
    guessed_tokens,
    worst_usage,
)
from evenly.llm.engine.transport import Reply, Transport, failure_kind, failure_of, failure_sentence

logger = logging.getLogger(__name__)

#: Between the text of a journalled answer and what is known of its tokens: no text holds it.
_TOKENS = "\x1e"
#: Alternatives below this log probability are not kept.
_LEAST_LOGPROB = -12.0
#: The pause before a retry is drawn evenly below a bound that doubles from .5 to 30 seconds (full jitter).
BACKOFF = wait_random_exponential(multiplier=0.5, max=30.0)
#: A server that wants to be left alone for longer than this is given up for this request.
LONGEST_WAIT = 600.0
#: A 429 is no fault of the request: so many of them count as one attempt.
REJECTIONS_PER_ATTEMPT = 8
#: So many refusals of the key, the account or the place in a row, and nothing more is sent.
DENIALS = 3
#: So many requests that only went through without a schema, after complaints that named no reason.
UNNAMED = 3
#: So many requests that spent all their attempts without an answer to anyone in between.
GIVEN_UP = 3
_ERRORS = {
    "refusal": "The model declined to answer.",
    "empty": "The model answered with nothing.",
    "truncated": "The answer was cut by llm.max_tokens; ask for fewer rows in a call or raise it.",
}


class Circuit:
    """Open once the endpoint is hopeless: a key refused, an account empty, a server gone. It stays open."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.reason: str | None = None
        self.kind: FailureKind = "server"
        self.successes = 0
        self._endpoint = endpoint
        self._denials = 0
        self._given_up = 0
        self._opened = asyncio.Event()

    def succeeded(self) -> None:
        """The endpoint answered."""
        self._denials = self._given_up = 0
        self.successes += 1

    def denied(self, kind: FailureKind, reply: Reply) -> None:
        """The endpoint refused the key, or the account is empty."""
        self._denials += 1
        if self._denials >= DENIALS:
            self._open(kind, reply)

    def gave_up(self, kind: FailureKind, reply: Reply, successes_before: int) -> None:
        """A request has spent its attempts; where nothing at all was answered meanwhile, nothing will be.

        One request may be poison to a working server; a server that cannot be reached says it with the first.
        """
        if self.successes > successes_before:
            return
        self._given_up += 1
        if reply.broken == "connect" or self._given_up >= GIVEN_UP:
            self._open(kind, reply)

    def _open(self, kind: FailureKind, reply: Reply) -> None:
        if self.reason is None:
            self.kind = kind
            self.reason = failure_sentence(self._endpoint, kind, reply)
            self._opened.set()

    def close(self) -> None:
        """Wake those who wait to try again: the engine is closing."""
        self._opened.set()

    async def sleep(self, seconds: float) -> None:
        """Sleep, but not past the opening of the circuit or the closing of the engine."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._opened.wait()
        except TimeoutError:
            pass


@dataclass(slots=True)
class Question:
    """A request as one endpoint sees it: its slot, content and bounds."""

    request: ChatRequest
    slot: Slot
    content: dict[str, Any]
    canonical: str
    worst: Usage
    prompt_guess: float

    @classmethod
    def of(cls, request: ChatRequest, ask: int, endpoint: Endpoint) -> Question:
        """The request with the endpoint's model and defaults filled in."""
        content = endpoint.content(request)
        key, canonical = content_key(content)
        worst, guess = worst_usage(content, canonical), guessed_prompt_tokens(request.messages)
        return cls(request, Slot(key, request.ordinal, ask), content, canonical, worst, guess)

    def entry(self, reply: Reply, seconds: float) -> Entry:
        """The reply as the journal keeps it."""
        return Entry(
            _with_tokens(reply) if self.content.get("logprobs") else reply.text,
            reply.finish_reason,
            failure_of(reply),
            reply.usage or NO_USAGE,
            self.request.tag,
            seconds,
            self.prompt_guess,
            reply.model,
        )


@dataclass(frozen=True, slots=True)
class Setback:
    """An attempt without an answer that is worth another one; `wait` is what the server asks for."""

    kind: FailureKind | Literal["dialect"]
    reply: Reply
    wait: float | None = None


@dataclass(slots=True)
class _Trial:
    """How far the asking of one question has got."""

    successes_before: int
    sent: int = 0
    failed: int = 0
    rejected: int = 0
    #: What this question alone is asked in after a complaint, and whether that named what to drop.
    dialect: Dialect | None = None
    named: bool = True

    @property
    def attempts(self) -> int:
        return self.failed + self.rejected // REJECTIONS_PER_ATTEMPT


class Lane:
    """One endpoint with its connections, journal, gate and circuit."""

    def __init__(
        self,
        endpoint: Endpoint,
        journal: Journal,
        transport: Transport,
        budget: Budget,
        statistics: Statistics,
    ) -> None:
        s = endpoint.defaults
        self.endpoint = endpoint
        self.journal = journal
        self.circuit = Circuit(endpoint)
        self.admission = Admission(s.concurrency, s.requests_per_minute, s.tokens_per_minute)
        self._settings = s
        self._transport = transport
        self._budget = budget
        self._statistics = statistics
        self._dialect = self._proven = Dialect.from_text(journal.fact("dialect"))
        self._unnamed = 0
        self._served = [name for name in (journal.fact("served") or "").split("\n") if name]
        self._in_process: dict[Slot, asyncio.Event] = {}

    def journalled(self, question: Question) -> Answer | None:
        """The answer, if it was paid before."""
        entry = self.journal.find(question.slot)
        if entry is None:
            return None
        # An imported answer has no calls of ours; it still counts with what it cost those who paid.
        for usage in self.journal.spent(question.slot) or [entry.usage]:
            self._budget.spend(self.endpoint.model, usage)
        return self._answer(question, entry, attempts=0)

    async def ask(self, question: Question) -> Answer:
        """Ask until there is an answer or the attempts are spent; what was paid is then in the journal."""
        slot = question.slot
        while (running := self._in_process.get(slot)) is not None:
            # The same question twice in one process: one pays, the other reads.
            await running.wait()
            if (entry := self.journal.find(slot)) is not None:
                return self._answer(question, entry, attempts=0)
        self._in_process[slot] = asyncio.Event()
        try:
            return await self._retried(question)
        except ClosedError as closed:
            return self._failure("stopped", str(closed), 0)
        finally:
            self._in_process.pop(slot).set()
            self.journal.release(slot)

    async def _retried(self, question: Question) -> Answer:
        trial = _Trial(self.circuit.successes)
        first = await self._attempt(question, trial)
        if isinstance(first, Answer):  # as nearly always: nothing to retry, and nothing made for it
            return first
        before: list[Setback] = [first]

        async def attempt() -> Answer | Setback:
            return before.pop() if before else await self._attempt(question, trial)

        def spent(state: RetryCallState) -> bool:
            return trial.attempts >= self._settings.attempts or (_setback(state).wait or 0.0) > LONGEST_WAIT

        def given_up(state: RetryCallState) -> Answer:
            kind, reply = failure_kind(_setback(state).reply), _setback(state).reply
            self.circuit.gave_up(kind, reply, trial.successes_before)
            return self._failure(kind, failure_sentence(self.endpoint, kind, reply), trial.sent)

        retrying = AsyncRetrying(
            retry=retry_if_result(lambda result: isinstance(result, Setback)),
            wait=_pause,
            stop=spent,
            sleep=self.circuit.sleep,
            before_sleep=lambda state: self._statistics.retries.update([_setback(state).kind]),
            retry_error_callback=given_up,
        )
        answer: Answer = await retrying(attempt)
        return answer

    async def _attempt(self, question: Question, trial: _Trial) -> Answer | Setback:
        """Wait for leave, for room under the caps and for the claim; then send once."""
        while True:
            if (reason := self.circuit.reason) is not None:
                return self._failure(self.circuit.kind, reason, trial.sent)
            guess = question.prompt_guess + question.worst.completion_tokens
            ticket = await self.admission.acquire(guess, urgent=trial.sent + question.slot.ask > 0)
            if self.circuit.reason is not None:
                self.admission.leave(ticket, 0.0)
                continue
            reservation = self._budget.reserve(self.endpoint.model, question.worst)
            if reservation is None:
                self.admission.leave(ticket, 0.0)
                if not self._budget.waiting:
                    return self._failure("budget", self._budget.refusal(), trial.sent)
                await self._budget.changed()
                continue
            if not self.journal.claim(question.slot, question.worst):
                self._budget.settle(reservation, self.endpoint.model, None)
                self.admission.leave(ticket, 0.0)
                if (answer := await self._paid_elsewhere(question)) is not None:
                    return answer
                continue
            await self.journal.settled()
            return await self._send(question, trial, ticket, reservation)

    async def _paid_elsewhere(self, question: Question) -> Answer | None:
        """The answer that another process is paying for; None when it gave the claim back without one."""
        while True:
            if (answer := self.journalled(question)) is not None:
                return answer
            if not self.journal.held_elsewhere(question.slot):
                return None
            await asyncio.sleep(0.05 + 0.1 * random.random())

    async def _send(
        self, question: Question, trial: _Trial, ticket: Ticket, reservation: Reservation
    ) -> Answer | Setback:
        dialect = self._dialect
        if trial.dialect is not None:
            dialect = dialect.below(trial.dialect)
        body = self.endpoint.body(question.content, question.slot.ordinal, question.slot.ask, dialect)
        statistics, began = self._statistics, time.monotonic()
        trial.sent += 1
        statistics.sent += 1
        statistics.in_flight += 1
        reply = None
        try:
            reply = await self._transport.chat(body)
        finally:
            statistics.in_flight -= 1
            if reply is None:  # torn away in mid-flight: nobody knows what it cost
                self._unseen(question, reservation, "interrupted")
                self.admission.leave(ticket)
        usage = self._settle(question, reservation, reply)
        if reply.status == 200 and reply.broken is None:
            self.circuit.succeeded()
            self.admission.accepted(ticket, usage.total if usage else None)
            self.admission.learn(reply.headers, ticket)
            self._learn(reply, trial, dialect, "response_format" in body)
            entry = question.entry(reply, time.monotonic() - began)
            self.journal.record(question.slot, question.canonical, entry)
            await self.journal.durable()
            return self._answer(question, entry, trial.sent)
        self.journal.rest(question.slot)
        return self._after_failure(question, trial, ticket, reply, dialect, body)

    def _learn(self, reply: Reply, trial: _Trial, dialect: Dialect, structured: bool) -> None:
        """Keep what the server understood in the place of what it refused, and what it calls its model."""
        if trial.dialect is not None:
            self._unnamed += not trial.named
            if dialect != self._proven and (trial.named or self._unnamed >= UNNAMED):
                self._dialect = self._proven = dialect
                self.journal.learn("dialect", dialect.as_text())
        elif structured:
            self._unnamed = 0
        if reply.model and reply.model not in self._served:
            if self._served:
                names = (self.endpoint.base_url, self.endpoint.model, reply.model, self._served[-1])
                logger.warning(
                    "%s answers for %s as %s now; earlier answers in the journal are from %s.", *names
                )
            self._served.append(reply.model)
            self.journal.learn("served", "\n".join(self._served[-20:]))

    def _after_failure(
        self,
        question: Question,
        trial: _Trial,
        ticket: Ticket,
        reply: Reply,
        dialect: Dialect,
        body: dict[str, Any],
    ) -> Answer | Setback:
        kind = failure_kind(reply)
        wait = retry_after_seconds(reply.headers, time.time())
        if kind == "rate_limited" or reply.status in (503, 529):
            self.admission.rejected(ticket, wait)
        else:
            self.admission.leave(ticket)
        self.admission.learn(reply.headers, ticket)
        if kind in ("auth", "quota", "region"):
            self.circuit.denied(kind, reply)
        elif kind == "bad_request":
            own = bool(self.endpoint.own(question.content))
            words = f"{reply.complaint} {reply.code}"
            lower = dialect.lowered(words, body, own) if reply.status in (400, 422, 501) else None
            if lower is not None:
                trial.dialect, named = lower
                trial.named = trial.named and named
                if trial.named:  # the others need not be refused as well
                    self._dialect = self._dialect.below(trial.dialect)
                return Setback("dialect", reply)
            if trial.dialect is not None:  # the request was at fault after all
                self._dialect = self._proven
        else:
            trial.rejected += kind == "rate_limited"
            trial.failed += kind != "rate_limited"
            return Setback(kind, reply, wait)
        return self._failure(kind, failure_sentence(self.endpoint, kind, reply), trial.sent)

    def _settle(self, question: Question, reservation: Reservation, reply: Reply) -> Usage | None:
        """Enter what a reply cost into budget, statistics and, where no answer will do that, the ledger."""
        answered = reply.status == 200 and reply.broken is None
        if reply.maybe_paid and not answered:
            self._unseen(question, reservation, reply.broken or "unknown")
            return None
        usage = reply.usage
        if usage is None and answered:
            guess = Usage(round(question.prompt_guess), round(guessed_tokens(reply.text)), exact=False)
            usage = reply.usage = guess
        self._budget.settle(reservation, self.endpoint.model, usage)
        if usage is not None:
            self._statistics.paid(usage)
            if not answered:
                self.journal.record_call(question.slot, f"failed {reply.status or reply.broken}", usage)
        return usage

    def _unseen(self, question: Question, reservation: Reservation, outcome: str) -> None:
        likely = self.journal.likely(question.worst)
        self._budget.settle(reservation, self.endpoint.model, likely, unseen=True)
        self._statistics.uncertain(likely)
        self.journal.record_call(question.slot, outcome, question.worst)

    def _answer(self, question: Question, entry: Entry, attempts: int) -> Answer:
        failure: FailureKind | None = entry.failure  # type: ignore[assignment]
        error = _ERRORS.get(failure or "")
        text, tokens = entry.text, ""
        if question.content.get("logprobs"):
            text, _, tokens = text.partition(_TOKENS)
        return Answer(
            text,
            entry.finish_reason,
            entry.usage,
            attempts,
            self.endpoint.model,
            failure,
            error,
            from_journal=attempts == 0,
            served=entry.served,
            tokens=tuple((word, chance, others) for word, chance, others in json.loads(tokens or "[]")),
        )

    def _failure(self, kind: FailureKind, error: str, attempts: int) -> Answer:
        return Answer("", "", NO_USAGE, attempts, self.endpoint.model, kind, error)


def _with_tokens(reply: Reply) -> str:
    """The text as the journal keeps it where log probabilities were asked for and given."""
    text = reply.text.replace(_TOKENS, " ")
    if not reply.tokens:
        return text
    kept: list[Token] = []
    for token, chance, others in reply.tokens:
        likely = {other: round(p, 4) for other, p in others.items() if p > _LEAST_LOGPROB}
        kept.append((token, round(max(chance, -1e4), 4), likely))
    return text + _TOKENS + json.dumps(kept, separators=(",", ":"), ensure_ascii=False)


def _setback(state: RetryCallState) -> Setback:
    assert state.outcome is not None
    setback: Setback = state.outcome.result()
    return setback


def _pause(state: RetryCallState) -> float:
    """Seconds before the next attempt: a little more than the server asks for, else the backoff's."""
    setback = _setback(state)
    if setback.kind == "dialect":
        return 0.0
    return BACKOFF(state) if setback.wait is None else setback.wait + 0.02 * random.random()
