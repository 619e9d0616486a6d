"""Class distributions as a table for `dvc plots` and as a picture: how many rows each class has, before and
after.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from evenly.figures import BLUE, FAINT, MUTED, ORANGE, house_style, new_figure, save_figure, shortened
from evenly.files import atomic_write
from evenly.imbalance import gini, imbalance_ratio

Distribution = Mapping[str, int]

#: Above this many classes a picture shows ranks instead of names.
MOST_NAMED = 40

_TITLES = {
    "train": "training rows",
    "llm": "with LLM rows",
    "generate": "with generated rows",
    "augment": "with transforms",
    "resample": "after resampling",
}


def write_class_distribution(stages: Mapping[str, Distribution], folder: str | Path) -> None:
    """Write `class_distribution.csv` (columns class, step, rows) and `class_distribution.png`.

    Parameters
    ----------
    stages
        Class counts before anything, and after each producer, in order; the first one orders the classes.
    folder
        Where to write; it is made.
    """
    folder = Path(folder)
    first = next(iter(stages.values()))
    order = sorted(first, key=lambda name: (-first[name], list(first).index(name)))
    with (
        atomic_write(folder / "class_distribution.csv") as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["class", "step", "rows"])
        writer.writerows([name, step, counts[name]] for step, counts in stages.items() for name in order)
    _draw(stages, order, folder / "class_distribution.png")


def _draw(stages: Mapping[str, Distribution], order: list[str], path: Path) -> None:
    first, last = next(iter(stages)), list(stages)[-1]
    named = len(order) <= MOST_NAMED
    height = max(2.2, 0.9 + 0.26 * len(order)) if named else 3.6
    figure, (axes,) = new_figure(7.0, height)
    before = [stages[first][name] for name in order]
    after = [stages[last][name] for name in order]
    positions = list(range(len(order)))
    label_before, label_after = (f"{_TITLES.get(s, s)} — {_summary(stages[s])}" for s in (first, last))
    if named:
        if last != first:
            axes.barh(positions, after, height=0.72, color=ORANGE, alpha=0.55, label=label_after)
        axes.barh(positions, before, height=0.72 if last == first else 0.36, color=BLUE, label=label_before)
        axes.set_yticks(positions, shortened(order))
        axes.invert_yaxis()
        axes.set_xlabel("rows")
        for y, (n, m) in enumerate(zip(before, after, strict=True)):
            text = f"{n:,}" if n == m else f"{n:,} → {m:,}"
            axes.annotate(
                text, (max(n, m), y), (3, 0), textcoords="offset points", va="center", fontsize=7, color=MUTED
            )
        axes.margins(x=0.14)
    else:
        if last != first:
            axes.plot(positions, after, color=ORANGE, label=label_after)
        axes.fill_between(positions, before, color=BLUE, alpha=0.25, linewidth=0)
        axes.plot(positions, before, color=BLUE, label=label_before)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(f"classes, largest to smallest ({len(order)})")
        axes.set_ylabel("rows")
    axes.grid(axis="x" if named else "y", color=FAINT)
    with house_style():
        figure.legend(loc="outside upper left", reverse=True)
    save_figure(figure, path)


def _summary(counts: Distribution) -> str:
    total = sum(counts.values())
    return f"{total:,} in all, ratio {imbalance_ratio(counts):,.3g}, Gini {gini(counts):.2f}"
