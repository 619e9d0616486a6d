"""Runs experiments as DVC experiments, several at a time, each in a temporary checkout of its own, and shows
how they get on.

What has finished is known from DVC alone, so that a sweep that was killed goes on where it was. A run that
fails is an outcome with a reason, and the others go on.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evenly.console import ResultsTable
from evenly.errors import DataError
from evenly.experiments import lockfile, supervisor
from evenly.experiments.experiments import Experiment
from evenly.experiments.history import Revision, clear_interrupted, experiment_revisions
from evenly.experiments.ledger import FOLDER, progress_file, record_cost
from evenly.files import write_json
from evenly.wording import clock

Status = Literal["cached", "started", "running", "done", "failed"]
_POLL_S = 0.2
#: Two processes can meet at one of DVC's locks; the later one gives up, and is started again.
_LOCKED = re.compile(r"Unable to acquire lock|is busy, it is being|index\.lock|cannot lock ref")
_TRIES = 3
#: Of more runs at once, a technique's line in the table shows how many are in which stage.
_NAMED = 4
_STAGE = re.compile(r"^Running stage '(\w+)'", re.MULTILINE)


@dataclass(frozen=True)
class Event:
    """What has become of an experiment: the stage it is in, its seconds so far, why it failed."""

    experiment: Experiment
    status: Status
    stage: str = ""
    seconds: float = 0.0
    reason: str = ""


@dataclass
class _Running:
    experiment: Experiment
    process: subprocess.Popen[bytes]
    log: Path
    logs: Path
    began: float
    tries: int = 1
    stage: str = ""


def run_experiments(
    root: Path, experiments: Sequence[Experiment], *, jobs: int, watch: Callable[[Event], None]
) -> dict[str, str]:
    """Run the experiments that DVC does not have yet, `jobs` at once; the reasons of failures by name.

    `watch` is called with all that happens. Of experiments that share expensive work, one runs first. When
    this is interrupted or killed, the runs in progress are ended, and nothing of them stays.
    """
    clear_interrupted(root)
    finished = experiment_revisions(root)
    cached = [experiment for experiment in experiments if experiment.name in finished]
    waiting = [experiment for experiment in experiments if experiment.name not in finished]
    for experiment in cached:
        watch(Event(experiment, "cached"))
    if waiting:
        _refuse_uncommitted(root)
    work_done = {key for experiment in cached for key in experiment.shared}
    running: list[_Running] = []
    failures: dict[str, str] = {}
    try:
        while waiting or running:
            while len(running) < jobs and (
                chosen := next_experiment(waiting, [run.experiment for run in running], work_done)
            ):
                waiting.remove(chosen)
                running.append(_start(root, chosen))
                watch(Event(chosen, "started"))
            time.sleep(_POLL_S)
            for run in list(running):
                if run.process.poll() is None:
                    _tell_stage(run, watch)
                    continue
                running.remove(run)
                reason = _end(root, run)
                if reason and run.tries < _TRIES and _LOCKED.search(_text(run.log)):
                    running.append(_start(root, run.experiment, run.tries + 1))
                    continue
                seconds = time.monotonic() - run.began
                work_done |= run.experiment.shared
                if reason:
                    failures[run.experiment.name] = reason
                    watch(Event(run.experiment, "failed", seconds=seconds, reason=reason))
                else:
                    watch(Event(run.experiment, "done", seconds=seconds))
    finally:
        for run in running:  # closing the supervisor's input ends it with all that it has started
            run.process.communicate()
        if running:  # else `dvc exp show` would call them running
            clear_interrupted(root)
    return failures


def _refuse_uncommitted(root: Path) -> None:
    """A run gets what git knows: without a commit, or a pipeline in git, it would get nothing."""
    for question, lacks in (
        (["rev-parse", "--verify", "HEAD"], "has no commit yet"),
        (["ls-files", "--error-unmatch", "dvc.yaml"], "has a dvc.yaml that git does not know"),
    ):
        if subprocess.run(["git", *question], cwd=root, capture_output=True).returncode:
            raise DataError(
                f"{root.resolve()} {lacks}, and experiments start from a commit: `git add` the files of the "
                "pipeline and commit them, then run this again."
            )


@contextmanager
def recorded_progress(
    root: Path, sweep: str, watch: Callable[[Event], None]
) -> Iterator[Callable[[Event], None]]:
    """Give a function that hands events on to `watch`, and keeps for `read_progress` what is running, and
    what has failed; a lock says that this process is there.
    """
    import fcntl

    path, running, failures = progress_file(root, sweep), dict[str, str](), dict[str, str]()

    def note(event: Event) -> None:
        name = event.experiment.name
        running.pop(name, None)
        if event.status in ("started", "running"):
            running[name] = event.stage
        if event.status == "failed":
            failures[name] = event.reason
        if event.status != "cached":
            write_json({"running": running, "failures": failures}, path)
        watch(event)

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        write_json({"running": {}, "failures": {}}, path)
        yield note


def next_experiment(
    waiting: Sequence[Experiment], running: Sequence[Experiment], work_done: set[str]
) -> Experiment | None:
    """Choose the first experiment that would not do what one in progress is doing."""
    busy = {key for experiment in running for key in experiment.shared if key not in work_done}
    return next((experiment for experiment in waiting if not experiment.shared & busy), None)


def log_file(root: Path, name: str) -> Path:
    """Where lies what an experiment has printed; its stages' measurements are in the folder beside it."""
    return root / FOLDER / "logs" / f"{name}.txt"


def _start(root: Path, experiment: Experiment, tries: int = 1) -> _Running:
    log = log_file(root, experiment.name)
    logs = log.with_suffix("")
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    options = ["--temp", "--name", experiment.name]
    command = [sys.executable, "-I", str(Path(supervisor.__file__).resolve())]
    command += lockfile.command(options, experiment.overrides, experiment.until)
    with log.open("wb") as output:
        # A session of its own: Ctrl-C in the terminal reaches the sweep alone, which then ends its runs.
        process = subprocess.Popen(
            command,
            cwd=root,
            env=lockfile.environment(logs.resolve()),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return _Running(experiment, process, log, logs, time.monotonic(), tries)


def _tell_stage(run: _Running, watch: Callable[[Event], None]) -> None:
    stages = _STAGE.findall(_text(run.log))
    if stages and stages[-1] != run.stage:
        run.stage = stages[-1]
        watch(Event(run.experiment, "running", run.stage, time.monotonic() - run.began))


def _end(root: Path, run: _Running) -> str:
    """Record what a run that ended has cost; the reason where it has left no experiment."""
    run.process.communicate()
    commit = experiment_revisions(root).get(run.experiment.name)
    if commit is None:
        return failure_reason(_text(run.log), run.process.returncode)
    revision = Revision(root, run.experiment.name, commit)
    record_cost(root, run.experiment, revision, time.monotonic() - run.began, run.logs)
    return ""


def failure_reason(log: str, code: int | None) -> str:
    """Find in what a run printed the sentence that says why it failed.

    A stage says it itself, after its own name; otherwise it is the last exception, and then what DVC says.
    """
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    stage = (_STAGE.findall(log) or [""])[-1]
    for pattern in (_SENTENCE, _EXCEPTION, _DVC_ERROR):
        if found := next((match for line in reversed(lines) if (match := pattern.match(line))), None):
            return f"{stage}: {found[1]}" if stage and pattern is not _DVC_ERROR else found[1]
    return f"`dvc exp run` exited with {code}."


# An EvenlyError, as `stages.run` prints it: path of the stage, then the sentence.
_SENTENCE = re.compile(r"(?:\S*/)?stages[/.]\w+(?:\.py)?: (.+)")
_EXCEPTION = re.compile(r"([A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)\b(?:: .*)?)$")
_DVC_ERROR = re.compile(r"ERROR: (.+)")


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


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
    def _settled(self) -> int:
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

    def line(self, event: Event) -> str:
        """One line for a log, when a run has ended; empty for other events."""
        if event.status not in ("done", "failed"):
            return ""
        experiment = event.experiment
        result = f"{event.seconds:.0f} s" if event.status == "done" else f"failed: {event.reason}"
        name = f"{experiment.dataset} {experiment.technique.label} seed {experiment.seed}"
        return f"[{self._settled}/{sum(self._total.values())}] {name}: {result}"

    def __rich__(self) -> ResultsTable:
        from rich.markup import escape

        total = sum(self._total.values())
        elapsed = clock(time.monotonic() - self._began)
        table = ResultsTable(f"{self._settled} of {total} runs, {elapsed}")
        several = len({dataset for dataset, _ in self._rows}) > 1
        table.add_names(*(["data set"] if several else []), "technique")
        table.add_prose("now", one_line=True)
        table.add_numbers("done", "were there", "failed", "mean s")
        for row in self._rows:
            counts = [self._counts[(*row, status)] for status in ("done", "cached", "failed")]
            now = [f"seed {seed} {stage}" for at, seed, stage in self._running.values() if at == row]
            if len(now) > _NAMED:
                stages = Counter(stage or "started" for at, _, stage in self._running.values() if at == row)
                now = [f"{number} {stage}" for stage, number in stages.items()]
            seconds = self._seconds.get(row)
            cells = [*([escape(row[0])] if several else []), escape(row[1])]
            whole = sum(counts) == self._total[row]
            state = ", ".join(now) or self._reasons.get(row) or ("[green]ready[/green]" if whole else "")
            cells.append(state if state.startswith("[green]") else escape(state))
            cells += [str(count) if count else "" for count in counts]
            cells.append(f"{sum(seconds) / len(seconds):.0f}" if seconds else "")
            table.add_row(*cells)
        return table
