"""The training rows as prompts need them: by class, the most diverse first, with words and neighbours."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from evenly.groups import group_name
from evenly.llm.columns import Column, columns_of
from evenly.llm.examples import MOST_EXAMPLES, farthest_point_order, nearest_classes, row_vectors
from evenly.llm.keywords import distinctive_terms
from evenly.params.datasets import ClassNote
from evenly.samples import SampleTable

#: Below so many rows, what is usual in a class is told from all rows.
_FEW = 5


class Cell(NamedTuple):
    """What rows are asked for: a class, or a class with one value of the spurious attribute."""

    label: str
    attribute: str | None = None

    @property
    def name(self) -> str:
        """For people, and for ids: distinct for distinct cells."""
        if self.attribute is None:
            return self.label
        return group_name(self.label, self.attribute)


class TrainingRows:
    """Real training rows, ordered by id so that nothing depends on the order of the file.

    Parameters
    ----------
    train
        The training split; rows that are not real are left out.
    notes
        Descriptions and keywords of classes.
    keywords
        Distinctive terms found for a class without keywords of its own.
    """

    def __init__(self, train: SampleTable, notes: Mapping[str, ClassNote], keywords: int) -> None:
        self.samples = train.take(train.is_real).sorted_by_id()
        self._notes = notes
        self._count = keywords
        self._orders: dict[Cell, list[int]] = {}
        self._usual_lengths: dict[Cell, tuple[int, int]] = {}

    @property
    def ids(self) -> np.ndarray:
        """Ids, object array (n,)."""
        return self.samples.ids

    @cached_property
    def texts(self) -> list[str]:
        """Texts (n,); a row without one has the empty text."""
        return [text or "" for text in self.samples.texts]

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """What the feature columns hold."""
        return columns_of(self.samples)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Feature values of each row, by column."""
        names = [feature.name for feature in self.samples.schema.features]
        return list(self.samples.table.select(names).to_pylist())

    def members(self, cell: Cell) -> np.ndarray:
        """Positions of the cell's rows; those of the whole class where the cell has none."""
        of_class = self.samples.labels == cell.label
        if cell.attribute is not None:
            both = of_class & (self.samples.column("attribute") == cell.attribute)
            if both.any():
                return np.flatnonzero(both)
        return np.flatnonzero(of_class)

    def diverse(self, cell: Cell) -> list[int]:
        """Positions of the cell's rows, every beginning of the list spread out; at most 500."""
        if cell not in self._orders:
            rows = self.members(cell)
            order = farthest_point_order(self._vectors[rows], MOST_EXAMPLES) if len(rows) else []
            self._orders[cell] = [int(rows[k]) for k in order]
        return self._orders[cell]

    def neighbours(self, label: str, count: int) -> tuple[str, ...]:
        """The classes most easily confused with this one, the most similar first."""
        return self._neighbours.get(label, ())[:count]

    def description(self, label: str) -> str:
        """What the class is about, where somebody wrote it down."""
        return self._notes[label].description if label in self._notes else ""

    def keywords(self, label: str) -> tuple[str, ...]:
        """Keywords given for the class, else its distinctive terms."""
        given = self._notes[label].keywords if label in self._notes else ()
        return given or self._terms.get(label, ())

    def usual_lengths(self, cell: Cell) -> tuple[int, int]:
        """Characters that most texts of the cell have: the 10 % and 90 % quantiles."""
        if cell not in self._usual_lengths:
            rows = self.members(cell)
            lengths = self._lengths[rows] if len(rows) >= _FEW else self._lengths
            low, high = np.quantile(lengths, [0.1, 0.9])
            self._usual_lengths[cell] = int(low), int(high)
        return self._usual_lengths[cell]

    @property
    def longest(self) -> int:
        """Characters of the longest text."""
        return int(self._lengths.max())

    @cached_property
    def _lengths(self) -> np.ndarray:
        return np.array([len(text) for text in self.texts] or [0])

    @cached_property
    def _vectors(self) -> Any:
        return row_vectors(self.samples)

    @cached_property
    def _neighbours(self) -> dict[str, tuple[str, ...]]:
        return nearest_classes(self._vectors, self.samples.labels, self.samples.classes)

    @cached_property
    def _terms(self) -> dict[str, tuple[str, ...]]:
        if self.samples.modality != "text" or self._count == 0:
            return {}
        return distinctive_terms(self.texts, list(self.samples.labels), self._count)


def random_stream(seed: int, *names: object) -> np.random.Generator:
    """A generator of its own for whatever the names name, so that no draw depends on another's."""
    digest = hashlib.sha256("\0".join(map(str, names)).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest[:16], np.uint32).tolist()])
