"""A comparison of producers as files and as a section of the report: JSON, CSV, one picture, words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from evenly.figures import BLUE, FAINT, MUTED, house_style, hover, new_figure, save_figure, shortened
from evenly.files import write_csv
from evenly.pages import figure
from evenly.quality.compare import UNSEEN, ProducerQuality, Quality

CSV_FILE, PICTURE = "quality.csv", "quality.png"


@dataclass(frozen=True)
class Measure:
    """How a measure is called, what it says, and what is good: more, less, or near a value (`target`)."""

    label: str
    meaning: str
    better: Literal["higher", "lower", "near"]
    target: float | None = None

    @property
    def good(self) -> str:
        """What is good, in a word or two."""
        return self.better if self.target is None else f"near {self.target:g}"


MEASURES: dict[str, Measure] = {
    "fid": Measure("FID", "distance of means and covariances of features; larger for fewer rows", "lower"),
    "kid": Measure("KID", "kernel distance in features; around 0 for real rows", "lower"),
    "precision": Measure("Precision", "share of rows within the manifold of held-out ones", "higher"),
    "recall": Measure("Recall", "share of held-out rows within the manifold of these", "higher"),
    "density": Measure("Density", "how many held-out rows cover a row; around 1 for real rows", "higher"),
    "coverage": Measure("Coverage", "share of held-out rows that cover one of these", "higher"),
    "inception_score": Measure(
        "Inception score", "how sure and varied the classifier's answers; at most the classes made", "higher"
    ),
    "discriminator_auc": Measure(
        "Told apart", "AUC of a classifier of real and made; 0.5 is chance", "near", 0.5
    ),
    "variance_ratio": Measure(
        "Variance ratio", "variance within classes over that of real rows", "near", 1.0
    ),
    "correlation_difference": Measure("Correlations", "mean difference to those of held-out rows", "lower"),
    "column_distance": Measure("Columns", "mean distance to the distributions of held-out rows", "lower"),
    "copied": Measure("Copied", "share of rows as good as copied from a training row", "lower"),
    "nearest_ratio": Measure(
        "Distance to train", "to the nearest training row, over held-out rows'", "near", 1.0
    ),
    "tstr": Measure("Train made, test real", "balanced accuracy of a linear model", "higher"),
    "trts": Measure("Train real, test made", "the same, the other way round", "higher"),
}
_TITLE = "Quality of synthetic rows"
_COPIES = 0.1  # share of copies from which a remark is made
_UNLIKE = 0.7  # part of the usual TRTS below which one is made
#: Measures that are shares, drawn from 0 to 1.
_SHARES = {"precision", "recall", "coverage", "discriminator_auc", "copied", "tstr", "trts"}


def quality_json(quality: Quality) -> dict[str, Any]:
    """Everything that was measured, ready for JSON."""
    return {
        "features": quality.features,
        "train_rows": quality.train_rows,
        "held_out_rows": quality.held_out_rows,
        "producers": {
            producer.name.replace(", ", "_"): {
                "rows": producer.rows,
                "compared": producer.compared,
                **{name: round(value, 6) + 0.0 for name, value in producer.values.items()},  # no −0
                **({"worst_column": producer.worst_column} if producer.worst_column else {}),
                **({"flat_classes": list(producer.flat_classes)} if producer.flat_classes else {}),
            }
            for producer in quality.producers
        },
    }


def write_quality(quality: Quality, folder: str | Path) -> None:
    """Write `quality.csv`, a producer a row, and `quality.png` into an existing folder."""
    folder = Path(folder)
    names = measured(quality)
    rows = ([p.name, p.rows, p.compared, *map(p.values.get, names)] for p in quality.producers)
    write_csv(folder / CSV_FILE, ["producer", "rows", "compared", *names], rows)
    with house_style():
        _draw(quality, names, folder / PICTURE)


def quality_section(quality: Quality, plots: str | Path) -> dict[str, Any]:
    """Tell a comparison as a section of the report (see `evenly.pages`)."""
    text = (
        f"Rows of each producer against {quality.held_out_rows} held-out rows (validation) that it has not "
        f"seen, as many of each class from both sides. Features: {quality.features}. The standard are test "
        "rows, scored as if a producer had made them; measures that depend on the number of rows are no more "
        "than a hint where the numbers differ. None of them says whether rows help: that the metrics on test "
        "rows do."
    )
    rows: list[list[Any]] = [
        ["Rows", *(producer.rows for producer in quality.producers), None],
        ["Rows compared", *(producer.compared for producer in quality.producers), None],
    ]
    for name in measured(quality):
        measure = MEASURES[name]
        values = (producer.values.get(name) for producer in quality.producers)
        cells = (None if value is None else f"{value:.3f}" for value in values)
        rows.append([{"text": measure.label, "note": measure.meaning}, *cells, measure.good])
    columns = ["Measure", *(producer.name for producer in quality.producers), "Better is"]
    caption = "Grey line: what real rows score that no producer has seen, the test rows."
    picture = figure(Path(plots) / PICTURE, _TITLE, caption, wide=True)
    blocks: list[dict[str, Any]] = [{"text": text}, {"table": rows, "columns": columns}]
    if remarks := list(quality_remarks(quality)):
        blocks.append({"remarks": remarks})
    return {"title": _TITLE, "blocks": [*blocks, {"figures": [picture]}]}


def quality_remarks(quality: Quality) -> Iterator[str]:
    """Say what is conspicuous about a producer, in a sentence each."""
    usual = next((p.values.get("trts") for p in quality.producers if p.name == UNSEEN), None)
    for producer in quality.producers:
        if producer.name == UNSEEN:
            continue
        values = producer.values
        if values.get("copied", 0) > _COPIES and producer.name != "duplicate":
            yield (
                f"{producer.name}: {values['copied']:.0%} of the rows lie as near to one training row as "
                "fresh rows hardly ever do."
            )
        if producer.flat_classes:
            names = ", ".join(producer.flat_classes)
            yield (
                f"{producer.name}: rows of class {names} vary less than a quarter as much as real ones: the "
                "producer repeats itself."
            )
        if usual is not None and values.get("trts", 1) < _UNLIKE * usual:
            yield (
                f"{producer.name}: a classifier of real rows finds the class of {values['trts']:.0%} of the "
                f"rows only, and of {usual:.0%} of real ones: labels do not fit."
            )


def measured(quality: Quality) -> list[str]:
    """Measures that some producer has, in their order."""
    known = {name for producer in quality.producers for name in producer.values}
    return [name for name in MEASURES if name in known]


def _draw(quality: Quality, measures: list[str], path: Path) -> None:
    """One panel a measure, one dot a producer, a line where unseen real rows stand."""
    standard = next((p for p in quality.producers if p.name == UNSEEN), None)
    producers = [p for p in quality.producers if p is not standard]
    # What real rows alone score, where few were made to compare, is in the table.
    compared = {name for producer in producers for name in producer.values}
    measures = [name for name in measures if name in compared] or measures
    columns = 5
    lines = -(-len(measures) // columns)
    height = lines * (1.0 + 0.22 * len(producers)) + 0.2
    figure, axes = new_figure(9.6, height, rows=lines, columns=columns, sharey=True)
    places = np.arange(len(producers))
    for ax, name in zip(axes, measures, strict=False):
        _panel(ax, name, producers, standard)
    for ax in axes[len(measures) :]:
        ax.set_axis_off()
    names = shortened([producer.name for producer in producers], 16)
    axes[0].set_yticks(places, names)
    axes[0].set_ylim(len(places) - 0.5, -0.5)
    save_figure(figure, path)


def _panel(ax: Any, name: str, producers: list[ProducerQuality], standard: ProducerQuality | None) -> None:
    measure = MEASURES[name]
    real = standard.values.get(name) if standard is not None else None
    if real is not None:
        ax.axvline(real, color=FAINT, linewidth=3, zorder=0)
    values = np.array([producer.values.get(name, np.nan) for producer in producers])
    ax.plot(values, np.arange(len(producers)), "o", color=BLUE)
    for place, producer in enumerate(producers):
        if (value := producer.values.get(name)) is not None:
            hover(ax, (value, place, value, place), f"{producer.name}: {measure.label} {value:.3f}")
    ax.set_title(measure.label, fontsize=9)
    ax.set_xlabel(f"{measure.good} is better", color=MUTED, fontsize=8)
    ax.tick_params(axis="y", length=0)
    ax.locator_params(axis="x", nbins=3)
    ax.margins(x=0.15)
    if name in _SHARES:
        ax.set_xlim(-0.05, 1.05)
