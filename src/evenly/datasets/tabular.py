"""Reading csv, tsv, jsonl and Parquet bytes into Arrow columns, and saying in which line a row stands.

Columns come out as the file has them; what they mean, and whether they can be used, is decided in
`evenly.datasets.rows`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection, Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from evenly.datasets.delimited import dialect_of, header_of, read_delimited
from evenly.datasets.rawtable import RawTable, require_columns
from evenly.errors import DataError
from evenly.params.datasets import DatasetEntry, Format

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

#: File name endings that are read as tables without being told.
SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}


def table_format(name: str, entry: DatasetEntry) -> Format | None:
    """How a file is read: as the entry says, else by its name; None where neither tells."""
    return entry.format or SUFFIXES.get(PurePosixPath(name).suffix.lower())


def read_table(
    data: bytes,
    shown: str,
    kind: Format,
    entry: DatasetEntry,
    wanted: Collection[str] | None,
    text: Collection[str],
) -> RawTable:
    """One file as Arrow columns.

    Parameters
    ----------
    data
        The bytes of the file; UTF-8, with or without a byte order mark, except for Parquet.
    shown
        What to call the file in messages.
    wanted
        Columns to keep, None for all.
    text
        Columns to read as text whatever they look like. The others of a csv or tsv get the type that all of
        their values have; empty fields and the usual words for a missing value (`NA`, `nan`, …) are null in
        them.

    Raises
    ------
    DataError
        Naming file and line: not UTF-8, ragged rows, quotes that do not close, broken JSON, a column that is
        not there.
    """
    if kind == "parquet":
        return _read_parquet(data, shown, wanted, text)
    content = _decoded(data, shown)
    if kind == "jsonl":
        return _read_jsonl(content, shown, wanted, text)
    dialect = dialect_of(data, shown, kind, entry.delimiter, entry.quoting)
    return read_delimited(data, shown, dialect, wanted, text)


def column_names(data: bytes, shown: str, kind: Format, entry: DatasetEntry) -> list[str]:
    """Names of a file's columns in its order, for choosing which of them to read.

    Raises
    ------
    DataError
        As `read_table` does.
    """
    if kind == "parquet":
        return list(_parquet_file(data, shown).schema_arrow.names)
    content = _decoded(data, shown)
    if kind == "jsonl":
        return list(dict.fromkeys(name for _, row in _json_objects(content, shown) for name in row))
    return header_of(content, shown, dialect_of(data, shown, kind, entry.delimiter, entry.quoting))


def _decoded(data: bytes, shown: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        name, hint = ("UTF-16", "") if utf16 else ("GB18030", ", with the encoding it really has")
        raise DataError(
            f"{shown}, line {line} is not UTF-8 (byte 0x{data[error.start]:02x}); convert the file, for "
            f"example by `iconv -f {name} -t UTF-8 OLD > NEW`{hint}."
        ) from None


def _read_jsonl(content: str, shown: str, wanted: Collection[str] | None, text: Collection[str]) -> RawTable:
    import pyarrow as pa

    lines: list[int] = []
    columns: dict[str, list[Any]] = {}
    for number, row in _json_objects(content, shown):
        for name, value in row.items():
            if wanted is None or name in wanted:
                values = columns.setdefault(name, [])
                values.extend([None] * (len(lines) - len(values)))
                values.append(value)
        lines.append(number)
    for values in columns.values():
        values.extend([None] * (len(lines) - len(values)))
    require_columns(columns, wanted, text, shown)
    arrays = {
        name: _json_column(values, name, text=name in text, where=lambda row: f"{shown}, line {lines[row]}")
        for name, values in columns.items()
    }
    return RawTable(pa.table(arrays), shown, lambda row: f"{shown}, line {lines[row]}")


def _json_objects(content: str, shown: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects with the lines that they stand in; empty lines are passed over."""
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            yield number, _json_object(line, shown, number)


def _json_object(line: str, shown: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{shown}, line {number} is not JSON ({error.msg} at character {error.pos + 1}); each line "
            "must be one complete object."
        ) from None
    if not isinstance(value, dict):
        raise DataError(f"{shown}, line {number} is not a JSON object with the columns as keys.")
    return value


def _json_column(values: list[Any], name: str, text: bool, where: Callable[[int], str]) -> pa.Array:
    import pyarrow as pa

    nested = next((row for row, value in enumerate(values) if isinstance(value, dict | list)), None)
    if nested is not None:
        raise DataError(
            f"{where(nested)}: {name!r} is a nested value; only text, numbers and true/false can be used."
        )
    kinds = {type(value) for value in values if value is not None}
    if text or str in kinds or (bool in kinds and len(kinds) > 1):
        return pa.array([_as_text(value) for value in values], pa.string())
    if kinds == {int, float}:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, OverflowError):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def _read_parquet(data: bytes, shown: str, wanted: Collection[str] | None, text: Collection[str]) -> RawTable:
    import pyarrow as pa

    file = _parquet_file(data, shown)
    require_columns(file.schema_arrow.names, wanted, text, shown)
    try:
        table = file.read(columns=list(wanted) if wanted is not None else None)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{shown} cannot be read as Parquet ({error}); write the file again.") from error
    for name in text:
        column = _plain(table.column(name))
        if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
            try:
                column = column.cast(pa.string())
            except pa.ArrowException:
                raise DataError(
                    f"{shown}: column {name!r} is of type {column.type}, which is no text."
                ) from None
        table = table.set_column(table.column_names.index(name), name, column)
    return RawTable(table, shown, lambda row: f"{shown}, row {row + 1}")


def _parquet_file(data: bytes, shown: str) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{shown} cannot be read as Parquet ({error}); write the file again.") from error


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A dictionary-encoded column (pandas categories) as its values, a struct with `bytes` as those."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        return pc.struct_field(column, "bytes")
    return column
