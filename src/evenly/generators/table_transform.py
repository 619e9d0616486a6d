"""Table rows as matrices that networks work on, and back with their types: numbers normalised, everything
else as one of k.

How a single number column is normalised is told in `number_scales`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from evenly.generators.number_scales import NumberScale, fit_scale
from evenly.params.generative import Numbers
from evenly.samples import FeatureKind, SampleTable

#: More values of a category than this share one place in the matrix.
MOST_LEVELS = 64
_INTEGERS = 2.0**62


@dataclass(frozen=True)
class Choice:
    """Columns start..end of a matrix in which exactly one is 1.

    Attributes
    ----------
    start, end
        Where.
    conditions
        Whether it is a column of the table that generation may be conditioned on, and not the mode of a
        number.
    """

    start: int
    end: int
    conditions: bool


@dataclass(frozen=True)
class _NumberColumn:
    name: str
    kind: FeatureKind
    scale: NumberScale
    missing: bool


@dataclass(frozen=True)
class _NominalColumn:
    """A boolean or category column.

    Attributes
    ----------
    levels
        What each place stands for: values seen in training, None for missing.
    rare
        Values that share the last place, with their training frequencies; empty where all have their own.
    """

    name: str
    kind: FeatureKind
    levels: tuple[Any, ...]
    rare: tuple[tuple[Any, ...], tuple[float, ...]] = ((), ())

    @property
    def width(self) -> int:
        return len(self.levels) + bool(self.rare[0])


@dataclass(frozen=True)
class TableTransform:
    """Rows to matrices and back, fitted by `fit_transform`.

    Attributes
    ----------
    columns
        In schema order.
    scalars
        Positions of the matrix that hold a normalised number, int64.
    choices
        Blocks of the matrix that hold one of k.
    dimension
        Columns of the matrix.
    """

    columns: tuple[_NumberColumn | _NominalColumn, ...]
    scalars: np.ndarray = field(init=False)
    choices: tuple[Choice, ...] = field(init=False)
    dimension: int = field(init=False)

    def __post_init__(self) -> None:
        scalars: list[int] = []
        choices: list[Choice] = []
        at = 0
        for column in self.columns:
            if isinstance(column, _NominalColumn):
                choices.append(Choice(at, at + column.width, conditions=True))
                at += column.width
                continue
            scalars.append(at)
            at += 1
            if column.scale.modes > 1:
                choices.append(Choice(at, at + column.scale.modes, conditions=False))
                at += column.scale.modes
            if column.missing:
                choices.append(Choice(at, at + 2, conditions=True))
                at += 2
        object.__setattr__(self, "scalars", np.array(scalars, dtype=np.int64))
        object.__setattr__(self, "choices", tuple(choices))
        object.__setattr__(self, "dimension", at)

    def unknown(self, samples: SampleTable) -> np.ndarray:
        """Rows with a value that has no place in the matrix, bool (n,)."""
        out = np.zeros(len(samples), dtype=bool)
        for column in self.columns:
            if isinstance(column, _NominalColumn):
                known = {*column.levels, *column.rare[0]}
                out |= np.array([value not in known for value in samples.column(column.name)], dtype=bool)
            elif not column.missing:
                out |= _number_values(samples, column.name)[1]
        return out

    def matrix(self, samples: SampleTable, rng: np.random.Generator) -> np.ndarray:
        """Rows as float32 (n, dimension); `rng` draws the mode of numbers that several modes explain."""
        out = np.zeros((len(samples), self.dimension), dtype=np.float32)
        at = 0
        for column in self.columns:
            if isinstance(column, _NominalColumn):
                _write_choice(out[:, at : at + column.width], _places(samples, column))
                at += column.width
                continue
            values, absent = _number_values(samples, column.name)
            scaled, modes = column.scale.normalised(values, absent, rng)
            out[:, at] = scaled
            at += 1
            if column.scale.modes > 1:
                _write_choice(out[:, at : at + column.scale.modes], modes)
                at += column.scale.modes
            if column.missing:
                _write_choice(out[:, at : at + 2], absent.astype(np.int64))
                at += 2
        return out

    def payload(self, matrix: np.ndarray, rng: np.random.Generator) -> Mapping[str, pa.Array]:
        """Feature columns of a matrix (n, dimension), with their types.

        Numbers lie in the training range, integers are whole, categories are ones seen in training, and only
        columns with missing training values have missing ones. `rng` draws among the values that share a
        place.
        """
        out: dict[str, pa.Array] = {}
        at = 0
        for column in self.columns:
            if isinstance(column, _NominalColumn):
                places = matrix[:, at : at + column.width].argmax(axis=1)
                out[column.name] = _nominal_array(column, places, rng)
                at += column.width
                continue
            scaled = matrix[:, at].astype(np.float64)
            at += 1
            modes = np.zeros(len(matrix), dtype=np.int64)
            if column.scale.modes > 1:
                modes = matrix[:, at : at + column.scale.modes].argmax(axis=1)
                at += column.scale.modes
            absent = np.zeros(len(matrix), dtype=bool)
            if column.missing:
                absent = matrix[:, at : at + 2].argmax(axis=1) == 1
                at += 2
            out[column.name] = _number_array(column.scale.restored(scaled, modes), absent, column.kind)
        return out


def fit_transform(train: SampleTable, numbers: Numbers, max_modes: int, seed: int) -> TableTransform:
    """Fit the transform of a table on its training rows."""
    columns: list[_NumberColumn | _NominalColumn] = []
    for feature in train.schema.features:
        if feature.kind in ("number", "integer"):
            values, absent = _number_values(train, feature.name)
            scale = fit_scale(values[~absent], numbers, max_modes, seed)
            columns.append(_NumberColumn(feature.name, feature.kind, scale, bool(absent.any())))
        else:
            columns.append(_fitted_nominal(train, feature.name, feature.kind))
    return TableTransform(tuple(columns))


def _fitted_nominal(train: SampleTable, name: str, kind: FeatureKind) -> _NominalColumn:
    values = train.column(name)
    counts: dict[Any, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
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
    return _NominalColumn(name, kind, tuple(levels), (tuple(rare), shares))


def _places(samples: SampleTable, column: _NominalColumn) -> np.ndarray:
    position = {value: k for k, value in enumerate(column.levels)}
    position |= dict.fromkeys(column.rare[0], len(column.levels))
    return np.array([position[value] for value in samples.column(column.name)], dtype=np.int64)


def _nominal_array(column: _NominalColumn, places: np.ndarray, rng: np.random.Generator) -> pa.Array:
    values: list[Any] = [column.levels[k] if k < len(column.levels) else None for k in places]
    shared = np.flatnonzero(places >= len(column.levels))
    rare, shares = column.rare
    if len(shared):
        for row, k in zip(shared, rng.choice(len(rare), size=len(shared), p=shares), strict=True):
            values[row] = rare[k]
    return pa.array(values, pa.bool_() if column.kind == "boolean" else pa.string())


def _number_values(samples: SampleTable, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Values as float64 (n,), NaN where missing or not finite, and where that is."""
    array = samples.table.column(name).combine_chunks().cast(pa.float64(), safe=False)
    values = np.array(array.to_numpy(zero_copy_only=False), dtype=np.float64)
    absent = ~np.isfinite(values)
    values[absent] = np.nan
    return values, absent


def _number_array(values: np.ndarray, absent: np.ndarray, kind: FeatureKind) -> pa.Array:
    if kind == "integer":
        whole = np.rint(np.clip(values, -_INTEGERS, _INTEGERS)).astype(np.int64)
        return pa.array(whole, mask=absent, type=pa.int64())
    return pa.array(values, mask=absent, type=pa.float64())


def _write_choice(out: np.ndarray, places: np.ndarray) -> None:
    out[np.arange(len(out)), places] = 1
