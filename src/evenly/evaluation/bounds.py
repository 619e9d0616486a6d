"""95% intervals in closed form that hold where a class has a handful of rows; no resampling of these does.

A share has its exact interval (Clopper & Pearson 1934). A mean over classes takes the distances from each
class's share to the ends of its interval together as standard errors are taken (MOVER: Zou & Donner 2008), so
that six rows that were all found still leave room below. F1 is 2J/(1 + J), where J is the share of hits among
the rows that are or were taken for a class, hence has the interval of a share (Lam et al. 2023, arXiv
2309.14621). Weighted rows count as the number of equal rows that would tell as much (Kish 1965).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from evenly.confusion import Outcomes, f1_scores, matthews_correlation, precisions, recalls, weighted_f1

LEVEL = 0.95
#: Standard errors from the middle of a normal distribution to the ends of its interval.
NORMAL = 1.959963984540054
Ends = tuple[float, float]


class WeightedRows(Protocol):
    """Rows under one set of weights: what intervals need to know of them."""

    @property
    def y(self) -> np.ndarray:
        """True class positions, int (n,)."""

    @property
    def row_weights(self) -> np.ndarray:
        """What each row counts, (n,)."""

    @property
    def outcomes(self) -> Outcomes:
        """Of the rows under their weights."""

    @property
    def squares(self) -> Outcomes:
        """Of the rows under the squares of their weights."""

    @property
    def confusion(self) -> np.ndarray:
        """Weight of the rows by true and predicted class, (k, k)."""


def exact_interval(hits: np.ndarray, rows: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Interval of a share that covers at least as often as `level` says, whatever the share and the rows.

    Clopper & Pearson 1934. 0 to 1 without rows. `hits` and `rows` need not be whole numbers.
    """
    from scipy.special import betaincinv

    hits, rows = np.asarray(hits, dtype=np.float64), np.asarray(rows, dtype=np.float64)
    misses, tail = np.maximum(rows - hits, 0), (1 - level) / 2
    some, short = hits > 0, misses > 0
    low = np.where(some, betaincinv(np.where(some, hits, 1), misses + 1, tail), 0.0)
    high = np.where(short, betaincinv(hits + 1, np.where(short, misses, 1), 1 - tail), 1.0)
    return np.asarray(low), np.asarray(high)


@dataclass(frozen=True)
class Shares:
    """A share of each class, (k,), with the number of rows it stands on; NaN for a class that has none."""

    value: np.ndarray
    rows: np.ndarray

    def ends(self, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
        """Exact intervals, (k,) each; 0 to 1 where nothing is known."""
        return exact_interval(np.nan_to_num(self.value) * self.rows, self.rows, level)

    @property
    def variance(self) -> np.ndarray:
        """Of each share, (k,)."""
        return np.asarray(self.value * (1 - self.value) / np.maximum(self.rows, 1e-12))


def recall_shares(sample: WeightedRows) -> Shares:
    """Recall of each class."""
    o, s = sample.outcomes, sample.squares
    return Shares(recalls(o), _as_rows(o.actual, s.actual))


def precision_shares(sample: WeightedRows) -> Shares:
    """Precision of each class: 0 on no rows for one that is never predicted."""
    o, s = sample.outcomes, sample.squares
    return Shares(precisions(o), _as_rows(o.predicted, s.predicted))


def overlap_shares(sample: WeightedRows) -> Shares:
    """Hits among the rows that are or were taken for a class (Jaccard's index): J/(2 − J) of them is F1."""
    o, s = sample.outcomes, sample.squares
    f1 = f1_scores(o)
    return Shares(f1 / (2 - f1), _as_rows(_either(o), _either(s)))


def f1_ends(sample: WeightedRows) -> tuple[np.ndarray, np.ndarray]:
    """Interval of the F1 of each class, (k,) each."""
    low, high = overlap_shares(sample).ends()
    return np.asarray(2 * low / (1 + low)), np.asarray(2 * high / (1 + high))


def _either(o: Outcomes) -> np.ndarray:
    return np.asarray(o.actual + o.predicted - o.hits)


def _as_rows(weight: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Number of equal rows that tell as much as weighted ones."""
    return np.asarray(np.where(squares > 0, weight**2 / np.where(squares > 0, squares, 1), 0.0))


def _one_row(sample: WeightedRows) -> float:
    """Weight of one of the equal rows that would tell as much."""
    return float(sample.squares.actual.sum() / sample.outcomes.actual.sum())


def combined(
    value: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    weights: np.ndarray,
    correlation: np.ndarray | None = None,
) -> Ends:
    """Interval of a weighted sum of estimates from theirs (Zou & Donner 2008, equations 9 and 10).

    `correlation`, (k, k), is that of the estimates; None where they are independent.
    """
    middle = float(weights @ value)
    ends = []
    for distance in (weights * (value - low), weights * (high - value)):
        spread = distance if correlation is None else correlation @ distance
        ends.append(float(np.sqrt(max(0.0, float(distance @ spread)))))
    return middle - ends[0], middle + ends[1]


def _mean(
    value: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    variance: np.ndarray,
    correlation: np.ndarray | None = None,
) -> Ends:
    """Interval of the mean over the classes that have rows.

    `variance` is that of each estimate: what is missing to 1 is a sum of rare events where classes are found
    well, of which a few more than usual leave the upper end too low otherwise.
    """
    known = ~np.isnan(value)
    value, k = value[known], max(1, known.sum())
    inner = None if correlation is None else correlation[np.ix_(known, known)]
    ends = combined(value, low[known], high[known], np.full(known.sum(), 1 / k), inner)
    error = np.sqrt(variance[known]) / k
    spread = float(error @ error if inner is None else error @ inner @ error)
    least = _least(float((1 - value).sum() / k), spread)
    return max(0.0, ends[0]), min(1.0, max(ends[1], 1 - least))


def _least(sum_found: float, variance: float) -> float:
    """Lower end of a sum of rare events with its variance, by the gamma distribution (Fay & Feuer 1997)."""
    from scipy.special import gammaincinv

    if variance <= 0 or sum_found <= 0:
        return max(0.0, sum_found)
    return variance / sum_found * float(gammaincinv(sum_found**2 / variance, (1 - LEVEL) / 2))


def accuracy_ends(sample: WeightedRows) -> Ends:
    """Interval of the share of rows that were found."""
    o, s = sample.outcomes, sample.squares
    rows = _as_rows(o.actual.sum(), s.actual.sum())
    low, high = exact_interval(o.hits.sum() / o.actual.sum() * rows, rows)
    return float(low), float(high)


def balanced_accuracy_ends(sample: WeightedRows) -> Ends:
    """Interval of the mean recall."""
    shares = recall_shares(sample)
    return _mean(shares.value, *shares.ends(), shares.variance)


def macro_precision_ends(sample: WeightedRows) -> Ends:
    """Interval of the mean precision."""
    shares = precision_shares(sample)
    return _mean(shares.value, *shares.ends(), shares.variance)


def macro_f1_ends(sample: WeightedRows) -> Ends:
    """Interval of the mean F1."""
    shares = overlap_shares(sample)
    variance = (2 / (1 + shares.value) ** 2) ** 2 * shares.variance
    return _mean(f1_scores(sample.outcomes), *f1_ends(sample), variance, _f1_correlation(sample))


def weighted_f1_ends(sample: WeightedRows) -> Ends:
    """Interval of the mean F1 by class size, of which the sizes are a sample, too."""
    low, high = moved_ends(sample, weighted_f1)
    return max(0.0, low), high


def _f1_correlation(sample: WeightedRows) -> np.ndarray:
    """Correlation of the F1 of the classes, (k, k), by their influence functions: a row mistaken is in two.

    One mistake is spread over all pairs of classes, so that two classes without one are not taken for
    independent.
    """
    counts, f1 = sample.confusion, np.nan_to_num(f1_scores(sample.outcomes))
    k = len(f1)
    mistakes = counts * (1 - np.eye(k)) + (1 - np.eye(k)) * _one_row(sample) / max(1, k * (k - 1))
    pairs = mistakes + mistakes.T
    covariance = np.outer(f1, f1) * pairs
    own = (2 - 2 * f1) ** 2 * sample.outcomes.hits + f1**2 * pairs.sum(axis=1)
    np.fill_diagonal(covariance, own)
    scale = np.sqrt(np.where(own > 0, own, 1))
    correlation = covariance / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(correlation)


def worst_class_recall_ends(sample: WeightedRows) -> Ends:
    """Interval of the smallest recall: the smallest ends of intervals that hold for all classes at once."""
    shares = recall_shares(sample)
    known = ~np.isnan(shares.value)
    low, high = shares.ends(LEVEL ** (1 / max(1, int(known.sum()))))
    return float(low[known].min()), float(high[known].min())


def g_mean_ends(sample: WeightedRows) -> Ends:
    """Interval of the geometric mean of the recalls; without a hit in a class from 0."""
    shares = recall_shares(sample)
    value, (low, high) = shares.value, shares.ends()
    known = ~np.isnan(value)
    value, low, high = value[known], low[known], high[known]
    never = value == 0
    logs = [np.log(np.where(never, high, part) + (part == 0) * ~never) for part in (value, low, high)]
    ends = combined(logs[0], logs[1], logs[2], np.full(len(value), 1 / len(value)))
    if never.any():
        return 0.0, min(1.0, float(np.exp(ends[1])))
    variance = float((shares.variance[known] / value**2).sum() / len(value) ** 2)
    least = _least(-float(logs[0].mean()), variance)
    return float(np.exp(ends[0])), min(1.0, float(np.exp(max(ends[1], -least))))


def matthews_ends(sample: WeightedRows) -> Ends:
    """Interval of the Matthews correlation."""
    return moved_ends(sample, matthews_correlation)


def moved_ends(sample: WeightedRows, metric: Callable[[Outcomes], np.ndarray]) -> Ends:
    """Interval of any function of a confusion matrix: what it moves by as each of its parts goes to its ends.

    The parts are the recall of each class and its share of the rows. Rows that a class loses go where its own
    mistakes went, and a little to where those of all classes went.
    """
    counts, shares = sample.confusion, recall_shares(sample)
    o, k, total = sample.outcomes, len(counts), sample.outcomes.actual.sum()
    value = float(metric(o))
    mistakes = counts * (1 - np.eye(k))
    one = _one_row(sample)
    anywhere = (mistakes.sum(axis=0) / one + o.actual / total) / (mistakes.sum() / one + 1)
    profile = mistakes + one * anywhere * (1 - np.eye(k))
    profile /= np.maximum(profile.sum(axis=1, keepdims=True), 1e-12)
    class_low, class_high = exact_interval(
        o.actual / total * (rows := _as_rows(total, sample.squares.actual.sum())), rows
    )
    below = above = 0.0
    known = o.actual > 0
    recall_low, recall_high = shares.ends()
    recall = np.nan_to_num(shares.value)
    lost = o.actual * (recall - recall_low)
    kept = np.where(recall < 1, (1 - recall_high) / np.where(recall < 1, 1 - recall, 1), 1.0)
    lower = -np.eye(k) * lost + profile * lost[:, None]
    raised = mistakes * (kept - 1)[:, None]
    higher = raised - np.diag(raised.sum(axis=1))
    share = o.actual / total
    rest = np.where(share < 1, 1 - share, 1.0)  # that of a class alone keeps its share at any size
    for row_changes in (
        (lower, higher),
        tuple(
            counts * (end * rest / np.maximum(share * (1 - end), 1e-12) - 1)[:, None]
            for end in (class_low, np.minimum(class_high, 1 - 1e-9))
        ),
    ):
        moved = []
        for change in row_changes:
            rows_of = change.sum(axis=1)
            found = metric(
                Outcomes(
                    hits=o.hits + np.diag(np.diag(change)),
                    actual=o.actual + np.diag(rows_of),
                    predicted=o.predicted + change,
                )
            )
            moved.append(np.where(known, found - value, 0.0))
        below += float((np.minimum(np.minimum(*moved), 0) ** 2).sum())
        above += float((np.maximum(np.maximum(*moved), 0) ** 2).sum())
    return max(-1.0, value - float(np.sqrt(below))), min(1.0, value + float(np.sqrt(above)))


def mean_ends(sample: WeightedRows, values: np.ndarray, price: float) -> Ends:
    """Interval of the mean of a number ≥ 0 a row that is skewed: a few rows hold most of it.

    That of Fay & Feuer 1997 for weighted sums of rare events: gamma distributions with the mean and variance
    of the sum, to which the upper end adds one more row with the largest value. That is the largest found, or
    `price`, what a mistake would cost on average: a sample without mistakes has not shown it.
    """
    from scipy.special import gammaincinv

    w = sample.row_weights / sample.row_weights.sum()
    middle, largest = float(w @ values), float((w * values).max())
    variance = float(w**2 @ (values - middle) ** 2)
    largest = max(largest, price * float(w @ w))
    low = _least(middle, variance) if variance > 0 else 0.0
    mean, variance = middle + largest, variance + largest**2
    if mean <= 0:
        return 0.0, 0.0
    return low, variance / mean * float(gammaincinv(mean**2 / variance, (1 + LEVEL) / 2))


def ranking_ends(auroc: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> Ends:
    """Interval of the mean AUROC of the classes against their rest, (k,) each, NaN where there is none.

    Each has the exact interval of a share of as many rows as would have the variance of Hanley & McNeil 1982.
    """
    theta = np.nan_to_num(auroc)
    rows = (
        positives
        * negatives
        / np.maximum(
            1
            + np.maximum(positives - 1, 0) * (1 - theta) / (2 - theta)
            + np.maximum(negatives - 1, 0) * theta / (1 + theta),
            1,
        )
    )
    shares = Shares(auroc, rows)
    return _mean(auroc, *shares.ends(), shares.variance, _opposites(len(auroc)))


def average_precision_ends(values: np.ndarray, positives: np.ndarray) -> Ends:
    """Interval of the mean average precision of the classes, each a mean of shares over its rows."""
    shares = Shares(values, positives)
    return _mean(values, *shares.ends(), shares.variance, _opposites(len(values)))


def _opposites(classes: int) -> np.ndarray | None:
    """Of two classes, each is the other's rest: they err together."""
    return np.ones((2, 2)) if classes == 2 else None
