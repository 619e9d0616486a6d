"""Tables as vectors and back: numbers scaled, gaps filled and marked, booleans 0 or 1, categories one-hot.

Also the mixed form that interpolation works on, in which numbers keep their unit and categories are codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenly.features.vectors import with_given_vectors, write_description
from evenly.files import atomic_folder
from evenly.params.features import TableFeatures
from evenly.samples import Feature, FeatureKind, SampleTable

_FAR = 1e15  # standardised values are held within ±this, so that squared distances stay finite in float32
_INTEGERS = float(2**63 - 1024)  # the largest float64 below the largest int64


@dataclass(frozen=True)
class Column:
    """How one feature becomes numbers.

    `fill` stands for a missing number or boolean: the training median, or the more frequent truth value. A
    number x becomes (x − centre) / scale, by training mean and standard deviation (1 where that is zero).
    `levels` are the values of a category with a place of their own, sorted. Where values were `missing` in
    train, the last place marks them.
    """

    name: str
    kind: FeatureKind
    fill: float = 0.0
    centre: float = 0.0
    scale: float = 1.0
    levels: tuple[str, ...] = ()
    missing: bool = False

    @property
    def width(self) -> int:
        """Number of places in the vector."""
        return (len(self.levels) if self.kind == "category" else 1) + self.missing


@dataclass(frozen=True)
class MixedRows:
    """Rows of a table as numbers and categories.

    Attributes
    ----------
    numbers
        float64 (n, m): number and integer features in their own unit; the training median where missing.
    absent
        bool (n, m): where a number is missing.
    codes
        int64 (n, c): boolean and category features as positions in `levels`.
    levels
        For each of the c features the values that occur, None (missing) among them as a value of its own.
    """

    numbers: np.ndarray
    absent: np.ndarray
    codes: np.ndarray
    levels: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Columns:
    """Featurizer of tables, fitted by `fit_columns`."""

    columns: tuple[Column, ...]
    numeric: tuple[Column, ...] = field(init=False)
    nominal: tuple[Column, ...] = field(init=False)

    def __post_init__(self) -> None:
        numeric = tuple(c for c in self.columns if c.kind in ("number", "integer"))
        object.__setattr__(self, "numeric", numeric)
        object.__setattr__(self, "nominal", tuple(c for c in self.columns if c not in numeric))

    @property
    def dimension(self) -> int:
        """Sum of the columns' widths."""
        return sum(column.width for column in self.columns)

    # -- vectors -----------------------------------------------------------------------------------------

    def transform(self, samples: SampleTable) -> np.ndarray:
        """Vectors, float32 (n, dimension). A category unknown in train is all zeros."""
        return with_given_vectors(samples, self.dimension, self._vectors)

    def _vectors(self, samples: SampleTable) -> np.ndarray:
        out = np.zeros((len(samples), self.dimension), dtype=np.float32)
        start = 0
        for column in self.columns:
            part = out[:, start : start + column.width]
            if column.kind == "category":
                places = samples.places(column.name, (*column.levels, *([None] if column.missing else ())))
                known = np.flatnonzero(places >= 0)
                part[known, places[known]] = 1
            else:
                values, absent = number_values(samples, column.name, column.fill)
                part[:, 0] = values if column.kind == "boolean" else _standardised(values, column)
                if column.missing:
                    part[:, 1] = absent
            start += column.width
        return out

    def payload(self, vectors: np.ndarray) -> Mapping[str, pa.Array]:
        """Give feature columns of vectors (n, dimension): integers rounded, others the nearest value."""
        out: dict[str, pa.Array] = {}
        start = 0
        for column in self.columns:
            part = vectors[:, start : start + column.width].astype(np.float64)
            start += column.width
            if column.kind == "category":
                values = (*column.levels, None) if column.missing else column.levels
                nearest = part.argmax(axis=1) if part.shape[1] else np.zeros(len(part), dtype=int)
                out[column.name] = pa.array(values or (None,), pa.string()).take(pa.array(nearest))
                continue
            absent = part[:, 1] >= 0.5 if column.missing else np.zeros(len(part), dtype=bool)
            out[column.name] = _typed(part[:, 0] * column.scale + column.centre, absent, column.kind)
        return out

    # -- numbers and categories --------------------------------------------------------------------------

    def mixed(self, samples: SampleTable) -> MixedRows:
        """Give the samples as numbers in their own unit and as codes; `unmixed` is the way back."""
        n = len(samples)
        numbers = np.zeros((n, len(self.numeric)))
        absent = np.zeros((n, len(self.numeric)), dtype=bool)
        for j, column in enumerate(self.numeric):
            numbers[:, j], absent[:, j] = number_values(samples, column.name, column.fill)
        codes = np.zeros((n, len(self.nominal)), dtype=np.int64)
        levels: list[tuple[Any, ...]] = []
        for j, column in enumerate(self.nominal):
            found = pc.unique(samples.table.column(column.name)).to_pylist()
            seen: list[Any] = sorted(value for value in found if value is not None)
            if None in found:
                seen.append(None)
            codes[:, j] = samples.places(column.name, seen)
            levels.append(tuple(seen))
        return MixedRows(numbers, absent, codes, tuple(levels))

    def unmixed(self, rows: MixedRows) -> Mapping[str, pa.Array]:
        """Feature columns of mixed rows: integers rounded, numbers finite, what is absent null."""
        out: dict[str, pa.Array] = {}
        for j, column in enumerate(self.numeric):
            out[column.name] = _typed(rows.numbers[:, j], rows.absent[:, j], column.kind)
        for j, column in enumerate(self.nominal):
            kind = pa.bool_() if column.kind == "boolean" else pa.string()
            out[column.name] = pa.array(rows.levels[j], kind).take(pa.array(rows.codes[:, j]))
        return {column.name: out[column.name] for column in self.columns}

    def standardised(self, numbers: np.ndarray) -> np.ndarray:
        """Scale the numbers (n, m) of mixed rows as they are in the vectors, float32."""
        out = np.empty(numbers.shape, dtype=np.float32)
        for j, column in enumerate(self.numeric):
            out[:, j] = _standardised(numbers[:, j], column)
        return out

    # -- files -------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write the columns to `featurizer.json`."""
        with atomic_folder(folder) as temporary:
            write_description({"kind": "columns", "columns": [asdict(c) for c in self.columns]}, temporary)

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Columns:
        """Rebuild what `save` wrote."""
        columns = tuple(Column(**{**c, "levels": tuple(c["levels"])}) for c in description["columns"])
        for column in columns:
            numbers = column.fill, column.centre, column.scale
            if (
                column.kind not in get_args(FeatureKind)
                or not all(isinstance(name, str) for name in (column.name, *column.levels))
                or not all(type(number) in (int, float) for number in numbers)
                or type(column.missing) is not bool
                or not column.scale > 0
            ):
                raise ValueError(f"no feature is {column}")
        return cls(columns)


def fit_columns(train: SampleTable, settings: TableFeatures) -> Columns:
    """Measure each feature on the training rows."""
    return Columns(tuple(_fitted(train, feature, settings) for feature in train.schema.features))


def _fitted(train: SampleTable, feature: Feature, settings: TableFeatures) -> Column:
    if feature.kind == "category":
        column = train.table.column(feature.name)
        found = pc.unique(column).drop_null().to_pylist()
        seen = sorted(found)
        counts = np.bincount(train.places(feature.name, seen) + 1, minlength=len(seen) + 1)[1:]
        frequent = sorted(seen[k] for k in np.argsort(-counts, kind="stable")[: settings.max_categories])
        return Column(feature.name, feature.kind, levels=tuple(frequent), missing=column.null_count > 0)
    values, absent = number_values(train, feature.name)
    present = values[~absent]
    fill = float(np.median(present)) if len(present) else 0.0
    missing = bool(absent.any())
    if feature.kind == "boolean":
        return Column(feature.name, feature.kind, fill=float(fill > 0.5), missing=missing)
    values[absent] = fill
    with np.errstate(over="ignore", invalid="ignore"):
        centre, scale = float(values.mean()), float(values.std())
    centre = centre if np.isfinite(centre) else fill
    scale = scale if np.isfinite(scale) and scale > 0 else 1.0
    return Column(feature.name, feature.kind, fill, centre, scale, missing=missing)


def number_values(samples: SampleTable, name: str, fill: float = np.nan) -> tuple[np.ndarray, np.ndarray]:
    """Values of a column as float64 (n,), `fill` where null, NaN or infinite; and where that is."""
    array = samples.table.column(name).combine_chunks().cast(pa.float64(), safe=False)
    values = np.array(array.to_numpy(zero_copy_only=False), dtype=np.float64)
    absent = ~np.isfinite(values)
    values[absent] = fill
    return values, absent


def _standardised(values: np.ndarray, column: Column) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.clip((values - column.centre) / column.scale, -_FAR, _FAR)


def _typed(values: np.ndarray, absent: np.ndarray, kind: FeatureKind) -> pa.Array:
    """Arrow column of finite values, null where absent."""
    if kind == "boolean":
        return pa.array(values >= 0.5, mask=absent, type=pa.bool_())
    if kind == "integer":
        whole = np.rint(np.clip(values, -_INTEGERS, _INTEGERS)).astype(np.int64)
        return pa.array(whole, mask=absent, type=pa.int64())
    limit = np.finfo(np.float64).max
    return pa.array(np.nan_to_num(values, posinf=limit, neginf=-limit), mask=absent, type=pa.float64())
