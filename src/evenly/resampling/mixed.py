"""SMOTENC: interpolating rows of a table in which numbers stand beside categories and booleans.

Chawla et al. 2002, section 6.1. Numbers are interpolated in their own unit and in float64; of each category
the value that most neighbours have is taken. Tables of numbers alone pass through here as well, so that an
integer beyond the precision of float32 survives.
"""

from __future__ import annotations

import numpy as np

from evenly.features.columns import MixedRows
from evenly.resampling.segments import Segments


def mixed_space(numbers: np.ndarray, codes: np.ndarray, levels: tuple[int, ...]) -> np.ndarray:
    """Vectors of the rows of one class, float32 (m, d), in which SMOTENC looks for neighbours.

    Parameters
    ----------
    numbers
        float32 (m, numeric features), standardised.
    codes
        int64 (m, nominal features).
    levels
        Number of values of each nominal feature.

    Returns
    -------
    numpy.ndarray
        The numbers, and the categories one-hot at such a height that two different values are as far apart as
        the median of the numbers' standard deviations in this class. Where that is zero or there are no
        numbers the height is that of a deviation of 1, so that the categories still tell rows apart.
    """
    spread = float(np.median(numbers.std(axis=0))) if numbers.shape[1] else 0.0
    height = (spread if spread > 0 else 1.0) / np.sqrt(2)
    blocks = [numbers.astype(np.float32, copy=False)]
    for j, size in enumerate(levels):
        one_hot = np.zeros((len(codes), size), dtype=np.float32)
        one_hot[np.arange(len(codes)), codes[:, j]] = height
        blocks.append(one_hot)
    return np.hstack(blocks)


def mixed_samples(rows: MixedRows, segments: Segments) -> MixedRows:
    """Interpolate numbers, let neighbours vote on categories, take what is missing from the nearer end."""
    parents, neighbours = rows.numbers[segments.parents], rows.numbers[segments.neighbours]
    weights = segments.weights.astype(np.float64)[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = parents + weights * (neighbours - parents)
    absent = np.where(weights >= 0.5, rows.absent[segments.neighbours], rows.absent[segments.parents])
    return MixedRows(numbers, absent, votes(rows.codes, segments), rows.levels)


def votes(codes: np.ndarray, segments: Segments) -> np.ndarray:
    """Take the most frequent code among the neighbours of each sample's parent, int64 (n, nominal features).

    Among equally frequent ones the parent's own wins, else that of the nearest neighbour which has one of
    them.
    """
    out = np.empty((len(segments), codes.shape[1]), dtype=np.int64)
    for j, column in enumerate(codes.T):
        near, own = column[segments.around], column[segments.parents]  # (n, k) and (n,)
        frequency = (near[:, :, None] == near[:, None, :]).sum(axis=2)  # of each neighbour's code
        most = frequency == frequency.max(axis=1, keepdims=True)
        winner = near[np.arange(len(near)), most.argmax(axis=1)]
        own_wins = ((near == own[:, None]) & most).any(axis=1)
        out[:, j] = np.where(own_wins, own, winner)
    return out
