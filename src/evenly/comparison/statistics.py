"""Tests for comparing techniques: arrays of scores in, differences, intervals and p-values out.

Within one data set, scores are paired over seeds, and the seeds share rows: the corrected resampled t-test.
Over several data sets, scores are paired over data sets: Wilcoxon for two techniques, Friedman for more. What
the numbers mean in words lives in `evenly.comparison.verdicts`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class PairedDifference:
    """Mean of a − b over n pairs, its 95% interval, and the two-sided p-value of no difference."""

    mean: float
    low: float
    high: float
    p_value: float
    pairs: int


@dataclass(frozen=True)
class Design:
    """How seeds come to their test rows: what their scores have in common depends on it.

    `given`: all score the same rows. `redrawn`: each draws its own part of the rows. `folds`: the seeds of a
    repetition share out all rows (k-fold cross-validation). `test_share` is ρ/(1 − ρ) where ρ is the share of
    the rows that is drawn for testing; it says nothing where they are given.
    """

    kind: Literal["redrawn", "given", "folds"] = "redrawn"
    test_share: float = 0.25


def estimate(
    values: Sequence[float] | np.ndarray,
    design: Design,
    drawn: np.ndarray | None = None,
    pooled: float | None = None,
) -> PairedDifference:
    """Estimate a mean over seeds of scores, or of paired differences, with all the doubt that there is.

    Seeds vary the training, and the rows that score could have been others: both count.

    - Given rows: the variances over seeds and over resamples of the rows add up, as in studies of many
      readers and many cases (Obuchowski & Rockette 1995), with Satterthwaite's degrees of freedom.
    - Redrawn rows: the corrected resampled t-test (Nadeau & Bengio 2003), whose variance (1/n + ρ/(1 − ρ)) σ²
      has the rows in it; the variance over resamples of the rows takes its place where that is wider, so that
      scores which happen to agree over seeds prove nothing.
    - Folds: all rows of a repetition are scored as one, with the variance over resamples of the rows (Bayle
      et al. 2020) times 1 + ρ/(1 − ρ) for the rows that folds train on in common, and a quarter of that again
      for what resampling misses of scarce classes: set so that `python -m bench.power` finds the level kept.
      Where that is unknown, and for part of a repetition: the corrected t-test, which for folds is that of
      Bouckaert & Frank (2004).

    Parameters
    ----------
    values
        One for each seed, float (n,), n ≥ 1.
    design
        Where the test rows come from.
    drawn
        The same on resamples of the rows, float (B,), from `evenly.resamples`.
    pooled
        Of folds: the same on all rows at once, of which `drawn` are the resamples.

    Returns
    -------
    PairedDifference
        The interval has no width and p is 1 where nothing is known of the spread: for one seed, for given
        rows or for equal values without resamples.
    """
    scores = np.asarray(values, dtype=np.float64)
    n, mean = len(scores), float(scores.mean())
    over_seeds = float(scores.var(ddof=1)) if n > 1 else 0.0
    over_rows, rows_freedom = (0.0, 1.0) if drawn is None else _resampled_variance(drawn)
    corrected = ((1 / n + design.test_share) * over_seeds, n - 1)
    if design.kind == "given":
        variance, freedom = _sum_of_variances(over_seeds / n, n - 1, over_rows, rows_freedom)
        if drawn is None:
            variance = 0.0
    elif design.kind == "folds" and pooled is not None:
        inflation = (1 + design.test_share) * (1 + design.test_share / 4)
        mean, variance, freedom = pooled, over_rows * inflation, rows_freedom
    else:
        variance, freedom = max(corrected, (over_rows, rows_freedom), key=lambda one: _half_width(*one))
    error = math.sqrt(variance)
    if n < 2 or error <= 1e-12 * max(1.0, abs(mean)):
        return PairedDifference(mean, mean, mean, 1.0, n)
    half = _half_width(variance, freedom)
    return PairedDifference(
        mean, mean - half, mean + half, 2 * float(stats.t.sf(abs(mean) / error, freedom)), n
    )


def _half_width(variance: float, freedom: float) -> float:
    return math.sqrt(variance) * float(stats.t.ppf(0.975, freedom)) if variance else 0.0


def _sum_of_variances(a: float, a_freedom: float, b: float, b_freedom: float) -> tuple[float, float]:
    """Add two variances, with the degrees of freedom of the sum (Satterthwaite 1946)."""
    total = a + b
    parts = sum(part**2 / freedom for part, freedom in ((a, a_freedom), (b, b_freedom)) if part)
    return total, total**2 / parts if parts else 1.0


def _resampled_variance(drawn: np.ndarray) -> tuple[float, float]:
    """Variance over resamples with exponential weights, and its degrees of freedom.

    A sum of u_i w_i with exponential weights w has an excess kurtosis of 6 Σu⁴ / (Σu²)²: it tells on how many
    rows the difference rests. Six rows that all favour one side are then as good as five degrees of freedom,
    near the sign test's p, and not as good as the normal distribution would have them.
    """
    variance = float(np.var(drawn, ddof=1))
    if variance < 1e-18:
        return 0.0, 1.0
    # Noise in the kurtosis of B normal values is √(24/B).
    excess = max(float(stats.kurtosis(drawn)) - math.sqrt(24 / len(drawn)), 0.0)
    return variance, max(1.0, 6 / excess - 1) if excess else 1e6


def corrected_resampled_t_test(
    a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray, test_share: float
) -> PairedDifference:
    """Compare two techniques on one data set over seeds that resample its split (Nadeau & Bengio 2003,
    section 3).

    The seeds reuse the same rows, so that the naive t-test sees differences where there are none. The
    variance of the mean difference is taken as (1/n + ρ/(1 − ρ)) σ², with n − 1 degrees of freedom, where ρ
    is the share of the rows that is drawn for testing.

    Where all rows but the test rows are trained on, ρ/(1 − ρ) is the familiar n_test/n_train. Where training
    rows are thinned out or rows are held out for validation, it is not: what two seeds have in common is then
    still ρ of their test rows. Measured on 500 simulated data sets with ten classes, a tail of 50 and two
    classifiers that are equally good by symmetry, at 5%: this share 2.4%, n_test/n_train 0.2%, the naive test
    9% (without the tail 3.0%, 2.2%, 13%).

    Parameters
    ----------
    a, b
        Scores of the techniques, float (n,), paired by seed, n ≥ 2.
    test_share
        ρ/(1 − ρ): test rows over all other rows that the split is drawn from, above 0.

    Returns
    -------
    PairedDifference
        Of a − b; see `estimate` for differences that are all equal.

    Raises
    ------
    ValueError
        When the lengths differ, there are fewer than two pairs, or `test_share` is not positive.
    """
    differences = _paired(a, b)
    if len(differences) < 2:
        raise ValueError("a paired test needs at least two pairs")
    if not test_share > 0:
        raise ValueError(f"test_share must be above 0, not {test_share}")
    return estimate(differences, Design("redrawn", test_share))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's step-down adjustment (Holm 1979): adjusted p-values in the order given, (m,).

    The i-th smallest of m becomes the largest of (m − j + 1) p_(j) over j ≤ i, at most 1. A NaN is no test:
    it stays, and does not count in m.
    """
    p = np.asarray(p_values, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    stepped = np.maximum.accumulate(p[order] * (len(order) - np.arange(len(order))))
    adjusted = p.copy()
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def wilcoxon_signed_rank(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test over data sets (Demšar 2006, section 3.1.3).

    Exact for up to 50 pairs without ties or zeros, else by the normal approximation; pairs without a
    difference are shared between the signs (Pratt). Without any difference p is 1.
    """
    differences = _paired(a, b)
    if not np.any(differences):
        return 1.0
    return float(stats.wilcoxon(differences, zero_method="pratt").pvalue)


@dataclass(frozen=True)
class RankComparison:
    """Techniques ranked over N data sets: mean ranks, 1 the best, Friedman's χ² with ties and its p-value.

    Two mean ranks that differ by more than the critical difference differ at 5% (Nemenyi; Demšar 2006,
    section 3.2.2).
    """

    mean_ranks: dict[str, float]
    statistic: float
    p_value: float
    critical_difference: float
    data_sets: int


def friedman(scores: Mapping[str, Sequence[float]], alpha: float = 0.05) -> RankComparison:
    """Friedman's test over data sets, with Nemenyi's critical difference (Demšar 2006).

    Parameters
    ----------
    scores
        Technique to its scores, one for each data set in the same order, higher is better.
    alpha
        Level of the critical difference.

    Raises
    ------
    ValueError
        With fewer than three techniques or two data sets, or scores of unequal length.
    """
    names = list(scores)
    lengths = {len(values) for values in scores.values()}
    if len(names) < 3 or len(lengths) != 1 or lengths.pop() < 2:
        raise ValueError(
            "Friedman's test needs at least three techniques with scores on the same two or more data sets"
        )
    table = np.array([scores[name] for name in names], dtype=np.float64)
    techniques, data_sets = table.shape
    ranks = stats.rankdata(-table, axis=0)
    if np.all(ranks == ranks[0]):
        statistic, p_value = 0.0, 1.0
    else:
        result = stats.friedmanchisquare(*table)
        statistic, p_value = float(result.statistic), float(result.pvalue)
    # q_α is the studentised range at infinite degrees of freedom over √2.
    q = float(stats.studentized_range.ppf(1 - alpha, techniques, np.inf)) / math.sqrt(2)
    critical = q * math.sqrt(techniques * (techniques + 1) / (6 * data_sets))
    means = {name: float(rank) for name, rank in zip(names, ranks.mean(axis=1), strict=True)}
    return RankComparison(means, statistic, p_value, critical, data_sets)


def _paired(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> np.ndarray:
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"paired scores need equal lengths, not {first.shape} and {second.shape}")
    return np.asarray(first - second)
