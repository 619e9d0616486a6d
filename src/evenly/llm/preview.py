"""What a plan would ask, before anything is asked: its first requests, and what they would cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evenly.errors import EvenlyError
from evenly.files import json_mapping
from evenly.llm.classifying import TAG, AskedClassifier
from evenly.llm.engine.budget import cost_of
from evenly.llm.engine.endpoint import Endpoint, content_key
from evenly.llm.engine.journal import Journal, Slot, journal_path
from evenly.llm.engine.lane import Question
from evenly.llm.engine.messages import ChatRequest, Usage, guessed_prompt_tokens, guessed_tokens
from evenly.llm.generate import prepared
from evenly.llm.judging import LlmJudge
from evenly.llm.writing.answers import Outcome, parse_answer, take_in
from evenly.llm.writing.prompts import Prompts
from evenly.llm.writing.requests import Asking, Call
from evenly.params.llm import EngineSettings
from evenly.plans import LlmPlan, TrainPlan
from evenly.samples import SampleTable

#: Answers in the journal that it takes to trust their mean rather than the guess.
_ENOUGH = 5
#: Tokens a second that one request is thought to get from a server never met before.
_SPEED = 50.0
#: Tokens of JSON around each sample: quotes, comma, and the keys of objects.
_AROUND_TEXT = 3.0
_AROUND_OBJECT = 10.0
#: Tokens of a judge's three marks.
_MARKS_TOKENS = 25.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """Calls and tokens still to be paid; `cost` is None where the price is unknown.

    `measured` says whether earlier answers of this endpoint corrected the guesses; `shares` names what of
    the calls is for relabelling and for the judge, and the acceptance that the calls were counted with.
    """

    calls: int
    from_journal: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    minutes: float
    measured: bool
    shares: str = ""

    def parts(self) -> list[tuple[str, str]]:
        """For people: what is estimated, and the estimate."""
        cost = "unknown" if self.cost is None else f"{self.cost:.2f}"
        basis = "corrected by the journal" if self.measured else "guessed from the texts"
        return [
            ("calls", f"{self.calls} ({self.from_journal} more are in the journal)"),
            ("tokens", f"{self.prompt_tokens} prompt + {self.completion_tokens} completion ({basis})"),
            ("cost", cost),
            ("minutes", f"{self.minutes:.1f}"),
            *([("in it", self.shares)] if self.shares else []),
        ]

    def lines(self) -> list[str]:
        """The parts, as lines of a log."""
        return [f"{name:<12}{says}" for name, says in self.parts()]


def planned_requests(plan: LlmPlan, train: SampleTable, prompts: Prompts) -> Iterator[ChatRequest]:
    """The requests that a plan begins with: all that there are, if every sample is accepted.

    What mode `boundary` has relabelled afterwards depends on their answers: see `relabelling_requests`.
    """
    quotas, asking = prepared(plan, train, prompts)
    for quota in quotas:
        for number in range(quota.calls):
            call = asking.call(quota.cell, number)
            yield asking.request(call, 0, call.size)


def relabelling_requests(
    plan: LlmPlan, train: SampleTable, prompts: Prompts, endpoint: Endpoint, folder: Path
) -> Iterator[ChatRequest]:
    """What follows in mode `boundary` on the answers of `planned_requests` that the journal has in whole."""
    if plan.mode != "boundary":
        return
    quotas, asking = prepared(plan, train, prompts)
    path = journal_path(folder, endpoint.base_url, endpoint.model)
    with Journal(path, endpoint.base_url, endpoint.model) as journal:
        for quota in quotas:
            for number in range(quota.calls):
                call = asking.call(quota.cell, number)
                entry = journal.find(Question.of(asking.request(call, 0, call.size), 0, endpoint).slot)
                if entry is None or entry.failure is not None:
                    continue  # asked again, or for less, before anything is relabelled
                outcome = Outcome(call=call)
                take_in(outcome, asking, *parse_answer(entry.text))
                texts = [(k, candidate.text or "") for k, candidate in enumerate(outcome.candidates, start=1)]
                if texts:
                    yield asking.relabel_request(call, texts)


def plan_estimate(
    plan: LlmPlan,
    train: SampleTable,
    prompts: Prompts,
    settings: EngineSettings,
    folder: Path,
    judge: LlmJudge | None = None,
    metrics: Path = Path("metrics"),
) -> Estimate:
    """Calls, tokens, money and minutes of what is not in the journal yet. Sends nothing.

    As many calls as the acceptance of the last run asks for, where `metrics` holds one of this model and
    mode; a judge is asked about the share of the samples that the last screening left to it. Training rows
    stand for samples that are relabelled or judged.
    """
    quotas, asking = prepared(plan, train, prompts)
    acceptance, judged_share = _measured_shares(plan, metrics)
    requests: list[ChatRequest] = []
    tokens: list[float] = []
    relabelling = judging = 0
    for quota in quotas:
        each = _mean_tokens(asking, asking.call(quota.cell, 0))
        for number in range(min(math.ceil(quota.calls / (acceptance or 1.0)), quota.most_calls)):
            call = asking.call(quota.cell, number)
            requests.append(asking.request(call, 0, call.size))
            tokens.append(each * call.size)
            if plan.mode == "boundary":
                rows = asking.rows.diverse(quota.cell)
                texts = [(k + 1, asking.rows.texts[rows[k % len(rows)]]) for k in range(call.size)]
                requests.append(asking.relabel_request(call, texts))
                tokens.append((guessed_tokens(quota.cell.label) + _AROUND_OBJECT) * call.size)
                relabelling += 1
        if judge is not None and (rows := asking.rows.diverse(quota.cell)):
            n = math.ceil(quota.wanted * (1.0 if judged_share is None else judged_share))
            judged_requests = list(judge.requests(asking.rows.samples.take(rows[:n])))
            requests += [replace(judged_requests[k % len(judged_requests)], ordinal=-1) for k in range(n)]
            tokens += [_MARKS_TOKENS] * n
            judging += n
    basis = "taken for 100%, no run of this plan being measured"
    if acceptance is not None:
        basis = f"{acceptance:.0%} as in the last run"
    found = estimate(settings, folder, requests, tokens)
    return replace(found, shares=f"{relabelling} relabelling, {judging} judge; acceptance {basis}")


def asked_estimate(plan: TrainPlan, train: SampleTable, texts: Sequence[str], folder: Path) -> Estimate:
    """What a model that is asked costs for these texts, each once. Sends nothing."""
    asked = AskedClassifier(plan, train.schema)
    asked.prepare(train)
    requests = list(asked.requests(list(dict.fromkeys(texts))))
    length = max(guessed_tokens(label) for label in asked.classes) + _AROUND_OBJECT
    return estimate(asked.engine_settings, folder, requests, [length] * len(requests), TAG)


def _measured_shares(plan: LlmPlan, metrics: Path) -> tuple[float | None, float | None]:
    """Of the last run: the acceptance, and which share of its rows came to the judge; None if unknown."""
    found: list[dict[str, Any]] = []
    for name in ("llm.json", "filter.json"):
        try:
            found.append(json_mapping((metrics / name).read_bytes(), name))
        except (OSError, EvenlyError):
            found.append({})
    last, screened = found
    if (last.get("mode"), last.get("model")) != (plan.mode, plan.model.endpoints[0].model):
        return None, None
    judged = screened.get("measured", {}).get("judge", {}).get("judged")
    share = judged / screened["candidates"] if judged and screened.get("candidates") else None
    return last.get("acceptance") or None, share


def _mean_tokens(asking: Asking, call: Call) -> float:
    """Tokens of one sample of the call's cell, by the training rows."""
    mode, members = asking.plan.mode, asking.rows.members(call.cell)
    rows = members if len(members) else range(len(asking.rows.ids))
    texts = [asking.row_text(int(row)) for row in rows]
    around = _AROUND_OBJECT if mode == "paraphrase" else _AROUND_TEXT
    return sum(guessed_tokens(text) for text in texts) / max(len(texts), 1) + around


def estimate(
    settings: EngineSettings,
    folder: Path,
    requests: Sequence[ChatRequest],
    lengths: Sequence[float],
    tag: str | None = None,
) -> Estimate:
    """Cost of the requests which no journal answers yet; `lengths` are the answers' tokens.

    Answers of the same `tag` correct it, all those of the journal without one.
    """
    endpoint = Endpoint(settings.base_url, settings.model, settings, dict(settings.extra_body), None)
    path = journal_path(folder, settings.base_url, settings.model)
    open_requests = list(zip(requests, lengths, strict=True))
    answered, guessed, prompted, written, seconds = 0, 0.0, 0, 0, 0.0
    if path.exists():
        with Journal(path, settings.base_url, settings.model) as journal:
            answered, guessed, prompted, written, seconds = journal.calibration(tag)
            open_requests = [
                (request, length)
                for request, length in open_requests
                if journal.find(Slot(content_key(endpoint.content(request))[0], request.ordinal, 0)) is None
            ]
    calls = len(open_requests)
    prompt = sum(guessed_prompt_tokens(request.messages) for request, _ in open_requests)
    completion = sum(
        min(length, request.max_tokens or settings.max_tokens) for request, length in open_requests
    )
    measured = answered >= _ENOUGH
    if measured:
        prompt, completion = prompt * prompted / guessed, written / answered * calls
    usage = Usage(round(prompt), round(completion))
    minutes = _minutes(settings, calls, usage, seconds / answered if measured else None)
    cost = cost_of(usage, settings.prices.get(settings.model))
    known = len(requests) - calls
    return Estimate(calls, known, usage.prompt_tokens, usage.completion_tokens, cost, minutes, measured)


def _minutes(settings: EngineSettings, calls: int, usage: Usage, latency: float | None) -> float:
    if calls == 0:
        return 0.0
    each = latency if latency is not None else usage.completion_tokens / calls / _SPEED
    rounds = each * max(1.0, calls / settings.copies / settings.concurrency) / 60.0
    by_requests = calls / settings.requests_per_minute if settings.requests_per_minute else 0.0
    by_tokens = usage.total / settings.tokens_per_minute if settings.tokens_per_minute else 0.0
    return max(rounds, by_requests / settings.copies, by_tokens / settings.copies)
