"""Commands about data sets: list them, fetch one of the catalogue, add one's own. Run in a project's root."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from evenly.datasets.fetch import Progress
    from evenly.params.datasets import DatasetEntry


class Kind(StrEnum):
    """Modalities, as an option."""

    text = "text"
    image = "image"
    table = "table"


def datasets() -> None:
    """List the data sets of datasets.yaml, and which of them are here."""
    from rich.console import Console
    from rich.table import Table

    from evenly.params.datasets import read_entries

    table = Table("name", "modality", "here", "rows", "licence", box=None, pad_edge=False)
    for name, entry in read_entries().items():
        here, rows = _presence(entry, name)
        table.add_row(name, entry.modality, here, "" if rows is None else f"{rows:,}", entry.licence)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _presence(entry: DatasetEntry, name: str) -> tuple[str, int | None]:
    from evenly.datasets.reading import count_rows
    from evenly.datasets.sources import find_source
    from evenly.errors import DataError

    if not entry.builtin:
        try:
            find_source(entry, name, [Path()])
        except DataError:
            return ("fetch it" if entry.url or entry.urls else "add it"), None
    try:
        return ("built in" if entry.builtin else "yes"), count_rows(entry, name, [Path()])
    except DataError:
        return "unreadable", None


def fetch(name: Annotated[str, typer.Argument(help="An entry of datasets.yaml that has a url.")]) -> None:
    """Download a data set of the catalogue into data/raw, verify it, and put it under DVC."""
    from evenly.datasets.catalogue import track
    from evenly.datasets.fetch import PARTIAL_FOLDER, downloads
    from evenly.datasets.fetch import fetch as fetch_file
    from evenly.datasets.sources import is_tracked
    from evenly.errors import DataError
    from evenly.params.datasets import read_entry

    entry = read_entry(name)
    files = downloads(entry, name)
    path = entry.path or ""
    if not is_tracked(path):
        raise DataError(f"datasets.yaml: {name}.path is {path!r}; `evenly fetch` writes below data/raw only.")
    typer.echo(f"{name}: {entry.source}\nLicence: {entry.licence}.")
    with _progress() as progress:
        for url, target, sha256 in files:
            new = fetch_file(url, Path(target), sha256, PARTIAL_FOLDER, progress)
            typer.echo(f"{target}: {'fetched and verified' if new else 'here already, verified'}")
    track(path, Path())
    _say_next(name, path)


def add(
    name: Annotated[str, typer.Argument(help="What to call it in datasets.yaml.")],
    path: Annotated[Path, typer.Argument(help="csv, tsv, jsonl, parquet, a zip of these, or a folder.")],
    modality: Annotated[Kind | None, typer.Option(help="Left out, it is told by the other options.")] = None,
    label: Annotated[str | None, typer.Option(help="Column with the class.")] = None,
    text: Annotated[str | None, typer.Option(help="Column with the text.")] = None,
    image: Annotated[str | None, typer.Option(help="Column of a manifest with the image's path.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Column with unique ids.")] = None,
    group: Annotated[str | None, typer.Option(help="Column whose groups are never split.")] = None,
    attribute: Annotated[str | None, typer.Option(help="Column with a spurious attribute.")] = None,
    train: Annotated[str | None, typer.Option(help="File below PATH with the given training part.")] = None,
    validation: Annotated[str | None, typer.Option(help="File with the given validation part.")] = None,
    test: Annotated[str | None, typer.Option(help="File with the given test part.")] = None,
    licence: Annotated[str | None, typer.Option(help="Under which terms you have it.")] = None,
) -> None:
    """Copy your own data into data/raw, under DVC, and write or complete their entry in datasets.yaml.

    The data are read and split for trial first; what cannot work is said before anything is written.
    """
    from evenly.datasets.catalogue import copy_in, track, write_entry
    from evenly.datasets.load import load_splits
    from evenly.datasets.sources import checksum
    from evenly.errors import DataError
    from evenly.params.base import read_yaml, settings_from
    from evenly.params.datasets import DATASETS_FILE, DatasetEntry

    if not path.exists():
        raise DataError(f"{path} does not exist.")
    columns = {
        "label": label,
        "text": text,
        "image": image,
        "id": id_,
        "group": group,
        "attribute": attribute,
    }
    files = {"train": train, "validation": validation, "test": test}
    given: dict[str, Any] = {"modality": str(modality) if modality else None, "licence": licence}
    given["columns"] = {key: value for key, value in columns.items() if value is not None}
    given["files"] = {key: value for key, value in files.items() if value is not None}
    changes = {key: value for key, value in given.items() if value}
    existing = read_yaml(DATASETS_FILE).get(name)
    if existing is None:
        changes = _new_entry(name, path, changes)
    _refuse_filled(name, existing)

    merged = {**(existing or {}), **changes}
    merged["columns"] = {**(existing or {}).get("columns", {}), **changes.get("columns", {})}
    trial = {**merged, "path": str(path.resolve()), "sha256": checksum(path)}
    report = load_splits(
        settings_from(DatasetEntry, trial, f"{DATASETS_FILE}: {name}"), name, 0, [Path()]
    ).report
    typer.echo(f"{name} ({report.modality}): {report.summary()}.")
    for warning in report.warnings:
        typer.echo(f"Warning: {warning}")

    relative = copy_in(path, name, Path())
    write_entry(name, {**changes, "path": relative}, DATASETS_FILE)
    track(relative, Path())
    _say_next(name, relative)


def _new_entry(name: str, path: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """What a new entry says, in the order in which it is to be read."""
    from evenly.datasets.images import is_image
    from evenly.datasets.sources import open_tree
    from evenly.errors import ParameterError

    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise ParameterError(
            f"A data set cannot be called {name!r}; use letters, digits, _ and -, and begin with a letter."
        )
    modality = changes.get("modality") or next(
        (m for m in ("text", "image") if m in changes.get("columns", {})), None
    )
    if modality is None:
        with open_tree(path, str(path)) as tree:
            modality = "image" if any(is_image(file) for file in tree.names) else "table"
    start = {
        "modality": modality,
        "licence": changes.get("licence", "your own"),
        "source": f"added from {path.name}",
    }
    return {**start, "path": None, **{key: value for key, value in changes.items() if key not in start}}


def _refuse_filled(name: str, existing: dict[str, Any] | None) -> None:
    from evenly.errors import ParameterError

    for key in ("builtin", "url", "urls", "path"):
        if existing and existing.get(key):
            raise ParameterError(
                f"datasets.yaml has an entry {name!r} with a {key} already; add the data under another "
                "name, or edit that entry."
            )


def _say_next(name: str, path: str) -> None:
    typer.echo(
        f"Next: git add datasets.yaml {path}.dvc && git commit -m 'Data set {name}', then\n"
        f"dvc exp run -S dataset={name}"
    )


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """A progress bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def show(file: str, here: int, total: int | None) -> None:
            if file not in tasks:
                tasks[file] = bars.add_task(file)
            bars.update(tasks[file], completed=here, total=total)

        yield show
