"""Where recipes are tried: makes the experiments of a choice, runs them, reads their validation scores.

Nothing here reads a test row or a number made from one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evenly.errors import DataError
from evenly.experiments.experiments import Experiment, Technique, Workshop, digest
from evenly.experiments.history import Revision, experiment_revisions
from evenly.experiments.runs import split_share
from evenly.experiments.sweeping import Event, run_experiments
from evenly.files import atomic_write, json_mapping, reading
from evenly.tuning.candidates import Origin
from evenly.tuning.space import Assignment, Space
from evenly.tuning.studies import Trial

#: Metrics that training writes for the validation rows and that mean the same whatever the loss.
METRICS = ("macro_f1", "balanced_accuracy")
#: The last stage that a trial needs: the one after it opens the test split.
LAST_STAGE = "finetune"


def find_experiments(root: Path, names: Sequence[str]) -> list[Revision]:
    """Give the finished experiments of these names."""
    finished = experiment_revisions(root)
    missing = next((name for name in names if name not in finished), None)
    if missing is not None:
        raise DataError(f"The experiment {missing} is not there any more; the same command runs it again.")
    return [Revision(root, name, finished[name]) for name in names]


def validation_score(revision: Revision, metric: str) -> float:
    """The metric on validation rows of the model that an experiment has kept."""
    rounds = {name: _json(revision, f"metrics/{name}/metrics.json") for name in ("train", "finetune")}
    value = rounds[kept_round(revision)].get("val", {}).get(metric)
    if value is None:
        raise DataError(
            f"{revision.name} has no {metric} of validation rows; a search needs a data set that has some."
        )
    return float(value)


def kept_round(revision: Revision) -> str:
    """Which round's model an experiment has kept: `train` or `finetune`."""
    return str(_json(revision, "models/finetune/model.json").get("kept", "finetune"))


def validation_share(revision: Revision) -> float:
    """Validation rows over all other rows that the split is drawn from."""
    return split_share(_json(revision, "metrics/split.json"), "validation", "test")


def validation_predictions(revision: Revision, cache: Path, root: Path) -> tuple[np.ndarray, np.ndarray]:
    """Classes of the validation rows, and those that the model of an experiment predicts."""
    kept = cache / f"{revision.name}.npz"
    if kept.is_file():
        with reading(kept, "delete it"), np.load(kept, allow_pickle=False) as arrays:
            return arrays["y"], arrays["predicted"]
    from evenly.classifiers import load_classifier
    from evenly.classifiers.classifier import vectors_at_hand
    from evenly.samples import read_samples

    with tempfile.TemporaryDirectory() as folder:
        model, table = Path(folder, "model"), Path(folder, "val.parquet")
        revision.copy_folder(f"models/{kept_round(revision)}", model)
        table.write_bytes(revision.read("data/split/val.parquet") or b"")
        rows = read_samples(table)
        probabilities = load_classifier(model, vectors_at_hand(root)).predict_proba(rows)
    y, predicted = rows.codes.astype(np.int64), probabilities.argmax(axis=1).astype(np.int64)
    with atomic_write(kept) as temporary, temporary.open("wb") as file:
        np.savez(file, y=y, predicted=predicted)
    return y, predicted


def _json(revision: Revision, path: str) -> dict[str, Any]:
    content = revision.read(path)
    if content is None:
        raise DataError(f"{revision.name} has no {path}; `dvc exp remove {revision.name}` and run it again.")
    return json_mapping(content, f"{path} of {revision.name}")


@dataclass(frozen=True)
class Moment:
    """What a search is doing."""

    doing: str  # `no balancing`, `as it is`, `trial 3` or `confirming`
    stage: str = ""  # The stage that is running; empty at the start and at the end
    seed: int | None = None  # Of the experiment that is running
    trial: Trial | None = None  # What has ended


Watch = Callable[[Moment], None]


@dataclass(frozen=True)
class Workbench:
    """Where recipes are tried: makes the experiments of a choice, runs them, and reads their scores.

    Every trial runs with all `seeds`, at most `jobs` experiments at once; `metric` is what is searched for.
    """

    workshop: Workshop
    origin: Origin
    space: Space
    dataset: str
    seeds: tuple[int, ...]
    metric: str
    jobs: int

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

    def technique(self, assignment: Assignment) -> Technique:
        """What is run for a choice."""
        return self.origin.technique(self.origin.candidate(assignment))

    def experiments(self, technique: Technique, seeds: Sequence[int] | None = None) -> list[Experiment]:
        """The experiments of a technique, one a seed."""
        return [
            self.workshop.experiment(technique, self.dataset, seed, until=LAST_STAGE)
            for seed in seeds or self.seeds
        ]

    def run(self, experiments: Sequence[Experiment], doing: str, watch: Watch) -> dict[str, str]:
        """Run what is not there yet; reasons of failures by name."""
        watch(Moment(doing))

        def tell(event: Event) -> None:
            if event.status == "running":
                watch(Moment(doing, event.stage, event.experiment.seed))

        return run_experiments(self.root, experiments, jobs=self.jobs, watch=tell)

    def score(self, experiments: Sequence[Experiment]) -> float:
        """Mean of the metric over finished experiments."""
        revisions = find_experiments(self.root, [experiment.name for experiment in experiments])
        return float(np.mean([validation_score(revision, self.metric) for revision in revisions]))
