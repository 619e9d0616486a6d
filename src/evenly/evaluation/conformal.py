"""Prediction sets that hold the true class as often as wanted, for every class, however few its rows are.

Split conformal prediction by class (Mondrian: Vovk 2012; Sadinle, Lei & Wasserman 2019, arXiv 1609.00451): a
class is in the set of a row where its probability is at least the j-th smallest that validation rows of that
class had for it, j = ⌊(1 − coverage)(n + 1)⌋. If new rows of the class are like its validation rows, at least
the share `coverage` of them have it in their sets, whatever the model. With too few rows, j is 0, and it
is in every set: that is what the guarantee costs then. The validation rows also chose when training stopped,
which a guarantee in the strict sense does not allow; the coverage on test rows shows what that does.
"""

from __future__ import annotations

import numpy as np


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
