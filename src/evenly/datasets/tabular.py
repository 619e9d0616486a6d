"""Table files as Arrow columns, before anybody knows what these mean: csv, tsv, jsonl and Parquet.

Whether the columns can be used is decided in `evenly.datasets.rows`. Of csv and tsv Arrow does the work, and
Python's csv module finds the line when something is wrong.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from evenly.datasets.sources import Where
from evenly.errors import DataError
from evenly.params.datasets import DatasetEntry, Format
from evenly.wording import counted, first_names

#: File name endings that are read as tables where the entry names no format.
SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$")
_QUOTE, _LINE_ENDS = 0x22, (0x0A, 0x0D)
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")

#: Signs without width that copied text brings along: joiners, marks of direction and of the encoding.
INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u202a\u202c\u202d\u2060\ufeff"

#: Beyond this, not every integer has a float64 of its own, and a column of such numbers is an identifier.
LARGEST_EXACT = 2**53


@dataclass(frozen=True)
class RawTable:
    """One file as columns, `where(row)` that names file and line of a row for messages, and warnings."""

    table: pa.Table
    title: str
    where: Where
    warnings: tuple[str, ...] = ()


def table_format(name: str, entry: DatasetEntry) -> Format | None:
    """How a file is read: as the entry says, else by its name; None where neither tells."""
    return entry.format or SUFFIXES.get(PurePosixPath(name).suffix.lower())


def read_table(
    data: bytes,
    title: str,
    kind: Format,
    entry: DatasetEntry,
    wanted: Collection[str] | None,
    text: Collection[str],
    categories: Collection[str] = (),
) -> RawTable:
    """One file (UTF-8, except for Parquet) as Arrow columns: those of `wanted`, or all.

    Columns of `text` are read as text whatever they look like. The others of a csv or tsv get the type that
    all of their values have; empty fields and the usual words for a missing value (`NA`, `nan`, …) are null
    in them. The entry's own words for it are null in these and in `categories`, which are columns of `text`.
    """
    if kind == "parquet":
        raw = _read_parquet(data, title, wanted, text)
    else:
        content = _decoded(data, title)
        if kind == "jsonl":
            raw = _read_jsonl(content, title, wanted, text, entry.missing)
        else:
            raw = _read_delimited(data, title, _dialect(data, title, kind, entry), wanted, text)
    return replace(raw, table=_without(raw.table, entry.missing, set(text) - set(categories)))


def _without(table: pa.Table, missing: Collection[str], untouched: Collection[str]) -> pa.Table:
    """A table whose values that stand for a missing one are null, but for those of some columns."""
    for k, name in enumerate(table.column_names if missing else ()):
        column = table.column(k)
        kind = column.type
        if name in untouched or not (pa.types.is_string(kind) or pa.types.is_integer(kind)):
            continue
        words = pc.utf8_trim_whitespace(column.cast(pa.string()))
        absent = pc.is_in(words, value_set=pa.array(missing, pa.string()))
        table = table.set_column(k, name, pc.if_else(absent, pa.scalar(None, kind), column))
    return table


def column_names(data: bytes, title: str, kind: Format, entry: DatasetEntry) -> list[str]:
    """Names of a file's columns in its order, for choosing which of them to read."""
    if kind == "parquet":
        return list(_parquet_names(_parquet_file(data, title), title)[0])
    content = _decoded(data, title)
    if kind == "jsonl":
        objects = _json_objects(content, title)
        return list(_named(list(dict.fromkeys(name for _, row in objects for name in row)), title)[0])
    return [name for name in _header(content, title, _dialect(data, title, kind, entry))[0] if name]


def _named(written: Sequence[str], at: str) -> tuple[dict[str, int], list[str]]:
    """Columns by their names without surrounding spaces, leaving out those without a name; and warnings.

    A name twice is refused; `at` says where the names stand.
    """
    header = [name.strip(f"{INVISIBLE} \t\r\n") for name in written]
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise DataError(f"{at} has two columns {twice[0]!r}; rename one of them.")
    warnings = []
    spaced = [name for name, plain in zip(written, header, strict=True) if plain and name != plain]
    if spaced:
        names = first_names([ascii(n) if n.isprintable() is False else repr(n) for n in spaced], 5)
        warnings.append(f"{at}: spaces around column names do not count ({names}).")
    nameless = [str(k + 1) for k, name in enumerate(header) if not name]
    if nameless:
        what = "column has no name and is" if len(nameless) == 1 else "columns have no name and are"
        warnings.append(
            f"{at}: {counted(len(nameless), what, what)} left out (number {first_names(nameless, 5)}), such "
            "as an index that pandas wrote or a delimiter at the end of lines; give it a name if it matters."
        )
    return {name: k for k, name in enumerate(header) if name}, warnings


def _require_columns(
    there: Collection[str], wanted: Collection[str] | None, text: Collection[str], title: str
) -> None:
    """Refuse a file that lacks a column of `wanted`, or of `text` where that is None."""
    for name in text if wanted is None else wanted:
        if name not in there:
            raise DataError(
                f"{title} has no column {name!r}; its columns are {first_names(there, 40, '{!r}')}: name one "
                "of them in datasets.yaml."
            )


#: How files begin that are no text, whatever their name says, and what to do with them.
_OTHER_FILES = {
    b"\x1f\x8b": "a gzip file; unpack it by `gunzip`",
    b"PK\x03\x04": "a zip file or an Excel workbook; unpack it, or save the sheet as `CSV UTF-8`",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save the sheet as `CSV UTF-8`",
    b"PAR1": "a Parquet file; name it so",
    b"\xff\xfe\0\0": "UTF-32, not UTF-8; convert the file by `iconv -f UTF-32 -t UTF-8 OLD > NEW`",
}


def _decoded(data: bytes, title: str) -> str:
    if other := next((what for start, what in _OTHER_FILES.items() if data.startswith(start)), None):
        raise DataError(f"{title} is {other}.")
    if b"\0" in data[:2] and data[:2] != b"\0\0":  # UTF-16 without its mark is well-formed UTF-8
        name = "UTF-16LE" if data[1:2] == b"\0" else "UTF-16BE"
        raise DataError(
            f"{title}, line 1 is {name}, not UTF-8; convert the file by `iconv -f {name} -t UTF-8 OLD > NEW`."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        name, hint = ("UTF-16", "") if utf16 else ("GB18030", ", with the encoding it really has")
        raise DataError(
            f"{title}, line {line} is not UTF-8 (byte 0x{data[error.start]:02x}); convert the file, for "
            f"example by `iconv -f {name} -t UTF-8 OLD > NEW`{hint}."
        ) from None


# -- csv and tsv -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Dialect:
    """How fields are told apart."""

    delimiter: str
    quoting: bool
    decimal: str = "."
    thousands: str = ""
    missing: tuple[str, ...] = ()

    def records(self, content: str, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
        """Records with the line that each begins in; empty lines are passed over, as Arrow does."""
        csv.field_size_limit(sys.maxsize)
        lines = (match[0] for match in _LINE.finditer(content))
        reader = csv.reader(
            lines,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.quoting else csv.QUOTE_NONE,
            strict=strict,
        )
        begins = 1
        for record in reader:
            if record:
                yield begins, record
            begins = reader.line_num + 1


def _read_delimited(
    data: bytes, title: str, dialect: _Dialect, wanted: Collection[str] | None, text: Collection[str]
) -> RawTable:
    """A csv or tsv file in UTF-8 as Arrow columns."""
    content = data.decode("utf-8-sig")
    header, begins, warnings = _header(content, title, dialect)
    named = [name for name in header if name]
    _require_columns(named, wanted, text, title)

    def read(columns: list[str], text: Collection[str]) -> pa.Table:
        return pacsv.read_csv(
            io.BytesIO(data),
            read_options=pacsv.ReadOptions(
                block_size=1 << 24,
                column_names=[name or f"\0{k}" for k, name in enumerate(header)],
                skip_rows=begins - 1,
                skip_rows_after_names=1,
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char='"' if dialect.quoting else False,
                newlines_in_values=dialect.quoting,
            ),
            convert_options=pacsv.ConvertOptions(
                column_types={name: pa.string() for name in text},
                decimal_point=dialect.decimal,
                null_values=[*pacsv.ConvertOptions().null_values, *dialect.missing],
                include_columns=columns,
            ),
        )

    try:
        table = read(named if wanted is None else list(wanted), text)
    except pa.ArrowException as error:
        if len(list(islice(dialect.records(content), 2))) < 2:
            raise DataError(f"{title} has no rows.") from error
        _refuse_ragged(content, title, dialect, len(header))
        raise DataError(f"{title} cannot be read ({error}).") from error
    # Arrow would turn 09:30 into 09:30:00, and integers beyond 2^64 into floats that are equal.
    as_written = [name for name in table.column_names if _loses_digits(table.column(name))]
    if as_written:
        return _read_delimited(data, title, dialect, wanted, [*text, *as_written])

    table = _with_own_signs(_without(table, dialect.missing, text), title, dialect, text)
    if dialect.decimal == "," and not dialect.thousands:
        table = _with_points(table, title, text)

    zeros = rb'(?:^|[\r\n"]|%b) *0[0-9]+(?:[\r\n"]|%b|$)' % ((re.escape(dialect.delimiter.encode()),) * 2)
    whole = [field.name for field in table.schema if pa.types.is_integer(field.type)]
    if whole and re.search(zeros, data):
        warnings += _zeros_in_front(read(whole, whole), title)

    def where(row: int) -> str:
        records = dialect.records(data.decode("utf-8-sig"))
        next(records)
        return f"{title}, line {next(line for k, (line, _) in enumerate(records) if k == row)}"

    return RawTable(table, title, where, tuple(warnings))


def _with_points(table: pa.Table, title: str, text: Collection[str]) -> pa.Table:
    """A table read with decimal commas whose columns with decimal points throughout are numbers too."""
    for k, field in enumerate(table.schema):
        column = table.column(k)
        if field.name in text or not pa.types.is_string(field.type):
            continue
        plain = pc.all(pc.match_substring_regex(column, r"^[+-]?[0-9]*\.?[0-9]+$")).as_py()
        if not plain or column.null_count == len(column):
            continue
        if pc.all(pc.match_substring_regex(column, r"^[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})+$")).as_py():
            raise DataError(
                f"{title}: points in column {field.name!r}, as in {column.drop_null()[0].as_py()!r}, may be "
                "thousands or decimals where `decimal: ','` is set; write these numbers without points."
            )
        table = table.set_column(k, field.name, column.cast(pa.float64()))
    return table


def _with_own_signs(table: pa.Table, title: str, dialect: _Dialect, text: Collection[str]) -> pa.Table:
    """A table whose columns of numbers that Arrow does not know for such are numbers: with a sign between
    thousands, words for missing values, or signs around them that cannot be seen.
    """
    sign = {" ": "[ \u00a0\u202f]", "'": "['’]"}.get(dialect.thousands, re.escape(dialect.thousands))
    point = re.escape(dialect.decimal)
    groups = rf"[0-9]{{1,3}}(?:{sign}[0-9]{{3}})+|" if dialect.thousands else ""
    number = rf"^[+-]?(?:{groups}[0-9]+)(?:{point}[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
    for k, field in enumerate(table.schema):
        column = table.column(k)
        if field.name in text or not pa.types.is_string(field.type) or column.null_count == len(column):
            continue
        words = pc.utf8_trim(pc.utf8_trim_whitespace(column), INVISIBLE)
        if not pc.all(pc.match_substring_regex(words, number)).as_py():
            if (
                dialect.thousands == "."
                and pc.all(pc.match_substring_regex(words, r"^[+-]?[0-9.]+$")).as_py()
            ):
                raise DataError(
                    f"{title}: not all points in column {field.name!r} are between thousands, where "
                    "`thousands: '.'` says so; write these numbers in one form."
                )
            continue
        plain = pc.replace_substring_regex(words, sign, "") if dialect.thousands else words
        if pc.any(pc.match_substring_regex(plain, r"^[+-]?[0-9]{16,}$")).as_py():
            continue  # identifiers: floats would not tell them apart
        plain = pc.replace_substring(plain, dialect.decimal, ".")
        whole = pc.all(pc.match_substring_regex(plain, r"^[+-]?[0-9]{1,15}$")).as_py()
        digits = pc.utf8_ltrim(plain, "+")
        table = table.set_column(k, field.name, digits.cast(pa.int64() if whole else pa.float64()))
    return table


def _zeros_in_front(written: pa.Table, title: str) -> Iterator[str]:
    """A warning about each column of integers that a file writes with zeros before them, as codes are."""
    for name in written.column_names:
        coded = pc.fill_null(pc.match_substring_regex(written.column(name), r"^\s*0[0-9]"), False)
        if (row := pc.index(coded, True).as_py()) >= 0:
            yield (
                f"{title}: column {name!r} holds {written.column(name)[row].as_py()!r}, which is read as the "
                "number; if it is a code, such as a postal one, name it in columns.categorical."
            )


def _loses_digits(column: pa.ChunkedArray) -> bool:
    """Whether a column of a csv, as Arrow types it, may no longer tell what the file says."""
    if not pa.types.is_floating(column.type):
        return bool(pa.types.is_time(column.type))
    largest = pc.max(pc.abs(pc.if_else(pc.is_finite(column), column, 0.0))).as_py()
    return largest is not None and largest > LARGEST_EXACT


def _dialect(data: bytes, title: str, kind: Literal["csv", "tsv"], entry: DatasetEntry) -> _Dialect:
    """How fields of a file are told apart; quotes are checked, as Arrow swallows rows after an unclosed one.

    Unless the entry says so, `"` encloses fields in csv, and in tsv where the whole file is well formed so.
    """
    delimiter = entry.delimiter or ("," if kind == "csv" else "\t")
    dialect = _Dialect(
        delimiter, entry.quoting is not False, entry.decimal or ".", entry.thousands or "", entry.missing
    )
    if not dialect.quoting or _quotes_are_plain_to_see(data, delimiter):
        return dialect
    line = 1
    try:
        for line, _ in dialect.records(data.decode("utf-8-sig"), strict=True):  # noqa: B007
            pass
    except csv.Error as error:
        if entry.quoting is None and kind == "tsv":
            return replace(dialect, quoting=False)
        raise DataError(
            f"{title}, in or after line {line} has a quoted field that does not end as it should "
            f"({error}); double the quotes inside fields, or set `quoting: false` if quotes are plain "
            "characters in this file."
        ) from error
    return dialect


def _quotes_are_plain_to_see(data: bytes, delimiter: str) -> bool:
    """Whether each quote, by its neighbours, opens a field, closes one, or is doubled inside one."""
    codes: np.ndarray = np.frombuffer(data.removeprefix(b"\xef\xbb\xbf"), dtype=np.uint8)
    quotes = np.flatnonzero(codes == _QUOTE)
    if len(quotes) % 2 or len(delimiter.encode()) > 1:
        return False
    beside = np.array([_QUOTE, *_LINE_ENDS, ord(delimiter)], dtype=np.uint8)
    opening, closing = quotes[::2], quotes[1::2]
    opens = (opening == 0) | np.isin(codes[np.maximum(opening - 1, 0)], beside)
    last = len(codes) - 1
    closes = (closing == last) | np.isin(codes[np.minimum(closing + 1, last)], beside)
    return bool(opens.all() and closes.all())


def _header(content: str, title: str, dialect: _Dialect) -> tuple[list[str], int, list[str]]:
    """Names of the columns without surrounding spaces, empty where there is none; the line; warnings.

    An empty file, a name twice, and plainly another delimiter are refused.
    """
    begins, written = next(dialect.records(content), (1, []))
    first = written[0].strip("\ufeff \t\r\n") if written else ""
    if not first and not any(name.strip() for name in written):
        raise DataError(f"{title} is empty; it needs a line with column names, and rows.")
    if re.fullmatch("sep=.?", first) and len(written) <= 2:
        raise DataError(
            f"{title}, line {begins} is a note for Excel ({dialect.delimiter.join(written)!r}), not the "
            "names of columns; remove the line."
        )
    if len(written) == 1 and first[:1] in ("#", "<"):
        raise DataError(
            f"{title}, line {begins} is {first[:40]!r}, not the names of columns; remove lines of remarks, "
            "or, if this is a page of a web site, download the file itself."
        )
    others = [sign for sign in (";", "\t", "|", ",", "^", "~", " ") if sign in first]
    others = [sign for sign in others if sign != dialect.delimiter]
    if len(written) == 1 and others:
        raise DataError(
            f"{title}, line {begins} has one column {first!r}, where fields seem to be separated by "
            f"{others[0]!r}, not {dialect.delimiter!r}; set `delimiter` in datasets.yaml, "
            "or the option --delimiter."
        )
    header, warnings = _named(written, f"{title}, line {begins}")
    names = [""] * len(written)
    for name, k in header.items():
        names[k] = name
    return names, begins, warnings


def _refuse_ragged(content: str, title: str, dialect: _Dialect, expected: int) -> None:
    for line, record in dialect.records(content):
        if len(record) != expected:
            raise DataError(
                f"{title}, line {line} has {len(record)} fields where the header has {expected}; mend the "
                f"row, or put fields that contain {dialect.delimiter!r} in quotes."
            )


# -- jsonl --------------------------------------------------------------------------------------------------


def _read_jsonl(
    content: str,
    title: str,
    wanted: Collection[str] | None,
    text: Collection[str],
    missing: Collection[str],
) -> RawTable:
    if not content.strip():
        raise DataError(f"{title} is empty; it needs one JSON object a line.")
    objects = list(_json_objects(content, title))
    where: Where = lambda row: f"{title}, line {objects[row][0]}"  # noqa: E731
    written = list(dict.fromkeys(k for _, row in objects for k in row))
    named, warnings = _named(written, title)
    names = {name: written[k] for name, k in named.items() if wanted is None or name in wanted}
    _require_columns(names, wanted, text, title)
    arrays = {}
    for name, key in names.items():
        values = [row.get(key) for _, row in objects]
        if name not in text and missing:
            values = [None if isinstance(v, str) and v.strip() in missing else v for v in values]
        arrays[name] = _json_column(values, name, name in text, where)
    return RawTable(pa.table(arrays), title, where, tuple(warnings))


def _json_objects(content: str, title: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects with the lines that they stand in; empty lines are passed over."""
    lines = re.split(r"\r\n|\n|\r", content)
    start = next((line.strip() for line in lines if line.strip()), "")
    if start.startswith("["):
        raise DataError(
            f"{title} holds a list, where each line must be one object; convert the file by `jq -c '.[]' OLD "
            "> NEW`."
        )
    if start == "{":
        raise DataError(
            f"{title} has objects of several lines, where each must be one line; convert the file by "
            "`jq -c . OLD > NEW`."
        )
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=_json_object)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{title}, line {number} is not JSON ({error.msg} at character {error.pos + 1}); each line "
                "must be one complete object."
            ) from None
        except _DoubledKeyError as error:
            raise DataError(f"{title}, line {number} has the key {error} twice; remove one.") from None
        except RecursionError:
            raise DataError(
                f"{title}, line {number} is nested too deeply; only text, numbers and true/false can be used."
            ) from None
        except ValueError:  # Python reads no integers of more than 4,300 digits
            raise DataError(
                f"{title}, line {number} holds an integer of thousands of digits; write it as text, in "
                "quotes, or remove it."
            ) from None
        if not isinstance(value, dict):
            raise DataError(f"{title}, line {number} is not a JSON object with the columns as keys.")
        if "\\u" in line:
            _refuse_half_characters(value, f"{title}, line {number}")
        yield number, value


class _DoubledKeyError(Exception):
    """A key that an object has twice; its text is the key in quotes."""


def _json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise _DoubledKeyError(ascii(next(name for name in names if names.count(name) > 1)))
    return value


def _refuse_half_characters(row: dict[str, Any], where: str) -> None:
    """Refuse half of an escaped pair of surrogates, which is no text."""
    for name, value in row.items():
        for text in (name, value):
            if isinstance(text, str) and (half := re.search("[\ud800-\udfff]", text)):
                raise DataError(
                    f"{where} has half a character ({ascii(half[0])[1:-1]}) in {name!a}, as cut emoji "
                    "leave it; remove it or complete it."
                )


def _json_column(values: list[Any], name: str, text: bool, where: Where) -> pa.Array:
    nested = next((row for row, value in enumerate(values) if isinstance(value, dict | list)), None)
    if nested is not None:
        raise DataError(
            f"{where(nested)}: {name!r} is a nested value; only text, numbers and true/false can be used."
        )
    kinds = {type(value) for value in values if value is not None}
    if not text and bool in kinds and kinds & {int, float}:
        row = next(row for row, value in enumerate(values) if type(value) is bool)
        raise DataError(
            f"{where(row)}: {name!r} is true or false, where other rows hold numbers; write one kind, or, if "
            "it is a category, name it in columns.categorical."
        )
    if not text and str in kinds and kinds & {int, float}:
        # Where some rows have numbers, those in quotes are numbers too, and empty ones are missing.
        values = [_unquoted(value) for value in values]
        kinds = {type(value) for value in values if value is not None}
    if text or str in kinds:
        texts = [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
        return pa.array(texts, pa.string())
    if int in kinds and max(abs(value) for value in values if type(value) is int) > LARGEST_EXACT:
        # Identifiers: the few that Arrow can hold stay integers, the others are kept digit by digit.
        try:
            return pa.array(values, pa.int64())
        except (pa.ArrowException, OverflowError):
            texts = [None if v is None else json.dumps(v) for v in values]
            return pa.array(texts, pa.string())
    if kinds != {int, float}:
        return pa.array(values)
    return pa.array([None if value is None else float(value) for value in values], pa.float64())


def _unquoted(value: Any) -> Any:
    """A number for the text of one, nothing for no text; anything else as it is."""
    if not isinstance(value, str):
        return value
    plain = value.strip()
    if re.fullmatch(r"[+-]?[0-9]{1,15}", plain):
        return int(plain)
    if re.fullmatch(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", plain):
        return float(plain)
    return value if plain else None


# -- Parquet ------------------------------------------------------------------------------------------------


#: What comes out of Arrow for damaged files; its own exceptions are of these kinds too.
_PARQUET_DAMAGE = (ValueError, OSError, ArithmeticError, MemoryError, RuntimeError, LookupError, TypeError)


def _read_parquet(data: bytes, title: str, wanted: Collection[str] | None, text: Collection[str]) -> RawTable:
    file = _parquet_file(data, title)
    names, warnings = _parquet_names(file, title)
    _require_columns(names, wanted, text, title)
    read = names if wanted is None else {name: names[name] for name in wanted}
    try:
        table = file.read(columns=list(read.values()))
        named = {written: name for name, written in read.items()}
        table = table.rename_columns([named[written] for written in table.column_names])
        table.validate(full=True)
        notes = [note for note in _pandas_notes(file, "columns") if isinstance(note, dict)]
        categorical = [
            str(note.get("name")).strip() for note in notes if note.get("pandas_type") == "categorical"
        ]
        for k, name in enumerate(table.column_names):
            column = _plain(table.column(name))
            table = table.set_column(k, name, column.cast(pa.string()) if name in categorical else column)
    except _PARQUET_DAMAGE as error:
        raise DataError(f"{title} cannot be read as Parquet ({_one_line(error)}); write it again.") from error
    for name in text:
        column = table.column(name)
        if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
            if pa.types.is_floating(column.type):
                column = pc.if_else(pc.is_nan(column), None, column)
            try:
                column = column.cast(pa.string())
            except pa.ArrowException:
                raise DataError(
                    f"{title}: column {name!r} is of type {column.type}, which is no text."
                ) from None
        table = table.set_column(table.column_names.index(name), name, column)
    return RawTable(table, title, lambda row: f"{title}, row {row + 1}", tuple(warnings))


def _parquet_file(data: bytes, title: str) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        _ = file.schema_arrow
    except _PARQUET_DAMAGE as error:
        raise DataError(f"{title} cannot be read as Parquet ({_one_line(error)}); write it again.") from error
    return file


def _parquet_names(file: pq.ParquetFile, title: str) -> tuple[dict[str, str], list[str]]:
    """Columns as they are written by their names, but for the nameless index of a pandas frame; warnings."""
    index = _pandas_notes(file, "index_columns")
    written = [n for n in file.schema_arrow.names if n not in index or not _PANDAS_INDEX.fullmatch(n)]
    named, warnings = _named(written, title)
    return {name: written[k] for name, k in named.items()}, warnings


def _pandas_notes(file: pq.ParquetFile, key: str) -> list[Any]:
    """What a pandas frame noted down about itself; nothing where the note is missing or damaged."""
    try:
        return list(file.schema_arrow.pandas_metadata[key])
    except (ValueError, LookupError, TypeError, RecursionError):
        return []


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A dictionary-encoded column (pandas categories) as text, a struct with `bytes` as those."""
    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type).cast(pa.string())
    if pa.types.is_string_view(column.type):
        return column.cast(pa.string())
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        return pc.struct_field(column, "bytes")
    return column
