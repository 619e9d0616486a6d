"""What commands print on a terminal: the one look of tables and lists, which fit whatever width there is."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType
    from rich.table import Table

#: A file or a pipe has no width: nothing is broken or left out there.
_NO_TERMINAL = 10_000
#: Cells that a column of prose has at least, and a name that does not fit.
_PROSE, _NAME = 24, 16
#: Cells between two columns.
_GAP = 2
#: Characters that a terminal obeys, and those that break a line.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def output_console() -> Console:
    """Give what prints to standard output, as wide as the terminal; only what is marked up has colour."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal() else _NO_TERMINAL
    return Console(width=width, highlight=False, emoji=False)


@dataclass
class _Column:
    header: str
    kind: str
    least: int = 0
    cells: list[str] = field(default_factory=list)


@dataclass
class ResultsTable:
    """A table that fits: names are never wrapped, and where there is no room columns on the right go first.

    A name is cut, in its middle, only where it has no room beside the first number. Headers that are left out
    are named below the table. Titles and cells are markup of rich.
    """

    title: str | None = None
    #: Where to find what a narrow terminal leaves out, as the end of a sentence.
    elsewhere: str = "a wider terminal shows it"
    _columns: list[_Column] = field(default_factory=list)
    _styles: list[tuple[str, bool]] = field(default_factory=list)

    def add_names(self, *headers: str) -> None:
        """Add the columns that say what a row is about; they come first, and stay."""
        self._columns += [_Column(header, "name") for header in headers]

    def add_numbers(self, *headers: str) -> None:
        """Add columns that are aligned right."""
        self._columns += [_Column(header, "number") for header in headers]

    def add_words(self, *headers: str) -> None:
        """Add columns of single words."""
        self._columns += [_Column(header, "word") for header in headers]

    def add_prose(self, header: str, *, one_line: bool = False) -> None:
        """Add a column of sentences, which are wrapped; those of one line are cut at its end."""
        self._columns.append(_Column(header, "line" if one_line else "prose", _PROSE))

    def add_row(self, *cells: str, style: str = "", end_section: bool = False) -> None:
        """Add a row, a cell for each column."""
        for column, cell in zip(self._columns, cells, strict=True):
            column.cells.append(_CONTROLS.sub(" ", cell))
        self._styles.append((style, end_section))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Lay it out for the width there is."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        columns = ([column.header, *column.cells] for column in self._columns)
        natural = [max(1, *(console.render_str(cell).cell_len for cell in cells)) for cells in columns]
        widths = _fitting(self._columns, natural, options.max_width)
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, _GAP - 1, 0, 0), pad_edge=False)
        shown: list[list[str]] = []
        for column, wanted, width in zip(self._columns, natural, widths, strict=False):
            right: JustifyMethod = "right" if column.kind == "number" else "left"
            table.add_column(column.header, justify=right, no_wrap=column.kind != "prose", width=width)
            cut = column.kind == "name" and width < wanted
            shown.append(_cut_names(column.cells, width, console) if cut else column.cells)
        for cells, (style, end_section) in zip(zip(*shown, strict=True), self._styles, strict=True):
            table.add_row(*cells, style=style, end_section=end_section)
        if self.title:
            yield Text.from_markup(self.title, style="bold", emoji=False)
        yield table
        if left_out := [column.header for column in self._columns[len(widths) :]]:
            yield Text(f"No room for {' · '.join(left_out)}: {self.elsewhere}.", style="dim")
        yield ""


def results_table(title: str | None, first: str, *numbers: str) -> ResultsTable:
    """Give an empty table of a column of names and columns of numbers; `title` is markup of rich."""
    table = ResultsTable(title)
    table.add_names(first)
    table.add_numbers(*numbers)
    return table


def listing(rows: Iterable[Sequence[RenderableType]], *, first_style: str = "") -> Table:
    """Give rows of short words and a sentence, which is wrapped beside them."""
    from rich.table import Table

    found = list(rows)
    table = Table.grid(padding=(0, 1))
    for _ in range(max(map(len, found), default=1) - 1):
        table.add_column(no_wrap=True, style=first_style)
    table.add_column(overflow="fold")
    for row in found:
        table.add_row(*row)
    return table


def points(sentences: Iterable[str]) -> Table:
    """Give sentences as a list of points; nothing in them is markup."""
    from rich.text import Text

    return listing(("•", Text(_CONTROLS.sub(" ", sentence))) for sentence in sentences)


def _fitting(columns: Sequence[_Column], natural: Sequence[int], room: int) -> list[int]:
    """Widths of the columns that fit: prose takes what is left over; what is missing is cut from names."""
    least = [min(width, column.least or width) for column, width in zip(columns, natural, strict=True)]
    names = next((k for k, column in enumerate(columns) if column.kind != "name"), len(columns))
    shown = len(columns)
    while shown > names + 1 and sum(least[:shown]) + _GAP * (shown - 1) > room:
        shown -= 1
    widths = least[:shown]
    spare = room - sum(widths) - _GAP * (shown - 1)
    shrunk = sorted((k for k in range(shown) if natural[k] > least[k]), key=lambda k: natural[k])
    for place, k in enumerate(shrunk):
        more = min(natural[k] - least[k], max(0, spare) // (len(shrunk) - place))
        widths[k] += more
        spare -= more
    while spare < 0 and max(widths[:names], default=0) > _NAME:
        widths[max(range(names), key=lambda k: widths[k])] -= 1
        spare += 1
    return widths


def _cut_names(cells: Sequence[str], width: int, console: Console) -> list[str]:
    """Cut what is too long in its middle, where the cut names can be told apart if there is such a place."""
    from rich.cells import cell_len
    from rich.markup import escape

    names = [console.render_str(cell).plain for cell in cells]

    def cut(name: str, head: int) -> str:
        if cell_len(name) <= width:
            return name
        start = next(k for k in range(len(name), -1, -1) if cell_len(name[:k]) <= head)
        end = next(k for k in range(len(name) + 1) if cell_len(name[k:]) <= width - 1 - head)
        return f"{name[:start]}…{name[end:]}"

    different = len(set(names))
    heads = sorted(range(width), key=lambda head: abs(2 * head - width))
    ways = [[cut(name, head) for name in names] for head in heads]
    best = next((way for way in ways if len(set(way)) == different), ways[0])
    return [escape(name) for name in best]
