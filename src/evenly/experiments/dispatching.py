"""Runs experiments as jobs on other machines, and brings home what comes of them.

What has finished and how it went is known from the hub's references, what is under way from the cluster, by
name. So whoever does this may be killed and start again: nothing that is finished or running is run twice. A
job that ends without a word is lost, and sent again.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from evenly.errors import DataError, EvenlyError
from evenly.experiments.cluster_settings import ClusterSettings, CommandSettings
from evenly.experiments.clusters import Cluster, Command, RefusedError, UnreachableError
from evenly.experiments.experiments import Experiment
from evenly.experiments.history import Revision, experiment_revisions
from evenly.experiments.hub import Hub, Outcome
from evenly.experiments.jobs import UNFIT
from evenly.experiments.ledger import record_cost
from evenly.experiments.sweeping import Event, failure_reason, log_file, next_experiment
from evenly.files import write_json, write_text

#: So many times in a row a cluster or the hub may not answer.
_SILENCES = 30
#: A result is looked for so many times before its job counts as lost: shared folders are slow to agree.
_LOOKS = 3
#: The last stage that may ask a language model.
_ROWS = "filter"


def run_on_cluster(
    root: Path,
    experiments: Sequence[Experiment],
    cluster: Cluster,
    hub: Hub,
    settings: ClusterSettings,
    jobs: int,
    watch: Callable[[Event], None],
) -> dict[str, str]:
    """Run the experiments that are not there yet, `jobs` at once; the reasons of failures by name.

    As `run_experiments` does on this machine. Rows of a language model are written here, with the keys and
    the journal of this workspace, before the experiments that need them leave.
    """
    here = {"command": CommandSettings(submit="{job}"), "python": sys.executable, "jobs_per_gpu": 1}
    home = Command(root, settings.model_copy(update=here))
    try:
        return _Dispatch(root, experiments, cluster, home, hub, settings, watch).run(jobs)
    finally:
        for place in (home, cluster):
            place.close()


class _Dispatch:
    """A sweep under way."""

    def __init__(
        self,
        root: Path,
        experiments: Sequence[Experiment],
        cluster: Cluster,
        home: Cluster,
        hub: Hub,
        settings: ClusterSettings,
        watch: Callable[[Event], None],
    ) -> None:
        self._root, self._hub, self._settings, self._watch = root, hub, settings, watch
        self._cluster, self._home = cluster, home
        self._asked = experiments
        #: What only writes rows, and the experiment that it is for.
        self._rows: dict[str, Experiment] = {}
        self._waiting: list[Experiment] = []
        self._sent: dict[str, Experiment] = {}
        self._states: dict[str, str] = {}
        self._sends: Counter[str] = Counter()
        self._looks: Counter[str] = Counter()
        self._work_done: set[str] = set()
        self._outcomes: dict[str, Outcome] = {}
        self._failures: dict[str, str] = {}

    def run(self, jobs: int) -> dict[str, str]:
        """Go on until nothing waits and nothing is under way."""
        self._look_around()
        silences, doubtful = 0, True
        while self._waiting or self._sent:
            try:
                if doubtful:  # what was sent before, or may have been
                    self._adopt()
                    doubtful = False
                try:
                    self._send(jobs)
                except RefusedError:
                    if not self._sent:
                        raise
                    doubtful = True  # there may be room when something has ended
                self._receive()
                silences = 0
            except (UnreachableError, DataError) as error:
                silences, doubtful = silences + 1, True
                if silences >= _SILENCES or (isinstance(error, RefusedError) and not self._sends):
                    raise
            if self._waiting or self._sent:
                time.sleep(self._settings.poll_seconds)
        self._bring_home()
        return self._failures

    def _look_around(self) -> None:
        """Tell what has finished or failed meanwhile from what there is to do, and publish that."""
        collected = self._hub.collect([e.name for e in self._asked])
        finished = experiment_revisions(self._root)
        for experiment in self._asked:
            outcome = collected.get(experiment.name)
            if experiment.name in finished:
                self._work_done |= experiment.shared
                if outcome:
                    self._outcomes[experiment.name] = outcome
                self._watch(Event(experiment, "cached"))
            elif outcome:  # it failed while nobody looked
                self._end(experiment, outcome)
            else:
                self._waiting.append(experiment)
        for experiment in [e for e in self._waiting if e.asks_llm and not e.shared <= self._work_done]:
            rows = replace(experiment, name=f"{experiment.name}-rows", until=_ROWS)
            if rows.name in finished:
                self._work_done |= rows.shared
            elif all(rows.shared != other.shared for other in self._waiting if other.name in self._rows):
                self._rows[rows.name] = experiment
                self._waiting.insert(self._waiting.index(experiment), rows)
        if self._waiting:
            self._hub.publish(self._waiting, push=self._rows)

    def _place(self, experiment: Experiment) -> Cluster:
        return self._home if experiment.name in self._rows else self._cluster

    def _alive(self, experiments: Iterable[Experiment]) -> dict[str, str]:
        names: dict[str, list[str]] = {"home": [], "away": []}
        for experiment in experiments:
            names["home" if experiment.name in self._rows else "away"].append(experiment.name)
        return self._home.alive(names["home"]) | self._cluster.alive(names["away"])

    def _adopt(self) -> None:
        alive = self._alive(self._waiting)
        for experiment in [e for e in self._waiting if e.name in alive]:
            self._started(experiment)

    def _started(self, experiment: Experiment) -> None:
        self._waiting.remove(experiment)
        self._sent[experiment.name] = experiment
        self._sends[experiment.name] += 1
        self._looks[experiment.name] = 0
        if experiment.name not in self._rows:
            self._watch(Event(experiment, "started"))

    def _send(self, jobs: int) -> None:
        """Send what may start: of experiments that share expensive work, one first."""
        while len(self._sent) < jobs:
            chosen: list[Experiment] = []
            room = min(self._cluster.together, jobs - len(self._sent))
            while len(chosen) < room and (one := self._next(chosen)):
                chosen.append(one)
                if one.name in self._rows:
                    break
            if not chosen:
                return
            self._place(chosen[0]).submit(self._hub.url, [experiment.name for experiment in chosen])
            for experiment in chosen:
                self._started(experiment)

    def _next(self, chosen: Sequence[Experiment]) -> Experiment | None:
        """Choose what to send beside `chosen`: rows alone and one at a time, and their users after them."""
        writing = bool(chosen) or any(name in self._rows for name in self._sent)
        able = [
            e
            for e in self._waiting
            if e not in chosen
            and (not writing if e.name in self._rows else not e.asks_llm or e.shared <= self._work_done)
        ]
        return next_experiment(able, [*self._sent.values(), *chosen], self._work_done)

    def _receive(self) -> None:
        """Take in what has ended."""
        alive = self._alive(self._sent.values())
        for name, state in alive.items():
            if self._states.get(name) != state:
                self._states[name] = state
                rows = name in self._rows
                self._watch(
                    Event(self._rows.get(name, self._sent[name]), "running", "rows" if rows else state)
                )
        ended = [experiment for name, experiment in self._sent.items() if name not in alive]
        collected = self._hub.collect([e.name for e in ended]) if ended else {}
        for experiment in ended:
            self._looks[experiment.name] += 1
            if outcome := collected.get(experiment.name):
                del self._sent[experiment.name]
                self._end(experiment, outcome)
            elif self._looks[experiment.name] >= _LOOKS:
                del self._sent[experiment.name]
                self._lost(experiment)

    def _end(self, experiment: Experiment, outcome: Outcome) -> None:
        if outcome.unfit:
            self._hub.forget([experiment.name])
            raise EvenlyError(outcome.unfit)
        self._work_done |= experiment.shared
        write_text(outcome.printed, log_file(self._root, experiment.name))
        if outcome.failed:
            self._fail(experiment, failure_reason(outcome.printed, outcome.code), outcome.seconds)
            return
        self._outcomes[experiment.name] = outcome
        if experiment.name not in self._rows:
            self._watch(Event(experiment, "done", seconds=outcome.seconds))

    def _fail(self, experiment: Experiment, reason: str, seconds: float = 0.0) -> None:
        """An experiment has failed; where it was to write rows, so have all that need them."""
        self._hub.forget([experiment.name])
        failed = [experiment]
        if experiment.name in self._rows:
            failed = [e for e in self._waiting if e.asks_llm and e.shared == experiment.shared]
            self._waiting = [e for e in self._waiting if e not in failed]
        for one in failed:
            self._failures[one.name] = reason
            self._watch(Event(one, "failed", seconds=seconds, reason=reason))

    def _lost(self, experiment: Experiment) -> None:
        """Send an experiment again whose job has ended without a word."""
        printed = self._place(experiment).log(experiment.name)
        write_text(printed, log_file(self._root, experiment.name))
        if unfit := next((line for line in printed.splitlines() if line.startswith(UNFIT)), None):
            raise EvenlyError(unfit)
        sends = self._sends[experiment.name]
        if sends < self._settings.tries:
            self._waiting.insert(0, experiment)
            return
        last = (printed.strip().splitlines() or ["nothing"])[-1].strip()
        self._work_done |= experiment.shared
        self._fail(
            experiment, f"Its job ended {sends} times without a result; the last thing printed was: {last}"
        )

    def _bring_home(self) -> None:
        """Get data that lie in the remote, note what everything cost, and tidy the hub."""
        names = [e.name for e in self._asked if e.name not in self._failures]
        self._hub.pull(names)
        commits = experiment_revisions(self._root)
        for experiment in self._asked:
            if outcome := self._outcomes.get(experiment.name):
                logs = log_file(self._root, experiment.name).with_suffix("")
                for stage, measured in outcome.stages.items():
                    write_json(measured, logs / f"{stage}.json")
                revision = Revision(self._root, experiment.name, commits[experiment.name])
                record_cost(self._root, experiment, revision, outcome.seconds, logs)
        self._hub.forget([*names, *self._rows])
