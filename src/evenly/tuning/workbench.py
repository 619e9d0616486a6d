"""Where recipes are tried: makes the experiments of a choice, runs them, and reads their scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evenly.experiments.experiments import Experiment, Technique, Workshop, digest
from evenly.experiments.sweeping import Event, run_experiments
from evenly.tuning.candidates import Candidate, Origin
from evenly.tuning.scores import LAST_STAGE, find_experiments, validation_score
from evenly.tuning.space import Assignment, Space
from evenly.tuning.studies import Trial

#: The recipe that balances nothing.
NONE = "none"


@dataclass(frozen=True)
class Moment:
    """What a search is doing.

    Attributes
    ----------
    doing
        `none`, `as it is`, `trial 3` or `confirming`.
    stage
        The stage that is running; empty at the start and at the end.
    seed
        Of the experiment that is running.
    trial
        What has ended.
    """

    doing: str
    stage: str = ""
    seed: int | None = None
    trial: Trial | None = None


Watch = Callable[[Moment], None]


class Workbench:
    """Where recipes are tried: makes the experiments of a choice, runs them, and reads their scores.

    Parameters
    ----------
    workshop
        Makes experiments.
    origin, space
        The recipe, and what varies of it.
    dataset, seeds
        To run every trial with.
    metric
        What is searched for, on validation rows.
    jobs
        Experiments at once, at most.
    """

    def __init__(
        self,
        workshop: Workshop,
        origin: Origin,
        space: Space,
        *,
        dataset: str,
        seeds: Sequence[int],
        metric: str,
        jobs: int,
    ) -> None:
        self.workshop = workshop
        self.origin = origin
        self.space = space
        self.dataset = dataset
        self.seeds = tuple(seeds)
        self.metric = metric
        self.jobs = jobs

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.workshop.root

    @property
    def start(self) -> dict[str, object]:
        """The values that the recipe has now."""
        return {setting.key: setting.current for setting in self.space}

    def study_id(self, seed: int) -> str:
        """Name a search for everything that its trials depend on, the code and the data among it."""
        names = [experiment.name for experiment in self.experiments(self.origin.itself())]
        space = [(setting.key, repr(setting.domain)) for setting in self.space]
        key = digest([names, space, self.metric, seed])
        return f"{self.dataset}-{self.origin.name}-{key[:8]}"

    def candidate(self, assignment: Assignment) -> Candidate:
        """The recipe of a choice."""
        return self.origin.candidate(assignment)

    def technique(self, assignment: Assignment) -> Technique:
        """What is run for a choice."""
        return self.origin.technique(self.candidate(assignment))

    def experiments(self, technique: Technique, seeds: Sequence[int] | None = None) -> list[Experiment]:
        """The experiments of a technique, one a seed.

        Raises
        ------
        EvenlyError
            When it cannot be run.
        """
        return [
            self.workshop.experiment(technique, self.dataset, seed, until=LAST_STAGE)
            for seed in seeds or self.seeds
        ]

    def run(self, experiments: Sequence[Experiment], doing: str, watch: Watch) -> dict[str, str]:
        """Run what is not there yet; reasons of failures by name."""
        watch(Moment(doing))

        def told(event: Event) -> None:
            if event.status == "running":
                watch(Moment(doing, event.stage, event.experiment.seed))

        return run_experiments(self.root, experiments, jobs=self.jobs, watch=told)

    def score(self, experiments: Sequence[Experiment]) -> float:
        """Mean of the metric over finished experiments."""
        revisions = find_experiments(self.root, [experiment.name for experiment in experiments])
        return float(np.mean([validation_score(revision, self.metric) for revision in revisions]))
