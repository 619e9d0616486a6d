"""What a generation leaves behind: the sample table, and the numbers of metrics/llm.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evenly.llm.writing.answers import Tally
from evenly.llm.writing.quota import Quota, Taken
from evenly.llm.writing.requests import Asking
from evenly.llm.writing.training_rows import Cell
from evenly.plans import LlmPlan
from evenly.samples import SampleTable, samples_from_columns

if TYPE_CHECKING:
    from evenly.llm.engine.engine import Engine

#: The origin of samples by mode.
ORIGINS = {"generate": "llm", "table": "llm", "paraphrase": "paraphrase", "boundary": "boundary"}


def samples_taken(quotas: Sequence[Quota], asking: Asking) -> SampleTable | None:
    """The accepted samples, by class and then by call and place in the answer; None where there is not one.

    Ids are `origin:class:call:place`, the same for the same answer whatever else is generated.
    """
    mode = asking.plan.mode
    taken = [(quota.cell, sample) for quota in quotas for sample in quota.taken]
    if not taken:
        return None
    schema = asking.rows.samples.schema
    columns: dict[str, list[Any]] = {
        "id": [_id(mode, sample.moved_from or cell, sample) for cell, sample in taken],
        "label": [cell.label for cell, _ in taken],
        "origin": [ORIGINS[mode]] * len(taken),
        "attribute": [cell.attribute for cell, _ in taken],
        "parent": [sample.candidate.parent for _, sample in taken],
        "details": [_details(asking, sample) for _, sample in taken],
    }
    if mode == "table":
        for feature in schema.features:
            columns[feature.name] = [(sample.candidate.row or {})[feature.name] for _, sample in taken]
    else:
        columns["text"] = [sample.candidate.text for _, sample in taken]
    return samples_from_columns(columns, schema)


def generation_metrics(quotas: Sequence[Quota], plan: LlmPlan, engine: Engine) -> dict[str, Any]:
    """The content of metrics/llm.json.

    `acceptance` is the share of the samples judged that were taken; `cost` is null where a model's price is
    unknown. Tokens and cost are those of this result, whenever its answers were paid; `run` is what this run
    did.
    """
    total = Tally()
    for quota in quotas:
        total.add(quota)
    accepted = sum(len(quota.taken) for quota in quotas)
    unused = sum(quota.unused for quota in quotas)
    cost = engine.cost
    return {
        **_counts(total),
        "mode": plan.mode,
        "model": plan.model.endpoints[0].model,
        "wanted": sum(quota.wanted for quota in quotas),
        "accepted": accepted,
        "shortfall": sum(quota.missing for quota in quotas),
        "calls": sum(quota.judged for quota in quotas),
        "success_rate": _share(total.requests - total.failures.total(), total.requests),
        "acceptance": _share(accepted, total.items - unused),
        "unused": unused,
        "duplicates": sum(count for reason, count in total.rejected.items() if "duplicate" in reason),
        "tokens_paid": engine.budget.tokens,
        "cost": cost,
        "cost_per_accepted": None if cost is None or not accepted else cost / accepted,
        "given_up": sum(quota.given_up is not None for quota in quotas),
        "classes": {quota.cell.name: _class_metrics(quota) for quota in quotas},
        "run": engine.metrics(),
    }


def shortfalls(metrics: dict[str, Any]) -> list[str]:
    """One sentence for each class that has fewer samples than were asked for."""
    why = {
        "attempts": "its attempts are spent",
        "spending_cap": "the spending cap is reached",
        "no_rows": "it has no training row to start from",
    }
    return [
        f"{name}: {entry['accepted']} of {entry['wanted']} samples, "
        f"{entry['given_up'] or why[entry['short_because']]}"
        for name, entry in metrics["classes"].items()
        if entry["shortfall"]
    ]


def _class_metrics(quota: Quota) -> dict[str, Any]:
    because = None
    if quota.missing > 0:
        because = "spending_cap" if quota.spent else "attempts" if quota.size else "no_rows"
        because = "yield" if quota.given_up and not quota.spent else because
    return {
        **_counts(quota),
        "wanted": quota.wanted,
        "accepted": len(quota.taken),
        "shortfall": quota.missing,
        "short_because": because,
        "given_up": quota.given_up if because == "yield" else None,
        "calls": quota.judged,
        "unused": quota.unused,
        "moved_in": sum(sample.moved_from is not None for sample in quota.taken),
    }


def _counts(tally: Tally) -> dict[str, Any]:
    return {
        "samples": tally.items,
        "rejected": dict(tally.rejected),
        "requests": tally.requests,
        "failures": dict(tally.failures),
        "cut": tally.cut,
        "prompt_tokens": tally.prompt_tokens,
        "completion_tokens": tally.completion_tokens,
    }


def _id(mode: str, cell: Cell, sample: Taken) -> str:
    return f"{ORIGINS[mode]}:{cell.name}:{sample.outcome.call.number}:{sample.candidate.item}"


def _details(asking: Asking, sample: Taken) -> str:
    call = sample.outcome.call
    details: dict[str, Any] = {
        "mode": asking.plan.mode,
        "model": sample.outcome.model,
        "call": call.number,
        "item": sample.candidate.item,
        "examples": [str(asking.rows.ids[row]) for row in call.examples],
        "vary": dict(call.vary or {}),
        "partner": call.partner,
        "asked_as": sample.moved_from.name if sample.moved_from else None,
    }
    return json.dumps({k: v for k, v in details.items() if v not in (None, [], {})}, ensure_ascii=False)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
