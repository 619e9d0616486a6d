"""What changes between two revisions of the project: settings, code, metrics, classes, plots; one run each.

Runs of one seed are told apart by the test rows that they share. Whether a technique is better over seeds is
decided in `leaderboards`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evenly.confusion import f1_scores
from evenly.evaluation.intervals import Interval, bootstrap_draws, bootstrap_weights, paired_differences
from evenly.evaluation.metrics import HEADLINE, Predictions
from evenly.experiments.history import Revision, hashes
from evenly.experiments.runs import PER_CLASS, Run, flattened, read_run
from evenly.files import read_csv, reading
from evenly.params.base import settings_from
from evenly.params.evaluation import EvaluateSettings
from evenly.params.project import PARAMS_FILE

PREDICTIONS = "reports/predictions.csv"
#: Columns of that file before the probabilities.
_BEFORE = ("id", "label", "predicted", "confidence")


@dataclass(frozen=True)
class ScoreChange:
    """A score of the base and of the other revision, None where there is none.

    `name` is a key of `HEADLINE`, or a class; `difference` is `here` minus `base` with its 95% interval,
    paired over the same test rows, and None where these differ.
    """

    name: str
    base: float | None
    here: float | None
    difference: Interval | None

    @property
    def plain(self) -> float | None:
        """The difference, whether or not it has an interval."""
        return None if self.base is None or self.here is None else self.here - self.base


@dataclass(frozen=True)
class ClassChange:
    """The F1 of a class, with the rows that the classifier was trained on before and now."""

    f1: ScoreChange
    base_rows: int | None
    here_rows: int | None


@dataclass(frozen=True)
class Picture:
    """A plot of both revisions as PNG; None where one has no such plot."""

    path: str
    base: bytes | None
    here: bytes | None


@dataclass(frozen=True)
class Changes:
    """Everything that differs between two revisions."""

    base: Run
    here: Run
    #: Value before and now by key, where they differ; None where there is no such key.
    settings: Mapping[str, tuple[Any, Any]]
    #: Files and folders that stages depend on and no stage makes, whose content differs.
    sources: tuple[str, ...]
    #: Stages whose outputs differ, in the pipeline's order.
    stages: tuple[str, ...]
    #: Headline metrics on test rows.
    metrics: tuple[ScoreChange, ...]
    #: The one that changes most comes first.
    classes: tuple[ClassChange, ...]
    #: Number of test rows if both revisions were tested on the same ones, else 0.
    paired_rows: int
    #: Plots that differ, and how many do not.
    pictures: tuple[Picture, ...]
    same_pictures: int


def find_changes(base: Revision, here: Revision) -> Changes:
    """Compare two revisions.

    Raises
    ------
    DataError
        When one of them has not been evaluated, or DVC's cache does not hold what it made.
    """
    runs = read_run(base), read_run(here)
    paired = _paired(base, here, runs[1].seed)
    pictures = [
        Picture(path, base.read(path), here.read(path))
        for path in sorted(
            {*base.files_below("plots", ".png"), *here.files_below("plots", ".png")}, key=_last_first
        )
    ]
    changed = tuple(picture for picture in pictures if picture.base != picture.here)
    return Changes(
        base=runs[0],
        here=runs[1],
        settings=_settings(base, here, runs),
        sources=_sources(base, here),
        stages=_stages(base, here),
        metrics=_metrics(runs, paired),
        classes=_classes(base, here, paired),
        paired_rows=paired.rows if paired else 0,
        pictures=changed,
        same_pictures=len(pictures) - len(changed),
    )


def _last_first(path: str) -> tuple[bool, str]:
    """Sort what the pipeline ends with before what it begins with."""
    return not path.startswith("plots/evaluate/"), path


def _paired(base: Revision, here: Revision, seed: int) -> PairedScores | None:
    """Scores on the same test rows; None where the revisions were not tested on the same ones."""
    tables = read_predictions(base), read_predictions(here)
    if tables[0] is None or tables[1] is None or not tables[0].same_rows(tables[1]):
        return None
    values = here.yaml(PARAMS_FILE).get("evaluate", {})
    settings = settings_from(EvaluateSettings, values, f"{PARAMS_FILE} of {here.name}")
    return paired_scores(tables[0], tables[1], settings, seed)


def _settings(base: Revision, here: Revision, runs: Sequence[Run]) -> dict[str, tuple[Any, Any]]:
    flat = [_resolved(revision, run) for revision, run in zip((base, here), runs, strict=True)]
    # Another recipe has other settings, another data set another entry: their names say that.
    other = ["recipes."] if runs[0].recipe != runs[1].recipe else []
    other += ["datasets.yaml"] if runs[0].dataset != runs[1].dataset else []
    keys = dict.fromkeys(key for values in flat for key in values if not key.startswith(tuple(other)))
    both = {key: (flat[0].get(key), flat[1].get(key)) for key in keys}
    return {key: values for key, values in both.items() if values[0] != values[1]}


def _resolved(revision: Revision, run: Run) -> dict[str, Any]:
    """All settings of a run and of its data set as dotted keys, the model and the loss as resolved."""
    flat = {"dataset": run.dataset, "seed": run.seed, "balancing": run.recipe}
    for key, value in run.settings.items():
        own = key.startswith("recipe.")
        flat[f"recipes.{run.recipe}.{key.removeprefix('recipe.')}" if own else key] = value
    entry = revision.yaml("datasets.yaml").get(run.dataset) or {}
    return flat | flattened({"datasets.yaml": {run.dataset: entry}}) | {"model": run.model, "loss": run.loss}


def _sources(base: Revision, here: Revision) -> tuple[str, ...]:
    found: list[dict[str, str]] = []
    for revision in (base, here):
        used = hashes(dep for stage in revision.stages.values() for dep in stage.get("deps", []))
        outputs = tuple(f"{path}/" for path in revision.outputs)
        found.append({path: md5 for path, md5 in used.items() if not f"{path}/".startswith(outputs)})
    return tuple(path for path in sorted({*found[0], *found[1]}) if found[0].get(path) != found[1].get(path))


def _stages(base: Revision, here: Revision) -> tuple[str, ...]:
    def outs(revision: Revision, name: str) -> dict[str, str]:
        return hashes(revision.stages.get(name, {}).get("outs", []))

    names = dict.fromkeys([*here.yaml("dvc.yaml").get("stages", {}), *base.stages])
    return tuple(name for name in names if outs(base, name) != outs(here, name))


def _metrics(runs: Sequence[Run], paired: PairedScores | None) -> tuple[ScoreChange, ...]:
    base, here = (run.scores.get("test", {}) for run in runs)
    differences = paired.metrics if paired else {}
    return tuple(
        ScoreChange(name, base.get(name), here.get(name), differences.get(name))
        for name in HEADLINE
        if name != "macro_recall" and (name in base or name in here)  # the same as balanced accuracy
    )


def _classes(base: Revision, here: Revision, paired: PairedScores | None) -> tuple[ClassChange, ...]:
    before, now = _per_class(base), _per_class(here)
    differences = paired.classes if paired else {}
    changes = []
    for name in dict.fromkeys([*now, *before]):
        f1 = ScoreChange(name, _f1(before, name), _f1(now, name), differences.get(name))
        changes.append(ClassChange(f1, _rows(before, name), _rows(now, name)))
    return tuple(sorted(changes, key=lambda change: -abs(change.f1.plain or 0)))


def _per_class(revision: Revision) -> dict[str, dict[str, str]]:
    content = revision.read(PER_CLASS)
    if content is None:
        return {}
    rows = read_csv(content, f"{PER_CLASS} of {revision.name}", ("class", "f1", "balanced_rows"))
    return {row["class"]: row for row in rows}


def _f1(table: Mapping[str, Mapping[str, str]], name: str) -> float | None:
    cell = table.get(name, {}).get("f1")
    return float(cell) if cell else None


def _rows(table: Mapping[str, Mapping[str, str]], name: str) -> int | None:
    return int(table[name]["balanced_rows"]) if name in table else None


@dataclass(frozen=True)
class PredictionTable:
    """Predictions for n test rows in the order of their ids, and the k class names.

    `y` and `predicted` are class positions, int (n,), `probabilities` float64 (n, k).
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    y: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray
    #: What each row counts, (n,); None where all count alike.
    weights: np.ndarray | None = None

    def same_rows(self, other: PredictionTable) -> bool:
        """Whether both tables are about the same rows with the same labels."""
        return self.ids == other.ids and self.classes == other.classes and np.array_equal(self.y, other.y)


def read_predictions(revision: Revision) -> PredictionTable | None:
    """Read the test predictions of a revision; None where it has none."""
    content = revision.read(PREDICTIONS)
    if content is None:
        return None
    name = f"{PREDICTIONS} of {revision.name}"
    rows = sorted(read_csv(content, name, _BEFORE), key=lambda row: row["id"])
    columns = [column for column in (rows[0] if rows else ()) if column not in (*_BEFORE, "weight")]
    classes = tuple(column.removeprefix("p_") for column in columns)
    position = {name: place for place, name in enumerate(classes)}
    with reading(name):
        return PredictionTable(
            ids=tuple(row["id"] for row in rows),
            classes=classes,
            y=np.array([position[row["label"]] for row in rows]),
            predicted=np.array([position[row["predicted"]] for row in rows]),
            probabilities=np.array([[row[column] for column in columns] for row in rows], dtype=np.float64),
            weights=np.array([row["weight"] for row in rows], dtype=np.float64)
            if rows and "weight" in rows[0]
            else None,
        )


@dataclass(frozen=True)
class PairedScores:
    """Differences over `rows` test rows with 95% intervals: of headline metrics, and of the F1 of classes."""

    rows: int
    metrics: Mapping[str, Interval]
    classes: Mapping[str, Interval]


def paired_scores(
    base: PredictionTable, here: PredictionTable, settings: EvaluateSettings, seed: int
) -> PairedScores:
    """Subtract what two runs score on the same rows, and on the same resamples of them: here minus base."""
    both = [
        Predictions(table.y, table.probabilities, table.predicted, bins=settings.calibration_bins)
        for table in (here, base)
    ]
    each = here.weights
    draws = bootstrap_draws(both, resamples=settings.bootstrap, seed=seed, row_weights=each)
    metrics = paired_differences(both[0].values(each), draws[0], both[1].values(each), draws[1])
    f1 = [_class_f1(one, base.classes, settings.bootstrap, seed, each) for one in both]
    return PairedScores(len(base.ids), metrics, paired_differences(*f1[0], *f1[1]))


def _class_f1(
    predictions: Predictions, classes: tuple[str, ...], resamples: int, seed: int, each: np.ndarray | None
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """F1 by class, and on every resample."""
    chunks = bootstrap_weights(len(predictions), resamples, seed)
    rows = np.ones(len(predictions)) if each is None else each
    drawn = np.concatenate([f1_scores(predictions.outcomes(weights * rows)) for weights in chunks])
    values = f1_scores(predictions.outcomes(rows)).tolist()
    return dict(zip(classes, values, strict=True)), dict(zip(classes, drawn.T, strict=True))
