"""How many rows each class has before anything and after each step: a table for `dvc plots`, a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evenly.figures import (
    BLUE,
    FAINT,
    GREEN,
    MUTED,
    ORANGE,
    VERMILION,
    house_style,
    hover,
    new_figure,
    save_figure,
    shortened,
)
from evenly.files import write_csv
from evenly.imbalance import gini, imbalance_ratio

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Distribution = Mapping[str, int]

#: Above this many classes a picture shows ranks instead of names.
MOST_NAMED = 40
#: Steps that a picture shows side by side; of more, the first and the last ones.
MOST_STEPS = 4

_TITLES = {
    "train": "training rows",
    "llm": "with LLM rows",
    "generate": "with generated rows",
    "kept": "with generated rows that were kept",
    "augment": "with transforms",
    "resample": "after resampling",
    "balanced": "trained on",
}
#: The first step is blue and the last one orange, whatever lies between.
_BETWEEN = (GREEN, VERMILION)


def write_class_distribution(
    stages: Mapping[str, Distribution],
    folder: str | Path,
    *,
    picture: bool = True,
    unit: Literal["class", "group"] = "class",
) -> None:
    """Write `class_distribution.csv` (columns class, step, rows) and `class_distribution.png`.

    `stages` are class counts before anything, which order the classes, and after each producer. Files and
    column are called by `unit`. Without `picture` matplotlib is not imported, and a PNG that is there goes.
    """
    folder = Path(folder)
    first = next(iter(stages.values()))
    order = sorted(first, key=lambda name: (-first[name], list(first).index(name)))
    rows = ([name, step, counts[name]] for step, counts in stages.items() for name in order)
    write_csv(folder / f"{unit}_distribution.csv", [unit, "step", "rows"], rows)
    path = folder / f"{unit}_distribution.png"
    path.unlink(missing_ok=True)
    if picture:
        _draw(stages, order, path, "classes" if unit == "class" else "groups")


def growing(first: Distribution, additions: Mapping[str, Distribution]) -> dict[str, Distribution]:
    """Class counts at first, as the step `train`, and after each addition; one without a row is no step."""
    steps: dict[str, Distribution] = {"train": first}
    counts = dict(first)
    for step, added in additions.items():
        if any(added.values()):
            counts = {name: n + added.get(name, 0) for name, n in counts.items()}
            steps[step] = counts
    return steps


def _draw(stages: Mapping[str, Distribution], order: list[str], path: Path, units: str) -> None:
    named = len(order) <= MOST_NAMED
    steps = list(stages)
    if len(steps) > MOST_STEPS:
        steps = [steps[0], *steps[1 - MOST_STEPS :]]
    # Two steps share a bar, and each further one needs room of its own.
    inches = 0.26 if len(steps) < 3 else 0.08 + 0.11 * len(steps)
    head = 0.9 + 0.17 * max(0, len(steps) - 2)
    figure, (axes,) = new_figure(7.0, max(2.2, head + inches * len(order)) if named else 3.1 + head / 2)
    rows = {_label(step, stages[step]): [stages[step][name] for name in order] for step in steps}
    colours = [BLUE, *_BETWEEN[: max(0, len(steps) - 2)], ORANGE][: len(steps)]
    if not named:
        _draw_lines(axes, rows, colours)
        axes.set_xlabel(f"{units}, largest to smallest ({len(order)})")
        axes.set_ylabel("rows")
    else:
        (_draw_pairs if len(steps) < 3 else _draw_groups)(axes, rows, colours)
        axes.set_yticks(range(len(order)), shortened(order))
        axes.invert_yaxis()
        axes.set_xlabel("rows")
        axes.margins(x=0.14, y=0.01)
        values = list(rows.values())
        for y, (n, m) in enumerate(zip(values[0], values[-1], strict=True)):
            text = f"{n:,}" if n == m else f"{n:,} → {m:,}"
            end = max(each[y] for each in values)
            if n or m:
                hover(axes, (0, y - 0.4, end, y + 0.4), f"{order[y]}: {text}")
            axes.annotate(
                text, (end, y), (3, 0), textcoords="offset points", va="center", fontsize=7, color=MUTED
            )
    axes.grid(axis="x" if named else "y", color=FAINT)
    with house_style():
        figure.legend(loc="outside upper left", reverse=not named or len(steps) < 3)
    save_figure(figure, path)


def _draw_pairs(axes: Axes, rows: Mapping[str, list[int]], colours: list[str]) -> None:
    """One bar a class, that of before drawn on that of after."""
    before, *after = rows.items()
    positions = list(range(len(before[1])))
    for label, values in after:
        axes.barh(positions, values, height=0.72, color=colours[-1], alpha=0.55, label=label)
    height = 0.36 if after else 0.72
    axes.barh(positions, before[1], height=height, color=colours[0], label=before[0])


def _draw_groups(axes: Axes, rows: Mapping[str, list[int]], colours: list[str]) -> None:
    """A bar for each step, one below the other, in each class."""
    height = 0.84 / len(rows)
    for k, ((label, values), colour) in enumerate(zip(rows.items(), colours, strict=True)):
        below = (k - (len(rows) - 1) / 2) * height
        positions = [y + below for y in range(len(values))]
        axes.barh(positions, values, height=height * 0.9, color=colour, label=label)


def _draw_lines(axes: Axes, rows: Mapping[str, list[int]], colours: list[str]) -> None:
    """A line for each step, the first one in front and filled; broken lines show what lies behind them."""
    lines = list(zip(rows.items(), colours, strict=True))
    positions = list(range(len(lines[0][0][1])))
    for k, ((label, values), colour) in reversed(list(enumerate(lines))):
        style = "-" if k in (0, len(lines) - 1) else "--" if k == 1 else ":"
        axes.plot(positions, values, color=colour, linestyle=style, label=label)
    axes.fill_between(positions, lines[0][0][1], color=colours[0], alpha=0.25, linewidth=0)
    axes.set_ylim(bottom=0)


def _label(step: str, counts: Distribution) -> str:
    total, ratio = sum(counts.values()), imbalance_ratio(counts)
    return f"{_TITLES.get(step, step)} — {total:,} in all, ratio {ratio:,.3g}, Gini {gini(counts):.2f}"
