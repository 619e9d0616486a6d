"""One endpoint at work: a request goes through its gate, is claimed, sent, retried, and its answer
journalled.

Which endpoint is asked, and what is done with an answer, is the engine's.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

from evenly.llm.engine.budget import Budget, Reservation, Statistics
from evenly.llm.engine.endpoint import Dialect, Endpoint, content_key
from evenly.llm.engine.journal import Entry, Journal, Slot
from evenly.llm.engine.limits import Admission, ClosedError, Ticket, retry_after_seconds
from evenly.llm.engine.messages import (
    NO_USAGE,
    Answer,
    ChatRequest,
    FailureKind,
    Usage,
    guessed_prompt_tokens,
    guessed_tokens,
    worst_usage,
)
from evenly.llm.engine.transport import Reply, Transport, failure_of
from evenly.params.llm import EngineSettings

#: So many authentication or quota errors in a row, and nothing more is sent.
DENIALS = 3
#: So many requests that spent all their attempts without an answer to anyone in between.
GIVEN_UP = 3


class Circuit:
    """Open once the endpoint is hopeless: a key refused, an account empty, a server gone. It stays open."""

    def __init__(self, base_url: str, model: str) -> None:
        self.reason: str | None = None
        self.kind: FailureKind = "server"
        self._base_url = base_url
        self._model = model
        self._denials = 0
        self._given_up = 0
        self.successes = 0
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
            self.reason = self.sentence(kind, reply)
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

    def sentence(self, kind: FailureKind, reply: Reply) -> str:
        """What happened at this endpoint and what to do about it."""
        said = " ".join(reply.complaint.split())[:300]
        told = f" It said: {said}" if said else ""
        status = f" ({reply.status})" if reply.status else ""
        what = {
            "auth": f"refuses the key{status}; check the variable that llm.key_variable names.",
            "quota": f"says that the account has no quota left{status}; top it up or set llm.fallbacks.",
            "rate_limited": f"turns requests away{status}; lower llm.concurrency or requests_per_minute.",
            "server": f"keeps failing{status}; look at the server, or set llm.fallbacks.",
            "timeout": "does not answer in time; raise llm.silence_seconds, or look at the server.",
            "connection": "cannot be reached or breaks off; is the server running, is llm.base_url right?",
            "malformed": "answers with something that is no chat completion; is llm.base_url right?",
            "bad_request": f"refuses the request{status}; check llm.model, llm.extra_body and the prompt.",
        }[kind]
        return f"{self._base_url} ({self._model}) {what}{told}"


#: First and longest pause before a retry; the pause itself is drawn evenly below (full jitter).
BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF = 30.0
#: A server that wants to be left alone for longer than this is given up for this request.
LONGEST_WAIT = 600.0
#: A 429 is no fault of the request: so many of them count as one attempt.
REJECTIONS_PER_ATTEMPT = 8
_QUOTA_WORDS = (
    "insufficient_quota",
    "exceeded your current quota",
    "billing_hard_limit",
    "insufficient balance",
)


@dataclass(slots=True)
class Question:
    """A request as one endpoint sees it: its slot, content and bounds."""

    request: ChatRequest
    slot: Slot
    content: dict[str, object]
    canonical: str
    worst: Usage
    prompt_guess: float


@dataclass(slots=True)
class _Trial:
    """How far the asking of one question has got."""

    successes_before: int
    sent: int = 0
    failed: int = 0
    rejected: int = 0

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
        s: EngineSettings = endpoint.defaults
        self.endpoint = endpoint
        self.journal = journal
        self.circuit = Circuit(endpoint.base_url, endpoint.model)
        self.admission = Admission(s.concurrency, s.requests_per_minute, s.tokens_per_minute)
        self._settings = s
        self._transport = transport
        self._budget = budget
        self._statistics = statistics
        self._dialect = Dialect.from_text(journal.fact("dialect"))
        self._random = random.Random()
        self._in_process: dict[Slot, asyncio.Event] = {}

    def question(self, request: ChatRequest, ask: int) -> Question:
        """The request with this endpoint's model and defaults filled in."""
        content = self.endpoint.content(request)
        key, canonical = content_key(content)
        worst = worst_usage(content, canonical)
        return Question(
            request,
            Slot(key, request.ordinal, ask),
            content,
            canonical,
            worst,
            guessed_prompt_tokens(request.messages),
        )

    def journalled(self, question: Question) -> Answer | None:
        """The answer, if it was paid before."""
        entry = self.journal.find(question.slot)
        if entry is None:
            return None
        calls, prompt, completion = self.journal.spent(question.slot)
        # An imported answer has no calls of ours; it still counts with what it cost those who paid.
        paid = Usage(prompt, completion) if calls else entry.usage
        self._budget.spend(self.endpoint.model, paid, max(calls, 1))
        return self._answer(entry, attempts=0)

    async def ask(self, question: Question) -> Answer:
        """Ask until there is an answer or the attempts are spent; what was paid is then in the journal."""
        slot = question.slot
        while (running := self._in_process.get(slot)) is not None:
            # The same question twice in one process: one pays, the other reads.
            await running.wait()
            if (entry := self.journal.find(slot)) is not None:
                return self._answer(entry, attempts=0)
        self._in_process[slot] = asyncio.Event()
        try:
            return await self._ask(question, _Trial(self.circuit.successes))
        except ClosedError as closed:
            return self._failure("stopped", str(closed), None, 0)
        finally:
            self._in_process.pop(slot).set()
            self.journal.release(slot)

    async def _ask(self, question: Question, trial: _Trial) -> Answer:
        while True:
            if (reason := self.circuit.reason) is not None:
                return self._failure(self.circuit.kind, reason, None, trial.sent)
            guess = question.prompt_guess + question.worst.completion_tokens
            ticket = await self.admission.acquire(guess, urgent=trial.sent + question.slot.ask > 0)
            if self.circuit.reason is not None:
                self.admission.leave(ticket, 0.0)
                continue
            reservation = self._budget.reserve(self.endpoint.model, question.worst)
            if reservation is None:
                self.admission.leave(ticket, 0.0)
                if not self._budget.waiting:
                    return self._failure("budget", self._budget.refusal(), None, trial.sent)
                await self._budget.changed()
                continue
            if not self.journal.claim(question.slot, question.worst):
                self._budget.settle(reservation, self.endpoint.model, None)
                self.admission.leave(ticket, 0.0)
                if (answer := await self._paid_elsewhere(question)) is not None:
                    return answer
                continue
            await self.journal.settled()
            if (answer := await self._send(question, trial, ticket, reservation)) is not None:
                return answer

    async def _paid_elsewhere(self, question: Question) -> Answer | None:
        """The answer that another process is paying for; None when it gave the claim back without one."""
        while True:
            if (answer := self.journalled(question)) is not None:
                return answer
            if not self.journal.held_elsewhere(question.slot):
                return None
            await asyncio.sleep(0.05 + 0.1 * self._random.random())

    async def _send(
        self, question: Question, trial: _Trial, ticket: Ticket, reservation: Reservation
    ) -> Answer | None:
        """Send once; None to try again, after whatever wait that took."""
        dialect = self._dialect
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
            self.admission.learn(reply.headers)
            entry = self._entry(question, reply, time.monotonic() - began)
            self.journal.record(question.slot, question.canonical, entry)
            await self.journal.durable()
            return self._answer(entry, trial.sent)
        return await self._after_failure(question, trial, ticket, reply, dialect)

    async def _after_failure(
        self, question: Question, trial: _Trial, ticket: Ticket, reply: Reply, dialect: Dialect
    ) -> Answer | None:
        kind = failure_kind(reply)
        wait = retry_after_seconds(reply.headers, time.time())
        if kind == "rate_limited" or reply.status in (503, 529):
            self.admission.rejected(ticket, wait)
        else:
            self.admission.leave(ticket)
        self.admission.learn(reply.headers)
        if kind in ("auth", "quota"):
            self.circuit.denied(kind, reply)
            return self._failure(kind, self.circuit.sentence(kind, reply), reply.status, trial.sent)
        if kind == "bad_request":
            streamed, structured = self._settings.stream, question.request.schema is not None
            if dialect != self._dialect:  # somebody else has just found out
                return None
            if reply.status in (400, 422, 501) and (
                lower := dialect.lowered(reply.complaint, structured, streamed)
            ):
                self._dialect = lower
                self.journal.learn("dialect", lower.as_text())
                self._statistics.retries["dialect"] += 1
                return None
            return self._failure(kind, self.circuit.sentence(kind, reply), reply.status, trial.sent)
        if kind == "rate_limited":
            trial.rejected += 1
        else:
            trial.failed += 1
        if trial.attempts >= self._settings.attempts or (wait is not None and wait > LONGEST_WAIT):
            self.circuit.gave_up(kind, reply, trial.successes_before)
            return self._failure(kind, self.circuit.sentence(kind, reply), reply.status, trial.sent)
        self._statistics.retries[kind] += 1
        tries = trial.rejected if kind == "rate_limited" else trial.failed
        pause = self._random.uniform(0.0, min(LONGEST_BACKOFF, BACKOFF_SECONDS * 2.0 ** (tries - 1)))
        # The pause is for servers that do not say; one that says gets a little more, so that nobody comes too
        # early.
        await self.circuit.sleep(pause if wait is None else wait + 0.02 * self._random.random())
        return None

    def _settle(self, question: Question, reservation: Reservation, reply: Reply) -> Usage | None:
        """Enter what a reply cost into budget, statistics and, where no answer will do that, the ledger."""
        model = self.endpoint.model
        if reply.maybe_paid and not (reply.status == 200 and reply.broken is None):
            self._unseen(question, reservation, reply.broken or "unknown")
            return None
        usage = reply.usage
        if usage is None and reply.status == 200:
            guess = Usage(round(question.prompt_guess), round(guessed_tokens(reply.text)), exact=False)
            usage = reply.usage = guess
        self._budget.settle(reservation, model, usage)
        if usage is not None:
            self._statistics.paid(usage)
            if reply.status != 200 or reply.broken is not None:
                self.journal.record_call(question.slot, f"failed {reply.status or reply.broken}", usage)
        return usage

    def _unseen(self, question: Question, reservation: Reservation, outcome: str) -> None:
        self._budget.settle(reservation, self.endpoint.model, question.worst)
        self._statistics.uncertain(question.worst)
        self.journal.record_call(question.slot, outcome, question.worst)

    def _entry(self, question: Question, reply: Reply, seconds: float) -> Entry:
        return Entry(
            reply.text,
            reply.finish_reason,
            failure_of(reply),
            reply.usage or NO_USAGE,
            question.request.tag,
            seconds,
            question.prompt_guess,
        )

    def _answer(self, entry: Entry, attempts: int) -> Answer:
        failure: FailureKind | None = entry.failure  # type: ignore[assignment]
        return Answer(
            entry.text,
            entry.finish_reason,
            entry.usage,
            attempts,
            attempts == 0,
            self.endpoint.model,
            self.endpoint.base_url,
            failure,
            _SAID.get(failure or ""),
        )

    def _failure(self, kind: FailureKind, error: str, status: int | None, attempts: int) -> Answer:
        return Answer(
            "",
            "",
            NO_USAGE,
            attempts,
            False,
            self.endpoint.model,
            self.endpoint.base_url,
            kind,
            error,
            status,
        )


_SAID = {
    "refusal": "The model declined to answer.",
    "empty": "The model answered with nothing.",
    "truncated": "The answer was cut by llm.max_tokens; ask for fewer rows in a call or raise it.",
}


def failure_kind(reply: Reply) -> FailureKind:
    """What a reply that is no answer means."""
    if reply.broken == "connect" or reply.broken == "cut":
        return "connection"
    if reply.broken == "timeout":
        return "timeout"
    if reply.broken == "malformed":
        return "malformed"
    status = reply.status or 0
    said = reply.complaint.lower()
    if status == 402 or (status in (403, 429) and any(word in said for word in _QUOTA_WORDS)):
        return "quota"
    if status in (401, 403):
        return "auth"
    if status == 429:
        return "rate_limited"
    if (status >= 500 and status != 501) or status in (408, 409, 425):
        return "server"
    return "bad_request"
