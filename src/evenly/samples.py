"""The sample table: the one kind of data that every stage reads and writes.

A `SampleTable` is a packed Parquet file in memory: one row a sample, with an `id`, a `label`, where it came
from, and the payload of its modality. What a column may hold is checked here, once, so that nobody else has
to. Reading raw files lives in `evenly.datasets`, turning samples into vectors in `evenly.features`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from evenly.errors import DataError
from evenly.files import atomic_write, reading

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

Modality = Literal["text", "image", "table"]
FeatureKind = Literal["number", "integer", "boolean", "category"]

#: Columns that describe a sample. Every other column of a table-modality sample table is a feature.
REQUIRED_COLUMNS = ("id", "label", "origin")
LINEAGE_COLUMNS = ("parent", "neighbour", "neighbour_weight", "details")
OPTIONAL_COLUMNS = ("group", "attribute", "sample_weight", *LINEAGE_COLUMNS)
PAYLOAD_COLUMNS = ("text", "image", "vector")
RESERVED_COLUMNS = frozenset((*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS, *PAYLOAD_COLUMNS))

#: Columns of few different values, or of values that several rows share.
_REPEATING = frozenset(("label", "origin", "group", "attribute", "parent", "neighbour"))

_METADATA_KEY = b"evenly"
_EMPTY_TABLE = Path(__file__).with_name("empty.parquet")


@dataclass(frozen=True)
class Feature:
    """One feature column of a table."""

    #: Column name.
    name: str
    #: `number` (float64, NaN where missing), `integer` (int64), `boolean`, or `category` (string).
    kind: FeatureKind
    #: For `category`, the values seen when the data set was read, sorted; empty otherwise.
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Schema:
    """What a sample table holds: modality, classes in their fixed order, and the features of a table.

    `classes` is decided once by `split`, from the training rows, and travels with every table that comes
    from it, so that column `k` of a probability matrix means the same class everywhere.
    """

    modality: Modality
    classes: tuple[str, ...]
    features: tuple[Feature, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form, the inverse of `from_json`."""
        features = [{"name": f.name, "kind": f.kind, "categories": list(f.categories)} for f in self.features]
        return {"modality": self.modality, "classes": list(self.classes), "features": features}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Schema:
        """Schema from its JSON form; KeyError, TypeError or ValueError where it is none."""
        modality, classes = value["modality"], value["classes"]
        features = [Feature(f["name"], f["kind"], tuple(f.get("categories", ()))) for f in value["features"]]
        names = [*classes, *(feature.name for feature in features)]
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in names):
            raise TypeError("classes and features must have names")
        kinds = [feature.kind for feature in features]
        if modality not in get_args(Modality) or any(kind not in get_args(FeatureKind) for kind in kinds):
            raise ValueError(f"there is no {modality!r} data with features {kinds}")
        return cls(modality, tuple(classes), tuple(features))


@dataclass(frozen=True)
class SampleTable:
    """Samples of one modality, immutable.

    Raises
    ------
    DataError
        When a column is missing, null where it may not be, an id occurs twice, or a label is not one of the
        classes.
    """

    #: Arrow table. Always `id`, `label`, `origin` (strings, never null). Optional: `group` (split unit),
    #: `attribute` (spurious attribute), `sample_weight` (float64, what a row counts), and the lineage of
    #: synthetic rows: `parent` and `neighbour` (ids of real rows), `neighbour_weight` (float64 λ of
    #: x = parent + λ·(neighbour − parent)), `details` (JSON text). Payload: `text` (string), or `image`
    #: (binary, an encoded PNG or JPEG), or one column per feature; and `vector` (fixed-size list of float32)
    #: where a row exists in feature space only (interpolated text).
    table: pa.Table
    #: Modality, classes and features.
    schema: Schema

    def __post_init__(self) -> None:
        _check(self.table, self.schema)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def modality(self) -> Modality:
        """`text`, `image` or `table`."""
        return self.schema.modality

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes in their fixed order, also those without a row here."""
        return self.schema.classes

    @cached_property
    def ids(self) -> np.ndarray:
        """Ids, object array (n,)."""
        return self.column("id")

    @cached_property
    def labels(self) -> np.ndarray:
        """Labels, object array (n,)."""
        return self.column("label")

    @cached_property
    def codes(self) -> np.ndarray:
        """Labels as positions in `classes`, int64 (n,)."""
        return self.places("label", self.classes)

    @cached_property
    def origins(self) -> np.ndarray:
        """Origins (`real`, `smote`, `augmented`, …), object array (n,)."""
        return self.column("origin")

    @cached_property
    def is_real(self) -> np.ndarray:
        """Mask of real rows, bool (n,)."""
        import numpy as np

        return np.asarray(self.origins == "real")

    def has(self, column: str) -> bool:
        """Whether the table has this column."""
        return column in self.table.column_names

    def column(self, name: str) -> np.ndarray:
        """One column as an object array (n,), None where null; all None where the column is absent."""
        import numpy as np

        out = np.full(len(self), None, dtype=object)
        if self.has(name) and len(self):
            if name in _REPEATING:  # a million rows share the few strings that there are
                values, indices = _encoded(self.table.column(name))
                out[:] = np.array([*values, None], dtype=object)[indices]
            else:
                out[:] = self.table.column(name).to_pylist()
        return out

    def places(self, name: str, values: Sequence[Any]) -> np.ndarray:
        """Where each row's value of a column stands in `values`, int64 (n,); -1 for one that is not there."""
        import numpy as np

        position = {value: k for k, value in enumerate(values)}
        found, indices = _encoded(self.table.column(name)) if len(self) else ([], np.zeros(0, np.int64))
        places = np.array([position.get(value, -1) for value in (*found, None)], dtype=np.int64)
        return np.asarray(places[indices])

    @cached_property
    def weights(self) -> np.ndarray | None:
        """What each row counts, float64 (n,), above 0; None where the data have no weights.

        A row that was made without a parent counts like a mean one of its class, else of the table.
        """
        import numpy as np

        if not self.has("sample_weight"):
            return None
        weights = self.column("sample_weight").astype(np.float64)
        known = ~np.isnan(weights)
        for code in np.unique(self.codes[~known]):
            like = known & (self.codes == code)
            like = like if like.any() else known
            weights[~known & (self.codes == code)] = weights[like].mean() if like.any() else 1.0
        return weights

    @cached_property
    def counts(self) -> dict[str, int]:
        """Number of rows per class, in class order, zeros included."""
        import numpy as np

        numbers = np.bincount(self.codes, minlength=len(self.classes))
        return {name: int(n) for name, n in zip(self.classes, numbers, strict=True)}

    @cached_property
    def texts(self) -> list[str | None]:
        """Texts, None for a row that exists as a vector only."""
        return list(self.column("text"))

    @cached_property
    def images(self) -> list[bytes | None]:
        """Encoded images (PNG or JPEG bytes), None for a row that exists as a vector only."""
        return list(self.column("image"))

    def features_frame(self) -> pd.DataFrame:
        """Feature columns as a DataFrame (n, features): float64, `Int64`, `boolean`, or objects with None."""
        import pandas as pd

        dtypes = {"integer": pd.Int64Dtype(), "boolean": pd.BooleanDtype()}
        columns: dict[str, Any] = {}
        for feature in self.schema.features:
            if feature.kind == "category":
                columns[feature.name] = pd.Series(self.column(feature.name), dtype=object)
            else:
                dtype = dtypes.get(feature.kind)
                columns[feature.name] = self.table.column(feature.name).to_pandas(
                    types_mapper=None if dtype is None else lambda _, dtype=dtype: dtype
                )
        return pd.DataFrame(columns, index=range(len(self)))

    def take(self, rows: Sequence[int] | np.ndarray) -> SampleTable:
        """Rows by position (integers) or by mask (booleans, length n)."""
        import numpy as np
        import pyarrow as pa

        rows = np.asarray(rows)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        positions = np.ascontiguousarray(rows, dtype=np.int64)
        # Not `pa.array`, which imports pandas.
        indices = pa.Array.from_buffers(pa.int64(), len(positions), [None, pa.py_buffer(positions)])
        return replace(self, table=self.table.take(indices))

    def sorted_by_id(self) -> SampleTable:
        """The same rows ordered by id, so that no result depends on the order of the input."""
        import pyarrow.compute as pc

        return replace(self, table=self.table.take(pc.sort_indices(self.table.column("id"))))

    def with_column(self, name: str, values: Any) -> SampleTable:
        """The same rows with one column added or replaced, by an Arrow array or a sequence of length n."""
        import pyarrow as pa

        array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
        if self.has(name):
            table = self.table.set_column(self.table.column_names.index(name), name, array)
        else:
            table = self.table.append_column(name, array)
        return replace(self, table=table)


def samples_from_columns(columns: Mapping[str, Iterable[Any]], schema: Schema) -> SampleTable:
    """A sample table from plain columns, with the Arrow types that the schema asks for.

    `origin` may be left out for real rows. Columns that are None throughout are dropped.
    """
    import pyarrow as pa

    types = _arrow_types(schema)
    arrays: dict[str, pa.Array] = {}
    for name, values in columns.items():
        listed = list(values)
        if name in OPTIONAL_COLUMNS and all(value is None for value in listed):
            continue
        if name == "vector":
            length = next((len(v) for v in listed if v is not None), 0)
            arrays[name] = pa.array(listed, type=pa.list_(pa.float32(), length))
        else:
            arrays[name] = pa.array(listed, type=types.get(name))
    if "origin" not in arrays:
        arrays["origin"] = pa.array(["real"] * len(next(iter(arrays.values()))), type=pa.string())
    order = [c for c in (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS, *PAYLOAD_COLUMNS) if c in arrays]
    order += [f.name for f in schema.features if f.name in arrays]
    unknown = sorted(set(arrays) - set(order))
    if unknown:
        names = ", ".join(feature.name for feature in schema.features) or "none"
        raise DataError(f"A sample table has no column {unknown[0]!r}; its features are {names}.")
    return SampleTable(pa.table({name: arrays[name] for name in order}), schema)


def concatenate(tables: Sequence[SampleTable]) -> SampleTable:
    """All rows in order; columns that only some tables have are null in the others, empty tables pass."""
    import pyarrow as pa

    filled = [table for table in tables if len(table)] or list(tables[:1])
    if not filled:
        raise DataError("There is no sample table to concatenate.")
    first = filled[0]
    for other in filled[1:]:
        if other.schema != first.schema:
            raise DataError("Two sample tables with different classes or features cannot be joined.")
    joined = pa.concat_tables([t.table for t in filled], promote_options="default")
    return SampleTable(joined.combine_chunks(), first.schema)


def write_samples(samples: SampleTable, path: str | Path) -> None:
    """Write one Parquet file, atomically, with the schema in its metadata; same table, same bytes."""
    import pyarrow.parquet as pq

    metadata = {_METADATA_KEY: json.dumps(samples.schema.to_json(), sort_keys=True).encode()}
    table = samples.table.combine_chunks().replace_schema_metadata(metadata)
    with atomic_write(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", use_dictionary=False)


def write_no_samples(path: str | Path) -> None:
    """Write the table without rows, importing nothing: what a producer with an empty plan leaves behind."""
    with atomic_write(path) as temporary:
        shutil.copyfile(_EMPTY_TABLE, temporary)


def has_no_samples(path: str | Path) -> bool:
    """Whether a file is the one of `write_no_samples`, by its bytes, importing nothing."""
    path = _existing(path)
    empty = _EMPTY_TABLE.read_bytes()
    return path.stat().st_size == len(empty) and path.read_bytes() == empty


def read_samples(path: str | Path, schema: Schema | None = None) -> SampleTable:
    """Read one sample table, written by `write_samples` or `write_no_samples`.

    An empty table takes over `schema`, since the file of `write_no_samples` knows no classes.
    """
    import pyarrow.parquet as pq

    path = _existing(path)
    with reading(path, "delete it and run `dvc repro`"):
        # Not `pq.read_table`, which imports pandas.
        table = pq.ParquetFile(path).read()
        table.validate(full=True)
    metadata = (table.schema.metadata or {}).get(_METADATA_KEY)
    table = table.replace_schema_metadata(None)
    if metadata is None:
        if table.num_rows:
            raise DataError(f"{path} is not a sample table: it does not say its modality and classes.")
        return SampleTable(table, schema or Schema("table", ()))
    try:
        schema = Schema.from_json(json.loads(metadata))
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} does not say its modality and classes ({error}); run `dvc repro`."
        ) from error
    with reading(path, "delete it and run `dvc repro`"):
        return SampleTable(table, schema)


def _encoded(column: pa.ChunkedArray) -> tuple[list[Any], np.ndarray]:
    """The different values of a column with rows, and where each row's stands in them; null behind them."""
    import numpy as np
    import pyarrow.compute as pc

    encoded = column.combine_chunks().dictionary_encode()
    values, indices = encoded.dictionary.to_pylist(), encoded.indices
    if indices.null_count:
        indices = pc.fill_null(indices, len(values))
    # Not `to_numpy`, which imports pandas.
    found = np.frombuffer(indices.buffers()[1], dtype=np.int32, count=len(column), offset=4 * indices.offset)
    return values, found


def natural_order(names: Iterable[str]) -> tuple[str, ...]:
    """Class names in the order people expect: as integers where all are, else by text."""
    unique = set(names)
    if all(name.lstrip("-").isdigit() for name in unique):
        return tuple(sorted(unique, key=lambda name: (int(name), name)))
    return tuple(sorted(unique))


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path} does not exist; run `dvc repro` to make it.")
    return path


def _arrow_types(schema: Schema) -> dict[str, pa.DataType]:
    import pyarrow as pa

    kinds = {"number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_(), "category": pa.string()}
    types: dict[str, pa.DataType] = {c: pa.string() for c in (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS, "text")}
    types |= {"sample_weight": pa.float64(), "neighbour_weight": pa.float64(), "image": pa.binary()}
    return types | {feature.name: kinds[feature.kind] for feature in schema.features}


def _check(table: pa.Table, schema: Schema) -> None:
    import pyarrow.compute as pc

    if schema.modality not in get_args(Modality):
        raise DataError(f"Modality {schema.modality!r} is not one of {', '.join(get_args(Modality))}.")
    if table.num_rows == 0:
        return
    names = set(table.column_names)
    payload = {"text": ("text",), "image": ("image",), "table": tuple(f.name for f in schema.features)}
    for name in (*REQUIRED_COLUMNS, *payload[schema.modality]):
        if name not in names:
            raise DataError(
                f"A {schema.modality} sample table needs the column {name!r}; it has {sorted(names)}."
            )
    extra = sorted(names - RESERVED_COLUMNS - {f.name for f in schema.features})
    if extra:
        raise DataError(f"The sample table has a column {extra[0]!r} that its schema does not name.")
    for name, kind in _arrow_types(schema).items():
        if name in names and not table.schema.field(name).type.equals(kind):
            found = table.schema.field(name).type
            raise DataError(f"Column {name!r} of a sample table must be {kind}, not {found}.")
    for name in REQUIRED_COLUMNS:
        nulls = table.column(name).null_count
        if nulls:
            row = table.column(name).is_null().to_pylist().index(True)
            raise DataError(f"Column {name!r} is empty in {nulls} rows, the first is row {row}.")
    ids = table.column("id")
    if len(pc.unique(ids)) != len(ids):
        counts = pc.value_counts(ids)
        twice = next(entry["values"].as_py() for entry in counts if entry["counts"].as_py() > 1)
        raise DataError(f"The id {twice!r} occurs more than once; ids must be unique.")
    unknown = [label for label in pc.unique(table.column("label")).to_pylist() if label not in schema.classes]
    if unknown:
        raise DataError(f"The label {unknown[0]!r} is not one of the classes {list(schema.classes)}.")
