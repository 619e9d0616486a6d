"""Reading csv and tsv: Arrow does the work, Python's csv module finds the line when something is wrong."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evenly.datasets.rawtable import RawTable, require_columns
from evenly.errors import DataError

if TYPE_CHECKING:
    import numpy as np

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$")
_QUOTE, _LINE_ENDS = 0x22, (0x0A, 0x0D)


@dataclass(frozen=True)
class Dialect:
    """How fields are told apart."""

    delimiter: str
    quoting: bool

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


def read_delimited(
    data: bytes,
    shown: str,
    dialect: Dialect,
    wanted: Collection[str] | None,
    text: Collection[str],
) -> RawTable:
    """A csv or tsv file in UTF-8 as Arrow columns; the other parameters are those of `read_table`.

    Raises
    ------
    DataError
        Naming file and line: an empty file, a column twice or not there, rows with too many or too few
        fields.
    """
    import pyarrow as pa
    import pyarrow.csv as pacsv

    content = data.decode("utf-8-sig")
    header = header_of(content, shown, dialect)
    require_columns(header, wanted, text, shown)
    try:
        table = pacsv.read_csv(
            io.BytesIO(data),
            read_options=pacsv.ReadOptions(block_size=1 << 24),
            parse_options=pacsv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char='"' if dialect.quoting else False,
                newlines_in_values=dialect.quoting,
            ),
            convert_options=pacsv.ConvertOptions(
                column_types={name: pa.string() for name in text},
                include_columns=None if wanted is None else list(wanted),
            ),
        )
    except pa.ArrowInvalid as error:
        _refuse_ragged(content, shown, dialect, len(header))
        raise DataError(f"{shown} cannot be read ({error}).") from error
    times = [field.name for field in table.schema if pa.types.is_time(field.type)]
    if times:  # categories, which stay as the file writes them: Arrow would turn 09:30 into 09:30:00
        return read_delimited(data, shown, dialect, wanted, [*text, *times])

    def where(row: int) -> str:
        records = dialect.records(data.decode("utf-8-sig"))
        next(records)
        return f"{shown}, line {next(line for k, (line, _) in enumerate(records) if k == row)}"

    return RawTable(table, shown, where)


def dialect_of(
    data: bytes, shown: str, kind: Literal["csv", "tsv"], delimiter: str | None, quoting: bool | None
) -> Dialect:
    """How fields of a file are told apart; quotes are checked, as Arrow swallows rows after an unclosed one.

    Parameters
    ----------
    delimiter
        None for comma in csv, tab in tsv.
    quoting
        Whether `"` encloses fields. None: it does in csv; in tsv where the whole file is well formed so,
        since tsv is written both ways.

    Raises
    ------
    DataError
        When a quoted field does not close as it should: naming the line.
    """
    delimiter = delimiter or ("," if kind == "csv" else "\t")
    quoted = Dialect(delimiter, quoting=True)
    if quoting is False:
        return Dialect(delimiter, quoting=False)
    if _quotes_are_plain_to_see(data, delimiter):
        return quoted
    line = 1
    try:
        for line, _ in quoted.records(data.decode("utf-8-sig"), strict=True):  # noqa: B007
            pass
    except csv.Error as error:
        if quoting is None and kind == "tsv":
            return Dialect(delimiter, quoting=False)
        raise DataError(
            f"{shown}, in or after line {line} has a quoted field that does not end as it should "
            f"({error}); double the quotes inside fields, or set `quoting: false` if quotes are plain "
            "characters in this file."
        ) from error
    return quoted


def _quotes_are_plain_to_see(data: bytes, delimiter: str) -> bool:
    """Whether each quote, by its neighbours, opens a field, closes one, or is doubled inside one."""
    import numpy as np

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


def header_of(content: str, shown: str, dialect: Dialect) -> list[str]:
    """Names of the columns of a csv or tsv file.

    Raises
    ------
    DataError
        When the file is empty, a column is there twice, or the delimiter is plainly another.
    """
    header = next((record for _, record in dialect.records(content)), [])
    if not header:
        raise DataError(f"{shown} is empty; it needs a line with column names, and rows.")
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise DataError(f"{shown}, line 1 has two columns {twice[0]!r}; rename one of them.")
    others = [sign for sign in (";", "\t", "|", ",") if sign in header[0] and sign != dialect.delimiter]
    if len(header) == 1 and others:
        raise DataError(
            f"{shown}, line 1 has one column {header[0]!r}, where fields seem to be separated by "
            f"{others[0]!r}, not {dialect.delimiter!r}; set `delimiter` in datasets.yaml, "
            "or the option --delimiter."
        )
    return header


def _refuse_ragged(content: str, shown: str, dialect: Dialect, expected: int) -> None:
    for line, record in dialect.records(content):
        if len(record) != expected:
            raise DataError(
                f"{shown}, line {line} has {len(record)} fields where the header has {expected}; mend the "
                f"row, or put fields that contain {dialect.delimiter!r} in quotes."
            )
