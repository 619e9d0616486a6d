"""Curves for people and files: tables of seeds and steps, tidy tables for plots, Markdown, the picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from evenly.console import ResultsTable, output_console, points
from evenly.curves.findings import METRIC_LABELS, SOURCE_LABELS, Curve, Curves, sentences, spread_text
from evenly.curves.sources import SourceName
from evenly.figures import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    VERMILION,
    house_style,
    legend_columns,
    new_figure,
    save_figure,
)
from evenly.files import atomic_folder, write_csv, write_text
from evenly.wording import counted, decimal, markdown_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.console import Console

_COLOURS: dict[SourceName, tuple[str, str]] = {
    "run": (VERMILION, "o"),
    "smote": (ORANGE, "s"),
    "duplication": (INK, "^"),
    "fair_duplication": (BLUE, "D"),
}
_RAW = GREEN


def write_curves(curves: Curves, folder: str | Path, heading: str) -> None:
    """Write table.csv, curve.csv, means.csv, curve.md and curve.png into a folder, replacing it.

    `table.csv` has a row for each seed, then mean and standard deviation, and a column for each step. The
    other two are tidy, a row for each point: `curve.csv` of every seed, `means.csv` of mean and spread.
    """
    steps = sorted({step for curve in curves.curves for step in curve.steps})
    with atomic_folder(folder) as temporary:
        columns = ["model", "source", "seed", *map(str, steps)]
        write_csv(temporary / "table.csv", columns, _table(curves, steps))
        points: list[list[Any]] = []
        means: list[list[Any]] = []
        for curve in curves.curves:
            which = [curve.variant.model, "yes" if curve.variant.regularised else "no", curve.source]
            for k, step in enumerate(curve.steps):
                mean, spread = float(curve.mean[k]), float(curve.deviation[k])
                means.append([*which, step, mean, spread, mean - spread, mean + spread])
            for seed, values in zip(curve.seeds, curve.values.tolist(), strict=True):
                points += [[*which, seed, *point] for point in zip(curve.steps, values, strict=True)]
        which = ["model", "regularised", "source"]
        write_csv(temporary / "curve.csv", [*which, "seed", "rows", curves.metric], points)
        write_csv(temporary / "means.csv", [*which, "rows", "mean", "deviation", "low", "high"], means)
        write_text(curves_markdown(curves, heading), temporary / "curve.md")
        draw(curves, temporary / "curve.png", heading)


def seed_rows(curve: Curve) -> Iterator[tuple[str, list[float]]]:
    """The rows of a curve's table: seeds, then `mean` and `sd`; a single seed has neither."""
    for seed, values in zip(curve.seeds, curve.values.tolist(), strict=True):
        yield str(seed), values
    if len(curve.seeds) > 1:
        yield "mean", curve.mean.tolist()
        yield "sd", curve.deviation.tolist()


def curves_markdown(curves: Curves, heading: str) -> str:
    """Write all tables, and what they say, for a pull request."""
    parts = [f"# {METRIC_LABELS[curves.metric]} over synthetic volume", heading, "![curves](curve.png)"]
    parts.append("\n".join(f"- {sentence}" for sentence in sentences(curves)))
    for curve in curves.curves:
        rows = [[name, *(decimal(value) for value in values)] for name, values in seed_rows(curve)]
        parts += [
            f"## {curve.variant.title}: {SOURCE_LABELS[curve.source]}",
            markdown_table(["seed", *(f"+{step:,}" for step in curve.steps)], rows),
        ]
    return "\n\n".join(parts) + "\n"


def draw(curves: Curves, path: Path, heading: str) -> None:
    """Draw a panel for each classifier: a line for each source, its band one standard deviation."""
    variants = curves.variants
    models = [variant for variant in variants if not variant.regularised]
    width = 1.2 + 2.9 * len(models)
    with house_style():
        figure, axes = new_figure(width, 6.0, rows=2, columns=len(models), sharex=True, sharey=True)
        ordered = [*models, *(variant for variant in variants if variant.regularised)]
        for panel, variant in zip(axes, ordered, strict=True):
            for curve in curves.of(variant):
                _line(panel, curve)
            raw = float(curves.of(variant)[0].mean[0])
            panel.axhline(raw, color=_RAW, linewidth=1.0, linestyle=":", label="training rows alone")
            panel.set_title(variant.title)
            panel.margins(x=0.03)
            panel.grid(axis="y")
        for panel in axes[len(models) :]:
            panel.set_xlabel("synthetic rows added")
        label = METRIC_LABELS[curves.metric]
        for panel in axes[:: len(models)]:
            better = "higher" if curves.higher_is_better else "lower"
            panel.set_ylabel(f"{label}, {better} is better")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns(figure, labels))
        figure.suptitle(fill(heading, int(14 * width)), x=0.01, ha="left", fontsize=9)
        save_figure(figure, path)


def _line(panel: Axes, curve: Curve) -> None:
    colour, marker = _COLOURS[curve.source]
    mean, deviation = curve.mean, curve.deviation
    panel.plot(
        curve.steps, mean, color=colour, marker=marker, markersize=4, label=SOURCE_LABELS[curve.source]
    )
    panel.fill_between(curve.steps, mean - deviation, mean + deviation, color=colour, alpha=0.12, linewidth=0)


def _table(curves: Curves, steps: list[int]) -> Iterator[list[Any]]:
    for curve in curves.curves:
        for name, values in seed_rows(curve):
            by_step = dict(zip(curve.steps, values, strict=True))
            yield [curve.variant.title, curve.source, name, *map(by_step.get, steps)]


def print_curves(curves: Curves, heading: str, brief: bool = False, console: Console | None = None) -> None:
    """Print a table for each classifier, seeds (not if `brief`), means and deviations by step."""
    from rich.markup import escape

    console = console or output_console()
    console.print(f"\n[bold]{METRIC_LABELS[curves.metric]} over synthetic volume[/bold]\n{escape(heading)}\n")
    steps = sorted({step for curve in curves.curves for step in curve.steps})
    for variant in curves.variants:
        columns = [f"+{step:,}" if step else "none" for step in steps]
        table = ResultsTable(escape(variant.title), "table.csv has them all")
        table.add_names("rows added", "seed")
        table.add_numbers(*columns)
        for curve in curves.of(variant):
            _add(table, curve, steps, brief)
        console.print(table)
    console.print(points(sentences(curves)))
    console.print()


def _add(table: ResultsTable, curve: Curve, steps: list[int], brief: bool) -> None:
    source = SOURCE_LABELS[curve.source]
    if brief:
        spreads = {step: spread_text(curve, place) for place, step in enumerate(curve.steps)}
        table.add_row(source, counted(len(curve.seeds), "seed"), *(spreads.get(step, "") for step in steps))
        return
    rows = list(seed_rows(curve))
    for number, (name, values) in enumerate(rows):
        by_step = dict(zip(curve.steps, values, strict=True))
        cells = (decimal(by_step[step]) if step in by_step else "" for step in steps)
        style = "bold" if name == "mean" else ""
        table.add_row(
            "" if number else source, name, *cells, style=style, end_section=number == len(rows) - 1
        )
