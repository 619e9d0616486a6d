"""Training by sampling: which class and which value of which column a generated row is asked to have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evenly.generators.rows import Batches
from evenly.generators.table_transform import Choice


class Drawn(NamedTuple):
    """A batch: classes (n,), real rows that fulfil the conditions (n,), and the conditions (n, width)."""

    codes: np.ndarray
    rows: np.ndarray
    vectors: np.ndarray


class Conditions:
    """Draws conditions on one column at a time, beside the class.

    A condition is one of k over all values of all columns that take one. In training a value is drawn by the
    logarithm of its frequency within the class, so that rare values are met; for sampling, by its frequency.

    Parameters
    ----------
    matrix, codes
        Training rows, float32 (n, d), and their classes.
    choices
        Blocks of the matrix; those that do not condition are left out.
    balance
        How evenly classes are drawn.
    rng
        Source of the draws in training.

    References
    ----------
    Xu et al. 2019 (1907.00503), section 4.3.
    """

    def __init__(
        self,
        matrix: np.ndarray,
        codes: np.ndarray,
        choices: Sequence[Choice],
        balance: float,
        rng: np.random.Generator,
    ) -> None:
        self._rng = rng
        self._batches = Batches(codes, balance, rng)
        self.blocks: list[tuple[Choice, tuple[int, int]]] = []
        at = 0
        for choice in choices:
            if choice.conditions:
                self.blocks.append((choice, (at, at + choice.end - choice.start)))
                at += choice.end - choice.start
        self.width = at
        #: By class and block: the rows of each value, and the values' frequencies.
        self._rows: dict[tuple[int, int], list[np.ndarray]] = {}
        self._counts: dict[tuple[int, int], np.ndarray] = {}
        for code in np.unique(codes):
            members = np.flatnonzero(codes == code)
            for b, (choice, _) in enumerate(self.blocks):
                places = matrix[members, choice.start : choice.end].argmax(axis=1)
                by_value = [members[places == k] for k in range(choice.end - choice.start)]
                self._rows[int(code), b] = by_value
                self._counts[int(code), b] = np.array([len(rows) for rows in by_value], dtype=np.float64)

    def training(self, n: int) -> Drawn:
        """Draw n conditions, and a real row for each."""
        if not self.blocks:
            rows = self._batches.rows(n)
            return Drawn(self._batches.codes[rows], rows, np.zeros((n, 0), dtype=np.float32))
        codes = self._batches.classes(n)
        blocks = self._rng.integers(len(self.blocks), size=n)
        vectors = np.zeros((n, self.width), dtype=np.float32)
        rows = np.empty(n, dtype=np.int64)
        for code, b, places in _groups(codes, blocks):
            weights = np.log1p(self._counts[code, b])
            values = self._rng.choice(len(weights), size=len(places), p=weights / weights.sum())
            vectors[places, self.blocks[b][1][0] + values] = 1
            by_value = self._rows[code, b]
            uniform = self._rng.random(len(places))
            for place, value, u in zip(places, values, uniform, strict=True):
                rows[place] = by_value[value][int(u * len(by_value[value]))]
        return Drawn(codes, rows, vectors)

    def sampling(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Conditions of rows to be made of these classes, float32 (n, width)."""
        vectors = np.zeros((len(codes), self.width), dtype=np.float32)
        if not self.blocks:
            return vectors
        blocks = rng.integers(len(self.blocks), size=len(codes))
        for code, b, places in _groups(codes, blocks):
            counts = self._counts[code, b]
            values = rng.choice(len(counts), size=len(places), p=counts / counts.sum())
            vectors[places, self.blocks[b][1][0] + values] = 1
        return vectors


def _groups(codes: np.ndarray, blocks: np.ndarray) -> list[tuple[int, int, np.ndarray]]:
    """Places that share class and block, in ascending order of both."""
    groups = []
    for code in np.unique(codes):
        for b in np.unique(blocks[codes == code]):
            groups.append((int(code), int(b), np.flatnonzero((codes == code) & (blocks == b))))
    return groups
