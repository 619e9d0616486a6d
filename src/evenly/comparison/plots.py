"""The pictures of a comparison: leaderboard, paired gains, gains by class, critical difference."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from evenly.comparison.findings import Across, Comparison, Gain, Leaderboard, Standing
from evenly.comparison.techniques import BASELINE, MEASURES
from evenly.comparison.verdicts import p_phrase
from evenly.figures import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    VERMILION,
    house_style,
    hover,
    new_figure,
    save_figure,
    shortened,
)
from evenly.wording import decimal, signed_decimal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAME = 44
#: More classes than this are drawn in size groups only.
_MANY_CLASSES = 24


def write_plots(comparison: Comparison, folder: Path) -> dict[str, list[str]]:
    """Write the pictures into an existing folder.

    Returns
    -------
    dict
        File names by title of the leaderboard; "" has those over data sets.
    """
    written: dict[str, list[str]] = {}
    with house_style():
        for i, board in enumerate(comparison.leaderboards):
            start = f"{i + 1}_" if len(comparison.leaderboards) > 1 else ""
            names = [f"{start}leaderboard.png"]
            _leaderboard(board, folder / names[0])
            if any(s.against_baseline for s in board.standings):
                names.append(f"{start}gains.png")
                _gains(board, folder / names[-1])
            if any(s.classes for s in board.standings):
                names.append(f"{start}classes.png")
                _classes(board, folder / names[-1])
            written[board.field.title] = names
        if comparison.across is not None and comparison.across.ranks is not None:
            critical_difference_diagram(comparison.across, folder / "critical_difference.png")
            written[""] = ["critical_difference.png"]
    return written


def _colour(board: Leaderboard, standing: Standing) -> str:
    if standing.name == BASELINE:
        return INK
    return GREEN if standing.cheap else BLUE


def _leaderboard(board: Leaderboard, path: Path) -> None:
    rows = board.standings
    figure, (axes,) = new_figure(9.0, 1.3 + 0.3 * len(rows))
    for place, standing in enumerate(rows):
        colour = _colour(board, standing)
        scores = np.array(list(standing.scores.values()))
        axes.plot(scores, np.full(len(scores), place), "|", color=colour, alpha=0.45, markersize=8)
        axes.hlines(place, standing.low, standing.high, color=colour, linewidth=1.6)
        axes.plot(standing.mean, place, "o", color=colour, markersize=5.5)
        ends = (min(standing.low, scores.min()), place - 0.3, max(standing.high, scores.max()), place + 0.3)
        words = (
            f"{standing.title}: {decimal(standing.mean)}, {decimal(standing.low)} to {decimal(standing.high)}"
        )
        hover(axes, ends, words)
    _guides(axes, board)
    _names(axes, [s.title for s in rows])
    metric = MEASURES[board.metric]
    better = "right" if metric.higher_is_better else "left"
    axes.set_xlabel(
        f"{metric.label} on test rows, further {better} is better; ticks: seeds, bars: 95% of the mean",
        loc="right",
    )
    axes.set_title(f"{board.field.title}: {board.seeds} seed{'' if board.seeds == 1 else 's'}")
    _legend(axes, board)
    save_figure(figure, path)


def _guides(axes: Axes, board: Leaderboard) -> None:
    if board.baseline is not None:
        axes.axvline(board.baseline.mean, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    if board.rival is not None:
        axes.axvline(board.of(board.rival).mean, color=GREEN, linewidth=0.9, linestyle=(0, (1, 2)), zorder=0)


def _legend(axes: Axes, board: Leaderboard) -> None:
    from matplotlib.lines import Line2D

    entries = [("no balancing", INK), ("cheap rival", GREEN), ("technique", BLUE)]
    handles = [
        Line2D([], [], color=colour, marker="o", linewidth=1.6, label=name) for name, colour in entries
    ]
    if board.rival is not None:
        dots = Line2D(
            [], [], color=GREEN, linewidth=0.9, linestyle=(0, (1, 2)), label="best rival on validation"
        )
        handles.append(dots)
    axes.figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def _gains(board: Leaderboard, path: Path) -> None:
    rows = [s for s in board.standings if s.against_baseline is not None or s.against_rival is not None]
    panels = [("no balancing", [s.against_baseline for s in rows])]
    if board.rival is not None:
        panels.append((board.rival, [s.against_rival for s in rows]))
    figure, axes = new_figure(
        4.2 + 2.6 * len(panels), 1.1 + 0.3 * len(rows), columns=len(panels), sharey=True
    )
    for ax, (reference, gains) in zip(axes, panels, strict=True):
        ax.axvline(0, color=MUTED, linewidth=0.9)
        for place, gain in enumerate(gains):
            if gain is not None:
                _gain(ax, place, gain)
                ends = f"{decimal(gain.low)} to {decimal(gain.high)}, p {p_phrase(gain.holm_p)}"
                words = f"{rows[place].title}: {signed_decimal(gain.mean)}, {ends}"
                hover(ax, (gain.low, place - 0.3, gain.high, place + 0.3), words)
        ax.set_title("\n".join(wrap(f"against {shortened([reference], 60)[0]}", 30)))
        ax.set_xlabel(f"gain in {MEASURES[board.metric].label}, 95%", loc="right")
    _names(axes[0], [s.title for s in rows])
    for ax in axes[1:]:
        ax.tick_params(axis="y", length=0)
    save_figure(figure, path)


def _gain(axes: Axes, place: int, gain: Gain) -> None:
    colour = MUTED if not gain.differs else GREEN if gain.mean > 0 else VERMILION
    axes.hlines(place, gain.low, gain.high, color=colour, linewidth=1.8)
    filled = colour if gain.differs else "white"
    axes.plot(gain.mean, place, "o", color=colour, markerfacecolor=filled, markersize=5.5)


def _names(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), shortened(names, _NAME))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _classes(board: Leaderboard, path: Path) -> None:
    """Draw the gain in F1 of every class, or of size groups, as a map with one row for each technique."""
    gaining = [(s.name, s.classes) for s in board.standings if s.classes is not None]
    by_name = len(gaining[0][1].by_name) <= _MANY_CLASSES
    columns = [[*classes.by_size, *(classes.by_name if by_name else ())] for _, classes in gaining]
    sizes = len(gaining[0][1].by_size)
    values = np.array([[gain.gain for gain in row] for row in columns])
    limit = max(0.05, float(np.abs(values).max()))
    width = 2.9 + 0.52 * values.shape[1]
    figure, (axes,) = new_figure(width, 1.9 + 0.3 * len(gaining))
    axes.imshow(values, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    for (row, column), value in np.ndenumerate(values):
        shade = "white" if abs(value) > 0.6 * limit else INK
        axes.text(column, row, decimal(float(value), 2), ha="center", va="center", fontsize=7, color=shade)
        words = f"{gaining[row][0]}, {columns[row][column].name}: {signed_decimal(float(value))}"
        hover(axes, (column - 0.5, row - 0.5, column + 0.5, row + 0.5), words)
    rows = [f"{gain.train_rows:.0f}" for gain in columns[0]]
    labels = shortened([gain.name for gain in columns[0]], 18)
    turned = any(len(label) > 5 for label in labels)
    axes.set_xticks(
        range(len(labels)),
        [
            f"{label} ({count})" if turned else f"{label}\n({count})"
            for label, count in zip(labels, rows, strict=True)
        ],
        rotation=35 if turned else 0,
        ha="right" if turned else "center",
    )
    axes.set_yticks(range(len(gaining)), shortened([name for name, _ in gaining], _NAME))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if by_name:
        axes.axvline(sizes - 0.5, color="white", linewidth=6)
    axes.set_title("Gain in F1 over no balancing, both without a rule, by size and by class")
    axes.set_xlabel("mean real training rows in brackets", loc="right")
    save_figure(figure, path)


def critical_difference_diagram(across: Across, path: Path) -> None:
    """Draw mean ranks on a line, and bars over those that do not differ (Demšar 2006, figure 1)."""
    ranks = across.ranks
    assert ranks is not None
    rows = sorted(across.rows, key=lambda row: row.rank)
    count, critical = len(rows), ranks.critical_difference
    groups = indistinct_groups([row.rank for row in rows], critical)
    half = (count + 1) // 2
    height = 1.5 + 0.24 * half + 0.12 * len(groups)
    figure, (axes,) = new_figure(8.2, height)
    line, step = 0.0, 1.0
    top = line - 0.55 * len(groups) - 0.6
    axes.hlines(line, 1, count, color=INK, linewidth=1.2)
    for rank in range(1, count + 1):
        axes.vlines(rank, line, line + 0.3, color=INK, linewidth=1)
        axes.text(rank, line + 0.45, str(rank), ha="center", va="bottom", fontsize=8)
    margin = 0.06 * (count - 1)
    for i, row in enumerate(rows):
        left = i < half
        place = top - step * (i if left else count - 1 - i)
        end = 1 - margin if left else count + margin
        axes.plot([row.rank, row.rank, end], [line, place, place], color=MUTED, linewidth=0.8)
        name = f"{shortened([row.name], _NAME)[0]}  {row.rank:.2f}"
        axes.text(
            end,
            place,
            f"{name} " if left else f" {name}",
            ha="right" if left else "left",
            va="center",
            fontsize=8,
        )
    for i, (first, last) in enumerate(groups):
        y = line - 0.5 - 0.55 * i
        axes.hlines(y, rows[first].rank - 0.03, rows[last].rank + 0.03, color=VERMILION, linewidth=3)
    axes.hlines(line + 1.6, 1, 1 + min(critical, count - 1), color=INK, linewidth=1.4)
    wider = " (wider than the scale)" if critical > count - 1 else ""
    axes.text(1, line + 1.75, f"critical difference {critical:.2f}{wider}", va="bottom", fontsize=8)
    axes.set_xlim(1 - 0.62 * count, count + 0.62 * count)
    axes.set_ylim(top - step * half, line + 2.6)
    axes.axis("off")
    axes.set_title(f"Mean ranks over {ranks.data_sets} data sets; under a bar they do not differ", loc="left")
    save_figure(figure, path)


def indistinct_groups(ranks: list[float], critical: float) -> list[tuple[int, int]]:
    """First and last position of the longest runs of sorted mean ranks within the critical difference.

    Runs of one, and runs inside another, are left out.
    """
    groups: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(i for i in range(first, len(ranks)) if ranks[i] - ranks[first] <= critical)
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return groups
