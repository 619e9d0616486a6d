"""How models fare on test rows that were made worse: accuracy, macro F1 and calibration against strength.

How rows are made worse is told in `evenly.evaluation.corruptions`, the picture is drawn in
`robustness_picture`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evenly.evaluation.corruptions import CLEAN, STRENGTHS, corrupted, corruption_names, strength_label
from evenly.evaluation.headline import Predictions
from evenly.evaluation.intervals import Interval, bootstrap_draws, metric_intervals, paired_differences
from evenly.evaluation.results import RobustnessPoint
from evenly.files import write_csv
from evenly.samples import SampleTable
from evenly.wording import csv_cell

if TYPE_CHECKING:
    from evenly.classifiers.classifier import Classifier

METRICS = ("accuracy", "macro_f1", "calibration_error")
#: Of larger test sets so many rows are taken: enough to tell changes of two points, cheap even for large
#: models.
MOST_ROWS = 1000
#: Resamples behind every interval: a thirteenfold evaluation needs no third digit of its ends.
RESAMPLES = 500
_ROWS_A_BIN = 20
_DIGITS = 6


def robustness(
    models: Mapping[str, Classifier],
    test: SampleTable,
    *,
    seed: int,
    bins: int = 15,
    rows: int = MOST_ROWS,
    resamples: int = RESAMPLES,
) -> list[RobustnessPoint]:
    """Score models on test rows under every corruption of their modality, strength by strength.

    Parameters
    ----------
    models
        By name.
    test
        Test rows, at least one.
    seed
        Of the corruptions and the bootstrap. The order of the rows does not matter.
    bins
        Bins of equal mass of the calibration error at most; fewer below 20 rows a bin.
    rows
        Of a larger test set so many rows are taken, drawn evenly by a hash of their ids.
    resamples
        Of the bootstrap.

    Returns
    -------
    list of RobustnessPoint
        By corruption, then model, then strength.
    """
    test = _sampled(test, rows)
    bins = int(np.clip(len(test) // _ROWS_A_BIN, 2, bins))
    clean = {
        name: Predictions(test.codes, model.predict_proba(test), bins=bins) for name, model in models.items()
    }
    points: list[RobustnessPoint] = []
    for corruption in corruption_names(test.modality):
        tables = [corrupted(test, corruption, strength, seed) for strength in STRENGTHS]
        for name, model in models.items():
            scored = [Predictions(test.codes, model.predict_proba(table), bins=bins) for table in tables]
            points += _points(name, corruption, [clean[name], *scored], resamples, seed)
    return points


def robustness_metrics(points: Sequence[RobustnessPoint]) -> dict[str, Any]:
    """Arrange the numbers for `dvc metrics diff`: by model and corruption, the metrics at each strength.

    Each corruption also has `accuracy_lost`: the mean over the strengths of the accuracy lost since the clean
    rows.
    """
    found: dict[str, Any] = {}
    for point in points:
        by_strength = found.setdefault(point.model, {}).setdefault(_key(point.corruption), {})
        key = "clean" if point.strength == CLEAN else f"strength_{point.strength}"
        by_strength[key] = {name: _rounded(interval.value) for name, interval in point.metrics.items()}
    for corruptions in found.values():
        for by_strength in corruptions.values():
            clean = by_strength["clean"]["accuracy"]
            worse = [by_strength[f"strength_{strength}"]["accuracy"] for strength in STRENGTHS]
            by_strength["accuracy_lost"] = _rounded(clean - float(np.mean(worse)))
    return found


def write_robustness(points: Sequence[RobustnessPoint], folder: str | Path) -> None:
    """Write `robustness.csv`, one line a point, and `robustness.png` into an existing folder."""
    from evenly.evaluation.robustness_picture import draw_robustness

    folder = Path(folder)
    ends = [f"{name}{end}" for name in METRICS for end in ("", "_low", "_high")]
    write_csv(
        folder / "robustness.csv",
        ["model", "corruption", "strength", "condition", *ends],
        (
            [
                point.model,
                point.corruption,
                point.strength,
                f"{point.corruption} {point.label}",
                *(csv_cell(v) for name in METRICS for v in _ends(point.metrics[name])),
            ]
            for point in points
        ),
    )
    draw_robustness(points, folder / "robustness.png")


def _points(
    model: str, corruption: str, scored: Sequence[Predictions], resamples: int, seed: int
) -> list[RobustnessPoint]:
    """Points of one model and corruption, clean first, with intervals over common resamples."""
    values = [one.values(names=METRICS) for one in scored]
    draws = bootstrap_draws(scored, resamples=resamples, seed=seed, names=METRICS)
    points = []
    for strength, (value, drawn) in enumerate(zip(values, draws, strict=True)):
        chosen = {name: value[name] for name in METRICS}
        points.append(
            RobustnessPoint(
                model,
                corruption,
                strength,
                strength_label(corruption, strength),
                metric_intervals(chosen, drawn),
                paired_differences(value, drawn, values[0], draws[0]),
            )
        )
    return points


def _sampled(test: SampleTable, rows: int) -> SampleTable:
    """At most so many rows, ordered by id, so that their order in the file does not matter."""
    test = test.sorted_by_id()
    if len(test) <= rows:
        return test
    hashes = [hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in test.ids]
    first = sorted(range(len(test)), key=lambda k: (hashes[k], k))[:rows]
    return test.take(np.sort(np.array(first)))


def _key(corruption: str) -> str:
    return corruption.replace(" ", "_")


def _ends(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def _rounded(value: float) -> float:
    return round(value, _DIGITS) + 0.0
