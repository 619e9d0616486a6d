"""Long tails made on purpose: how many training rows each class keeps, and which."""

from __future__ import annotations

import numpy as np

from evenly.datasets.partition import ranks
from evenly.params.datasets import InducedImbalance


def long_tail_counts(available: np.ndarray, sizes: np.ndarray, imbalance: InducedImbalance) -> np.ndarray:
    """Training rows that each class keeps.

    Parameters
    ----------
    available
        Training rows of each class, int64 (classes,).
    sizes
        Rows of each class in the whole data set, which rank the classes from head to tail (equal sizes: by
        position), so that the tail consists of the same classes whatever the split.
    imbalance
        With K classes, ratio r and head size n: the class of rank i keeps n·r^(−i/(K−1)) rows (`exponential`;
        Cui et al. 2019, section 5.1), or n where i < K/2 and n/r from there on (`step`; Buda et al. 2018),
        rounded half up, at least one, at most what it has.

    Returns
    -------
    int64 (classes,).
    """
    ranked = np.argsort(-np.asarray(sizes), kind="stable")
    rank = np.empty(len(ranked), dtype=np.int64)
    rank[ranked] = np.arange(len(ranked))
    if imbalance.profile == "exponential":
        share = imbalance.ratio ** (-rank / max(1, len(rank) - 1))
    else:
        share = np.where(rank < len(rank) / 2, 1.0, 1 / imbalance.ratio)
    wanted = np.floor(available.max() * share + 0.5).astype(np.int64)
    return np.asarray(np.minimum(available, np.maximum(wanted, 1)))


def long_tail(
    codes: np.ndarray, drawn: np.ndarray, sizes: np.ndarray, imbalance: InducedImbalance
) -> np.ndarray:
    """Mask of the training rows that stay, bool (n,).

    Parameters
    ----------
    codes, drawn
        Class, int64, and draw, uint64, of each training row (n,). Of each class, the rows with the smallest
        draws stay, so a higher ratio keeps a subset of what a lower one keeps.
    sizes
        As for `long_tail_counts`.
    """
    counts = long_tail_counts(np.bincount(codes, minlength=len(sizes)), sizes, imbalance)
    return np.asarray(ranks(codes, drawn) < counts[codes])
