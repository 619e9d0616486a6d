"""Errors by group of class and spurious attribute, and what they say together: majority, minority, worst."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evenly.evaluation.intervals import Interval, bootstrap_weights, metric_intervals, wilson_interval
from evenly.evaluation.results import GroupErrors, GroupResult
from evenly.groups import by_group, group_counts, group_name, nested, parts_of
from evenly.samples import SampleTable, natural_order


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
    low, high = wilson_interval(errors, tested)
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

    Parameters
    ----------
    train, test
        Rows per group; a group that only the test has is a minority of its class.
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
