"""Spending: what a call costs at worst is set aside before it is sent, so that a cap is never exceeded."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from evenly.llm.chat import Usage
from evenly.params.llm import EngineSettings, Price


def cost_of(usage: Usage, price: Price | None) -> float | None:
    """Money for tokens at a price per million; None where the price is unknown."""
    if price is None:
        return None
    return (usage.prompt_tokens * price.input + usage.completion_tokens * price.output) / 1e6


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

    @property
    def capped(self) -> bool:
        """Whether any cap is set."""
        return not (self._max_calls is None and self._max_tokens is None and self._max_cost is None)

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

    def settle(self, reservation: Reservation, model: str, usage: Usage | None) -> None:
        """Replace what was set aside by what was spent; None for a call that cost nothing."""
        self._held_calls -= 1
        self._held_tokens -= reservation.usage.total
        self._held_cost -= reservation.cost
        if usage is not None:
            self.spend(model, usage)
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
