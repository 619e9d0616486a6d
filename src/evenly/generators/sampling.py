"""Latent vectors of the rows to be made: from the prior, near a real row, or between two of a class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from evenly.features.neighbours import nearest_neighbours
from evenly.generators.rows import class_stream
from evenly.params.generative import SamplingSettings

#: Rows decoded at once. Always so many, so that a row's last bit does not depend on how many were asked for.
CHUNK = 256


class Decoder(Protocol):
    """A trained generator."""

    latent: int

    def decode(self, latent: np.ndarray, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Rows (n, …) of latent vectors float32 (n, latent) and classes int64 (n,)."""


@dataclass(frozen=True)
class Members:
    """Real rows of one class, encoded.

    Attributes
    ----------
    rows
        Their positions in the training table, int64 (n,).
    means, deviations
        Of their latent vectors, float32 (n, latent).
    """

    rows: np.ndarray
    means: np.ndarray
    deviations: np.ndarray


@dataclass(frozen=True)
class Made:
    """Rows of one class as the generator gives them.

    Attributes
    ----------
    rows
        (n, …).
    parents, neighbours
        Positions of the real rows that each came from, int64 (n,); None where there are none.
    weights
        λ of z = z(parent) + λ · (z(neighbour) − z(parent)), float64 (n,); None where there is no neighbour.
    """

    rows: np.ndarray
    parents: np.ndarray | None = None
    neighbours: np.ndarray | None = None
    weights: np.ndarray | None = None

    def take(self, kept: np.ndarray) -> Made:
        """Rows by position."""

        def part(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[kept]

        return Made(self.rows[kept], part(self.parents), part(self.neighbours), part(self.weights))


def made_rows(
    decoder: Decoder,
    label: str,
    code: int,
    n: int,
    settings: SamplingSettings,
    members: Callable[[], Members],
    seed: int,
) -> Made:
    """Make rows of one class; a smaller `n` gives the first rows of a larger one.

    Parameters
    ----------
    decoder
        The generator.
    label, code
        The class, by name (it seeds the class's own stream) and position.
    n
        How many.
    settings
        The mode. A class of a single row has nobody to interpolate with, and is sampled near that row.
    members
        Gives the encoded real rows of the class; asked for only where the mode starts from real rows.
    seed
        Of the plan.
    """
    rng = class_stream(seed, label, "sampling")
    codes = np.full(CHUNK, code, dtype=np.int64)
    pool = None if settings.mode == "prior" else members()
    partners = None
    if pool is not None and settings.mode == "interpolate" and len(pool.rows) > 1:
        k = min(settings.k_neighbors, len(pool.rows) - 1)
        partners = nearest_neighbours(pool.means, pool.means, k, True)[1]
    order = rng.permutation(len(pool.rows)) if pool is not None else np.empty(0, dtype=np.int64)
    parts: list[Made] = []
    for start in range(0, n, CHUNK):
        noise = rng.standard_normal((CHUNK, decoder.latent), dtype=np.float32)
        if pool is None:
            latent = np.float32(settings.spread) * noise
            parts.append(Made(decoder.decode(latent, codes, rng)))
            continue
        # Real rows take turns, as they do in augmentation.
        turn = order[np.arange(start, start + CHUNK) % len(order)]
        if partners is None:
            latent = pool.means[turn] + np.float32(settings.spread) * pool.deviations[turn] * noise
            parts.append(Made(decoder.decode(latent, codes, rng), pool.rows[turn]))
            continue
        partner = partners[turn, rng.integers(partners.shape[1], size=CHUNK)]
        weight = rng.random(CHUNK)
        between = weight[:, None].astype(np.float32) * (pool.means[partner] - pool.means[turn])
        rows = decoder.decode(pool.means[turn] + between, codes, rng)
        parts.append(Made(rows, pool.rows[turn], pool.rows[partner], weight))
    return _joined(parts).take(np.arange(n))


def hardest_first(margins: np.ndarray, count: int, hard: float) -> np.ndarray:
    """Choose among candidates: a share of them nearest to the decision boundary, the others as drawn.

    Parameters
    ----------
    margins
        Probability of the label less the largest other one, (n,): 0 on the boundary.
    count
        How many, at most n.
    hard
        The share.

    Returns
    -------
    numpy.ndarray
        Positions, ascending.
    """
    near = np.argsort(np.abs(margins), kind="stable")[: round(hard * count)]
    others = np.setdiff1d(np.arange(len(margins)), near)[: count - len(near)]
    return np.sort(np.concatenate([near, others]))


def _joined(parts: list[Made]) -> Made:
    def column(name: str) -> np.ndarray | None:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else np.concatenate(values)

    return Made(
        np.concatenate([part.rows for part in parts]),
        column("parents"),
        column("neighbours"),
        column("weights"),
    )
