"""Table rows as matrices that networks work on, and back with their types: numbers normalised, everything
else as one of k.

How a single number column is normalised is in `number_scales`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from evenly.features.columns import number_values
from evenly.generators.number_scales import ModeScale, QuantileScale, fit_scale
from evenly.params.generative import Numbers
from evenly.samples import FeatureKind, SampleTable

#: More values of a category than this share one place in the matrix.
MOST_LEVELS = 64
_INTEGERS = 2.0**62


class Choice(NamedTuple):
    """Columns start..end of a matrix in which exactly one is 1."""

    start: int
    end: int
    #: Whether it is a column of the table that generation may be conditioned on, not the mode of a number.
    conditions: bool

    @property
    def width(self) -> int:
        """How many columns."""
        return self.end - self.start


@dataclass(frozen=True)
class _NumberColumn:
    """The normalised number, then its mode where there are several, then whether it is missing."""

    name: str
    kind: FeatureKind
    scale: ModeScale | QuantileScale
    missing: bool

    @property
    def scalars(self) -> int:
        return 1

    @property
    def choices(self) -> list[tuple[int, bool]]:
        """Widths of the blocks of one of k after the number, and whether each conditions."""
        modes = [(self.scale.modes, False)] if self.scale.modes > 1 else []
        return modes + [(2, True)] * self.missing

    def encoded(self, samples: SampleTable, rng: np.random.Generator) -> list[np.ndarray]:
        values, absent = number_values(samples, self.name)
        scaled, modes = self.scale.normalised(values, absent, rng)
        places = {False: modes, True: absent.astype(np.int64)}
        return [scaled[:, None], *(np.eye(width)[places[conditions]] for width, conditions in self.choices)]

    def decoded(self, part: np.ndarray, rng: np.random.Generator) -> pa.Array:
        modes = absent = np.zeros(len(part), dtype=np.int64)
        if self.scale.modes > 1:
            modes = part[:, 1 : 1 + self.scale.modes].argmax(axis=1)
        if self.missing:
            absent = part[:, -2:].argmax(axis=1)
        values = self.scale.restored(part[:, 0].astype(np.float64), modes)
        if self.kind == "integer":
            whole = np.rint(np.clip(values, -_INTEGERS, _INTEGERS)).astype(np.int64)
            return pa.array(whole, mask=absent == 1, type=pa.int64())
        return pa.array(values, mask=absent == 1, type=pa.float64())

    def unknown(self, samples: SampleTable) -> np.ndarray:
        return number_values(samples, self.name)[1] & (not self.missing)


@dataclass(frozen=True)
class _NominalColumn:
    """A boolean or category column, one of k."""

    name: str
    kind: FeatureKind
    levels: tuple[Any, ...]  # What each place stands for: values seen in training, None for missing
    #: Values that share the last place, with their training frequencies; empty where all have their own.
    rare: tuple[Any, ...] = ()
    shares: tuple[float, ...] = ()

    @property
    def scalars(self) -> int:
        return 0

    @property
    def choices(self) -> list[tuple[int, bool]]:
        return [(len(self.levels) + bool(self.rare), True)]

    def encoded(self, samples: SampleTable, rng: np.random.Generator) -> list[np.ndarray]:
        position = {value: k for k, value in enumerate(self.levels)}
        position |= dict.fromkeys(self.rare, len(self.levels))
        places = [position[value] for value in samples.column(self.name)]
        return [np.eye(self.choices[0][0])[places]]

    def decoded(self, part: np.ndarray, rng: np.random.Generator) -> pa.Array:
        places = part.argmax(axis=1)
        values: list[Any] = [self.levels[k] if k < len(self.levels) else None for k in places]
        shared = np.flatnonzero(places >= len(self.levels))
        if len(shared):
            drawn = rng.choice(len(self.rare), size=len(shared), p=self.shares)
            for row, k in zip(shared, drawn, strict=True):
                values[row] = self.rare[k]
        return pa.array(values, pa.bool_() if self.kind == "boolean" else pa.string())

    def unknown(self, samples: SampleTable) -> np.ndarray:
        known = {*self.levels, *self.rare}
        return np.array([value not in known for value in samples.column(self.name)], dtype=bool)


@dataclass(frozen=True)
class TableTransform:
    """Rows to matrices and back, fitted by `fit_transform`."""

    columns: tuple[_NumberColumn | _NominalColumn, ...]  # In schema order
    scalars: np.ndarray = field(init=False)  # Positions of the matrix that hold a normalised number, int64
    choices: tuple[Choice, ...] = field(init=False)
    ends: tuple[int, ...] = field(init=False)  # Where each column's part of the matrix ends

    def __post_init__(self) -> None:
        scalars: list[int] = []
        choices: list[Choice] = []
        ends: list[int] = []
        at = 0
        for column in self.columns:
            scalars += range(at, at + column.scalars)
            at += column.scalars
            for width, conditions in column.choices:
                choices.append(Choice(at, at + width, conditions))
                at += width
            ends.append(at)
        object.__setattr__(self, "scalars", np.array(scalars, dtype=np.int64))
        object.__setattr__(self, "choices", tuple(choices))
        object.__setattr__(self, "ends", tuple(ends))

    @property
    def dimension(self) -> int:
        """Columns of the matrix."""
        return self.ends[-1] if self.ends else 0

    def unknown(self, samples: SampleTable) -> np.ndarray:
        """Rows with a value that has no place in the matrix, bool (n,)."""
        unknown: np.ndarray = np.any([column.unknown(samples) for column in self.columns], axis=0)
        return unknown

    def matrix(self, samples: SampleTable, rng: np.random.Generator) -> np.ndarray:
        """Rows as float32 (n, dimension); `rng` draws the mode of numbers that several modes explain."""
        parts = [part for column in self.columns for part in column.encoded(samples, rng)]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def payload(self, matrix: np.ndarray, rng: np.random.Generator) -> Mapping[str, pa.Array]:
        """Feature columns of a matrix (n, dimension), with their types.

        Numbers lie in the training range, integers are whole, categories are ones seen in training, and only
        columns with missing training values have missing ones. `rng` draws among the values that share a
        place.
        """
        parts = np.split(matrix, self.ends[:-1], axis=1)
        return {c.name: c.decoded(part, rng) for c, part in zip(self.columns, parts, strict=True)}


def fit_transform(train: SampleTable, numbers: Numbers, max_modes: int, seed: int) -> TableTransform:
    """Fit the transform of a table on its training rows."""
    columns: list[_NumberColumn | _NominalColumn] = []
    for feature in train.schema.features:
        if feature.kind in ("number", "integer"):
            values, absent = number_values(train, feature.name)
            scale = fit_scale(values[~absent], numbers, max_modes, seed)
            columns.append(_NumberColumn(feature.name, feature.kind, scale, bool(absent.any())))
        else:
            columns.append(_fitted_nominal(train, feature.name, feature.kind))
    return TableTransform(tuple(columns))


def _fitted_nominal(train: SampleTable, name: str, kind: FeatureKind) -> _NominalColumn:
    counts = Counter(train.column(name))
    missing = counts.pop(None, 0)
    levels: list[Any] = sorted(counts)
    rare: list[Any] = []
    if len(levels) > MOST_LEVELS:
        frequent = set(sorted(levels, key=lambda value: (-counts[value], value))[: MOST_LEVELS - 1])
        rare = [value for value in levels if value not in frequent]
        levels = [value for value in levels if value in frequent]
    total = sum(counts[value] for value in rare)
    shares = tuple(counts[value] / total for value in rare)
    if missing or not levels:
        levels.append(None)
    return _NominalColumn(name, kind, tuple(levels), tuple(rare), shares)
