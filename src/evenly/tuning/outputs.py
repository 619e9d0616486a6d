"""What a search found, for people: the verdict, a live table, the recipe for params.yaml, the trials."""

from __future__ import annotations

import io
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenly.comparison.findings import ALPHA
from evenly.console import ResultsTable, output_console, points, results_table
from evenly.evaluation.intervals import Interval
from evenly.evaluation.metrics import HEADLINE
from evenly.files import write_csv
from evenly.tuning.candidates import Candidate, Origin, put
from evenly.tuning.search import Confirmed, Searched
from evenly.tuning.space import Space, value_text
from evenly.tuning.studies import Trial
from evenly.tuning.workbench import Moment
from evenly.wording import clock, decimal, signed_decimal

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Result:
    """A search with everything that is known of its best recipe."""

    #: What was searched for, and with which seeds.
    metric: str
    seeds: tuple[int, ...]
    searched: Searched  # The trials
    #: Gain of the best over the recipe as it is on the rows that chose it, and of the choice on rows that it
    #: did not see; None where the recipe as it is is the best.
    apparent: Interval | None = None
    corrected: Interval | None = None
    confirmed: Confirmed | None = None  # The two on new seeds; None where that was not asked for

    @property
    def holds(self) -> bool:
        """Whether the best is better than the recipe as it is by more than chance, choice included."""
        if self.confirmed is not None and self.confirmed.gain is not None:
            gain = self.confirmed.gain
            return gain.low > 0 and gain.p_value < ALPHA
        return self.corrected is not None and self.corrected.low > 0


def verdicts(result: Result) -> list[str]:
    """Say what a search shows, the most important first."""
    searched, best = result.searched, result.searched.best
    label = HEADLINE[result.metric].label
    start = decimal(searched.start.value or 0.0)
    none = "" if searched.none is None else f"; no balancing has {decimal(searched.none)}"
    number = len(searched.with_value) - 1
    above = searched.none is not None and searched.none > (best.value or 0.0)
    if above:
        none += ", more than any of them: balancing may not be what this data needs"
    if best.number == 0:
        others = [trial.value for trial in searched.trials if trial.value is not None]
        other = decimal(max(others)) if others else "unknown"
        return [
            f"Nothing is better than the recipe as it is: {label} on validation rows {start}, the best of "
            f"the {number} others {other}{none}."
        ]
    sentences = [
        f"Best of {number}: trial {best.number}, {label} on validation rows {decimal(best.value or 0.0)}; "
        f"the recipe as it is has {start}{none}.",
        _remark(result),
    ]
    if result.apparent is not None:
        sentences.append(
            f"On the rows that chose it, the gain is {_gain(result.apparent)}: too good, because the best of "
            f"{number} is also the luckiest."
        )
    if result.corrected is not None:
        sentences.append(
            f"With the choice repeated in every resample of these rows and judged on those left out, it is "
            f"{_gain(result.corrected)}."
        )
    return sentences


def _remark(result: Result) -> str:
    """The one sentence that says what may be claimed."""
    confirmed = result.confirmed
    if confirmed is not None and confirmed.gain is None:
        return (
            f"It could not be confirmed: fewer than two new seeds have finished. {confirmed.reason}".strip()
            + (" " + _by_correction(result))
        )
    if confirmed is None or confirmed.gain is None:
        return _by_correction(result)
    gain = confirmed.gain
    where = f"on {gain.pairs} new seeds it gains {signed_decimal(gain.mean)}"
    if gain.low == gain.high:
        same = "nothing" if gain.mean == 0 else f"{signed_decimal(gain.mean)} in each"
        return (
            f"Inside the noise: on {gain.pairs} new seeds it gains {same}, so that nothing says that it is "
            "better than the recipe as it is."
        )
    ends = f"(95% {decimal(gain.low)} to {decimal(gain.high)})"
    if result.holds:
        return f"It holds up: {where} {ends}."
    if gain.high < 0:
        return f"It does not hold up: {where} {ends}; keep the recipe as it is."
    return (
        f"Inside the noise: {where} {ends}, which may as well be nothing; keep the recipe as it is, or "
        "confirm on more seeds."
    )


def _by_correction(result: Result) -> str:
    if result.corrected is None:
        return "Nothing is known of its noise."
    if result.holds:
        return (
            f"Beyond the noise of these validation rows: {_gain(result.corrected)} after correction for the "
            "choice; --confirm 3 tells whether new seeds agree."
        )
    return (
        f"Inside the noise: after correction for the choice the gain is {_gain(result.corrected)}, which may "
        "as well be nothing."
    )


def _gain(interval: Interval) -> str:
    return f"{signed_decimal(interval.value)} (95% {decimal(interval.low)} to {decimal(interval.high)})"


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
        name = moment.doing
        if trial.value is None:
            return f"{name}: failed: {trial.reason}"
        what = f"  {self._changes(trial)}" if trial.number else ""
        return f"{name}: {self._metric} {decimal(trial.value)}{what}"

    def __rich__(self) -> ResultsTable:
        from rich.markup import escape

        number = f"{len(self._trials)} trials, " if self._trials else ""
        title = f"{self._title}: {number}{clock(time.monotonic() - self._began)}"
        table = results_table(escape(title), "trial", self._metric, "gain")
        table.add_prose("what is other than in the recipe")
        for doing, trial in self._references.items():
            table.add_row(doing, decimal(trial.value or 0.0), self._gain(trial), "", style="dim")
        known = [trial for trial in self._trials if trial.value is not None]
        best = max(known, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)
        left_out = max(0, len(self._trials) - _ROWS)
        rows = ([best] if best in self._trials[:left_out] and best else []) + self._trials[left_out:]
        for trial in rows:
            value = "" if trial.value is None else decimal(trial.value)
            what = escape(self._changes(trial))
            if trial.reason:
                what = f"[red]failed:[/red] {escape(trial.reason)}"
            style = "bold green" if trial is best else ""
            table.add_row(str(trial.number), value, self._gain(trial), what, style=style)
        if self._now.doing:
            seed = "" if self._now.seed is None else f"seed {self._now.seed} "
            table.add_row(self._now.doing.removeprefix("trial "), "…", "", f"{seed}{self._now.stage}")
        return table

    def _gain(self, trial: Trial) -> str:
        start = self._references.get("as it is")
        if start is None or start.value is None or trial.value is None or trial is start:
            return ""
        difference = trial.value - start.value
        return f"{'+' if difference > 0 else ''}{decimal(difference)}"

    def _changes(self, trial: Trial) -> str:
        found = changes(self._space, trial.assignment)
        return ", ".join(f"{key} {value_text(value)}" for key, value in found.items()) or "nothing"


def print_space(space: Space, console: Console | None = None) -> None:
    """Print what varies, from what, and between what."""
    from rich.markup import escape

    table = results_table(None, "setting")
    for name in ("now", "varies over"):
        table.add_prose(name)
    for setting in space:
        now = "null" if setting.current is None else value_text(setting.current)
        table.add_row(escape(setting.key), escape(now), escape(setting.as_text))
    (console or output_console()).print(table)


def print_verdicts(sentences: list[str], console: Console | None = None) -> None:
    """Print what was found."""
    console = console or output_console()
    console.print()
    console.print(points(sentences))


def entry_name(origin: Origin) -> str:
    """A name for the tuned recipe that params.yaml does not have yet: `smote_tuned`, `smote_tuned_2`, …"""
    taken = {*(origin.values.get("recipes") or {}), *(origin.values.get("policies") or {})}
    names = (f"{origin.name}_tuned{'' if i == 1 else f'_{i}'}" for i in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def entry(origin: Origin, candidate: Candidate, remarks: Sequence[str]) -> str:
    """Write a recipe, its policy and other settings as YAML for params.yaml, below `remarks` as comments."""
    from ruamel.yaml import YAML

    name = entry_name(origin)
    recipe, policy = origin.named(candidate, name)
    content: dict[str, Any] = {}
    for key, value in candidate.settings.items():
        put(content, key, value)
    if policy is not None:
        content["policies"] = {name: policy}
    content["recipes"] = {name: {"description": f"{origin.name}, tuned on {origin.params.dataset}", **recipe}}
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 110
    stream = io.StringIO()
    yaml.dump(content, stream)
    comments = [line for remark in remarks for line in textwrap.wrap(remark, 108)]
    return "".join(f"# {line}\n" for line in comments) + stream.getvalue()


def write_trials(space: Space, searched: Searched, metric: str, path: Path) -> None:
    """Write all trials as CSV: number, the metric, every setting, and why a trial failed."""
    rows = []
    for trial in (searched.start, *searched.trials):
        values = [value_text(trial.assignment[setting.key]) for setting in space]
        value = None if trial.value is None else repr(trial.value)
        rows.append([trial.number, value, *values, trial.reason, " ".join(trial.names)])
    settings = (setting.key for setting in space)
    write_csv(path, ["trial", f"validation_{metric}", *settings, "failed", "experiments"], rows)


def changes(space: Space, assignment: Mapping[str, Any]) -> dict[str, Any]:
    """What an assignment changes, by key."""
    return {s.key: assignment[s.key] for s in space if assignment[s.key] != s.current}
