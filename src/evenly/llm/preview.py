"""What a plan would ask, before anything is asked: its first requests, and what they would cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evenly.llm.asking import Asking, Call
from evenly.llm.chat import ChatRequest
from evenly.llm.estimate import Estimate, estimate
from evenly.llm.generate import prepared
from evenly.llm.prompts import Prompts
from evenly.llm.tokens import guessed_tokens
from evenly.params.llm import EngineSettings
from evenly.plans import LlmPlan
from evenly.samples import SampleTable

#: Tokens of JSON around each sample: quotes, comma, and the keys of objects.
_AROUND_TEXT = 3.0
_AROUND_OBJECT = 10.0


def planned_requests(plan: LlmPlan, train: SampleTable, prompts: Prompts) -> Iterator[ChatRequest]:
    """The requests that a plan begins with: all that there are, if every sample is accepted.

    What mode `boundary` has relabelled afterwards is not among them: it depends on the answers.
    """
    quotas, asking = prepared(plan, train, prompts)
    for quota in quotas:
        for number in range(quota.calls):
            call = asking.call(quota.cell, number)
            yield asking.request(call, 0, call.size)


def plan_estimate(
    plan: LlmPlan, train: SampleTable, prompts: Prompts, settings: EngineSettings, folder: Path
) -> Estimate:
    """Calls, tokens, money and minutes of what is not in the journal yet. Sends nothing.

    Training rows stand for the samples that mode `boundary` will have relabelled.
    """
    quotas, asking = prepared(plan, train, prompts)
    requests: list[ChatRequest] = []
    tokens: list[float] = []
    for quota in quotas:
        each = _mean_tokens(asking, asking.call(quota.cell, 0))
        for number in range(quota.calls):
            call = asking.call(quota.cell, number)
            requests.append(asking.request(call, 0, call.size))
            tokens.append(each * call.size)
            if plan.mode == "boundary":
                rows = asking.rows.diverse(quota.cell)
                texts = [(k + 1, asking.rows.texts[rows[k % len(rows)]]) for k in range(call.size)]
                requests.append(asking.relabel_request(call, texts))
                tokens.append((guessed_tokens(quota.cell.label) + _AROUND_OBJECT) * call.size)
    return estimate(settings, folder, requests, tokens)


def _mean_tokens(asking: Asking, call: Call) -> float:
    """Tokens of one sample of the call's cell, by the training rows."""
    mode, members = asking.plan.mode, asking.rows.members(call.cell)
    rows = members if len(members) else range(len(asking.rows.ids))
    shown = [asking.shown_row(int(row)) for row in rows]
    around = _AROUND_OBJECT if mode == "paraphrase" else _AROUND_TEXT
    return sum(guessed_tokens(text) for text in shown) / max(len(shown), 1) + around
