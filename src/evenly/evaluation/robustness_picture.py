"""The picture of robustness: accuracy and calibration error against the strength of each corruption."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evenly.evaluation.headline import HEADLINE
from evenly.figures import BLUE, GREEN, ORANGE, VERMILION, house_style, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from evenly.evaluation.results import RobustnessPoint

_SHOWN = ("accuracy", "calibration_error")
_COLOURS = (BLUE, VERMILION, GREEN, ORANGE)
#: Lines of several models are set off sideways, so that their intervals do not cover one another.
_OFFSET = 0.06


def draw_robustness(points: Sequence[RobustnessPoint], path: str | Path) -> None:
    """Draw a column of panels for each corruption, accuracy above calibration error, one line a model.

    Parameters
    ----------
    points
        Of up to four models.
    path
        Of the PNG.
    """
    corruptions = list(dict.fromkeys(point.corruption for point in points))
    models = list(dict.fromkeys(point.model for point in points))
    columns = len(corruptions)
    with house_style():
        figure, axes = new_figure(
            max(3.9, 2.3 * columns), 4.6, rows=2, columns=columns, sharex="col", sharey="row"
        )
        for row, metric in enumerate(_SHOWN):
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
            figure.legend(handles, labels, loc="outside upper right", ncols=len(models))
        save_figure(figure, path)


def _line(
    panel: Axes, line: Sequence[RobustnessPoint], metric: str, shift: float, model: str, colour: str
) -> None:
    x = [point.strength + shift for point in line]
    found = [point.metrics[metric] for point in line]
    panel.vlines(x, [i.low for i in found], [i.high for i in found], color=colour, linewidth=1.2, alpha=0.55)
    panel.plot(x, [i.value for i in found], "o-", color=colour, label=model)
