"""Which rows train and which only judge, batches and random streams by class, and latent vectors.

Latents come from the prior, from near a real row, or from between two of a class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from evenly.features.neighbours import nearest_neighbours
from evenly.params.generative import SamplingSettings

#: A class with fewer rows keeps them all for training.
SPARES_ROWS = 10
#: With fewer held-out rows in all than this, their judgement would be noise: none are held out.
FEWEST_HELD_OUT = 12
#: More rows of one class than this would make the judgement slower and no better.
MOST_HELD_OUT = 200


def hold_out_rows(codes: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into those that train and those that only judge, class by class."""
    chosen: list[np.ndarray] = []
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        if share and len(rows) >= SPARES_ROWS:
            rng = np.random.default_rng([seed, 1, int(code)])
            count = min(max(2, round(share * len(rows))), MOST_HELD_OUT)
            chosen.append(rng.permutation(rows)[:count])
    held_out = np.sort(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64)
    if len(held_out) < FEWEST_HELD_OUT:
        held_out = held_out[:0]
    return np.setdiff1d(np.arange(len(codes)), held_out), held_out


class Batches:
    """Endless random rows, classes balanced to a degree: a class of n rows has a share of n^(1 − balance)."""

    def __init__(self, codes: np.ndarray, balance: float, rng: np.random.Generator) -> None:
        self.rng, self.codes = rng, codes
        self.present = np.unique(codes)
        self._members = [np.flatnonzero(codes == code) for code in self.present]
        shares = np.array([len(rows) for rows in self._members], dtype=np.float64) ** (1 - balance)
        self.shares = shares / shares.sum()
        self._sizes = np.array([len(rows) for rows in self._members])
        self._order = np.concatenate(self._members)
        self._starts = np.cumsum(self._sizes) - self._sizes

    def classes(self, n: int) -> np.ndarray:
        """Classes of n rows, int64 (n,)."""
        drawn: np.ndarray = self.present[self._places(n)]
        return drawn

    def rows(self, n: int) -> np.ndarray:
        """Positions of n rows, int64 (n,)."""
        places = self._places(n)
        within = (self.rng.random(n) * self._sizes[places]).astype(np.int64)
        drawn: np.ndarray = self._order[self._starts[places] + within]
        return drawn

    def _places(self, n: int) -> np.ndarray:
        return self.rng.choice(len(self.present), size=n, p=self.shares)


def class_stream(seed: int, label: str, purpose: str) -> np.random.Generator:
    """Random numbers of one class for one purpose: what is drawn for other classes does not change them."""
    digest = hashlib.blake2b(f"{seed}\0{purpose}\0{label}".encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def evenly_spaced(codes: np.ndarray, most: int) -> np.ndarray:
    """At most `most` positions of each class, spread evenly over them, ascending."""
    chosen = [np.empty(0, dtype=np.int64)]
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        chosen.append(rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(np.int64)])
    return np.sort(np.concatenate(chosen))


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
    """Make rows of one class; a smaller `n` gives the first rows of a larger one."""
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
    """Choose among candidates: a share of them nearest to the decision boundary, the others as drawn."""
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
