"""Whether a probability means what it says: calibration errors, reliability, temperature scaling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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

    Nixon et al. 2019, arXiv 1904.01685.
    """

    def __init__(self, y: np.ndarray, probabilities: np.ndarray, bins: int) -> None:
        top = probabilities.argmax(axis=1)
        confidence = probabilities[np.arange(len(y)), top]
        self._top = _BinnedGaps(equal_mass_bins(confidence, bins), confidence - (top == y))
        self._classes = [
            _BinnedGaps(equal_mass_bins(scores, bins), scores - (y == k))
            for k, scores in enumerate(probabilities.T)
        ]

    def top_label(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Mean |confidence − accuracy| over bins of the confidence in the predicted class, 0…1, (…).

        Guo et al. 2017, arXiv 1706.04599, equation 3.
        """
        return self._top.error(weights)

    def class_wise(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Mean over the classes of |probability − frequency| in bins of a class's probability, 0…1, (…).

        Kull et al. 2019, arXiv 1910.12656, equation 3.
        """
        return np.asarray(np.mean([gaps.error(weights) for gaps in self._classes], axis=0))


@dataclass(frozen=True)
class _BinnedGaps:
    """For each row, its bin and by how much its score is above the truth, (n,) each."""

    column: np.ndarray
    gap: np.ndarray

    def error(self, weights: np.ndarray | None) -> np.ndarray:
        """Sum over the bins of |weighted sum of the gaps|, relative to the weight of all rows, (…)."""
        weights = np.ones(len(self.gap)) if weights is None else weights
        by_bin = np.zeros((len(self.gap), self.column.max() + 1), dtype=weights.dtype)
        by_bin[np.arange(len(self.gap)), self.column] = self.gap
        return np.asarray(np.abs(weights @ by_bin).sum(axis=-1) / weights.sum(axis=-1))


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
