"""The search itself: trials as DVC experiments until the budget is spent, then the best on seeds of its own.

Trials run one after the other, because each is proposed from those before it; the seeds of one trial may run
at once. An experiment ends before the stage that opens the test split.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from evenly.comparison.statistics import PairedDifference, corrected_resampled_t_test
from evenly.errors import DataError, EvenlyError, RecipeError
from evenly.experiments.experiments import Experiment, Technique
from evenly.experiments.history import experiment_revisions
from evenly.tuning.gains import Predictions
from evenly.tuning.space import Assignment
from evenly.tuning.studies import Proposal, Study, Trial
from evenly.tuning.workbench import (
    Moment,
    Watch,
    Workbench,
    find_experiments,
    validation_predictions,
    validation_share,
)

#: A search ends when so many proposals in a row are recipes that were tried, or that cannot be run.
_ATTEMPTS = 60


@dataclass(frozen=True)
class Budget:
    """How many trials there are to be in all, and how many seconds this search may go on starting them."""

    trials: int | None
    seconds: float | None

    def is_spent(self, trials: int, began: float) -> bool:
        """Whether no further trial may start."""
        late = self.seconds is not None and time.monotonic() - began >= self.seconds
        return late or (self.trials is not None and trials >= self.trials)


@dataclass(frozen=True)
class Searched:
    """What a search has found."""

    none: float | None  # The metric without balancing; None where that is the recipe itself
    start: Trial  # The recipe as it is, as trial 0
    trials: tuple[Trial, ...]  # All others, in order
    exhausted: str = ""  # Why it ended before its budget; empty where it did not

    @property
    def best(self) -> Trial:
        """The trial with the highest value, the earliest of equals."""
        return max(self.with_value, key=lambda trial: (trial.value or 0.0, -trial.number))

    @property
    def with_value(self) -> list[Trial]:
        """The recipe as it is, and the trials that have not failed."""
        return [trial for trial in (self.start, *self.trials) if trial.value is not None]


def search(bench: Workbench, study: Study, budget: Budget, watch: Watch) -> Searched:
    """Try recipes until the budget is spent; no balancing, and the recipe as it is, must run.

    `bench` runs them, `study` proposes them and remembers what came out, `watch` is called with all that
    happens.
    """
    began = time.monotonic()
    unbalanced = bench.origin.itself(bench.origin.unbalanced)
    none = None
    if unbalanced != bench.origin.itself():
        none = _reference(bench, unbalanced, "no balancing", watch).value
    start = replace(_reference(bench, bench.origin.itself(), "as it is", watch), assignment=bench.start)
    study.add_reference(bench.start, start.names, start.value or 0.0)
    trials = study.ended()
    for trial in trials:
        watch(Moment(f"trial {trial.number}", trial=trial))
    exhausted = ""
    while not exhausted and not budget.is_spent(len(trials), began):
        found = _next(bench, study, {start.names, *(trial.names for trial in trials)})
        if isinstance(found, str):
            exhausted = found
            break
        proposal, experiments = found
        names = [experiment.name for experiment in experiments]
        doing = f"trial {len(trials) + 1}"
        failures = bench.run(experiments, doing, watch)
        try:
            if failures:
                raise DataError(next(iter(failures.values())))
            study.tell(proposal, names, bench.score(experiments))
        except EvenlyError as error:
            study.fail(proposal, names, str(error))
        trials = study.ended()
        watch(Moment(doing, trial=trials[-1]))
    return Searched(none, start, tuple(trials), exhausted)


def _reference(bench: Workbench, technique: Technique, doing: str, watch: Watch) -> Trial:
    """Run what the search is measured against."""
    experiments = bench.experiments(technique)
    failures = bench.run(experiments, doing, watch)
    if failures:
        raise DataError(f"{technique.label} itself cannot be run: {next(iter(failures.values()))}")
    trial = Trial(0, {}, tuple(experiment.name for experiment in experiments), bench.score(experiments))
    watch(Moment(doing, trial=trial))
    return trial


def _next(
    bench: Workbench, study: Study, tried: set[tuple[str, ...]]
) -> tuple[Proposal, list[Experiment]] | str:
    """The next proposal that is another recipe and can be run, or why there is none."""
    refused = ""
    for attempt in range(_ATTEMPTS):
        proposal = study.propose(attempt)
        try:
            experiments = bench.experiments(bench.technique(proposal.assignment))
        except EvenlyError as error:
            refused = str(error)
            study.discard(proposal)
            continue
        if tuple(experiment.name for experiment in experiments) not in tried:
            return proposal, experiments
        study.discard(proposal)
    if len(tried) == 1 and refused:
        raise RecipeError(f"No recipe of this space can be run. {refused}")
    return f"every recipe that {_ATTEMPTS} proposals in a row came to had been tried or cannot be run"


def predictions_by_seed(
    bench: Workbench, study: Study, searched: Searched
) -> tuple[list[Trial], list[Predictions]]:
    """What every trial predicts for the validation rows, for each seed of the search.

    The recipe as it is comes first, then the trials whose experiments are still there.
    """
    finished = experiment_revisions(bench.root)
    best = searched.best
    bench.run(bench.experiments(bench.technique(best.assignment)), "predictions", lambda moment: None)
    trials = [t for t in searched.with_value if t is best or all(name in finished for name in t.names)]
    cache = study.folder / "predictions"
    by_seed: list[Predictions] = []
    for i in range(len(bench.seeds)):
        revisions = find_experiments(bench.root, [trial.names[i] for trial in trials])
        read = [validation_predictions(revision, cache, bench.root) for revision in revisions]
        by_seed.append((read[0][0], np.stack([predicted for _, predicted in read])))
    return trials, by_seed


@dataclass(frozen=True)
class Confirmed:
    """The best recipe and the one as it is, on seeds that the search has not seen."""

    seeds: tuple[int, ...]  # Those on which both have finished
    gain: PairedDifference | None  # Of the metric; None with fewer than two seeds
    reason: str = ""  # Why a run failed, if one did


def confirm(bench: Workbench, best: Assignment, number: int, watch: Watch) -> Confirmed:
    """Compare the best recipe and the one as it is on validation rows of `number` new seeds, at least 2."""
    seeds = [max(bench.seeds) + i for i in range(1, number + 1)]
    techniques = bench.technique(best), bench.origin.itself()
    pairs = [bench.experiments(technique, seeds) for technique in techniques]
    in_turn = [experiment for pair in zip(*pairs, strict=True) for experiment in pair]
    failures = bench.run(in_turn, "confirming", watch)
    both = [i for i in range(number) if not any(pair[i].name in failures for pair in pairs)]
    reason = next(iter(failures.values()), "")
    if len(both) < 2:
        return Confirmed(tuple(seeds[i] for i in both), None, reason)
    scores = [[bench.score([pair[i]]) for i in both] for pair in pairs]
    first = find_experiments(bench.root, [pairs[1][both[0]].name])[0]
    # Corrected, because the seeds share rows.
    gain = corrected_resampled_t_test(scores[0], scores[1], validation_share(first))
    return Confirmed(tuple(seeds[i] for i in both), gain, reason)
