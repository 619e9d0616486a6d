"""How models fare on test rows that were made worse: accuracy, macro F1 and calibration against strength.

How rows are made worse stands in `evenly.evaluation.corruptions`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evenly.evaluation.corruptions import CLEAN, STRENGTHS, corrupted, corruption_names, strength_label
from evenly.evaluation.evaluate import calibration_bins
from evenly.evaluation.intervals import (
    Interval,
    bootstrap_draws,
    metric_intervals,
    paired_differences,
    rounded,
)
from evenly.evaluation.metrics import HEADLINE, Predictions
from evenly.figures import (
    BLUE,
    GREEN,
    ORANGE,
    VERMILION,
    house_style,
    hover,
    legend_columns,
    new_figure,
    save_figure,
)
from evenly.files import write_csv
from evenly.samples import SampleTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from evenly.classifiers.classifier import Classifier

METRICS = ("accuracy", "macro_f1", "calibration_error")
#: Of larger test sets so many rows are taken: enough to tell changes of two points, cheap even for large
#: models.
MOST_ROWS = 1000
#: Resamples behind every interval: a thirteenfold evaluation needs no third digit of its ends.
RESAMPLES = 500
_DRAWN = ("accuracy", "calibration_error")
_COLOURS = (BLUE, VERMILION, GREEN, ORANGE)
#: Lines of several models are set off sideways, so that their intervals do not cover one another.
_OFFSET = 0.06


@dataclass(frozen=True)
class RobustnessPoint:
    """What one model scores under one corruption at one strength, 0 (clean) to 3."""

    model: str
    corruption: str
    strength: int
    #: What the strength means.
    label: str
    #: `accuracy`, `macro_f1` and `calibration_error` with 95% intervals.
    metrics: dict[str, Interval]
    #: Differences to the clean rows, paired over the same resamples; all 0 at strength 0.
    change: dict[str, Interval]


def robustness(
    models: Mapping[str, Classifier],
    test: SampleTable,
    *,
    seed: int,
    bins: int = 15,
    rows: int = MOST_ROWS,
    resamples: int = RESAMPLES,
) -> list[RobustnessPoint]:
    """Score models on test rows under every corruption of their modality: by corruption, model, strength.

    Parameters
    ----------
    models
        By name.
    test
        Test rows, at least one; their order does not matter.
    seed
        Of the corruptions and the bootstrap.
    bins
        Bins of equal mass of the calibration error at most; fewer where they would hold few rows.
    rows
        Of a larger test set so many rows are taken, drawn evenly by a hash of their ids.
    resamples
        Of the bootstrap.
    """
    test = _sampled(test, rows)
    bins = calibration_bins(len(test), bins)
    clean = {
        name: Predictions(test.codes, model.predict_proba(test), bins=bins) for name, model in models.items()
    }
    points: list[RobustnessPoint] = []
    for corruption in corruption_names(test.modality):
        tables = [corrupted(test, corruption, strength, seed) for strength in STRENGTHS]
        for name, model in models.items():
            scored = [Predictions(test.codes, model.predict_proba(table), bins=bins) for table in tables]
            points += _points(name, corruption, [clean[name], *scored], resamples, seed, test.weights)
    return points


def _points(
    model: str,
    corruption: str,
    scored: Sequence[Predictions],
    resamples: int,
    seed: int,
    weights: np.ndarray | None,
) -> list[RobustnessPoint]:
    """Points of one model and corruption, clean first, with intervals over common resamples."""
    values = [one.values(weights, METRICS) for one in scored]
    draws = bootstrap_draws(scored, resamples=resamples, seed=seed, row_weights=weights, names=METRICS)
    points = []
    for strength, (one, value, drawn) in enumerate(zip(scored, values, draws, strict=True)):
        chosen = {name: value[name] for name in METRICS}
        points.append(
            RobustnessPoint(
                model,
                corruption,
                strength,
                strength_label(corruption, strength),
                metric_intervals(chosen, drawn, one.weighted(weights)),
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


def robustness_metrics(points: Sequence[RobustnessPoint]) -> dict[str, Any]:
    """Arrange the numbers for `dvc metrics diff`: by model and corruption, the metrics at each strength.

    Each corruption also has `accuracy_lost`: the mean over the strengths of the accuracy lost since the clean
    rows.
    """
    found: dict[str, Any] = {}
    for point in points:
        by_strength = found.setdefault(point.model, {}).setdefault(point.corruption.replace(" ", "_"), {})
        key = "clean" if point.strength == CLEAN else f"strength_{point.strength}"
        by_strength[key] = {name: rounded(interval.value) for name, interval in point.metrics.items()}
    for corruptions in found.values():
        for by_strength in corruptions.values():
            clean = by_strength["clean"]["accuracy"]
            worse = [by_strength[f"strength_{strength}"]["accuracy"] for strength in STRENGTHS]
            by_strength["accuracy_lost"] = rounded(clean - float(np.mean(worse)))
    return found


def write_robustness(points: Sequence[RobustnessPoint], folder: str | Path) -> None:
    """Write `robustness.csv`, one line a point, and `robustness.png` into an existing folder."""
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
                *(end for name in METRICS for end in point.metrics[name].ends),
            ]
            for point in points
        ),
    )
    _draw(points, folder / "robustness.png")


def _draw(points: Sequence[RobustnessPoint], path: Path) -> None:
    """A column of panels for each corruption, accuracy above calibration error, one line a model."""
    corruptions = list(dict.fromkeys(point.corruption for point in points))
    models = list(dict.fromkeys(point.model for point in points))
    columns = len(corruptions)
    with house_style():
        figure, axes = new_figure(
            max(3.9, 2.3 * columns), 4.6, rows=2, columns=columns, sharex="col", sharey="row"
        )
        for row, metric in enumerate(_DRAWN):
            for column, corruption in enumerate(corruptions):
                panel = axes[row * columns + column]
                for k, model in enumerate(models):
                    line = [p for p in points if (p.corruption, p.model) == (corruption, model)]
                    shift = _OFFSET * (k - (len(models) - 1) / 2)
                    _line(panel, line, metric, shift, model, _COLOURS[k % len(_COLOURS)])
                panel.grid(axis="y")
                panel.set_xticks(
                    range(4), [p.label for p in points if (p.corruption, p.model) == (corruption, models[0])]
                )
                if row == 0:
                    panel.set_title(corruption.capitalize().replace("Jpeg", "JPEG"))
            axes[row * columns].set_ylabel(HEADLINE[metric].label)
        for panel in axes[columns:]:
            panel.set_ylim(bottom=0)
        figure.supxlabel("strength; bars are 95% intervals", fontsize=9)
        if len(models) > 1:
            handles, labels = axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper right", ncols=legend_columns(figure, labels))
        save_figure(figure, path)


def _line(
    panel: Axes, line: Sequence[RobustnessPoint], metric: str, shift: float, model: str, colour: str
) -> None:
    x = [point.strength + shift for point in line]
    found = [point.metrics[metric] for point in line]
    panel.vlines(x, [i.low for i in found], [i.high for i in found], color=colour, linewidth=1.2, alpha=0.55)
    panel.plot(x, [i.value for i in found], "o-", color=colour, label=model)
    for at, one in zip(x, found, strict=True):
        words = f"{model}: {one.value:.3f}, 95% {one.low:.3f} to {one.high:.3f}"
        hover(panel, (at, one.low, at, one.high), words)
