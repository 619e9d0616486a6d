"""Which rows train and which only judge, batches and random streams by class, and which rows are kept."""

from __future__ import annotations

import hashlib

import numpy as np

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


def hardest_first(margins: np.ndarray, count: int, hard: float) -> np.ndarray:
    """Choose among candidates: a share of them nearest to the decision boundary, the others as drawn."""
    near = np.argsort(np.abs(margins), kind="stable")[: round(hard * count)]
    others = np.setdiff1d(np.arange(len(margins)), near)[: count - len(near)]
    return np.sort(np.concatenate([near, others]))
