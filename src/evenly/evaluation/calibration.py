"""Whether a probability means what it says: calibration errors, reliability, temperature scaling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np

from evenly.evaluation.bounds import NORMAL, Ends, exact_interval
from evenly.resamples import Blocks

#: Probabilities are kept this far from 0 before a logarithm is taken: the spacing of float64 at 1.
EPSILON = float(np.finfo(np.float64).eps)
#: Temperatures outside this range say more about a handful of validation rows than about the model.
TEMPERATURES = (0.05, 20.0)
_HALVINGS = 40


def equal_mass_bins(scores: np.ndarray, bins: int) -> np.ndarray:
    """Assign scores to bins of about equal size, int (n,). Equal scores share a bin; there may be fewer."""
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1], method="lower"))
    return np.asarray(np.searchsorted(edges, scores, side="left"))


class CalibrationGaps:
    """Calibration errors with the bins, of equal mass, fixed once: many weightings of the rows cost little.

    Nixon et al. 2019, arXiv 1904.01685. A mean of absolute gaps is above 0 for the best of models, as the
    frequency in a bin is a sample (Bröcker 2012; Kumar et al. 2019, arXiv 1909.10155). So what is
    reported is the gap of which the expected mean is the one found, given the standard errors of the bins: 0
    where these alone would give as much.
    """

    def __init__(self, y: np.ndarray, probabilities: np.ndarray, bins: int) -> None:
        self._y, self._probabilities, self._bins = y, probabilities, bins

    @cached_property
    def _top(self) -> list[_BinnedGaps]:
        y, top = self._y, self._probabilities.argmax(axis=1)
        confidence = self._probabilities[np.arange(len(y)), top]
        return [_BinnedGaps(equal_mass_bins(confidence, self._bins), confidence, top == y)]

    @cached_property
    def _classes(self) -> list[_BinnedGaps]:
        return [
            _BinnedGaps(equal_mass_bins(scores, self._bins), scores, self._y == k)
            for k, scores in enumerate(self._probabilities.T)
        ]

    def top_label(self, weights: np.ndarray | None = None, blocks: Blocks | None = None) -> np.ndarray:
        """Mean |confidence − accuracy| over bins of the confidence in the predicted class, 0…1, (…).

        Guo et al. 2017, arXiv 1706.04599, equation 3, without its bias.
        """
        return _error(self._top, weights, blocks)

    def class_wise(self, weights: np.ndarray | None = None, blocks: Blocks | None = None) -> np.ndarray:
        """Mean over the classes of |probability − frequency| in bins of a class's probability, 0…1, (…).

        Kull et al. 2019, arXiv 1910.12656, equation 3, without its bias.
        """
        return _error(self._classes, weights, blocks)

    def top_label_ends(self, weights: np.ndarray | None = None) -> Ends:
        """95% interval of `top_label` under one set of row weights."""
        return _ends(self._top, weights)

    def class_wise_ends(self, weights: np.ndarray | None = None) -> Ends:
        """95% interval of `class_wise` under one set of row weights."""
        return _ends(self._classes, weights)


@dataclass(frozen=True, eq=False)
class _BinnedGaps:
    """For each row, its bin, its score, and whether what the score is of was true, (n,) each."""

    column: np.ndarray
    score: np.ndarray
    truth: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        return np.asarray(self.score - self.truth)

    def placed(self, values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
        """Values in the column of their bin, zeros elsewhere, (n, bins)."""
        by_bin = np.zeros((len(values), self.column.max() + 1), dtype=dtype)
        by_bin[np.arange(len(values)), self.column] = values
        return by_bin

    def summed(self, values: np.ndarray) -> np.ndarray:
        """Sums of values by bin, (bins,)."""
        return np.bincount(self.column, values)

    def sums(self, weights: np.ndarray, power: int, powers: int, blocks: Blocks | None) -> np.ndarray:
        """Sums of the first so many powers of the gaps, from 0 on, by bin, (powers, …, bins).

        They are weighed by a power of the weights of the rows, or of their blocks.
        """
        if weights.ndim == 1:
            each = weights.astype(np.float64) ** power
            return np.stack([self.summed(each * self.gap**of_gap) for of_gap in range(powers)])
        if blocks is not None:
            bins = int(self.column.max()) + 1
            parts = [blocks.sums(self.gap**of_gap, self.column, bins, power) for of_gap in range(powers)]
            return np.stack([weights**power @ part for part in parts])
        # One product for all of them: to read the weights is what takes the time.
        by_bin = _powers_by_bin(self, weights.dtype)
        found = weights**power @ by_bin[:, : by_bin.shape[1] // 3 * powers]
        return np.moveaxis(found.reshape(*found.shape[:-1], powers, -1), -2, 0)

    def moments(
        self, weights: np.ndarray, blocks: Blocks | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Share of the weight, mean gap and its sampling variance, by bin, (…, bins) each."""
        weight, gaps = self.sums(weights, 1, 2, blocks)
        squares, square_gaps, squared_gaps = self.sums(weights, 2, 3, blocks)
        some = weight > 0
        inside = np.where(some, weight, 1)
        mean = gaps / inside
        raw = squared_gaps - 2 * mean * square_gaps + mean**2 * squares
        rows = weight**2 / np.where(squares > 0, squares, 1)
        # With a single row the variance within the bin is unknown: its gap may be nothing but chance.
        variance = np.where(
            rows > 1.001, np.maximum(raw, 0) / inside**2 * rows / np.maximum(rows - 1, 0.001), mean**2
        )
        total = weights.sum(axis=-1) if blocks is None else weight.sum(axis=-1)
        return weight / total[..., None], mean, variance


@lru_cache(maxsize=4)  # those of the resamples in hand, and no more
def _powers_by_bin(gaps: _BinnedGaps, dtype: np.dtype[Any]) -> np.ndarray:
    return np.hstack([gaps.placed(gaps.gap**power, dtype) for power in range(3)])


def _error(
    parts: Sequence[_BinnedGaps], weights: np.ndarray | None, blocks: Blocks | None = None
) -> np.ndarray:
    """Mean over the parts of the mean |gap| of the bins, without what sampling adds, (…)."""
    weights = np.ones(len(parts[0].score)) if weights is None else weights
    size, noise = np.zeros(weights.shape[:-1]), np.zeros(weights.shape[:-1])
    for part in parts:
        share, mean, variance = part.moments(weights, blocks)
        size += (share * np.abs(mean)).sum(axis=-1) / len(parts)
        noise += (share * np.sqrt(variance)).sum(axis=-1) / len(parts)
    # Of a normal variable with deviation 1, mean |x| by mean: what was found, turned back.
    means = np.linspace(0, 6, 601)
    found = size / np.where(noise > 0, noise, 1)
    real = np.interp(found, _folded(means, np.ones(601)), means)
    return np.asarray(np.where((noise > 0) & (found < means[-1]), real * noise, size))


def _ends(parts: Sequence[_BinnedGaps], weights: np.ndarray | None) -> Ends:
    """Interval of `_error`: the sizes of gaps, in standard errors, at which mean |gap| may well come out so.

    Mean and variance of the absolute value of a normal variable are known (the folded normal), so nothing is
    drawn. Those of several classes vary together as their correlations where signs are sure, as the squares
    of these where gaps are noise. The upper end also allows for what a share of hits leaves open: rows that
    were all right say nothing of the size of a bin's noise.
    """
    n = len(parts[0].score)
    weights = np.ones(n) if weights is None else weights.astype(np.float64)
    total, rows = weights.sum(), weights.sum() ** 2 / (weights**2).sum()
    found = noise = overall = apart = 0.0
    together, spreads, margins = np.zeros(n), [], []
    for part in parts:
        share, mean, variance = part.moments(weights)
        stated = part.summed(weights**2 * part.score * (1 - part.score))
        stated /= np.maximum(share * total, 1e-12) ** 2
        sigma = np.sqrt(np.maximum(np.maximum(variance, stated), 1e-18))
        found += float((share * np.abs(mean)).sum()) / len(parts)
        noise += float((share * sigma).sum()) / len(parts)
        spreads.append(float(np.sqrt((share**2 * sigma**2).sum())) / len(parts))
        moves = weights * _mean_sign(mean / sigma)[part.column] * (part.gap - mean[part.column])
        together, apart = together + moves, apart + float(moves @ moves)
        expected, frequency = float(weights @ part.score / total), float(weights @ part.truth / total)
        low, high = exact_interval(np.array(frequency * rows), np.array(rows))
        farthest = max(abs(expected - float(low)), abs(expected - float(high)))
        overall += abs(expected - frequency) / len(parts)
        margins.append((farthest - abs(expected - frequency)) / len(parts))
    alike = _alike(np.array([part.gap for part in parts]), weights)
    spread, margin = np.array(spreads), np.array(margins)
    some = apart > (1e-12 * total) ** 2  # more than rounding
    straight = float(spread @ spread) * (float(together @ together) / apart if some else 1.0)
    squared = float(spread @ alike @ spread)

    def expected_at(size: float, side: int) -> float:
        fold, sign = float(_folded(np.array(size), np.array(1.0))), float(_mean_sign(np.array(size)))
        variance = straight * sign**2 + squared * max(0.0, size**2 + 1 - fold**2 - sign**2)
        return noise * fold + side * NORMAL * float(np.sqrt(variance))

    open_end = overall + float(np.sqrt(margin @ alike @ margin))
    near, far = (noise * _size(partial(expected_at, side=side), found) for side in (1, -1))
    return near, min(1.0, max(far, open_end))


def _alike(residuals: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How far the absolute gaps of several classes move together: their correlations, squared, (k, k)."""
    centred = (residuals - (residuals @ weights / weights.sum())[:, None]) * np.sqrt(weights)
    covariance = centred @ centred.T
    scale = np.sqrt(np.maximum(np.diag(covariance), 1e-18))
    alike = (covariance / np.outer(scale, scale)) ** 2
    np.fill_diagonal(alike, 1.0)
    return np.asarray(alike)


def _mean_sign(ratio: np.ndarray) -> np.ndarray:
    """Mean sign of a normal variable whose mean is so many standard deviations."""
    from scipy.special import erf

    return np.asarray(erf(ratio / np.sqrt(2)))


def _folded(mean: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Mean of |x| for normal x (Leone et al. 1961)."""
    from scipy.special import ndtr

    return np.asarray(
        sigma * np.sqrt(2 / np.pi) * np.exp(-(mean**2) / (2 * sigma**2))
        + mean * (1 - 2 * ndtr(-mean / sigma))
    )


def _size(expected: Callable[[float], float], found: float) -> float:
    """The number, 0 or more, at which so much is expected of a function that rises."""
    low, high = 0.0, 16.0
    if found <= 0 or expected(low) >= found:
        return 0.0
    while expected(high) < found:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if expected(middle) < found else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows of similar confidence: their number, mean confidence and accuracy."""

    rows: int
    confidence: float
    accuracy: float


def reliability_table(y: np.ndarray, probabilities: np.ndarray, bins: int) -> list[ReliabilityBin]:
    """Confidence in the predicted class against accuracy, in bins of equal mass, lowest confidence first."""
    top = probabilities.argmax(axis=1)
    confidence = probabilities[np.arange(len(y)), top]
    column = equal_mass_bins(confidence, bins)
    rows = np.bincount(column)
    sums = np.bincount(column, confidence), np.bincount(column, top == y)
    return [
        ReliabilityBin(int(n), float(c / n), float(a / n)) for n, c, a in zip(rows, *sums, strict=True) if n
    ]


def scaled(
    probabilities: np.ndarray, temperature: float = 1.0, offsets: np.ndarray | None = None
) -> np.ndarray:
    """Give probabilities ∝ p^(1/T)·exp(offset), float64 (n, k)."""
    logits = np.log(np.clip(probabilities, EPSILON, 1)) / temperature
    if offsets is not None:
        logits = logits + offsets
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def fitted_temperature(y: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Temperature with the smallest mean log loss on these rows, within `TEMPERATURES` (Guo et al. 2017)."""
    logits = np.log(np.clip(probabilities, EPSILON, 1))
    logits -= logits.max(axis=1, keepdims=True)
    of_truth = logits[np.arange(len(y)), y]
    share = np.full(len(y), 1 / len(y)) if weights is None else weights / weights.sum()

    def slope(coldness: float) -> float:
        """Derivative of the mean log loss by 1/T: mean expected logit minus mean logit of the truth."""
        powers = np.exp(logits * coldness)
        return float(share @ ((powers * logits).sum(axis=1) / powers.sum(axis=1) - of_truth))

    # The loss is convex in 1/T, so its slope changes sign once at most.
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 2 / (low + high)


# -- prediction sets -----------------------------------------------------------------------------------------
#
# Prediction sets that hold the true class as often as wanted, for every class, however few its rows are.
# Split conformal prediction by class (Mondrian: Vovk 2012; Sadinle, Lei & Wasserman 2019, arXiv
# 1609.00451): a class is in the set of a row where its probability is at least the j-th smallest that
# validation rows of that class had for it, j = ⌊(1 − coverage)(n + 1)⌋. If new rows of the class are like
# its validation rows, at least the share `coverage` of them have it in their sets, whatever the model. With
# too few rows, j is 0, and it is in every set: that is what the guarantee costs then. The validation rows
# also chose when training stopped, which a guarantee in the strict sense does not allow; the coverage on
# test rows shows what that does.


def set_thresholds(y: np.ndarray, probabilities: np.ndarray, coverage: float) -> np.ndarray:
    """Probability from which each class belongs to the set of a row, float (k,); 0 with too few rows.

    Parameters
    ----------
    y, probabilities
        Validation rows: true class positions (n,), scores (n, k).
    coverage
        Share of the rows of every class that shall have it in their sets, 0…1.
    """
    thresholds = np.zeros(probabilities.shape[1])
    for k in range(len(thresholds)):
        own = np.sort(probabilities[y == k, k])
        place = int(np.floor((1 - coverage) * (len(own) + 1) + 1e-9))
        if place:
            thresholds[k] = own[place - 1]
    return thresholds


def rows_needed(coverage: float) -> int:
    """Rows of a class in validation below which it is in every set."""
    return int(np.ceil(1 / max(1 - coverage, 1e-9) - 1e-9)) - 1


def prediction_sets(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Which classes are in the set of each row, bool (n, k); a set may be empty or hold several."""
    return np.asarray(probabilities >= thresholds)
