"""Which classes gain, by name and by how many training rows they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evenly.experiments.runs import ClassScore

#: Size groups of the classes of one run, by rank: the scarcest third and so on.
SIZES = ("scarcest third", "middle third", "largest third")

Pair = tuple[Sequence[ClassScore], Sequence[ClassScore]]


@dataclass(frozen=True)
class ClassGain:
    """Gain in F1 over the baseline of one class, or of one size group, over seeds.

    `train_rows` is the mean number of real training rows, `gain` the mean difference, `lost` and `won` the
    seeds in which it went down and up.
    """

    name: str
    train_rows: float
    baseline: float
    gain: float
    won: int
    lost: int


@dataclass(frozen=True)
class ClassGains:
    """Gains by class, the scarcest first, by size group, and of the class that is worst at the baseline."""

    by_name: tuple[ClassGain, ...]
    by_size: tuple[ClassGain, ...]
    worst: ClassGain


def class_gains(pairs: Sequence[Pair]) -> ClassGains:
    """Compare class by class.

    Parameters
    ----------
    pairs
        For each seed, the classes under the technique and under the baseline, in the same order.

    Returns
    -------
    ClassGains
        The size groups are made anew in each seed: with an induced tail, which class is scarce may depend on
        the seed. So may which class is worst.
    """
    names = [score.name for score in pairs[0][0]]
    by_name = [_gain(name, [_named(pair, name) for pair in pairs]) for name in names]
    by_size = [
        _gain(size, [_mean_of(pair, group) for pair in pairs for group in [_size_groups(pair[1])[i]]])
        for i, size in enumerate(SIZES)
    ]
    worst = _gain("worst class", [_mean_of(pair, [_worst(pair[1])]) for pair in pairs])
    return ClassGains(
        tuple(sorted((gain for gain in by_name if gain), key=lambda gain: gain.train_rows)),
        tuple(gain for gain in by_size if gain),
        worst or ClassGain("worst class", 0, 0, 0, 0, 0),
    )


#: Training rows, F1 under the technique, F1 at the baseline; None where there is nothing to compare.
_Values = tuple[float, float, float] | None


def _gain(name: str, values: Sequence[_Values]) -> ClassGain | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    rows, ours, base = np.array(known).T
    difference = np.round(ours - base, 9)
    return ClassGain(
        name,
        float(rows.mean()),
        float(base.mean()),
        float(difference.mean()),
        int((difference > 0).sum()),
        int((difference < 0).sum()),
    )


def _named(pair: Pair, name: str) -> _Values:
    place = next((i for i, score in enumerate(pair[1]) if score.name == name), None)
    return None if place is None else _mean_of(pair, [place])


def _mean_of(pair: Pair, places: Sequence[int]) -> _Values:
    known = [
        (base.train_rows, ours.f1, base.f1)
        for ours, base in ((pair[0][i], pair[1][i]) for i in places)
        if ours.f1 is not None and base.f1 is not None
    ]
    if not known:
        return None
    rows, ours_mean, base_mean = np.array(known, dtype=np.float64).mean(axis=0).tolist()
    return rows, ours_mean, base_mean


def _size_groups(classes: Sequence[ClassScore]) -> list[list[int]]:
    """Positions of the scarcest, the middle and the largest classes; two classes have no middle."""
    order = sorted(range(len(classes)), key=lambda i: (classes[i].train_rows, classes[i].name))
    third = max(1, len(classes) // 3)
    return [order[:third], order[third : len(order) - third], order[len(order) - third :]]


def _worst(classes: Sequence[ClassScore]) -> int:
    f1 = [2.0 if score.f1 is None else score.f1 for score in classes]
    return f1.index(min(f1))
