"""What the engine has done so far, counted: for a live panel and for metrics/llm.json."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from evenly.llm.chat import Answer, Usage


@dataclass(slots=True)
class TagCount:
    """What one tag (a class, say) has got and used. Tokens include those of answers from the journal."""

    answers: int = 0
    failures: int = 0
    from_journal: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


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
    #: Calls whose end nobody saw, at their worst case.
    uncertain_calls: int = 0
    uncertain_tokens: int = 0
    #: Usage the server did not tell; these tokens are guesses.
    guessed_usage: int = 0
    #: Retries by kind: rate_limited, server, timeout, connection, malformed, dialect, asked_again.
    retries: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    tags: dict[str, TagCount] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def paid(self, usage: Usage) -> None:
        """The server answered and told (or not) what it cost."""
        self.calls += 1
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
        self.guessed_usage += not usage.exact

    def uncertain(self, worst: Usage) -> None:
        """A call broke off after it was sent."""
        self.uncertain_calls += 1
        self.uncertain_tokens += worst.total

    def finish(self, tag: str, answer: Answer) -> None:
        """One request has got its final answer."""
        count = self.tags.setdefault(tag, TagCount())
        self.finished += 1
        if answer.failure is not None:
            self.failures[answer.failure] += 1
            count.failures += 1
        else:
            count.answers += 1
        count.prompt_tokens += answer.usage.prompt_tokens
        count.completion_tokens += answer.usage.completion_tokens
        if answer.from_journal:
            self.from_journal += 1
            count.from_journal += 1
            self.journal_tokens += answer.usage.total

    def seconds(self) -> float:
        """Since the engine began."""
        return time.monotonic() - self.started

    def calls_per_minute(self) -> float:
        """Paid calls a minute over the engine's life."""
        return 60.0 * self.calls / max(self.seconds(), 1e-9)

    def as_dict(self, cost: float | None) -> dict[str, Any]:
        """For metrics/llm.json: counts, tokens, `cost` (None where a price is unknown); no times."""
        return {
            "requests": self.requests,
            "finished": self.finished,
            "from_journal": self.from_journal,
            "sent": self.sent,
            "calls": self.calls,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "journal_tokens": self.journal_tokens,
            "uncertain_calls": self.uncertain_calls,
            "uncertain_tokens": self.uncertain_tokens,
            "guessed_usage": self.guessed_usage,
            "cost": cost,
            "success_rate": (self.finished - sum(self.failures.values())) / max(self.finished, 1),
            "retries": dict(sorted(self.retries.items())),
            "failures": dict(sorted(self.failures.items())),
        }
