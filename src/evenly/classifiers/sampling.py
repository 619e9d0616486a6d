"""Which rows an epoch shows, and in which order: a function of seed and epoch, so that it can be repeated."""

from __future__ import annotations

import numpy as np

from evenly.classifiers.weights import sampled_counts
from evenly.params.training import SamplerName


def epoch_batches(
    codes: np.ndarray, sampler: SamplerName, batch_size: int, min_steps: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """Positions of the rows of every batch of one epoch.

    The epoch has as many rows as the table, or `min_steps` × `batch_size` where that is more. Batches differ
    by at most one row in size, so that none is too small for batch statistics.

    Parameters
    ----------
    codes
        Classes of the training rows as positions, int64 (n,).
    sampler
        `uniform` shows every row equally often (within one); `class_balanced` every class; `square_root`
        classes in proportion to the root of their size. Within a class every row is shown equally often
        (within one).
    batch_size
        The most rows in a batch.
    min_steps
        The fewest batches.
    seed, epoch
        What the order depends on, and nothing else.

    Returns
    -------
    batches : list of int64 arrays
    """
    generator = np.random.default_rng([seed, epoch])
    total = max(len(codes), min_steps * batch_size)
    if sampler == "uniform":
        rows = _repeated_shuffles(np.arange(len(codes)), total, generator)
    else:
        counts = np.bincount(codes)
        draws = _rounded(total * sampled_counts(counts, sampler) / counts.sum(), generator)
        by_class = [np.flatnonzero(codes == k) for k in range(len(counts))]
        drawn = [_repeated_shuffles(r, n, generator) for r, n in zip(by_class, draws, strict=True) if n]
        rows = generator.permutation(np.concatenate(drawn))
    return np.array_split(rows, -(-total // batch_size))


def _repeated_shuffles(rows: np.ndarray, total: int, generator: np.random.Generator) -> np.ndarray:
    """Shuffle the rows again and again until there are `total`."""
    rounds = [generator.permutation(rows) for _ in range(-(-total // len(rows)))]
    return np.concatenate(rounds)[:total]


def _rounded(expected: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Whole numbers with the same sum, each within one of what is expected, and equal to it on average."""
    edges = np.floor(np.concatenate([[0.0], np.cumsum(expected)]) + generator.random())
    edges[-1] = edges[0] + round(expected.sum())
    return np.diff(edges).astype(np.int64)
