"""Pieces of sentences and tables of many rooms: lists of names, counts, numbers, Markdown tables."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

# What Markdown or HTML would take for its own in a table's cell.
_ESCAPES = str.maketrans(
    {letter: f"\\{letter}" for letter in "\\`*_{}[]|~$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
)
# A spreadsheet would calculate a cell that begins so, behind apostrophes or not once they are taken off.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|-?(inf|nan)", re.ASCII)
_BARE_PIPE = re.compile(r"(?<!\\)\|")


def sentence_list(parts: Sequence[str]) -> str:
    """Give parts as a sentence lists them: `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def first_names(names: Iterable[str], most: int = 10, form: str = "{}") -> str:
    """List up to `most` names, each in `form` (`{!r}`, "`{}`"), and say how many more there are."""
    texts = [form.format(name) for name in names]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def counted(number: int, one: str, many: str | None = None) -> str:
    """Give a number with its noun: `1 row`, `2,000 rows`, `3 classes`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def near_names(name: str, known: Iterable[str], most: int = 1) -> list[str]:
    """Give the names that a mistyped one may stand for, the nearest first; most often there is none.

    They differ in one letter of five or so, in letters that have changed places, or in case and hyphens. They
    begin alike, unless the first letter is missing or misplaced. Names that are numbered or lettered
    (`class_1`, `class b`) do not stand for each other.
    """
    wanted, counter = _folded(name), _COUNTERS.findall(_folded(name))
    alike: list[tuple[float, str]] = []
    for one in known:
        other = _folded(str(one))
        score = difflib.SequenceMatcher(None, wanted, other).ratio()
        swapped = sorted(wanted) == sorted(other)
        begins = wanted[:1] == other[:1] or wanted == other[1:] or swapped
        if score < (0.7 if swapped else 0.8) or not begins:
            continue
        others = _COUNTERS.findall(other)
        if not counter or not others or counter == others:
            alike.append((-score, one))
    return [one for _, one in sorted(alike, key=lambda pair: pair[0])[:most]]


# What tells the members of a series apart: numbers, and letters that stand alone.
_COUNTERS = re.compile(r"\d+|(?<![^\W_])[^\W\d_](?![^\W_])")


def _folded(name: str) -> str:
    return name.casefold().replace("-", "_")


def nearest_names(name: str, known: Iterable[str], most: int = 1) -> str:
    """Give the hint for a mistyped name: `did you mean 'smote'?`, or the names there are."""
    known = list(known)
    near = near_names(name, known, most)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {first_names(known, 20)}."


def first_line(error: BaseException) -> str:
    """Give the first line of what an error says, without a full stop; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def clock(seconds: float) -> str:
    """Give time that has passed, in whole seconds that are over: `45 s`, `11 min 05 s`, `1 h 02 min 03 s`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min {rest:02} s"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def duration(seconds: float) -> str:
    """Give time that something will take, as exactly as it is known: `45 s`, `12 min`, `1.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def decimal(value: float, digits: int = 3) -> str:
    """Give a number as papers print it: `.053`, `−.012`, `1.204`."""
    text = f"{abs(value):.{digits}f}"
    text = text[1:] if text.startswith("0.") else text
    return f"−{text}" if value < 0 and text.strip(".0") else text


def signed_decimal(value: float) -> str:
    """Give a difference as `decimal` does, with a plus where it is one."""
    text = decimal(value)
    return text if text.startswith("−") or not text.strip(".0") else f"+{text}"


def csv_cell(value: Any) -> Any:
    """Give a value for a CSV file: floats with six significant digits, None empty, other numbers as they are.

    Text that a spreadsheet would calculate gets an apostrophe before it.
    """
    if isinstance(value, str):
        return f"'{value}" if _FORMULA.match(value) and not _NUMBER.fullmatch(value) else value
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else value


def csv_text(cell: str) -> str:
    """Give the text that `csv_cell` made a cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def markdown_table(
    columns: Sequence[str], rows: Iterable[Sequence[str | None]], text_columns: Collection[str] = ()
) -> str:
    """Lay out a table whose cells are Markdown; the first and `text_columns` are text, the rest numbers."""
    text = {columns[0], *text_columns}
    lines = ["| " + " | ".join(columns) + " |"]
    lines.append("".join("|---" if column in text else "|---:" for column in columns) + "|")
    for row in rows:
        cells = ("" if cell is None else _BARE_PIPE.sub(r"\\|", " ".join(cell.split())) for cell in row)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def markdown_code(text: str) -> str:
    """Give data as code in a line of Markdown, whatever backticks it has."""
    text = " ".join(text.split())
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{ticks}{text}{ticks}" if len(ticks) == 1 else f"{ticks} {text} {ticks}"


def markdown_text(text: str) -> str:
    """Give data as one line of a Markdown cell, none of it taken for Markdown or HTML."""
    return " ".join(text.translate(_ESCAPES).split())
