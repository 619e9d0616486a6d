"""Synthetic samples on segments between neighbours: x = parent + λ·(neighbour − parent).

Which rows are parents, and how often, is decided in `selection`. Numbers of tables are interpolated in their
own unit and in float64; of each category the value that most neighbours have is taken. Chawla et al., "SMOTE:
synthetic minority over-sampling technique", 2002, with section 6.1 (SMOTENC) for tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evenly.features.columns import MixedRows

_BLOCK = 1024  # rows interpolated at once: they stay in the processor's cache


@dataclass(frozen=True)
class Source:
    """Rows to draw segments from."""

    parents: np.ndarray
    neighbours: np.ndarray
    counts: np.ndarray
    furthest: float = 1.0


@dataclass(frozen=True)
class Segments:
    """Synthetic samples by their lineage."""

    parents: np.ndarray
    neighbours: np.ndarray
    weights: np.ndarray
    around: np.ndarray

    def __len__(self) -> int:
        return len(self.parents)


def draw_segments(sources: Sequence[Source], rng: np.random.Generator) -> Segments:
    """Draw a neighbour and a λ for each sample of the sources, all with the same number of neighbours."""
    parents, neighbours, weights, around = [], [], [], []
    for source in sources:
        rows = np.repeat(np.arange(len(source.parents)), source.counts)
        near = source.neighbours[rows]
        drawn = rng.integers(0, near.shape[1], size=len(rows))
        parents.append(source.parents[rows])
        neighbours.append(near[np.arange(len(rows)), drawn])
        weights.append(rng.random(len(rows), dtype=np.float32) * np.float32(source.furthest))
        around.append(near)
    return Segments(*(np.concatenate(parts) for parts in (parents, neighbours, weights, around)))


def interpolated(vectors: np.ndarray, segments: Segments, out: np.ndarray | None = None) -> np.ndarray:
    """Compute the samples, float32 (n, d), from the table's vectors (rows, d); into `out` if given."""
    if out is None:
        out = np.empty((len(segments), vectors.shape[1]), dtype=np.float32)
    for start in range(0, len(segments), _BLOCK):
        part = slice(start, start + _BLOCK)
        block = out[part]
        parents = vectors[segments.parents[part]]
        np.take(vectors, segments.neighbours[part], axis=0, out=block, mode="clip")
        block -= parents
        block *= segments.weights[part, None]
        block += parents
    return out


def even_counts(n: int, parents: int, rng: np.random.Generator) -> np.ndarray:
    """Spread `n` samples over the parents as evenly as possible, int64 (parents,); the remainder by lot."""
    counts = np.full(parents, n // parents, dtype=np.int64)
    counts[rng.choice(parents, n % parents, replace=False)] += 1
    return counts


def proportional_counts(n: int, shares: np.ndarray) -> np.ndarray:
    """Spread `n` samples in proportion to `shares` (sum above 0), int64, by the largest remainder."""
    exact = shares.astype(np.float64) * (n / shares.sum())
    counts: np.ndarray = np.floor(exact).astype(np.int64)
    remainder = np.argsort(counts - exact, kind="stable")[: n - int(counts.sum())]
    counts[remainder] += 1
    return counts


def mixed_space(numbers: np.ndarray, codes: np.ndarray, levels: tuple[int, ...]) -> np.ndarray:
    """Vectors of the rows of one class, float32 (m, d), in which SMOTENC looks for neighbours."""
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
