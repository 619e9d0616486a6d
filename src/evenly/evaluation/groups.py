"""Errors by group of class and spurious attribute, and what they say together: majority, minority, worst.

They are measured first; below stands how they are written: numbers for `metrics/evaluate.json`, a table, a
picture, a section of the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evenly.evaluation.bounds import exact_interval
from evenly.evaluation.intervals import (
    Interval,
    bootstrap_weights,
    intervals_json,
    metric_intervals,
)
from evenly.figures import BLUE, FAINT, INK, VERMILION, house_style, hover, name_rows, new_figure, save_figure
from evenly.files import write_csv
from evenly.groups import by_group, group_counts, group_name, nested, parts_of
from evenly.pages import figure, section
from evenly.samples import SampleTable, natural_order

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


@dataclass(frozen=True)
class GroupResult:
    """One group of class and spurious attribute, called `class/value`: its rows, and the final model's error.

    The interval of the error is exact. `minority` groups have fewer training rows than an equal share of
    their class.
    """

    name: str
    minority: bool
    train_rows: int
    balanced_rows: int
    test_rows: int
    error: Interval


@dataclass(frozen=True)
class GroupErrors:
    """The groups that test rows are in, by class order, and what sums them up.

    `summary` has `error` (of all rows), `majority_error` and `minority_error` (of the rows of such groups,
    where there are any), `worst_group_error`, and `largest_difference` between the errors of two groups.
    """

    groups: tuple[GroupResult, ...]
    summary: dict[str, Interval]

    @property
    def worst(self) -> GroupResult:
        """The group with the largest error, the first among equals."""
        return max(self.groups, key=lambda result: result.error.value)


def group_errors(
    predicted: np.ndarray,
    *,
    train: SampleTable,
    balanced: SampleTable,
    test: SampleTable,
    resamples: int,
    seed: int,
) -> GroupErrors | None:
    """Measure how unevenly a model errs over the groups of the test rows.

    Parameters
    ----------
    predicted
        Class positions decided for the test rows, int (n,).
    train, balanced, test
        The real training split, which tells majority from minority; the table that the model was fitted on;
        and the rows that were predicted.
    resamples, seed
        Of the bootstrap. The order of the test rows does not matter to it.

    Returns
    -------
    GroupErrors or None
        None where the test rows have no attribute.

    References
    ----------
    Sagawa et al., Distributionally Robust Neural Networks for Group Shifts, ICLR 2020 (1911.08731): the
    worst-group error.
    """
    if not test.has("attribute"):
        return None
    by_id = np.argsort(test.ids.astype(str), kind="stable")
    grouped, wrong = by_group(test), (predicted != test.codes)[by_id]
    codes, names = grouped.codes[by_id], grouped.classes
    rows = {"train": _known_counts(train), "balanced": _known_counts(balanced), "test": grouped.counts}
    minority = minority_groups(rows["train"], rows["test"])
    small = np.array([name in minority for name in names])

    values = _summary(wrong, codes, small, np.ones((1, len(wrong)), dtype=np.float32))
    draws = [_summary(wrong, codes, small, w) for w in bootstrap_weights(len(wrong), resamples, seed)]
    drawn = {name: np.concatenate([draw[name] for draw in draws]) for name in values}
    at_hand = {name: float(value[0]) for name, value in values.items()}
    errors = np.bincount(codes, wrong, len(names)).astype(np.int64)
    tested = np.array(list(grouped.counts.values()))
    low, high = exact_interval(errors, tested)
    results = tuple(
        GroupResult(
            name=name,
            minority=name in minority,
            train_rows=rows["train"].get(name, 0),
            balanced_rows=rows["balanced"].get(name, 0),
            test_rows=int(tested[k]),
            error=Interval(float(errors[k] / tested[k]), float(low[k]), float(high[k])),
        )
        for k, name in enumerate(names)
    )
    known = {name: drawn[name] for name, value in at_hand.items() if not np.isnan(value)}
    return GroupErrors(results, metric_intervals(at_hand, known))


def minority_groups(train: Mapping[str, int], test: Mapping[str, int]) -> frozenset[str]:
    """Groups with fewer training rows than an equal share of their class's over all values of the attribute.

    A group that only the test has is a minority of its class.
    """
    names = [*train, *(name for name in test if name not in train)]
    values = natural_order(parts_of(name)[1] for name in names)
    counts = nested({name: train.get(name, 0) for name in names})
    return frozenset(
        group_name(label, value)
        for label, of_class in counts.items()
        for value, count in of_class.items()
        if count * len(values) < sum(of_class.values()) or not count
    )


def _known_counts(samples: SampleTable) -> dict[str, int]:
    """Rows of each group; those that a producer made without an attribute are in none."""
    known = np.array([value is not None for value in samples.column("attribute")], dtype=bool)
    return group_counts(samples.take(known))


def _summary(
    wrong: np.ndarray, codes: np.ndarray, minority: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Errors that sum up the groups, (b,) each, for weightings of the rows (b, n); NaN without such rows."""
    member = (codes[:, None] == np.arange(len(minority))).astype(np.float32)
    rows = weights @ member
    errors = weights @ (member * wrong[:, None])
    with np.errstate(invalid="ignore"):
        by_group = np.where(rows > 0, errors / rows, np.nan)
        worst = np.nanmax(by_group, axis=1)
        return {
            "error": errors.sum(axis=1) / rows.sum(axis=1),
            "majority_error": errors[:, ~minority].sum(axis=1) / rows[:, ~minority].sum(axis=1),
            "minority_error": errors[:, minority].sum(axis=1) / rows[:, minority].sum(axis=1),
            "worst_group_error": worst,
            "largest_difference": worst - np.nanmin(by_group, axis=1),
        }


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
                **intervals_json({"error": result.error}),
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
                group.name,
                "yes" if group.minority else "no",
                *(group.train_rows, group.balanced_rows, group.test_rows),
                *group.error.ends,
            ]
            for group in groups.groups
        ),
    )
    with house_style():
        _draw(groups, folder / "per_group.png")


def groups_section(groups: GroupErrors, plots: Path) -> dict[str, Any]:
    """The section of the report."""
    tiles = []
    for name, found in groups.summary.items():
        note = f"95% {found.low:.3f}–{found.high:.3f}"
        if name == "worst_group_error":
            note += f", {groups.worst.name}"
        tiles.append({"label": _LABELS[name], "value": f"{found.value:.3f}", "note": note})
    rows = [
        [
            group.name,
            "minority" if group.minority else "majority",
            *(group.train_rows, group.balanced_rows, group.test_rows),
            {"text": f"{group.error.value:.3f}", "note": f"{group.error.low:.2f}–{group.error.high:.2f}"},
        ]
        for group in groups.groups
    ]
    picture = figure(plots / "per_group.png", "Error by group", "Lines: 95% intervals.")
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
        names = ", ".join(few[:10])
        remarks.append(f"Fewer than {_FEW_ROWS} test rows, so that the error is coarse: {names}.")
    columns = ["Group", "", "Real train", "Balanced train", "Test", "Error, 95% interval"]
    return section(
        "Groups",
        {"text": text},
        {"numbers": tiles},
        {"table": rows, "columns": columns},
        {"figures": [picture]},
        {"remarks": remarks},
    )


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
    largest = sorted(groups.groups, key=lambda group: -group.error.value)[:_MOST_DRAWN]
    places = np.arange(len(largest))
    canvas, (axes,) = new_figure(6.4, max(1.8, 1.2 + 0.3 * len(largest)))
    for minority, colour, label in ((True, VERMILION, "minority"), (False, BLUE, "majority")):
        at = [k for k, group in enumerate(largest) if group.minority == minority]
        if at:
            axes.barh(at, [largest[k].error.value for k in at], height=0.62, color=colour, label=label)
    _, low, high = np.array([group.error.ends for group in largest]).T
    axes.hlines(places, low, high, color=INK, linewidth=1.2)
    for place, group in enumerate(largest):
        words = f"{group.name}: error {group.error.value:.3f}, 95% {low[place]:.3f} to {high[place]:.3f}"
        hover(axes, (0, place - 0.3, max(group.error.value, high[place]), place + 0.3), words)
    overall = groups.summary["error"].value
    axes.axvline(overall, color=FAINT, linewidth=1.4, zorder=0)
    name_rows(axes, [(group.name, group.train_rows) for group in largest])
    axes.set_xlim(0, min(1.0, max(0.05, float(high.max()) * 1.1)))
    axes.set_xlabel(f"error on test rows, of all {overall:.3f}; real training rows in brackets", loc="right")
    axes.set_title("Error by group")
    axes.legend(loc="lower right")
    save_figure(canvas, path)
