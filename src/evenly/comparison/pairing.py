"""Two runs that were tested on the same rows: what the one scores more than the other, with intervals."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evenly.evaluation.headline import Predictions
from evenly.evaluation.intervals import Interval, bootstrap_draws, bootstrap_weights, paired_differences
from evenly.evaluation.metrics import f1_scores
from evenly.experiments.history import Revision
from evenly.params.evaluation import EvaluateSettings

PREDICTIONS = "reports/predictions.csv"
#: Columns of that file before the probabilities.
_BEFORE = ("id", "label", "predicted", "confidence")


@dataclass(frozen=True)
class PredictionTable:
    """Predictions for test rows in the order of their ids.

    Attributes
    ----------
    ids, classes
        Of the n rows; the k class names in order.
    y, predicted
        True and predicted class positions, int (n,).
    probabilities
        Float64 (n, k).
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    y: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray

    def same_rows(self, other: PredictionTable) -> bool:
        """Whether both tables are about the same rows with the same labels."""
        return self.ids == other.ids and self.classes == other.classes and np.array_equal(self.y, other.y)


def read_predictions(revision: Revision) -> PredictionTable | None:
    """Read the test predictions of a revision; None where it has none."""
    content = revision.read(PREDICTIONS)
    if content is None:
        return None
    header, *rows = csv.reader(io.StringIO(content.decode("utf-8")))
    before = len(_BEFORE)
    classes = tuple(column.removeprefix("p_") for column in header[before:])
    position = {name: place for place, name in enumerate(classes)}
    rows.sort(key=lambda row: row[0])
    return PredictionTable(
        ids=tuple(row[0] for row in rows),
        classes=classes,
        y=np.array([position[row[1]] for row in rows]),
        predicted=np.array([position[row[2]] for row in rows]),
        probabilities=np.array([row[before:] for row in rows], dtype=np.float64),
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
    """Subtract what two runs score on the same rows, and on the same resamples of these rows.

    Parameters
    ----------
    base, here
        About the same rows; the differences are `here` minus `base`.
    settings
        How many resamples and calibration bins.
    seed
        Where the resamples come from.
    """
    both = [
        Predictions(table.y, table.probabilities, table.predicted, bins=settings.calibration_bins)
        for table in (here, base)
    ]
    draws = bootstrap_draws(both, resamples=settings.bootstrap, seed=seed)
    metrics = paired_differences(both[0].values(), draws[0], both[1].values(), draws[1])
    f1 = [_class_f1(one, base.classes, settings.bootstrap, seed) for one in both]
    return PairedScores(len(base.ids), metrics, paired_differences(*f1[0], *f1[1]))


def _class_f1(
    predictions: Predictions, classes: tuple[str, ...], resamples: int, seed: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """F1 by class, and on every resample."""
    chunks = bootstrap_weights(len(predictions), resamples, seed)
    drawn = np.concatenate([f1_scores(predictions.outcomes(weights)) for weights in chunks])
    values = f1_scores(predictions.outcomes()).tolist()
    return dict(zip(classes, values, strict=True)), dict(zip(classes, drawn.T, strict=True))
