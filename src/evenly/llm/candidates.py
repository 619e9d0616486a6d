"""From what a model answered to samples that could be taken: the checks that look at one sample alone.

Whether a sample is new, and whether it is still wanted, is decided in order, in `evenly.llm.quota`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evenly.llm.asking import Asking, Call
from evenly.llm.columns import MisfitError, Value, fitted_row
from evenly.llm.facts import missing_facts

#: Control characters other than tab and line breaks, halves of surrogate pairs, and the replacement
#: character.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffd]")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sample that passed the checks which look at it alone.

    Attributes
    ----------
    item
        Its place in the answer to its call, from 0.
    text, row
        The payload: text, or feature values.
    parent
        Id of the row it paraphrases.
    label
        The class that it belongs to, which in mode `boundary` the model has decided.
    """

    item: int
    label: str
    text: str | None = None
    row: Mapping[str, Value] | None = None
    parent: str | None = None


@dataclass(slots=True)
class Outcome:
    """What one call brought.

    Attributes
    ----------
    candidates
        In the order of the answer.
    items
        Samples in the answer, whatever became of them.
    rejected
        Samples turned away so far, by reason.
    requests, failures
        Requests made (parts and relabelling included), and those that failed, by kind.
    cut
        Answers cut by `max_tokens`.
    spent
        Whether a spending cap left no room for the call.
    """

    call: Call
    model: str = ""
    candidates: list[Candidate] = field(default_factory=list)
    items: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cut: int = 0
    spent: bool = False


def take_in(outcome: Outcome, asking: Asking, items: Sequence[Any]) -> None:
    """Add what an answer holds to the outcome: candidates, and the rest by reason.

    Samples beyond what the call asked for are `surplus`: a call is worth so many samples and no more, so that
    the calls to make can be counted beforehand.
    """
    call = outcome.call
    for item in items:
        place = outcome.items
        outcome.items += 1
        if place >= call.size:
            outcome.rejected["surplus"] += 1
            continue
        try:
            outcome.candidates.append(_candidate(item, place, call, asking))
        except MisfitError as misfit:
            outcome.rejected[misfit.reason] += 1


def relabelled(outcome: Outcome, answers: Sequence[Any], allowed: Sequence[str]) -> None:
    """Give the candidates of a boundary call the classes that the model assigned; without one they go.

    Parameters
    ----------
    answers
        Items of the answer: objects with `number` (from 1) and `label`.
    allowed
        The classes that were offered.
    """
    spelled = {name.strip().casefold(): name for name in allowed}
    decided: dict[int, str] = {}
    for answer in answers:
        if isinstance(answer, Mapping) and isinstance(answer.get("label"), str):
            label = spelled.get(answer["label"].strip().casefold())
            number = answer.get("number")
            if label is not None and isinstance(number, int | float | str):
                decided.setdefault(_whole(number), label)
    kept = []
    for number, candidate in enumerate(outcome.candidates, start=1):
        if number in decided:
            kept.append(replace(candidate, label=decided[number]))
        else:
            outcome.rejected["not_relabelled"] += 1
    outcome.candidates = kept


def _candidate(item: Any, place: int, call: Call, asking: Asking) -> Candidate:
    label, settings = call.cell.label, asking.plan.asking
    if asking.plan.mode == "table":
        return Candidate(place, label, row=fitted_row(item, asking.rows.columns, settings.tolerance))
    source = None
    if asking.plan.mode == "paraphrase":
        source = _source(item, call)
    text = _text(item)
    if not settings.min_characters <= len(text) <= asking.longest:
        raise MisfitError("length", f"{len(text)} characters")
    if _UNPRINTABLE.search(text):
        raise MisfitError("format", "control characters")
    if source is None:
        return Candidate(place, label, text)
    if missing := missing_facts(source.text, text):
        raise MisfitError("lost_fact", f"{missing[0]} of the source is missing")
    return Candidate(place, label, text, parent=source.id)


def _text(item: Any) -> str:
    """The text of an item: the item itself, its `text`, or its only text."""
    if isinstance(item, Mapping):
        texts = [value for value in item.values() if isinstance(value, str)]
        item = item["text"] if "text" in item else texts[0] if len(texts) == 1 else None
    if not isinstance(item, str):
        raise MisfitError("format", "not a text")
    text = item.strip()
    if not text:
        raise MisfitError("format", "empty")
    return text


def _source(item: Any, call: Call) -> Any:
    """The row that an item paraphrases; with a single source no number is needed."""
    if len(call.sources) == 1:
        return call.sources[0]
    number = _whole(item.get("source")) if isinstance(item, Mapping) else -1
    for source in call.sources:
        if source.number == number:
            return source
    raise MisfitError("format", "no such source")


def _whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return -1
