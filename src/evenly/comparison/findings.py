"""What a comparison finds, as plain values: made by `evenly.comparison.leaderboards`, told by `verdicts`; and
which classes gain, by name and by how many training rows they have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evenly.comparison.statistics import Design, RankComparison
from evenly.comparison.techniques import BASELINE, Field
from evenly.experiments.runs import ClassScore

#: Level at which a difference is called one.
ALPHA = 0.05
#: With fewer seeds than this there is no verdict.
FEWEST_SEEDS = 3


@dataclass(frozen=True)
class Gain:
    """How much better a technique is than a reference, paired over seeds.

    Above 0 is better, whatever the direction of the metric. `p_value` is that of
    `evenly.comparison.statistics.estimate`, `holm_p` the same adjusted for the number of techniques compared
    with this reference (not for the best cheap rival against the baseline, which is planned). Wins, ties and
    losses are seeds.
    """

    reference: str
    mean: float
    low: float
    high: float
    p_value: float
    holm_p: float
    wins: int
    ties: int
    losses: int

    @property
    def seeds(self) -> int:
        """Number of pairs."""
        return self.wins + self.ties + self.losses

    @property
    def differs(self) -> bool:
        """Whether it is a difference at 5% after Holm's adjustment; two seeds never show one."""
        return self.seeds >= FEWEST_SEEDS and self.holm_p < ALPHA

    @property
    def known(self) -> bool:
        """Whether there was a spread to measure it against."""
        return self.high > self.low


@dataclass(frozen=True)
class ClassGain:
    """Gain in F1 over the baseline of one class or size group: means over seeds, and seeds won and lost."""

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


@dataclass(frozen=True)
class Reading:
    """A technique under one of its decision rules; its gain is over no balancing under the same rule."""

    rule: str
    mean: float
    validation: float | None
    gain: Gain | None


@dataclass(frozen=True)
class Standing:
    """One row of a leaderboard: a technique under the rule that validation rows choose, means over its runs.

    `title` names both; `name` is the same without the rule, but for the rules on no balancing, each of which
    has a row of its own.
    """

    name: str
    title: str
    rule: str
    cheap: bool
    is_rule: bool
    seeds: tuple[int, ...]
    #: The metric by seed, and its mean with the 95% interval that allows for seeds sharing rows.
    scores: Mapping[int, float]
    mean: float
    low: float
    high: float
    #: Mean rank over the seeds that all techniques have, 1 the best; None where there is no such seed.
    rank: float | None
    #: The metric on validation rows.
    validation: float | None
    metrics: Mapping[str, float]
    #: None for the reference itself, and where two seeds in common are wanting. The baseline decides by
    #: itself, the rival is at its best; no balancing under the same rule tells what the rows or the loss do.
    against_baseline: Gain | None
    against_rival: Gain | None
    against_same_rule: Gain | None
    #: Improvement in log loss over the baseline: what it does to probabilities.
    log_loss: Gain | None
    #: The technique under each rule, the plainest first; empty for rules on no balancing.
    readings: tuple[Reading, ...]
    #: Macro F1 on real training rows minus that on test rows.
    gap: float | None
    added_rows: float
    tokens: float
    #: None where a price is unknown; seconds where they were not measured.
    money: float | None
    making_seconds: float | None
    fit_seconds: float | None
    #: Which classes gain over the baseline; None for rules.
    classes: ClassGains | None

    @property
    def gain_per_money(self) -> float | None:
        """Improvement over the baseline per unit of money; None where nothing was paid or known."""
        if not self.money or self.against_baseline is None:
            return None
        return self.against_baseline.mean / self.money


@dataclass(frozen=True)
class Leaderboard:
    """All techniques on one data set with one model, the best mean first.

    `worth` is the smallest difference that is of interest, `design` where the test rows come from.
    """

    field: Field
    metric: str
    design: Design
    worth: float
    rival: str | None
    standings: tuple[Standing, ...]

    def of(self, name: str) -> Standing:
        """The row of a technique, by its title or by its name."""
        return next(standing for standing in self.standings if name in (standing.title, standing.name))

    @property
    def baseline(self) -> Standing | None:
        """The row of `none`."""
        return self.of(BASELINE) if self.field.baseline else None

    @property
    def seeds(self) -> int:
        """The most seeds of any technique."""
        return max(len(standing.seeds) for standing in self.standings)


@dataclass(frozen=True)
class OverDataSets:
    """A technique over data sets, by its mean score on each; p-values are those against the baseline."""

    name: str
    means: tuple[float, ...]
    rank: float
    wins: int
    ties: int
    losses: int
    wilcoxon_p: float | None
    holm_p: float | None


@dataclass(frozen=True)
class Across:
    """Techniques that all data sets have, the best mean rank first; `ranks` is None with two of them."""

    titles: tuple[str, ...]
    rows: tuple[OverDataSets, ...]
    ranks: RankComparison | None


@dataclass(frozen=True)
class Failure:
    """A run that did not end well, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """Everything that is known about a set of runs."""

    metric: str
    leaderboards: tuple[Leaderboard, ...]
    across: Across | None
    failures: tuple[Failure, ...] = ()


#: Size groups of the classes of one run, by rank: the scarcest third and so on.
SIZES = ("scarcest third", "middle third", "largest third")

Pair = tuple[Sequence[ClassScore], Sequence[ClassScore]]


def class_gains(pairs: Sequence[Pair]) -> ClassGains:
    """Compare class by class: for each seed, the classes under the technique and under the baseline.

    The size groups are made anew in each seed: with an induced tail, which class is scarce may depend on the
    seed. So may which class is worst.
    """
    names = [score.name for score in pairs[0][0]]
    by_name = [_gain(name, [_named(pair, name) for pair in pairs]) for name in names]
    by_size = [
        _gain(size, [_mean_of(pair, _size_groups(pair[1])[i]) for pair in pairs])
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
