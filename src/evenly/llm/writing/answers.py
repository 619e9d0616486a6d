"""From what a model answered to samples that could be taken: the checks that look at one sample alone.

Whether a sample is new, and whether it is still wanted, is decided in order, in `evenly.llm.writing.quota`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

from evenly.llm.writing.columns import MisfitError, Value, fitted_row, named_classes
from evenly.llm.writing.requests import Asking, Call

#: Repairing is a search, quadratic at worst; beyond so many characters the items are read one by one instead.
_LONGEST_REPAIR = 16_000
_LONGEST_ITEMS = 10_000
#: So many items that cannot be read, and the rest is given up.
_MOST_BROKEN = 1_000
_FENCE = re.compile(r"```[A-Za-z0-9_-]*[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_THOUGHT_ENDS = ("</think>", "</thinking>")
# Everything below a space but tab, newline and carriage return, and the C1 block: never part of a text for
# people.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def parse_items(text: str) -> list[Any]:
    """Items of an answer: what its list holds, whatever stands around or above that list.

    Prose, code fences and thoughts around the JSON are passed over; a list under any one key of an object is
    taken (`{"samples": [...]}`); a single object is one item; the last of equal keys holds; NaN and
    infinities become None; control characters are dropped. A list without one object or text is none; beside
    these, whatever else stands in it is an item too, so that it is counted. Broken JSON is mended, or its
    whole items picked out; an item that the answer ends in the middle of is left out. Nothing is ever
    executed or followed: an answer is data.
    """
    return parse_answer(text)[0]


def parse_answer(text: str) -> tuple[list[Any], dict[str, Any]]:
    """The items of an answer (see `parse_items`), and what the object around their list says beside it.

    The key of the list stands there as `class`, unless it is `samples`, as the prompts ask.
    """
    text = text.removeprefix("\ufeff")
    for end in _THOUGHT_ENDS:
        text = text.rpartition(end)[2]
    text = text.strip()
    fences = [block for block in _FENCE.findall(text) if "{" in block or "[" in block]
    for candidate in (text, *sorted(fences, key=len, reverse=True)):
        if (value := _loaded(candidate)) is not None and (found := _items_of(value))[0]:
            return found
    body = max(fences, key=len) if fences else text
    start = _start(body)
    if start < 0:
        return [], {}
    body = body[start:]
    items, around, ended = _walked(body)
    if not ended and len(body) <= _LONGEST_REPAIR:
        mended, beside = _repaired(body)
        around = beside or around
        # What the text broke off in the middle of was finished by the repair, not by the model.
        if not _closes(body) and len(mended) > len(items):
            mended = mended[:-1]
        return max(items, mended, key=len), around
    return items, around


def _loaded(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _items_of(value: Any) -> tuple[list[Any], dict[str, Any]]:
    """The list that an answer is about, cleaned, and what stands beside it; empty where there is none."""
    around: dict[str, Any] = {}
    if isinstance(value, dict):
        lists = {key: part for key, part in value.items() if isinstance(part, list) and part}
        rows = [key for key, part in lists.items() if any(isinstance(item, dict) for item in part)]
        held = rows or list(lists)
        if len(held) == 1 and len(value) <= 3:
            around = _list_named(held[0]) | {key: _clean(value[key]) for key in value if key not in lists}
            value = value[held[0]]
        else:
            value = [value]
    return (_counted(value[:_LONGEST_ITEMS]), around) if isinstance(value, list) else ([], {})


def _list_named(key: str) -> dict[str, Any]:
    return {} if key == "samples" else {"class": key}


def _counted(values: Sequence[Any]) -> list[Any]:
    """All values of a list, cleaned, but for empty texts; none where not one is an object or a text."""
    items = [_clean(value) for value in values if value != ""]
    return items if any(isinstance(item, dict | str) and item for item in items) else []


def _clean(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        return _CONTROL.sub("", value).encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if depth > 8:
        return None
    if isinstance(value, dict):
        return {_clean(str(key)): _clean(part, depth + 1) for key, part in value.items()}
    if isinstance(value, list):
        return [_clean(part, depth + 1) for part in value]
    return value


def _start(text: str) -> int:
    """Where the JSON begins: at the first bracket that opens a list or object, not one of the prose."""
    match = re.search(r'\[\s*[\{"\[]|\{\s*"', text)
    if match:
        return match.start()
    match = re.search(r"\[\s*'|\{\s*['A-Za-z_]", text)
    return match.start() if match else -1


def _walked(text: str) -> tuple[list[Any], dict[str, Any], bool]:
    """The whole items of a list (or of the first key's), what is around, whether the JSON came to its end."""
    decoder = json.JSONDecoder(strict=False)
    try:
        value, _ = decoder.raw_decode(text)
    except (ValueError, RecursionError):
        pass
    else:
        return *_items_of(value), True
    opening = re.match(r'\{\s*"([^"\\]{0,80})"\s*:\s*\[|\[', text)
    around = _list_named(opening[1]) if opening and opening[1] is not None else {}
    items: list[Any] = []
    at = opening.end() if opening else 0
    space = re.compile(r"[\s,]*")
    failed = 0
    while len(items) < _LONGEST_ITEMS:
        gap = space.match(text, at)
        at = gap.end() if gap else at
        if at >= len(text) or text[at] == "]":
            break
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            # Broken inside this item: go on with the next thing that looks like one.
            failed += 1
            at = _next_object(text, at + 1) if failed < _MOST_BROKEN else -1
            if at < 0:
                break
            continue
        items.append(value)
    return _counted(items), around, False


def _next_object(text: str, at: int) -> int:
    """Where the next object begins that is an item, not a value inside one; -1 where there is none."""
    for match in re.compile(r'\{\s*"').finditer(text, at):
        before = match.start() - 1
        while before >= at and text[before].isspace():
            before -= 1
        if before >= at and text[before] in "}],":
            return match.start()
    return -1


def _repaired(text: str) -> tuple[list[Any], dict[str, Any]]:
    import json_repair

    try:
        value = cast(Any, json_repair.loads(text, skip_json_loads=True))
    except (ValueError, RecursionError, IndexError, TypeError):
        return [], {}
    items, around = _items_of(value)
    prose = not any(isinstance(item, dict) for item in items) and not re.match(r'\s*\[\s*["\']', text)
    return ([], {}) if prose else (items, around)


def _closes(text: str) -> bool:
    """Whether the outermost bracket is closed, strings left aside."""
    depth, in_string = 0, False
    for character in re.findall(r'[\[\]{}"]|\\.', text, re.DOTALL):
        if character[0] == "\\":
            continue
        if character == '"':
            in_string = not in_string
        elif not in_string:
            depth += 1 if character in "[{" else -1
            if depth == 0:
                return True
    return False


_LINKS = re.compile(r"(?:https?://|www\.)[^\s<>\"'，。；）)]+", re.IGNORECASE)
_ADDRESSES = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
#: Digits with the points and commas between them; a sign counts where no digit or letter stands before it.
_NUMBERS = re.compile(r"(?:(?<![0-9A-Za-z.,)\]])[-+−])?\d+(?:[.,]\d+)*")
_THOUSANDS = re.compile(r"[-+−]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")


def facts(text: str) -> set[str]:
    """Links, e-mail addresses and numbers of a text in comparable form.

    Width is normalised, `1,000` equals `1000`, and a number keeps its decimal point and sign: `3.5` is
    neither `35` nor `3` and `5`.
    """
    rest = unicodedata.normalize("NFKC", text)
    found: set[str] = set()
    for pattern in (_LINKS, _ADDRESSES):
        found.update(match.rstrip(".,;:!?").casefold() for match in pattern.findall(rest))
        rest = pattern.sub(" ", rest)
    for number in _NUMBERS.findall(rest):
        plain = number.replace(",", "") if _THOUSANDS.fullmatch(number) else number
        found.add(plain.replace("−", "-").removeprefix("+"))
    return found


def missing_facts(source: str, paraphrase: str) -> list[str]:
    """Facts of the source that the paraphrase lacks, sorted."""
    return sorted(facts(source) - facts(paraphrase))


#: Control characters other than tab and line breaks, halves of surrogate pairs, and the replacement
#: character.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffd]")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sample that passed the checks which look at it alone: a text, or a row of feature values.

    `item` is its place in the answer to its call, from 0; `parent` the id of the row it paraphrases; `label`
    its class, which in mode `boundary` the model has decided.
    """

    item: int
    label: str
    text: str | None = None
    row: Mapping[str, Value] | None = None
    parent: str | None = None


@dataclass(slots=True, kw_only=True)
class Tally:
    """What calls have brought and cost: samples and answers counted, whatever became of them."""

    #: Samples in the answers.
    items: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    #: Requests made (parts and relabelling included), those that failed, and answers cut by `max_tokens`.
    requests: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, other: Tally) -> None:
        """Count what another one has counted as well."""
        for one in fields(Tally):
            mine, its = getattr(self, one.name), getattr(other, one.name)
            setattr(self, one.name, mine + its)


@dataclass(slots=True, kw_only=True)
class Outcome(Tally):
    """What one call brought; `spent` says whether a spending cap left no room for it."""

    call: Call
    model: str = ""
    #: In the order of the answer.
    candidates: list[Candidate] = field(default_factory=list)
    spent: bool = False


def take_in(
    outcome: Outcome, asking: Asking, items: Sequence[Any], around: Mapping[str, Any] | None = None
) -> None:
    """Add what an answer holds to the outcome: candidates, and the rest by reason.

    What the answer says `around` its items holds for each of them.
    Samples beyond what the call asked for are `surplus`: a call is worth so many samples and no more, so that
    the calls to make can be counted beforehand.
    """
    call = outcome.call
    elsewhere = _states_other_class(around or {}, (), call, asking)
    for item in items:
        place = outcome.items
        outcome.items += 1
        if place >= call.size:
            outcome.rejected["surplus"] += 1
            continue
        try:
            if elsewhere:
                raise MisfitError("other_class")
            outcome.candidates.append(_candidate(item, place, call, asking))
        except MisfitError as misfit:
            outcome.rejected[misfit.reason] += 1


def relabelled(outcome: Outcome, answers: Sequence[Any], allowed: Sequence[str]) -> None:
    """Give the candidates of a boundary call the classes that the model assigned; without one they go."""
    spelled = {name.strip().casefold(): name for name in allowed}
    decided: dict[int, str] = {}
    for answer in answers:
        if isinstance(answer, Mapping) and isinstance(answer.get("label"), str):
            label = spelled.get(answer["label"].strip().casefold())
            number = answer.get("number")
            if label is not None and isinstance(number, int | float | str):
                decided.setdefault(_whole(number), label)
    candidates = []
    for number, candidate in enumerate(outcome.candidates, start=1):
        if number in decided:
            candidates.append(replace(candidate, label=decided[number]))
        else:
            outcome.rejected["not_relabelled"] += 1
    outcome.candidates = candidates


#: Keys of a sample in the text modes, and those that speak of a class whatever the label column is called.
_TEXT_KEYS = ("text", "source")
_CLASS_KEYS = frozenset({"class", "label"})


def _candidate(item: Any, place: int, call: Call, asking: Asking) -> Candidate:
    label, settings = call.cell.label, asking.plan.asking
    own = [column.name for column in asking.rows.columns] if asking.plan.mode == "table" else _TEXT_KEYS
    if isinstance(item, Mapping) and _states_other_class(item, own, call, asking):
        raise MisfitError("other_class")
    if asking.plan.mode == "table":
        return Candidate(place, label, row=fitted_row(item, asking.rows.columns, settings.tolerance))
    source = None
    if asking.plan.mode == "paraphrase":
        source = _source(item, call)
    text = _text(item)
    if not settings.min_characters <= len(text) <= asking.longest:
        raise MisfitError("length")
    if _UNPRINTABLE.search(text):
        raise MisfitError("format")
    if source is None:
        return Candidate(place, label, text)
    if missing_facts(source.text, text):
        raise MisfitError("lost_fact")
    return Candidate(place, label, text, parent=source.id)


def _states_other_class(stated: Mapping[str, Any], own: Sequence[str], call: Call, asking: Asking) -> bool:
    """Whether one of these keys gives another class than the call asks for; `own` keys are the sample itself.

    Under the label column's name whatever is not the class, and under `class` or `label` the name of another
    one. In mode `boundary` the class is decided afterwards.
    """
    if asking.plan.mode == "boundary":
        return False
    label, column = call.cell.label, asking.plan.label_column
    own_names, folded_column = {_folded(name) for name in own}, column and _folded(column)
    for key, value in stated.items():
        name = _folded(key)
        if (key in own or name in own_names) and key != column:
            continue
        if name != folded_column and name not in _CLASS_KEYS:
            continue
        if value is None or value == "":
            continue
        classes = named_classes(value, asking.meanings)
        if label not in classes and (classes or name == folded_column):
            return True
    return False


def _folded(name: str) -> str:
    return name.strip().casefold()


def _text(item: Any) -> str:
    """The text of an item: the item itself, its `text`, or its only text."""
    if isinstance(item, Mapping):
        texts = [value for value in item.values() if isinstance(value, str)]
        item = item["text"] if "text" in item else texts[0] if len(texts) == 1 else None
    if not isinstance(item, str):
        raise MisfitError("format")
    text = item.strip()
    if not text:
        raise MisfitError("format")
    return text


def _source(item: Any, call: Call) -> Any:
    """The row that an item paraphrases; with a single source no number is needed."""
    if len(call.sources) == 1:
        return call.sources[0]
    number = _whole(item.get("source")) if isinstance(item, Mapping) else -1
    for source in call.sources:
        if source.number == number:
            return source
    raise MisfitError("format")


def _whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return -1
