"""The plots of an evaluation: a CSV for `dvc plots` and a PNG of the same for people, one pair an idea."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evenly.distribution import write_class_distribution
from evenly.evaluation.bounds import exact_interval
from evenly.evaluation.calibration import ReliabilityBin, reliability_table
from evenly.evaluation.decisions import RULES
from evenly.evaluation.metrics import HEADLINE, precision_recall_curve
from evenly.evaluation.results import ClassResult, Evaluation
from evenly.figures import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    MUTED,
    PALETTE,
    SKY,
    VERMILION,
    house_style,
    hover,
    name_rows,
    new_figure,
    save_figure,
    shortened,
)
from evenly.files import write_csv
from evenly.wording import counted

#: More classes than this are not drawn one by one.
MANY_CLASSES = 40
#: Up to this many classes, the cells of a confusion matrix have room for their counts.
_COUNTED = 20
_CONFIDENCE_BINS = 20
_NAMED_CURVES = 4


def write_plots(evaluation: Evaluation, folder: str | Path) -> None:
    """Write every plot as NAME.csv and NAME.png into an existing folder."""
    folder = Path(folder)
    with house_style():
        _confusion(evaluation, folder)
        _per_class(evaluation, folder)
        _reliability(evaluation, folder)
        _confidence(evaluation, folder)
        _precision_recall(evaluation, folder)
        _decision_rules(evaluation, folder)
        _by_origin(evaluation, folder)
        per_class = evaluation.per_class
        steps = {"train": {c.name: c.train_rows for c in per_class}}
        if any(c.balanced_rows != c.train_rows for c in per_class):
            steps["balanced"] = {c.name: c.balanced_rows for c in per_class}
        write_class_distribution(steps, folder)


def confusion_matrix(evaluation: Evaluation) -> np.ndarray:
    """Count test rows by true class (first axis) and class predicted by the final model, int (k, k)."""
    k = len(evaluation.classes)
    predicted = evaluation.final.probabilities.argmax(axis=1)
    return np.bincount(evaluation.test.codes * k + predicted, minlength=k * k).reshape(k, k)


def _confusion(evaluation: Evaluation, folder: Path) -> None:
    classes, k = evaluation.classes, len(evaluation.classes)
    predicted = evaluation.final.probabilities.argmax(axis=1)
    rows = sorted(zip(evaluation.test.codes.tolist(), predicted.tolist(), strict=True))
    write_csv(folder / "confusion.csv", ["actual", "predicted"], ([classes[a], classes[p]] for a, p in rows))

    counts = confusion_matrix(evaluation)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = shortened(classes)
    side = float(np.clip(2.6 + 0.36 * k, 3.6, 8.0) if k <= MANY_CLASSES else min(4.0 + 0.12 * k, 16.0))
    figure, (axes,) = new_figure(side + 0.6 + 0.06 * max(map(len, names)), side)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="equal", interpolation="nearest")
    size = 8.0 if k <= _COUNTED else float(np.clip(480 / k, 3.5, 7.0))
    axes.set_xticks(range(k), names, rotation=90 if k > 3 and max(map(len, names)) > 3 else 0, fontsize=size)
    axes.set_yticks(range(k), names, fontsize=size)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    axes.set_title("Confusion matrix")
    if k <= _COUNTED:
        for a, p in np.argwhere(counts):
            shade = "white" if share[a, p] > 0.55 else INK
            axes.text(p, a, str(counts[a, p]), ha="center", va="center", fontsize=7.5, color=shade)
    if k <= MANY_CLASSES:
        for a, p in np.argwhere(counts):
            words = f"{classes[a]} taken for {classes[p]}" if a != p else f"{classes[a]} found"
            words += f": {counted(int(counts[a, p]), 'row')}, {share[a, p]:.0%} of the class"
            hover(axes, (p - 0.5, a - 0.5, p + 0.5, a + 0.5), words)
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, shrink=0.6)
    bar.outline.set_visible(False)
    bar.set_label("share of the actual class", color=MUTED, fontsize=8)
    save_figure(figure, folder / "confusion.png")


def _per_class(evaluation: Evaluation, folder: Path) -> None:
    results = sorted(evaluation.per_class, key=lambda result: -result.train_rows)
    write_csv(
        folder / "per_class.csv",
        ["class", "f1", "recall", "precision", "train_rows", "test_rows"],
        ([r.name, r.f1, r.recall, r.precision, r.train_rows, r.test_rows] for r in results),
    )
    drawn: list[ClassResult] = [result for result in results if result.f1 is not None]
    title = "F1 by class"
    if len(drawn) > MANY_CLASSES:
        weakest = sorted(drawn, key=lambda result: result.f1 or 0.0)[:MANY_CLASSES]
        drawn = [result for result in drawn if result in weakest]
        title = f"F1 of the {MANY_CLASSES} weakest of {len(results)} classes"
    figure, (axes,) = new_figure(6.4, max(1.8, 1.1 + 0.24 * len(drawn)))
    values = np.array([result.f1 or 0.0 for result in drawn])
    places = np.arange(len(drawn))
    axes.barh(places, values, height=0.66, color=BLUE)
    for place, value in enumerate(values):
        axes.text(value + 0.01, place, f"{value:.2f}", va="center", fontsize=7.5, color=INK)
    for place, result in enumerate(drawn):
        scores = f"F1 {result.f1:.3f}, recall {result.recall:.3f}, precision {result.precision:.3f}"
        words = f"{result.name}: {scores}; {result.train_rows} training and {result.test_rows} test rows"
        hover(axes, (0, place - 0.33, result.f1 or 0.0, place + 0.33), words)
    name_rows(axes, [(result.name, result.train_rows) for result in drawn])
    axes.set_xlim(0, 1.08)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel("F1 on test rows; most training rows on top, their number in brackets", loc="right")
    axes.set_title(title)
    save_figure(figure, folder / "per_class.png")


def _reliability(evaluation: Evaluation, folder: Path) -> None:
    y, scores, bins = evaluation.test.codes, evaluation.final.probabilities, evaluation.calibration_bins
    rules = {result.rule.name: result.rule for result in evaluation.rules}
    table = reliability_table(y, scores, bins)
    write_csv(
        folder / "reliability.csv",
        ["confidence", "accuracy", "rows"],
        ([b.confidence, b.accuracy, b.rows] for b in table),
    )
    figure, (axes,) = new_figure(4.8, 4.4)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.2, zorder=0)
    for rule, label, colour in (
        (rules["logit_adjustment"], "prior adjusted", VERMILION),
        (rules["temperature"], "temperature scaling", GREEN),
    ):
        changed = reliability_table(y, rule.probabilities(scores), bins)
        axes.plot(*_line(changed), marker="o", markersize=3, color=colour, linewidth=0.9, label=label)
    confidence, accuracy = _line(table)
    rows = np.array([b.rows for b in table])
    axes.vlines(confidence, *exact_interval(accuracy * rows, rows), color=SKY, linewidth=1.2, zorder=1)
    axes.plot(confidence, accuracy, "o-", color=BLUE, label="as predicted, 95% intervals", zorder=3)
    for b in table:
        words = f"confidence {b.confidence:.3f}, accuracy {b.accuracy:.3f}, {counted(b.rows, 'row')}"
        hover(axes, (b.confidence, b.accuracy, b.confidence, b.accuracy), words)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_aspect("equal")
    axes.set_xlabel("confidence in the predicted class")
    axes.set_ylabel("accuracy")
    axes.set_title("Reliability, bins of equal size")
    axes.legend(loc="best")
    save_figure(figure, folder / "reliability.png")


def _confidence(evaluation: Evaluation, folder: Path) -> None:
    scores = evaluation.final.probabilities
    right = scores.argmax(axis=1) == evaluation.test.codes
    confidence = scores.max(axis=1)
    edges = np.linspace(0, 1, _CONFIDENCE_BINS + 1)
    counts = [np.histogram(confidence[mask], edges)[0] for mask in (right, ~right)]
    middles = (edges[1:] + edges[:-1]) / 2
    write_csv(
        folder / "confidence.csv",
        ["confidence", "right", "wrong"],
        zip(middles, *counts, strict=True),
    )
    figure, axes = new_figure(6.4, 3.6, rows=2, sharex=True)
    for ax, count, colour, label in zip(axes, counts, (BLUE, VERMILION), ("right", "wrong"), strict=True):
        ax.bar(middles, count, width=0.92 / _CONFIDENCE_BINS, color=colour)
        for low, high, n in zip(edges, edges[1:], count.tolist(), strict=False):
            if n:
                hover(
                    ax, (low, 0, high, n), f"{counted(n, 'row')} {label}, confidence {low:.2f} to {high:.2f}"
                )
        ax.set_ylabel("rows")
        ax.set_title(f"Predicted {label}: {count.sum()} rows")
        ax.locator_params(axis="y", integer=True, nbins=4)
        if not count.any():
            ax.set_ylim(0, 1)
    axes[0].set_xlim(0, 1)
    axes[1].set_xlabel("confidence in the predicted class")
    save_figure(figure, folder / "confidence.png")


def _precision_recall(evaluation: Evaluation, folder: Path) -> None:
    y, scores = evaluation.test.codes, evaluation.final.probabilities
    grid = np.linspace(0, 1, 101)
    tested = [k for k in range(len(evaluation.classes)) if np.any(y == k)]
    curves = {}
    for k in tested:
        precision, recall = precision_recall_curve(y == k, scores[:, k])
        curves[k] = precision[np.searchsorted(recall, grid - 1e-12)]
    mean = np.mean(list(curves.values()), axis=0)
    write_csv(
        folder / "precision_recall.csv",
        ["recall", "precision"],
        zip(grid, mean, strict=True),
    )
    area = {k: evaluation.per_class[k].average_precision or 0.0 for k in tested}
    weakest = sorted(tested, key=lambda k: area[k])[:_NAMED_CURVES]
    figure, (axes,) = new_figure(6.4, 4.2)
    for k in tested:
        if k not in weakest:
            axes.plot(grid, curves[k], color=FAINT, linewidth=0.8, zorder=1)
    for k, colour in zip(weakest, PALETTE[1:], strict=False):
        name = shortened([evaluation.classes[k]])[0]
        axes.plot(grid, curves[k], color=colour, linewidth=1.1, label=f"{name}  {area[k]:.3f}", zorder=2)
    for k in weakest:
        for at in range(0, len(grid), 5):
            x, y = grid[at], curves[k][at]
            hover(axes, (x, y, x, y), f"{evaluation.classes[k]}: precision {y:.3f} at recall {x:.2f}")
    whole = float(np.mean(list(area.values())))
    axes.plot(grid, mean, color=BLUE, linewidth=2.4, label=f"mean of all classes  {whole:.3f}", zorder=3)
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    others = len(tested) > len(weakest)
    axes.set_title("Precision and recall of each class against the rest")
    axes.legend(
        loc="lower left", title="average precision" + (", weakest classes" if others else ""),
        title_fontsize=8, alignment="left", reverse=True,
    )  # fmt: skip
    save_figure(figure, folder / "precision_recall.png")


def _decision_rules(evaluation: Evaluation, folder: Path) -> None:
    drawn = ("macro_f1", "balanced_accuracy", "nll")
    columns = [f"{name}{end}" for name in drawn for end in ("", "_low", "_high")]
    write_csv(
        folder / "decision_rules.csv",
        ["rule", *columns],
        (
            [
                result.rule.name,
                *(end for name in drawn for end in result.metrics[name].ends),
            ]
            for result in evaluation.rules
        ),
    )
    places = np.arange(len(evaluation.rules))
    figure, axes = new_figure(8.0, 1.3 + 0.34 * len(places), columns=3, sharey=True)
    for ax, name in zip(axes, drawn, strict=True):
        value, low, high = np.array([result.metrics[name].ends for result in evaluation.rules]).T
        ax.axvline(value[0], color=FAINT, linewidth=1.2, zorder=0)
        ax.hlines(places, low, high, color=BLUE, linewidth=1.6)
        ax.plot(value, places, "o", color=BLUE)
        for place, result in enumerate(evaluation.rules):
            words = (
                f"{RULES[result.rule.name]}: {value[place]:.3f}, 95% {low[place]:.3f} to {high[place]:.3f}"
            )
            hover(ax, (low[place], place - 0.2, high[place], place + 0.2), words)
        ax.set_title(HEADLINE[name].label)
        ax.set_xlabel("higher is better" if HEADLINE[name].higher_is_better else "lower is better")
        ax.tick_params(axis="y", length=0)
        ax.locator_params(axis="x", nbins=4)
    axes[0].set_yticks(places, [RULES[result.rule.name] for result in evaluation.rules])
    axes[0].set_ylim(len(places) - 0.5, -0.5)
    save_figure(figure, folder / "decision_rules.png")


def _by_origin(evaluation: Evaluation, folder: Path) -> None:
    origins = evaluation.final.origins
    write_csv(
        folder / "by_origin.csv",
        ["origin", "rows", "accuracy", "mean_loss"],
        ([o.origin, o.rows, o.accuracy, o.mean_loss] for o in origins),
    )
    if not origins:
        return
    places = np.arange(len(origins))
    figure, axes = new_figure(6.4, 1.3 + 0.34 * len(places), columns=2, sharey=True)
    panels = (("Accuracy", [o.accuracy for o in origins]), ("Mean log loss", [o.mean_loss for o in origins]))
    for ax, (title, values) in zip(axes, panels, strict=True):
        ax.barh(places, values, height=0.6, color=BLUE)
        ax.set_title(title)
        ax.set_xlabel("on training rows")
        ax.tick_params(axis="y", length=0)
        ax.set_xlim(0, max(1e-6, max(values)) * 1.25)
        ax.locator_params(axis="x", nbins=5)
        for place, value in enumerate(values):
            ax.text(value, place, f" {value:.3f}", va="center", fontsize=7.5, color=INK)
            rows = counted(origins[place].rows, "row")
            words = f"{origins[place].origin}: {title.lower()} {value:.3f} on {rows}"
            hover(ax, (0, place - 0.3, value, place + 0.3), words)
    axes[0].set_xlim(0, 1.2)
    axes[0].set_yticks(places, [f"{o.origin}  ({o.rows})" for o in origins])
    axes[0].set_ylim(len(places) - 0.4, -0.6)
    save_figure(figure, folder / "by_origin.png")


def _line(table: list[ReliabilityBin]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([b.confidence for b in table]), np.array([b.accuracy for b in table])
