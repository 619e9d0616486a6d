"""The one look of tables on a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def output_console(width: int = 160) -> Console:
    """Give what prints to standard output: as wide as the terminal, `width` where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else width, highlight=False)


def results_table(title: str | None, first: str | None = None, *numbers: str) -> Table:
    """Give an empty table: a column of names, and columns of numbers, none of them wrapped.

    Parameters
    ----------
    title
        Markup of rich.
    first
        The column of names; None adds no column at all.
    numbers
        Right-aligned columns.
    """
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    if first is not None:
        table.add_column(first, no_wrap=True)
    for column in numbers:
        table.add_column(column, justify="right", no_wrap=True)
    return table
