"""What a comparison finds, as plain values: made by `evenly.comparison.leaderboards`, told by `verdicts`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evenly.comparison.classes import ClassGains
from evenly.comparison.statistics import RankComparison
from evenly.comparison.techniques import BASELINE, Field

#: Level at which a difference is called one.
ALPHA = 0.05


@dataclass(frozen=True)
class Gain:
    """How much better a technique is than a reference, paired over seeds.

    Attributes
    ----------
    reference
        Name of the technique that it is compared with.
    mean, low, high
        Improvement with its 95% interval: above 0 is better, whatever the direction of the metric.
    p_value, holm_p
        Of the corrected resampled t-test, and adjusted for the number of techniques compared with this
        reference (not for the best cheap rival against the baseline, which is planned).
    wins, ties, losses
        Seeds.
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
        """Whether it is a difference at 5% after Holm's adjustment."""
        return self.holm_p < ALPHA


@dataclass(frozen=True)
class Standing:
    """One row of a leaderboard.

    Attributes
    ----------
    name, cheap, is_rule
        Of the technique.
    seeds
        Of its runs.
    scores
        The metric by seed.
    mean, low, high
        Over seeds, with the 95% interval that allows for their sharing rows; no width with one seed.
    rank
        Mean rank over the seeds that all techniques have, 1 the best; None where there is no such seed.
    validation
        Mean of the metric on validation rows.
    metrics
        Means of the other metrics.
    against_baseline, against_rival
        None for the reference itself, and where two seeds in common are wanting.
    log_loss
        Improvement in log loss over the baseline: what it does to probabilities.
    reread
        Mean of the metric when the same models decide by another rule.
    gap
        Macro F1 on real training rows minus that on test rows.
    added_rows, tokens, money, making_seconds, fit_seconds
        Means over runs; money is None where a price is unknown, seconds where they were not measured.
    classes
        Which classes gain over the baseline; None for rules.
    """

    name: str
    cheap: bool
    is_rule: bool
    seeds: tuple[int, ...]
    scores: Mapping[int, float]
    mean: float
    low: float
    high: float
    rank: float | None
    validation: float | None
    metrics: Mapping[str, float]
    against_baseline: Gain | None
    against_rival: Gain | None
    log_loss: Gain | None
    reread: Mapping[str, float]
    gap: float | None
    added_rows: float
    tokens: float
    money: float | None
    making_seconds: float | None
    fit_seconds: float | None
    classes: ClassGains | None

    @property
    def gain_per_money(self) -> float | None:
        """Improvement over the baseline per unit of money; None where nothing was paid or known."""
        if not self.money or self.against_baseline is None:
            return None
        return self.against_baseline.mean / self.money


@dataclass(frozen=True)
class Leaderboard:
    """All techniques on one data set with one model, the best mean first."""

    field: Field
    metric: str
    rival: str | None
    standings: tuple[Standing, ...]

    def of(self, name: str) -> Standing:
        """The row of a technique."""
        return next(standing for standing in self.standings if standing.name == name)

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
    """A technique over data sets, by its mean score on each.

    `wilcoxon_p` compares it with the baseline, `holm_p` is adjusted for the number of techniques; both are
    None for the baseline.
    """

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
