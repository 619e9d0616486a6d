"""Sweeps and comparisons on a terminal: a live table of the runs, leaderboards, and verdicts."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evenly.comparison.findings import Comparison, Leaderboard
from evenly.comparison.recommendation import recommendations
from evenly.comparison.tables import across_columns, across_rows, leaderboard_columns
from evenly.comparison.verdicts import verdicts, verdicts_over_data_sets
from evenly.experiments.experiments import Experiment
from evenly.experiments.sweeping import Event

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: Characters of a technique's name in a line.
_NAME_WIDTH = 36


class SweepTable:
    """What has become of each technique's runs, as a table for `rich.live.Live`."""

    def __init__(self, experiments: Sequence[Experiment]) -> None:
        self._rows = list(dict.fromkeys((e.dataset, e.technique.label) for e in experiments))
        self._total = Counter((e.dataset, e.technique.label) for e in experiments)
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._running: dict[str, tuple[tuple[str, str], int, str]] = {}
        self._seconds: dict[tuple[str, str], list[float]] = {}
        self._reasons: dict[tuple[str, str], str] = {}
        self._began = time.monotonic()

    @property
    def settled(self) -> int:
        """Runs that are finished, were finished, or have failed."""
        return sum(self._counts.values())

    def update(self, event: Event) -> None:
        """Take in what has happened."""
        experiment = event.experiment
        row = experiment.dataset, experiment.technique.label
        if event.status in ("started", "running"):
            self._running[experiment.name] = row, experiment.seed, event.stage
            return
        self._running.pop(experiment.name, None)
        self._counts[(*row, event.status)] += 1
        if event.status == "done":
            self._seconds.setdefault(row, []).append(event.seconds)
        if event.status == "failed":
            self._reasons[row] = event.reason

    def __rich__(self) -> Table:
        from rich.markup import escape

        total = sum(self._total.values())
        elapsed = time.monotonic() - self._began
        table = _table(f"{self.settled} of {total} runs, {elapsed / 60:.0f} min {elapsed % 60:02.0f} s")
        several = len({dataset for dataset, _ in self._rows}) > 1
        for name in (["data set"] if several else []) + ["technique"]:
            table.add_column(name, no_wrap=True)
        for name in ("done", "were there", "failed", "mean s"):
            table.add_column(name, justify="right", min_width=len(name))
        table.add_column("now", no_wrap=True)
        for row in self._rows:
            counts = [self._counts[(*row, status)] for status in ("done", "cached", "failed")]
            now = [f"seed {seed} {stage}" for at, seed, stage in self._running.values() if at == row]
            seconds = self._seconds.get(row)
            cells = [*([escape(row[0])] if several else []), escape(row[1])]
            cells += [str(count) if count else "" for count in counts]
            cells.append(f"{sum(seconds) / len(seconds):.0f}" if seconds else "")
            whole = sum(counts) == self._total[row]
            state = ", ".join(now) or self._reasons.get(row) or ("[green]ready[/green]" if whole else "")
            cells.append(state if state.startswith("[green]") else escape(state))
            table.add_row(*cells)
        return table


def event_line(event: Event, settled: int, total: int) -> str:
    """One line for a log, when a run has ended; empty for other events."""
    name = f"{event.experiment.dataset} {event.experiment.technique.label} seed {event.experiment.seed}"
    if event.status == "done":
        return f"[{settled}/{total}] {name}: {event.seconds:.0f} s"
    if event.status == "failed":
        return f"[{settled}/{total}] {name}: failed: {event.reason}"
    return ""


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print the leaderboards, what they say, and at the end what to take."""
    from rich.console import Console
    from rich.markup import escape

    console = console or Console(width=None if sys.stdout.isatty() else 160)
    for board in comparison.leaderboards:
        console.print()
        console.print(_leaderboard(board))
        for verdict in verdicts(board):
            console.print(f"• {escape(verdict)}")
    across = comparison.across
    if across is not None:
        table = _table("Over data sets")
        for i, name in enumerate(across_columns(across)):
            table.add_column(escape(name), justify="right" if i else "left")
        for row in across_rows(across):
            table.add_row(*(escape(cell or "") for cell in row))
        console.print()
        console.print(table)
        for verdict in verdicts_over_data_sets(across):
            console.print(f"• {escape(verdict)}")
    for failure in comparison.failures:
        console.print(f"[red]failed[/red] {escape(failure.name)}: {escape(failure.reason)}")
    console.print()
    for sentence in recommendations(comparison):
        console.print(f"{escape(sentence)}\n", style="bold")


def _leaderboard(board: Leaderboard) -> Table:
    from rich.markup import escape

    table = _table(escape(board.field.title))
    columns = leaderboard_columns(board)
    for i, name in enumerate(columns):
        # Only names of techniques, which may bring settings along, are broken: numbers are not.
        if i:
            table.add_column(name, justify="right", no_wrap=True)
        else:
            table.add_column(name, overflow="fold", max_width=_NAME_WIDTH)
    for standing in board.standings:
        cells = [escape(cell(standing) or "") for cell in columns.values()]
        table.add_row(*(_bold(cell) for cell in cells))
    return table


def _bold(cell: str) -> str:
    """Markdown's bold as that of rich."""
    first, *rest = cell.split("**")
    return first if len(rest) != 2 else f"{first}[bold]{rest[0]}[/bold]{rest[1]}"


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
