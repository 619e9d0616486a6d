"""Runs experiments as DVC experiments, several at a time, each in a temporary checkout of its own.

What has finished is known from DVC alone, so that a sweep that was killed goes on where it was. A run that
fails is an outcome with a reason, and the others go on.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evenly.experiments import supervisor
from evenly.experiments.experiments import Experiment
from evenly.experiments.history import Revision, experiment_revisions
from evenly.experiments.ledger import FOLDER, record_cost

Status = Literal["cached", "started", "running", "done", "failed"]
_POLL_S = 0.2
#: Two processes can meet at one of DVC's locks; the later one gives up, and is started again.
_LOCKED = re.compile(r"Unable to acquire lock|is busy, it is being|index\.lock|cannot lock ref")
_TRIES = 3
_STAGE = re.compile(r"^Running stage '(\w+)'", re.MULTILINE)


@dataclass(frozen=True)
class Event:
    """What has become of an experiment.

    `stage` is the one that is running, `seconds` how long the run took or has taken, `reason` why it failed.
    """

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
    """Run the experiments that DVC does not have yet.

    Of experiments that share expensive work, one runs first. When this is interrupted, the runs in progress
    are ended, and nothing of them stays.

    Parameters
    ----------
    root
        The project's folder.
    experiments
        In the order to start them.
    jobs
        At once, at most.
    watch
        Is told of everything that happens.

    Returns
    -------
    dict
        Reason by name of the experiments that failed.
    """
    finished = experiment_revisions(root)
    waiting: list[Experiment] = []
    for experiment in experiments:
        if experiment.name in finished:
            watch(Event(experiment, "cached"))
        else:
            waiting.append(experiment)
    made = {key for experiment in experiments if experiment.name in finished for key in experiment.shared}
    running: list[_Running] = []
    failures: dict[str, str] = {}
    try:
        while waiting or running:
            while len(running) < jobs and (chosen := _next(waiting, running, made)):
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
                made |= run.experiment.shared
                if reason:
                    failures[run.experiment.name] = reason
                    watch(Event(run.experiment, "failed", seconds=seconds, reason=reason))
                else:
                    watch(Event(run.experiment, "done", seconds=seconds))
    finally:
        for run in running:
            _stop(run)
    return failures


def _next(waiting: Sequence[Experiment], running: Sequence[_Running], made: set[str]) -> Experiment | None:
    """Choose the first experiment that would not do what one in progress is doing."""
    busy = {key for run in running for key in run.experiment.shared if key not in made}
    return next((experiment for experiment in waiting if not experiment.shared & busy), None)


def _start(root: Path, experiment: Experiment, tries: int = 1) -> _Running:
    folder = root / FOLDER / "logs"
    logs = folder / experiment.name
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    log = folder / f"{experiment.name}.txt"
    # The stages' `python` is the one that runs this.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    env = os.environ | {"PATH": path, "EVENLY_LOGS": str(logs.resolve()), "DVC_NO_ANALYTICS": "1"}
    env.setdefault("OMP_NUM_THREADS", "1")
    command = [sys.executable, "-I", str(Path(supervisor.__file__).resolve())]
    command += [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", experiment.name]
    for override in experiment.overrides:
        command += ["-S", override]
    if experiment.until:
        command.append(experiment.until)
    with log.open("wb") as output:
        # A session of its own: Ctrl-C in the terminal reaches the sweep alone, which then ends its runs.
        process = subprocess.Popen(
            command,
            cwd=root,
            env=env,
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


def _stop(run: _Running) -> None:
    """End a run with all that it has started, by closing the supervisor's input."""
    run.process.communicate()


def failure_reason(log: str, code: int | None) -> str:
    """Find in what a run printed the sentence that says why it failed.

    A stage says it itself, after its own name; otherwise it is the last exception, and then what DVC says.
    """
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    stage = (_STAGE.findall(log) or [""])[-1]
    said = next((found[1] for line in reversed(lines) if (found := _SAID.match(line))), None)
    raised = next((line for line in reversed(lines) if _RAISED.match(line)), None)
    dvc = next((line.removeprefix("ERROR: ") for line in reversed(lines) if line.startswith("ERROR: ")), None)
    reason = said or raised or dvc or f"`dvc exp run` exited with {code}."
    return f"{stage}: {reason}" if stage and (said or raised) else reason


# An EvenlyError, as `stages.run` prints it: path of the stage, then the sentence.
_SAID = re.compile(r"(?:\S*/)?stages[/.]\w+(?:\.py)?: (.+)")
_RAISED = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)\b(?:: .*)?$")


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
