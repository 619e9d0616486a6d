"""Rows out of the text a model answered with: JSON found, repaired, or salvaged item by item. Pure functions.

What a row must look like is decided elsewhere.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, cast

Item = dict[str, Any] | str

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


@dataclass(frozen=True, slots=True)
class ParsedItems:
    """Items in the order of the answer, and what it took to read them.

    `repaired`: the JSON was mended; `salvaged`: it was beyond mending, and whole items were picked out of it;
    `cut`: the answer ends in the middle, and the item it ends in was left out.
    """

    items: list[Item]
    repaired: bool = False
    salvaged: bool = False
    cut: bool = False


def parse_items(text: str) -> ParsedItems:
    """Items of an answer: the objects (or strings) of its list, whatever stands around or above that list.

    Prose, code fences and thoughts around the JSON are passed over; a list under any one key of an object is
    taken (`{"samples": [...]}`); a single object is one item; the last of equal keys holds; NaN and
    infinities become None; control characters are dropped. Nothing is ever executed or followed: an answer is
    data.
    """
    text = text.removeprefix("\ufeff")
    for end in _THOUGHT_ENDS:
        text = text.rpartition(end)[2]
    text = text.strip()
    if not text:
        return ParsedItems([])
    fences = [block for block in _FENCE.findall(text) if "{" in block or "[" in block]
    for candidate in (text, *sorted(fences, key=len, reverse=True)):
        if (value := _loaded(candidate)) is not None and (items := _items_of(value)):
            return ParsedItems(items)
    body = max(fences, key=len) if fences else text
    start = _start(body)
    if start < 0:
        return ParsedItems([])
    body = body[start:]
    items, ended = _walked(body)
    if ended:
        return ParsedItems(items)
    if len(body) <= _LONGEST_REPAIR:
        mended = _repaired(body)
        cut = not _closes(body)
        # What the text broke off in the middle of was finished by the repair, not by the model.
        if cut and mended and len(mended) > len(items):
            mended = mended[:-1]
        if len(mended) > len(items):
            return ParsedItems(mended, repaired=True, cut=cut)
    return ParsedItems(items, repaired=False, salvaged=bool(items), cut=not _closes(body))


def _loaded(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _items_of(value: Any) -> list[Item]:
    """The list that an answer is about, cleaned; empty where there is none."""
    if isinstance(value, dict):
        lists = [part for part in value.values() if isinstance(part, list) and part]
        held = [part for part in lists if any(isinstance(item, dict) for item in part)] or lists
        value = held[0] if len(held) == 1 and len(value) <= 3 else [value]
    if not isinstance(value, list):
        return []
    return [_clean(item) for item in value[:_LONGEST_ITEMS] if isinstance(item, dict | str) and item]


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


def _walked(text: str) -> tuple[list[Item], bool]:
    """The whole items of a list (or of the first key's), and whether the JSON came to its end."""
    decoder = json.JSONDecoder(strict=False)
    try:
        value, _ = decoder.raw_decode(text)
    except (ValueError, RecursionError):
        pass
    else:
        return _items_of(value), True
    opening = re.match(r'\{\s*"[^"\\]{0,80}"\s*:\s*\[|\[', text)
    items: list[Item] = []
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
        if isinstance(value, dict | str) and value:
            items.append(_clean(value))
    return items, False


def _next_object(text: str, at: int) -> int:
    """Where the next object begins that is an item, not a value inside one; -1 where there is none."""
    for match in re.compile(r'\{\s*"').finditer(text, at):
        before = match.start() - 1
        while before >= at and text[before].isspace():
            before -= 1
        if before >= at and text[before] in "}],":
            return match.start()
    return -1


def _repaired(text: str) -> list[Item]:
    import json_repair

    try:
        value = cast(Any, json_repair.loads(text, skip_json_loads=True))
    except (ValueError, RecursionError, IndexError, TypeError):
        return []
    items = _items_of(value)
    return (
        [] if all(isinstance(item, str) for item in items) and not re.match(r'\s*\[\s*["\']', text) else items
    )


def _closes(text: str) -> bool:
    """Whether the outermost bracket is closed, strings left aside."""
    depth, in_string, escaped = 0, False, False
    for character in re.findall(r'[\[\]{}"]|\\.', text, re.DOTALL):
        escaped = character[0] == "\\"
        if escaped:
            continue
        if character == '"':
            in_string = not in_string
        elif not in_string:
            depth += 1 if character in "[{" else -1
            if depth == 0:
                return True
    return False
