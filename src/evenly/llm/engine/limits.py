"""When a request may leave: told rates, and how much a server of unknown capacity stands.

Three things can be behind a 429, and each wants something else. The server may hold only so many requests at
once: then what is still in flight when the rejections are in is what it holds. It may take only so many a
minute: then rejections go on however few are in flight, and the rate at which it accepts is the pace to keep.
Or it rejects whatever it likes: then holding back gains nothing. The first 429s are taken for the first kind;
rejections that go on below the supposed capacity show which of the others it is.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from evenly.errors import EvenlyError

#: Tokens are counted over this many seconds; six such windows make the minute.
_TOKEN_WINDOW = 10.0


@dataclass(slots=True)
class Ticket:
    """Leave to send one request."""

    number: int
    tokens: float
    sent: float


class Rate:
    """Requests evenly spaced, or in bursts where the server allows them: `per_minute` in any 60 seconds."""

    def __init__(self, per_minute: float) -> None:
        self.per_minute = per_minute
        self.free_at = 0.0
        self._sent: deque[float] = deque(maxlen=max(1, int(per_minute)))

    def take(self, now: float) -> None:
        """One request leaves at `now`. A timer that rang late is caught up with, by one request at most."""
        gap = 60.0 / self.per_minute
        self.free_at = max(self.free_at, now - gap) + gap
        self._sent.append(now)

    def wait(self, now: float, burst: bool) -> float:
        """Seconds until the next may leave; with `burst` only the whole minute counts."""
        if not burst:
            return self.free_at - now
        full = len(self._sent) == self._sent.maxlen
        return min(self.free_at - now, self._sent[0] + 60.0 - now if full else 0.0)


class TokenWindow:
    """At most `per_minute` tokens in any 60 seconds, kept as a sixth of them in any ten but for bursts."""

    def __init__(self, per_minute: float) -> None:
        self.per_minute = per_minute
        self._sent: deque[Ticket] = deque()
        self._uneven_until = 0.0

    def wait(self, now: float, tokens: float, burst: bool = False) -> float:
        """Seconds until `tokens` may leave; a request too large for a window waits for a longer one."""
        if burst:
            self._uneven_until = now + 60.0
            return self._window_wait(now, tokens, 60.0)
        uneven = self._window_wait(now, tokens, 60.0) if now < self._uneven_until else 0.0
        return max(uneven, self._window_wait(now, tokens, _TOKEN_WINDOW))

    def _window_wait(self, now: float, tokens: float, span: float) -> float:
        span = max(span, 60.0 * tokens / self.per_minute)
        room = max(self.per_minute * span / 60.0, tokens)
        self._forget(now - max(span, 60.0))
        total, wait = tokens, 0.0
        for ticket in reversed(self._sent):
            if ticket.sent <= now - span:
                break
            total += ticket.tokens
            if total > room:
                wait = ticket.sent + span - now
                break
        return max(wait, 0.0)

    def add(self, ticket: Ticket) -> None:
        """A request leaves."""
        self._sent.append(ticket)

    def _forget(self, before: float) -> None:
        while self._sent and self._sent[0].sent < before:
            self._sent.popleft()


def seconds_of(text: str) -> float | None:
    """Seconds in `1.5`, `20ms`, `6m0s` or `1h2m3.5s`; None for anything else."""
    text = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    scale = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    return sum(float(number) * scale[unit] for number, unit in parts)


def retry_after_seconds(headers: Mapping[str, str], wall: float) -> float | None:
    """Seconds that `Retry-After-Ms` or `Retry-After` (seconds, or a date after `wall`) asks for."""
    from email.utils import parsedate_to_datetime

    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        if (value := headers.get(name)) is None:
            continue
        try:
            seconds = float(value) * scale
        except ValueError:
            try:
                date = parsedate_to_datetime(value)
            except (ValueError, TypeError, IndexError, OverflowError):
                continue
            return max(0.0, date.timestamp() - wall)
        if 0 <= seconds < float("inf"):
            return seconds
    return None


#: Rejections below the supposed capacity that it takes to disbelieve it.
_FRESH_REJECTIONS = 8
#: Answers in a row to requests sent after a rejection that end a run of rejections.
_CLEAN_ROUND = 20
#: Even spacing stays this much under a told rate, so that jitter on the way never squeezes a minute over it.
_MARGIN = 0.99
#: From this `Retry-After` on, the whole endpoint is left alone when it rejects most of what it gets.
_LONG_WAIT = 5.0


class ClosedError(EvenlyError):
    """Nothing more is sent: the engine is closing."""


class Admission:
    """The gate of one endpoint: bounded and adaptive concurrency, told and learned rates, retries before new
    work.
    """

    def __init__(
        self,
        concurrency: int,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.maximum = concurrency
        self.limit = concurrency
        self.in_flight = 0
        self._clock = clock
        self._told = Rate(requests_per_minute * _MARGIN) if requests_per_minute else None
        self._tokens = TokenWindow(tokens_per_minute * _MARGIN) if tokens_per_minute else None
        self.learned: Rate | None = None
        self._urgent: deque[tuple[asyncio.Future[Ticket], float]] = deque()
        self._new: deque[tuple[asyncio.Future[Ticket], float]] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._issued = 0
        self._closed = False
        self._paused_until = 0.0
        # What the server says that it takes at once, less what has left since: requests and tokens.
        self._spare_requests = self._spare_tokens = 0.0
        # Capacity: the level above which rejections were seen, and when to look again.
        self._ceiling: int | None = None
        self._step = 1
        self._patience = 0.5
        self._probe_at = 0.0
        # The present run of rejections: what the limit was before it, and what came of requests sent since it
        # began.
        self._peak = concurrency
        self._mark = 0
        self._clean = _CLEAN_ROUND + concurrency
        self._since_step = 0
        self._first_fresh = 0
        self._fresh = 0
        self._indifferent = False
        self._outcomes: deque[bool] = deque(maxlen=max(40, 2 * concurrency))
        # Pace.
        self._accepted_at: deque[float] = deque(maxlen=20_000)
        self._paced_since = 0.0
        self._pace_set = 0.0
        self._last_rejection = 0.0

    async def acquire(self, tokens: float, urgent: bool) -> Ticket:
        """Wait for leave to send; those who were turned away before (`urgent`) go first."""
        if self._closed:
            raise ClosedError("The engine is closing.")
        future: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        (self._urgent if urgent else self._new).append((future, tokens))
        self._pump()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.leave(future.result())
            raise

    def close(self) -> None:
        """Let nobody in any more; those who wait get `ClosedError`."""
        self._closed = True
        for queue in (self._urgent, self._new):
            while queue:
                future, _ = queue.popleft()
                if not future.done():
                    future.set_exception(ClosedError("The engine is closing."))
        if self._alarm is not None:
            self._alarm.cancel()

    def _pump(self) -> None:
        while self.in_flight < self.limit and (self._urgent or self._new):
            queue = self._urgent or self._new
            future, tokens = queue[0]
            if future.done():
                queue.popleft()
                continue
            now = self._clock()
            if (wait := self._wait(now, tokens)) > 0:
                self._wake_in(wait)
                return
            queue.popleft()
            self._issued += 1
            ticket = Ticket(self._issued, tokens, now)
            self.in_flight += 1
            self._spare_requests -= 1
            self._spare_tokens -= tokens
            for rate in (self._told, self.learned):
                if rate is not None:
                    rate.take(now)
            if self._tokens is not None:
                self._tokens.add(ticket)
            future.set_result(ticket)

    def _wait(self, now: float, tokens: float) -> float:
        wait = self._paused_until - now
        if self._told is not None:
            wait = max(wait, self._told.wait(now, self._spare_requests >= 1))
        if self.learned is not None:
            wait = max(wait, self.learned.free_at - now)
        if self._tokens is not None:
            wait = max(wait, self._tokens.wait(now, tokens, self._spare_tokens >= tokens))
        return wait

    def _wake_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if (
            self._alarm is not None
            and not self._alarm.cancelled()
            and loop.time() <= self._alarm.when() <= at
        ):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._pump()

    def leave(self, ticket: Ticket, tokens: float | None = None) -> None:
        """A request ended in a way that says nothing about capacity; `tokens` is what it used in truth."""
        self.in_flight -= 1
        if tokens is not None:
            ticket.tokens = tokens
        self._pump()

    def accepted(self, ticket: Ticket, tokens: float | None = None) -> None:
        """A request was answered."""
        now = self._clock()
        self._clean += ticket.number > self._mark
        self._since_step += 1
        self._outcomes.append(False)
        self._accepted_at.append(now)
        if self.learned is not None:
            self._quicken(now)
        saturated = self.in_flight >= self.limit
        if self.limit < self.maximum and saturated:
            if self._ceiling is None or self.limit < self._ceiling:
                self.limit += 1
            elif now >= self._probe_at and self._since_step >= self.limit:
                if self._step > 1:  # the last step up was stood
                    self._patience = 0.5
                self.limit = self._ceiling = min(self.maximum, self.limit + self._step)
                self._step *= 2
                self._probe_at = now + self._patience
                self._since_step = 0
        self.leave(ticket, tokens)

    def rejected(self, ticket: Ticket, retry_after: float | None = None) -> None:
        """A request was turned away with 429 (or another word for 'too much')."""
        now = self._clock()
        self._outcomes.append(True)
        ticket.tokens = 0.0
        self.in_flight -= 1
        if retry_after is not None and retry_after >= _LONG_WAIT and self._mostly_rejected():
            self._paused_until = max(self._paused_until, now + retry_after)
        if self.learned is not None:
            self._slow_down(now)
        elif not self._indifferent or self._mostly_rejected():
            self._indifferent = False
            self._shrink(ticket, now)
        self._last_rejection = now
        self._clean, self._mark = 0, self._issued
        self._pump()

    def _shrink(self, ticket: Ticket, now: float) -> None:
        """Take what is still in flight for what the server holds, unless rejections go on below that."""
        if self._clean >= max(self.limit, _CLEAN_ROUND):
            self._peak, self._first_fresh, self._fresh = self.limit, self._issued + 1, 0
        if self._step > 1:  # a step up was not stood, which says nothing about the level below
            self._patience = min(30.0, self._patience * 2)
        elif ticket.number >= self._first_fresh:
            self._fresh += 1
        self.limit = self._ceiling = max(1, min(self.limit, self.in_flight))
        self._step, self._since_step, self._probe_at = 1, 0, now + self._patience
        sent = self._issued - self._first_fresh + 1
        if self._fresh >= _FRESH_REJECTIONS:
            self.limit, self._ceiling = self._peak, None
            if self._fresh * 2 > sent:
                self._start_pace(now)
            else:
                self._indifferent = True
            self._first_fresh, self._fresh = self._issued + 1, 0

    def _mostly_rejected(self) -> bool:
        return len(self._outcomes) >= 20 and sum(self._outcomes) * 2 > len(self._outcomes)

    def _start_pace(self, now: float) -> None:
        self._paced_since = self._pace_set = now
        recent = sum(1 for at in self._accepted_at if at > now - 2.0)
        self.learned = Rate(max(30.0, recent * 30.0))
        self.learned.free_at = now
        self._outcomes.clear()

    def _slow_down(self, now: float) -> None:
        """Keep a little above the rate at which the server accepts; a few rejections show that it is that."""
        assert self.learned is not None
        if now - self._pace_set < 1.0 or now - self._paced_since < 1.0:
            return
        span = min(5.0, now - self._paced_since)
        while self._accepted_at and self._accepted_at[0] < now - 5.0:
            self._accepted_at.popleft()
        taken = sum(1 for at in self._accepted_at if at > now - span)
        self.learned.per_minute = max(12.0, 1.05 * 60.0 * taken / span)
        self._pace_set = now

    def _quicken(self, now: float) -> None:
        assert self.learned is not None
        if now - max(self._last_rejection, self._pace_set) >= 1.0:
            self.learned.per_minute *= 1.15
            self._pace_set = now
            if now - self._last_rejection > 30.0:
                self.learned = None

    def learn(self, headers: Mapping[str, str], ticket: Ticket) -> None:
        """Take bursts from `x-ratelimit-*` headers, and the pace once little is left: what refills, over its
        time.
        """
        since = self._issued - ticket.number
        if "x-ratelimit-remaining-tokens" in headers:
            with suppress(ValueError):
                left = float(headers["x-ratelimit-remaining-tokens"])
                self._spare_tokens = left - since * ticket.tokens
        try:
            remaining = float(headers["x-ratelimit-remaining-requests"])
            self._spare_requests = remaining - since
            limit = float(headers["x-ratelimit-limit-requests"])
            reset = seconds_of(headers["x-ratelimit-reset-requests"])
        except (KeyError, ValueError):
            return
        now = self._clock()
        if remaining > max(0.1 * limit, self.in_flight) or reset is None or reset <= 0 or remaining >= limit:
            return
        pace = max(1.0, 60.0 * (limit - remaining) / reset)
        if self.learned is None:
            self._start_pace(now)
            assert self.learned is not None
        self.learned.per_minute = pace
        self._pace_set = now
