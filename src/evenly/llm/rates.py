"""Told rates: even spacing, windows of tokens, and the headers in which servers tell theirs."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

#: Tokens are counted over this many seconds; six such windows make the minute.
_TOKEN_WINDOW = 10.0


@dataclass(slots=True)
class Ticket:
    """Leave to send one request."""

    number: int
    tokens: float
    sent: float


class Rate:
    """Even spacing of requests: at most `per_minute` in any 60 seconds, without bursts."""

    def __init__(self, per_minute: float) -> None:
        self.per_minute = per_minute
        self.free_at = 0.0

    def take(self, now: float) -> None:
        """One request leaves at `now`. A timer that rang late is caught up with, by one request at most."""
        gap = 60.0 / self.per_minute
        self.free_at = max(self.free_at, now - gap) + gap


class TokenWindow:
    """At most `per_minute` tokens in any 60 seconds, kept as a sixth of them in any ten."""

    def __init__(self, per_minute: float) -> None:
        self.per_minute = per_minute
        self._sent: deque[Ticket] = deque()

    def wait(self, now: float, tokens: float) -> float:
        """Seconds until `tokens` may leave; a request too large for a window waits for a longer one."""
        span = max(_TOKEN_WINDOW, 60.0 * tokens / self.per_minute)
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
    """Seconds to wait by `Retry-After-Ms` or `Retry-After` (seconds or an HTTP date), None where not told.

    Parameters
    ----------
    wall
        The time now, in seconds since 1970.
    """
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
