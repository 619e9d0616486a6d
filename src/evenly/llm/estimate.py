"""What a set of requests would cost, before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evenly.llm.budget import cost_of
from evenly.llm.chat import ChatRequest, Usage
from evenly.llm.endpoint import Endpoint, content_key
from evenly.llm.journal import Journal, Slot, journal_path
from evenly.llm.tokens import guessed_prompt_tokens
from evenly.params.llm import EngineSettings

#: Answers in the journal that it takes to trust their mean rather than the guess.
_ENOUGH = 5
#: Tokens a second that one request is thought to get from a server never met before.
_SPEED = 50.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """Calls and tokens still to be paid; `cost` is None where the price is unknown.

    `measured` says whether earlier answers of this endpoint corrected the guesses.
    """

    calls: int
    from_journal: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    minutes: float
    measured: bool

    def lines(self) -> list[str]:
        """For people."""
        cost = "unknown" if self.cost is None else f"{self.cost:.2f}"
        basis = "corrected by the journal" if self.measured else "guessed from the texts"
        return [
            f"calls       {self.calls} ({self.from_journal} more are in the journal)",
            f"tokens      {self.prompt_tokens} prompt + {self.completion_tokens} completion ({basis})",
            f"cost        {cost}",
            f"minutes     {self.minutes:.1f}",
        ]


def estimate(
    settings: EngineSettings,
    folder: Path,
    requests: Sequence[ChatRequest],
    completion_tokens: Sequence[float],
) -> Estimate:
    """Cost of the requests which no journal answers yet. Sends nothing.

    Parameters
    ----------
    folder
        Where the journals lie.
    completion_tokens
        What each answer is thought to take (`tokens.guessed_tokens` of examples, say), as long as `requests`.
        Where enough requests were answered before, their mean stands instead.
    """
    endpoint = Endpoint(settings.base_url, settings.model, settings, dict(settings.extra_body), None)
    path = journal_path(folder, settings.base_url, settings.model)
    prompts, completions, known = 0.0, 0.0, 0
    answered, guessed, told, written, seconds = 0, 0.0, 0, 0, 0.0
    if path.exists():
        with Journal(path, settings.base_url, settings.model) as journal:
            answered, guessed, told, written, seconds = journal.calibration()
            slots = _known(journal, endpoint, requests)
    else:
        slots = set()
    for number, (request, completion) in enumerate(zip(requests, completion_tokens, strict=True)):
        if number in slots:
            known += 1
            continue
        prompts += guessed_prompt_tokens(request.messages)
        limit = settings.max_tokens if request.max_tokens is None else request.max_tokens
        completions += min(completion, limit)
    calls = len(requests) - known
    measured = answered >= _ENOUGH
    if measured:
        prompts *= told / guessed
        completions = written / answered * calls
    usage = Usage(round(prompts), round(completions))
    return Estimate(
        calls,
        known,
        usage.prompt_tokens,
        usage.completion_tokens,
        cost_of(usage, settings.prices.get(settings.model)),
        _minutes(settings, calls, usage, seconds / answered if measured else None),
        measured,
    )


def _known(journal: Journal, endpoint: Endpoint, requests: Sequence[ChatRequest]) -> set[int]:
    found = set()
    for number, request in enumerate(requests):
        key, _ = content_key(endpoint.content(request))
        if journal.find(Slot(key, request.ordinal, 0)) is not None:
            found.add(number)
    return found


def _minutes(settings: EngineSettings, calls: int, usage: Usage, latency: float | None) -> float:
    if calls == 0:
        return 0.0
    each = latency if latency is not None else usage.completion_tokens / calls / _SPEED
    rounds = each * max(1.0, calls / settings.concurrency) / 60.0
    by_requests = calls / settings.requests_per_minute if settings.requests_per_minute else 0.0
    by_tokens = usage.total / settings.tokens_per_minute if settings.tokens_per_minute else 0.0
    return max(rounds, by_requests, by_tokens)
