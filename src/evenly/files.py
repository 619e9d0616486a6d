"""Writing files so that nothing is ever half there."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from evenly.errors import DataError, EvenlyError
from evenly.wording import csv_cell, csv_text

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
    """Give an empty folder beside `path`, and put it in the place of `path` when the block ends well."""
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
    """Read a JSON file of ours; one that is damaged is a `DataError`, one that is missing is not."""
    with reading(path):
        return json.loads(Path(path).read_bytes())


def json_mapping(content: bytes, name: str) -> dict[str, Any]:
    """Read a JSON file of ours that holds a mapping; a `DataError` calls it by `name` where it is damaged."""
    with reading(name):
        found = json.loads(content)
        if not isinstance(found, dict):
            raise ValueError("it holds no mapping")
        return found


@contextmanager
def reading(
    name: str | Path, remedy: str = "run `dvc repro` to make it anew", error: type[EvenlyError] = DataError
) -> Iterator[None]:
    """Whatever goes wrong with a file that evenly has written is told in one sentence, with its `name`.

    Nobody else writes such files, so that one which cannot be read has been damaged since.
    """
    try:
        yield
    except (EvenlyError, FileNotFoundError):
        raise
    except Exception as fault:
        words = " ".join(str(fault).split())[:200].rstrip(".")
        if isinstance(fault, RecursionError):
            words = "it is nested too deeply"
        reason = f"{type(fault).__name__} {words}" if isinstance(fault, LookupError) or not words else words
        raise error(f"{name} is damaged ({reason.strip()}); {remedy}.") from fault


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

    A `FileNotFoundError` where there is none, else `error` with the `remedy`.
    """
    with reading(path, remedy, error):
        content = json.loads(path.read_bytes())
        fault = seal_fault(content, files_beside(path))
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
    path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[Any]], encoding: str = "utf-8"
) -> None:
    """Write a CSV file atomically, cells as `csv_cell` gives them; spreadsheets read `utf-8-sig` best."""
    with atomic_write(path) as temporary, temporary.open("w", encoding=encoding, newline="") as file:
        # Python below 3.13 quotes a carriage return only where it ends lines.
        lines = SimpleNamespace(write=lambda line: file.write(f"{line[:-2]}\n"))
        writer = csv.writer(lines, lineterminator="\r\n")
        writer.writerow(map(csv_cell, columns))
        writer.writerows(map(csv_cell, row) for row in rows)


def read_csv(content: bytes, name: str, needed: Collection[str] = ()) -> list[dict[str, str]]:
    """Read a file that `write_csv` wrote: each row by column, the text as it was before it was guarded."""
    with reading(name):
        lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        heading, *rows = ([csv_text(cell) for cell in line] for line in lines)
        if missing := [column for column in needed if column not in heading]:
            raise ValueError(f"it has no column {missing[0]!r}")
        return [dict(zip(heading, row, strict=True)) for row in rows]
