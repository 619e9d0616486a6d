"""Errors by group as numbers for `metrics/evaluate.json`, as a table and a picture, and as a section of the
report.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evenly.evaluation.outputs import intervals_json, rounded
from evenly.evaluation.results import GroupErrors
from evenly.figures import BLUE, FAINT, INK, VERMILION, house_style, new_figure, save_figure, shortened
from evenly.files import write_csv
from evenly.wording import csv_cell

_LABELS = {
    "error": "Overall error",
    "majority_error": "Majority groups",
    "minority_error": "Minority groups",
    "worst_group_error": "Worst group",
    "largest_difference": "Largest difference",
}
#: Below this many test rows, a group's error is coarse.
_FEW_ROWS = 30
#: Of more groups than this, those with the largest errors are drawn.
_MOST_DRAWN = 40


def group_metrics(groups: GroupErrors) -> dict[str, Any]:
    """Numbers on test rows: the errors that sum up, which group is worst, and each group's own."""
    return {
        "test": {
            **intervals_json(groups.summary),
            "worst_group": groups.worst.name,
            "groups": len(groups.groups),
        },
        "per_group": {
            result.name: {
                "rows": result.test_rows,
                "train_rows": result.train_rows,
                "error": rounded(result.error.value),
                "error_low": rounded(result.error.low),
                "error_high": rounded(result.error.high),
            }
            for result in groups.groups
        },
    }


def write_groups(groups: GroupErrors, folder: Path) -> None:
    """Write `per_group.csv` and `per_group.png` into an existing folder."""
    write_csv(
        folder / "per_group.csv",
        ["group", "minority", "train_rows", "balanced_rows", "test_rows", "error", "error_low", "error_high"],
        (
            [
                result.name,
                "yes" if result.minority else "no",
                result.train_rows,
                result.balanced_rows,
                result.test_rows,
                *(csv_cell(value) for value in (result.error.value, result.error.low, result.error.high)),
            ]
            for result in groups.groups
        ),
    )
    with house_style():
        _draw(groups, folder / "per_group.png")


def groups_section(groups: GroupErrors, plots: Path) -> dict[str, Any]:
    """The section of the report."""
    tiles = [
        {
            "label": _LABELS[name],
            "value": f"{found.value:.3f}",
            "note": f"95% {found.low:.3f}–{found.high:.3f}"
            + (f", {groups.worst.name}" if name == "worst_group_error" else ""),
        }
        for name, found in groups.summary.items()
    ]
    rows = [
        [
            result.name,
            "minority" if result.minority else "majority",
            result.train_rows,
            result.balanced_rows,
            result.test_rows,
            {
                "text": f"{result.error.value:.3f}",
                "note": f"{result.error.low:.2f}–{result.error.high:.2f}",
            },
        ]
        for result in groups.groups
    ]
    figure = {
        "png": (plots / "per_group.png").read_bytes(),
        "alt": "Error by group",
        "caption": "Lines: 95% intervals.",
    }
    text = (
        "A group is a class with one value of the spurious attribute. Those that have fewer real training "
        "rows than an equal share of their class are the minority. A model that leans on the attribute errs "
        "there."
    )
    few = [result.name for result in groups.groups if result.test_rows < _FEW_ROWS]
    remarks = [
        "The error of the worst group and the largest difference are extremes over groups: with few rows a "
        "group they come out too large, in the test rows and once more in the resamples behind the intervals."
    ]
    if few:
        remarks.append(
            f"Fewer than {_FEW_ROWS} test rows, so that the error is coarse: {', '.join(few[:10])}."
        )
    columns = ["Group", "", "Real train", "Balanced train", "Test", "Error, 95% interval"]
    return {
        "title": "Groups",
        "blocks": [
            {"text": text},
            {"numbers": tiles},
            {"table": rows, "columns": columns},
            {"figures": [figure]},
            {"remarks": remarks},
        ],
    }


def group_sentence(found: dict[str, Any]) -> str:
    """One line for a terminal from what `group_metrics` made."""
    test = found["test"]
    between = f"95% {test['worst_group_error_low']:.3f} to {test['worst_group_error_high']:.3f}"
    return (
        f"Worst of {test['groups']} groups: {test['worst_group']}, error {test['worst_group_error']:.3f} "
        f"({between}); error of all rows {test['error']:.3f}, largest difference "
        f"{test['largest_difference']:.3f}."
    )


def _draw(groups: GroupErrors, path: Path) -> None:
    shown = sorted(groups.groups, key=lambda result: -result.error.value)[:_MOST_DRAWN]
    places = np.arange(len(shown))
    figure, (axes,) = new_figure(6.4, max(1.8, 1.2 + 0.3 * len(shown)))
    for minority, colour, label in ((True, VERMILION, "minority"), (False, BLUE, "majority")):
        at = [k for k, result in enumerate(shown) if result.minority == minority]
        if at:
            axes.barh(at, [shown[k].error.value for k in at], height=0.62, color=colour, label=label)
    low, high = np.array([[result.error.low, result.error.high] for result in shown]).T
    axes.hlines(places, low, high, color=INK, linewidth=1.2)
    overall = groups.summary["error"].value
    axes.axvline(overall, color=FAINT, linewidth=1.4, zorder=0)
    names = shortened([result.name for result in shown], 30)
    axes.set_yticks(
        places, [f"{name}  ({result.train_rows})" for name, result in zip(names, shown, strict=True)]
    )
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, min(1.0, max(0.05, float(high.max()) * 1.1)))
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"error on test rows, of all {overall:.3f}; real training rows in brackets", loc="right")
    axes.set_title("Error by group")
    axes.legend(loc="lower right")
    save_figure(figure, path)
