"""Spending: capped beforehand by what a call costs at worst, and counted afterwards for metrics/llm.json."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from evenly.llm.engine.messages import Answer, Usage
from evenly.params.llm import EngineSettings, Price


def cost_of(usage: Usage, price: Price | None) -> float | None:
    """Money for tokens at a price per million; None where the price is unknown."""
    if price is None:
        return None
    cached = price.input if price.cached_input is None else price.cached_input
    prompt = (usage.prompt_tokens - usage.cached_tokens) * price.input + usage.cached_tokens * cached
    return (prompt + usage.completion_tokens * price.output) * (price.batch if usage.batch else 1.0) / 1e6


@dataclass(slots=True)
class Reservation:
    """What has been set aside for one call."""

    usage: Usage
    cost: float


class Budget:
    """Calls, tokens and money: spent, set aside, and capped.

    A call is one that the server answered for money, or may have: a 429 costs nothing and does not count.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._prices: Mapping[str, Price] = settings.prices
        self._max_cost = settings.max_cost
        self._max_tokens = settings.max_tokens_total
        self._max_calls = settings.max_calls
        self.calls = 0
        self.tokens = 0
        self.cost = 0.0
        self.unpriced = False
        self._held_calls = 0
        self._held_tokens = 0
        self._held_cost = 0.0
        self._changed = asyncio.Event()

    def reserve(self, model: str, worst: Usage) -> Reservation | None:
        """Set the worst case aside, or None when that would go over a cap."""
        cost = cost_of(worst, self._prices.get(model)) or 0.0
        if (
            _over(self.calls + self._held_calls + 1, self._max_calls)
            or _over(self.tokens + self._held_tokens + worst.total, self._max_tokens)
            or _over(self.cost + self._held_cost + cost, self._max_cost)
        ):
            return None
        self._held_calls += 1
        self._held_tokens += worst.total
        self._held_cost += cost
        return Reservation(worst, cost)

    def settle(self, reservation: Reservation, model: str, usage: Usage | None, unseen: bool = False) -> None:
        """Replace what was set aside by what was spent; None for a call that cost nothing.

        What a call whose end nobody saw may have cost beyond `usage` stays set aside.
        """
        self._held_calls -= 1
        self._held_tokens -= reservation.usage.total
        self._held_cost -= reservation.cost
        if usage is not None:
            self.spend(model, usage)
            if unseen:
                self._held_tokens += reservation.usage.total - usage.total
                self._held_cost += reservation.cost - (cost_of(usage, self._prices.get(model)) or 0.0)
        self._changed.set()
        self._changed.clear()

    def spend(self, model: str, usage: Usage, calls: int = 1) -> None:
        """Enter what was paid, now or for an answer from the journal."""
        self.calls += calls
        self.tokens += usage.total
        cost = cost_of(usage, self._prices.get(model))
        if cost is None:
            self.unpriced = True
        else:
            self.cost += cost

    @property
    def waiting(self) -> bool:
        """Whether anything set aside may still come back."""
        return self._held_calls > 0

    async def changed(self) -> None:
        """Wait until some reservation is settled."""
        await self._changed.wait()

    def refusal(self) -> str:
        """Why nothing more is sent, in a sentence."""
        caps = [
            f"max_calls {self._max_calls} ({self.calls} made)" if self._max_calls is not None else "",
            f"max_tokens_total {self._max_tokens} ({self.tokens} spent)"
            if self._max_tokens is not None
            else "",
            f"max_cost {self._max_cost:g} ({self.cost:.4f} spent)" if self._max_cost is not None else "",
        ]
        named = ", ".join(cap for cap in caps if cap)
        return f"The spending cap leaves no room for another call at its worst case: llm.{named}."


def _over(value: float, cap: float | None) -> bool:
    return cap is not None and value > cap


@dataclass(slots=True)
class Statistics:
    """Live counters of one engine. `sent` counts HTTP requests, `calls` those answered and paid."""

    requests: int = 0
    finished: int = 0
    from_journal: int = 0
    sent: int = 0
    calls: int = 0
    in_flight: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    journal_tokens: int = 0
    #: Calls whose end nobody saw, taken for average ones.
    uncertain_calls: int = 0
    uncertain_tokens: int = 0
    #: Usage the server did not tell; these tokens are guesses.
    guessed_usage: int = 0
    #: Retries by kind: rate_limited, server, timeout, connection, malformed, dialect, asked_again.
    retries: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    #: Answers by the model that the server itself names.
    served: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)

    def paid(self, usage: Usage) -> None:
        """The server answered and told (or not) what it cost."""
        self.calls += 1
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
        self.guessed_usage += not usage.exact

    def uncertain(self, likely: Usage) -> None:
        """A call broke off after it was sent."""
        self.uncertain_calls += 1
        self.uncertain_tokens += likely.total

    def finish(self, answer: Answer) -> None:
        """One request has got its final answer."""
        self.finished += 1
        if answer.served:
            self.served[answer.served] += 1
        if answer.failure is not None:
            self.failures[answer.failure] += 1
        if answer.from_journal:
            self.from_journal += 1
            self.journal_tokens += answer.usage.total

    def calls_per_minute(self) -> float:
        """Paid calls a minute over the engine's life."""
        return 60.0 * self.calls / max(time.monotonic() - self.started, 1e-9)

    def as_dict(self, cost: float | None) -> dict[str, Any]:
        """For metrics/llm.json: counts, tokens, `cost` (None where a price is unknown); no times."""
        counts = {one.name: getattr(self, one.name) for one in fields(self)}
        del counts["in_flight"], counts["started"]
        rate = (self.finished - sum(self.failures.values())) / max(self.finished, 1)
        return counts | {
            "cost": cost,
            "success_rate": rate,
            "retries": dict(self.retries),
            "failures": dict(self.failures),
            "served": dict(self.served),
        }
