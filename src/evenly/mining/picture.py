"""The picture of what is hard: rows by class and origin, beside the labels that are probably wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evenly.figures import INK, MUTED, PALETTE, house_style, new_figure, save_figure, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: More classes than this are not drawn one by one.
MANY_CLASSES = 40


@dataclass(frozen=True)
class Cell:
    """The rows of one class and origin: how many there are, are hard, misclassified, suspect; loss in
    nats.
    """

    label: str
    origin: str
    rows: int
    hard: int
    misclassified: int
    suspects: int
    mean_loss: float | None


def draw_hard_by_class(cells: Sequence[Cell], unjudged: Collection[str], path: str | Path) -> None:
    """Draw hard rows and suspects of every class as bars, one colour an origin; of many classes the hardest.

    Parameters
    ----------
    cells
        What is hard by class and origin.
    unjudged
        Classes whose labels could not be judged; that is written in the place of a bar.
    path
        Of the PNG.
    """
    classes = list(dict.fromkeys(cell.label for cell in cells))
    origins = sorted({cell.origin for cell in cells}, key=lambda origin: (origin != "real", origin))
    rows = dict.fromkeys(classes, 0)
    weight = dict.fromkeys(classes, 0)
    for cell in cells:
        rows[cell.label] += cell.rows
        weight[cell.label] += cell.hard + cell.suspects
    shown = classes
    title = "Hard rows"
    if len(classes) > MANY_CLASSES:
        chosen = sorted(classes, key=lambda name: (-weight[name], name))[:MANY_CLASSES]
        shown = [name for name in classes if name in chosen]
        title = f"Hard rows ({MANY_CLASSES} of {len(classes)} classes)"
    colours = {origin: PALETTE[k % len(PALETTE)] for k, origin in enumerate(origins)}
    height = max(2.0, 1.2 + 0.24 * len(shown)) + (0.3 if len(origins) > 1 else 0)
    with house_style():
        figure, (left, right) = new_figure(8.0, height, columns=2, sharey=True)
        _bars(left, shown, {(c.label, c.origin): c.hard for c in cells}, colours)
        _bars(right, shown, {(c.label, c.origin): c.suspects for c in cells}, colours)
        names = shortened(shown, 26)
        left.set_yticks(
            range(len(shown)), [f"{short}  ({rows[name]})" for short, name in zip(names, shown, strict=True)]
        )
        left.set_ylim(len(shown) - 0.4, -0.6)
        left.set_title(title)
        right.set_title("Probably wrong labels")
        left.set_xlabel("rows; in brackets all that were scored")
        right.set_xlabel("rows")
        for place, name in enumerate(shown):
            if name in unjudged:
                right.text(0, place, " too few rows to judge", va="center", fontsize=7.5, color=MUTED)
        if len(origins) > 1:
            handles, labels = left.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)))
        save_figure(figure, path)


def _bars(
    axes: Axes, shown: Sequence[str], counts: Mapping[tuple[str, str], int], colours: Mapping[str, str]
) -> None:
    places = np.arange(len(shown))
    start = np.zeros(len(shown))
    for origin, colour in colours.items():
        values = np.array([counts.get((name, origin), 0) for name in shown], dtype=np.float64)
        axes.barh(places, values, left=start, height=0.66, color=colour, label=origin)
        start += values
    for place, total in enumerate(start.tolist()):
        if total:
            axes.text(total, place, f" {total:.0f}", va="center", fontsize=7.5, color=INK)
    axes.set_xlim(0, max(1.0, float(start.max(initial=0))) * 1.12)
    axes.locator_params(axis="x", integer=True, nbins=6)
    axes.tick_params(axis="y", length=0)
