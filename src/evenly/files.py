"""Writing files so that nothing is ever half there."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evenly.errors import EvenlyError
from evenly.wording import csv_cell, guarded_cell

#: Of folders that carry the checksums of their files: models and featurizers.
SEALED_FORMAT = 2


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


def sealed(content: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, Any]:
    """Give what a folder's JSON file says, with the checksums of the files beside it and with its own."""
    body = {
        **{key: value for key, value in content.items() if key != "digest"},
        "format": SEALED_FORMAT,
        "files": {name: file_digest(path) for name, path in sorted(files.items())},
    }
    return body | {"digest": _content_digest(body)}


def files_beside(path: Path) -> dict[str, Path]:
    """All other files of a file's folder by their name in it, but for hidden ones."""
    names = {file.relative_to(path.parent): file for file in path.parent.rglob("*") if file.is_file()}
    return {
        name.as_posix(): file
        for name, file in names.items()
        if file != path and not any(part.startswith(".") for part in name.parts)
    }


def seal_fault(content: Any, files: Mapping[str, Path]) -> str | None:
    """Say what has changed since `sealed` gave this content for these files; None where nothing has."""
    if not isinstance(content, dict):
        return "is damaged: it holds no mapping"
    written, here = content.get("files"), content.get("format")
    if isinstance(here, int) and here != SEALED_FORMAT:
        age = "a newer" if here > SEALED_FORMAT else "an older"
        return f"has format {here}, this version reads {SEALED_FORMAT}: it is of {age} version of evenly"
    body = {key: value for key, value in content.items() if key != "digest"}
    if not isinstance(written, dict) or content.get("digest") != _content_digest(body):
        return "is damaged: it does not say what its own checksum says"
    if missing := sorted(written.keys() - files.keys()):
        return f"belongs to a damaged folder: {missing[0]} does not exist"
    if foreign := sorted(files.keys() - written.keys()):
        return f"stands beside a file that does not belong there: {foreign[0]}"
    for name, digest in written.items():
        if file_digest(files[name]) != digest:
            return f"belongs to a damaged folder: {name} has changed since it was written"
    return None


def read_sealed(path: Path, error: type[EvenlyError], remedy: str) -> dict[str, Any]:
    """Read a JSON file that `sealed` made, if all of its folder is as it was written.

    Raises
    ------
    FileNotFoundError
        When there is none.
    EvenlyError
        As given, with what to do, when it is no such file, or the folder is damaged.
    """
    try:
        content = read_json(path)
        fault = seal_fault(content, files_beside(path))
    except FileNotFoundError:
        raise
    except RecursionError:
        fault = "is damaged: it is nested too deeply"
    except (OSError, ValueError) as found:
        fault = f"is damaged ({found})"
    if fault is not None:
        raise error(f"{path} {fault}; {remedy}.")
    whole: dict[str, Any] = content
    return whole


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content_digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_csv(
    path: str | Path,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    encoding: str = "utf-8",
    guarded: bool = False,
) -> None:
    """Write a CSV file atomically, cells as `csv_cell` gives them; spreadsheets read `utf-8-sig` best.

    `guarded` is for files that people open and no stage reads: no text in them is taken for a formula.
    """
    cell = guarded_cell if guarded else csv_cell
    with atomic_write(path) as temporary, temporary.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(cell, columns))
        writer.writerows(map(cell, row) for row in rows)
