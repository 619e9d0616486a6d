"""Writing files so that nothing is ever half there."""

from __future__ import annotations

import csv
import json
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evenly.wording import csv_cell


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to, and rename it over `path` when the block ends well.

    The parent folder is made. When the block raises, the temporary file is removed and `path` stays as it
    was.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Give an empty temporary folder beside `path`, and put it in the place of `path` when the block ends
    well.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        if target.exists():
            shutil.rmtree(target)
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(value: Any, path: str | Path) -> None:
    """Write canonical JSON: sorted keys, two spaces, final newline; NaN and infinities are refused.

    Letters beyond ASCII are escaped: DVC takes a metrics file for a binary one when more than 30% of its
    first 512 bytes are not ASCII, as with class names in Chinese.
    """
    write_text(json.dumps(value, sort_keys=True, indent=2, allow_nan=False) + "\n", path)


def write_text(text: str, path: str | Path) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_csv(
    path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[Any]], encoding: str = "utf-8"
) -> None:
    """Write a CSV file atomically, cells as `csv_cell` gives them; spreadsheets read `utf-8-sig` best."""
    with atomic_write(path) as temporary, temporary.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(map(csv_cell, row) for row in rows)
