"""One raw file as columns, before anybody knows what they mean."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evenly.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class RawTable:
    """One file as columns, and `where(row)` that names file and line of a row, for messages."""

    table: pa.Table
    shown: str
    where: Callable[[int], str]


def require_columns(
    there: Collection[str], wanted: Collection[str] | None, text: Collection[str], shown: str
) -> None:
    """Refuse a file that lacks one of the columns that are `wanted` (None: only those read as `text`)."""
    for name in text if wanted is None else wanted:
        if name not in there:
            raise DataError(
                f"{shown} has no column {name!r}; its columns are {', '.join(there)}: name one of them in "
                "datasets.yaml."
            )
