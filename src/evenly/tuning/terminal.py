"""A search on a terminal: a live table of the trials, lines for a log, the space, and what was found."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from evenly.evaluation.metrics import HEADLINE
from evenly.tuning.entries import changes
from evenly.tuning.space import Space, shown_value
from evenly.tuning.studies import Trial
from evenly.tuning.workbench import NONE, Moment
from evenly.wording import decimal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: Trials that are shown beside the best one.
_ROWS = 12


class TrialTable:
    """The references, the best trial and the last ones, as a table for `rich.live.Live`."""

    def __init__(self, space: Space, metric: str, title: str) -> None:
        self._space = space
        self._metric = HEADLINE[metric].label
        self._title = title
        self._references: dict[str, Trial] = {}
        self._trials: list[Trial] = []
        self._now = Moment("")
        self._began = time.monotonic()

    def update(self, moment: Moment) -> None:
        """Take in what has happened."""
        self._now = moment
        if moment.trial is None:
            return
        self._now = Moment("")
        if moment.trial.number:
            self._trials.append(moment.trial)
        else:
            self._references[moment.doing] = moment.trial

    def line(self, moment: Moment) -> str:
        """One line for a log when a trial has ended; empty for other moments."""
        trial = moment.trial
        if trial is None:
            return ""
        name = _name(moment.doing)
        if trial.value is None:
            return f"{name}: failed: {trial.reason}"
        what = f"  {self._changes(trial)}" if trial.number else ""
        return f"{name}: {self._metric} {decimal(trial.value)}{what}"

    def __rich__(self) -> Table:
        from rich import box
        from rich.markup import escape
        from rich.table import Table

        elapsed = time.monotonic() - self._began
        number = f"{len(self._trials)} trials, " if self._trials else ""
        title = f"{self._title}: {number}{elapsed // 60:.0f} min {elapsed % 60:02.0f} s"
        table = Table(
            title=escape(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
        )
        table.add_column("trial", no_wrap=True)
        table.add_column(self._metric, justify="right", no_wrap=True)
        table.add_column("gain", justify="right", no_wrap=True)
        table.add_column("what is other than in the recipe", ratio=1)
        for doing, trial in self._references.items():
            table.add_row(_name(doing), decimal(trial.value or 0.0), self._gain(trial), "", style="dim")
        best = self._best()
        left_out = max(0, len(self._trials) - _ROWS)
        rows = ([best] if best in self._trials[:left_out] and best else []) + self._trials[left_out:]
        for trial in rows:
            value = "" if trial.value is None else decimal(trial.value)
            told = (
                f"[red]failed:[/red] {escape(trial.reason)}" if trial.reason else escape(self._changes(trial))
            )
            style = "bold green" if trial is best else ""
            table.add_row(str(trial.number), value, self._gain(trial), told, style=style)
        if self._now.doing:
            seed = "" if self._now.seed is None else f"seed {self._now.seed} "
            table.add_row(_name(self._now.doing).removeprefix("trial "), "…", "", f"{seed}{self._now.stage}")
        return table

    def _best(self) -> Trial | None:
        known = [trial for trial in self._trials if trial.value is not None]
        return max(known, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)

    def _gain(self, trial: Trial) -> str:
        start = self._references.get("as it is")
        if start is None or start.value is None or trial.value is None or trial is start:
            return ""
        difference = trial.value - start.value
        return f"{'+' if difference > 0 else ''}{decimal(difference)}"

    def _changes(self, trial: Trial) -> str:
        found = changes(self._space, trial.assignment)
        return ", ".join(f"{key} {shown_value(value)}" for key, value in found.items()) or "nothing"


def print_space(space: Space, console: Console | None = None) -> None:
    """Print what varies, from what, and between what."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("setting", "now", "varies over"):
        table.add_column(name, no_wrap=name == "setting")
    for setting in space:
        now = "null" if setting.current is None else shown_value(setting.current)
        table.add_row(escape(setting.key), escape(now), escape(setting.shown))
    (console or _console()).print(table)


def print_verdicts(sentences: list[str], console: Console | None = None) -> None:
    """Print what was found."""
    from rich.markup import escape

    console = console or _console()
    console.print()
    for sentence in sentences:
        console.print(f"• {escape(sentence)}", highlight=False)


def _name(doing: str) -> str:
    return "no balancing" if doing == NONE else doing


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 160)
