"""Two numbers that judge a generator while it is trained, without a classifier and without an evaluation row:
how far its rows are from held-out ones, and how varied they are within each class.

Both work on vectors, whatever the modality. How good the rows are for a classifier is measured elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evenly.generators.fitting import Judgement

#: Bandwidths of the kernel in multiples of the median distance between held-out rows of a class.
BANDWIDTHS = (0.5, 1.0, 2.0)
#: Of the real rows of a class so few say nothing about how varied it is.
FEWEST_FOR_SPREAD = 5
#: Rows that are made for a judgement, or more.
FEWEST_MADE = 400


class HeldOut:
    """Held-out rows as something to be compared with.

    Parameters
    ----------
    vectors
        float (n, d).
    codes
        Their classes, int64 (n,); classes of one row are left out.
    """

    def __init__(self, vectors: np.ndarray, codes: np.ndarray) -> None:
        self._parts = {
            int(code): vectors[codes == code].astype(np.float64)
            for code in np.unique(codes)
            if (codes == code).sum() > 1
        }
        between = [
            _squared_distances(part, part)[np.triu_indices(len(part), 1)] for part in self._parts.values()
        ]
        median = float(np.median(np.concatenate(between))) if between else 0.0
        self._scale = median if median > 0 else 1.0
        self._rows = sum(len(part) for part in self._parts.values())

    def classes(self, fewest: int) -> np.ndarray:
        """Classes of which rows are to be made for a comparison: `fewest` in all or more, shared out as the
        held-out rows are.
        """
        times = max(1, math.ceil(fewest / self._rows))
        return np.concatenate([np.full(times * len(p), code) for code, p in self._parts.items()])

    def discrepancy(self, vectors: np.ndarray, codes: np.ndarray) -> float:
        """Maximum mean discrepancy within classes, squared and unbiased, averaged over held-out rows.

        Mean of k(x, x') + k(y, y') − 2 k(x, y) over pairs of the same class, with a mixture of Gaussian
        kernels: 0 in expectation where both come from one distribution, and then sometimes slightly negative.

        Parameters
        ----------
        vectors, codes
            Generated rows, at least two of every class of `classes`.

        References
        ----------
        Gretton et al., A Kernel Two-Sample Test, JMLR 13 (2012), equation 3.
        """
        total = 0.0
        for code, real in self._parts.items():
            made = vectors[codes == code].astype(np.float64)
            within = self._mean_kernel(made, made) + self._mean_kernel(real, real)
            total += len(real) * (within - 2 * self._mean_kernel(made, real))
        return total / self._rows

    def _mean_kernel(self, a: np.ndarray, b: np.ndarray) -> float:
        squared = _squared_distances(a, b) / self._scale
        kernel = np.mean([np.exp(-squared / (2 * width**2)) for width in BANDWIDTHS], axis=0)
        if a is b:
            return float((kernel.sum() - np.trace(kernel)) / (len(a) * (len(a) - 1)))
        return float(kernel.mean())


def spread_ratios(
    made: np.ndarray, made_codes: np.ndarray, real: np.ndarray, real_codes: np.ndarray
) -> dict[int, float]:
    """How varied generated rows are within each class, against the real ones: 1 as varied, 0 all the same.

    The square root of the ratio of total variances.

    Parameters
    ----------
    made, real
        Vectors, float (n, d) and (m, d).
    made_codes, real_codes
        Their classes.

    Returns
    -------
    dict
        By class, where there are two generated rows and `FEWEST_FOR_SPREAD` real ones that are not all equal.
    """
    ratios: dict[int, float] = {}
    for code in np.unique(made_codes):
        a, b = made[made_codes == code], real[real_codes == code]
        if len(a) < 2 or len(b) < FEWEST_FOR_SPREAD:
            continue
        variance = float(b.astype(np.float64).var(axis=0, ddof=1).sum())
        if variance > 0:
            ratios[int(code)] = float(np.sqrt(a.astype(np.float64).var(axis=0, ddof=1).sum() / variance))
    return ratios


@dataclass(frozen=True)
class Judge:
    """Judges what a generator makes against real rows, always asking it for the same classes.

    Attributes
    ----------
    held_out
        What the rows are compared with; None where no rows are held out.
    real, real_codes
        Training rows that say how varied each class is.
    """

    held_out: HeldOut | None
    real: np.ndarray
    real_codes: np.ndarray

    def __call__(self, make: Callable[[np.ndarray], np.ndarray]) -> Judgement:
        """Judge a generator, given as classes (n,) to vectors (n, d)."""
        if self.held_out is None:
            judged = np.unique(self.real_codes)
            codes = np.repeat(judged, max(2, FEWEST_MADE // len(judged)))
        else:
            codes = self.held_out.classes(FEWEST_MADE)
        made = make(codes)
        ratios = spread_ratios(made, codes, self.real, self.real_codes)
        return Judgement(
            criterion=self.held_out.discrepancy(made, codes) if self.held_out else None,
            spread=min(ratios.values()) if ratios else None,
        )


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * a @ b.T
    nonnegative: np.ndarray = np.maximum(squared, 0)
    return nonnegative
