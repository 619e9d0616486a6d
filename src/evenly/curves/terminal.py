"""Curves on a terminal: tables of seeds and steps, the last of them the means, and what they say."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from evenly.curves.findings import METRIC_LABELS, SOURCE_LABELS, Curve, Curves, sentences
from evenly.curves.outputs import seed_rows
from evenly.wording import decimal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_curves(curves: Curves, heading: str, brief: bool = False, console: Console | None = None) -> None:
    """Print a table for each classifier, rows = seeds with mean and standard deviation, columns = steps.

    Parameters
    ----------
    curves
        What to print.
    heading
        What the curves are of, and what varies.
    brief
        Means and deviations only.
    console
        Where to; None takes the standard output.
    """
    from rich.console import Console
    from rich.markup import escape

    console = console or Console(width=None if sys.stdout.isatty() else 130, highlight=False)
    console.print(f"\n[bold]{METRIC_LABELS[curves.metric]} over synthetic volume[/bold]\n{escape(heading)}\n")
    steps = sorted({step for curve in curves.curves for step in curve.steps})
    for variant in curves.variants:
        table = _table(escape(variant.title), steps)
        for curve in curves.of(variant):
            _add(table, curve, steps, brief)
        console.print(table)
    for sentence in sentences(curves):
        console.print(f"• {escape(sentence)}")
    console.print()


def _add(table: Table, curve: Curve, steps: list[int], brief: bool) -> None:
    place = {step: i for i, step in enumerate(curve.steps)}
    source = SOURCE_LABELS[curve.source]
    if brief:
        pairs = list(zip(curve.mean.tolist(), curve.deviation.tolist(), strict=True))
        cells = (
            f"{decimal(pairs[place[s]][0])} ± {decimal(pairs[place[s]][1])}" if s in place else ""
            for s in steps
        )
        table.add_row(source, f"{len(curve.seeds)} seeds", *cells)
        return
    for number, (name, values) in enumerate(seed_rows(curve)):
        cells = (decimal(values[place[step]]) if step in place else "" for step in steps)
        style = "bold" if name == "mean" else None
        table.add_row("" if number else source, name, *cells, style=style, end_section=name == "sd")


def _table(title: str, steps: list[int]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("rows added", no_wrap=True)
    table.add_column("seed", justify="right", no_wrap=True)
    for step in steps:
        table.add_column(f"+{step:,}" if step else "none", justify="right", no_wrap=True)
    return table
