"""From an entry of datasets.yaml to all of its rows, whatever form they have on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa

from evenly.datasets.builtin import BUILTIN_ROWS, builtin_columns
from evenly.datasets.images import (
    checked_images,
    first_frames,
    folder_images,
    is_image,
    left_out,
    manifest_names,
)
from evenly.datasets.rows import Rows, rows_from_columns
from evenly.datasets.sources import FileTree, Where, find_source, is_tracked, open_tree, verified_checksum
from evenly.datasets.tabular import RawTable, read_table, table_format
from evenly.errors import DataError
from evenly.params.datasets import PARTS, DatasetEntry


@dataclass(frozen=True)
class Source:
    """The rows of a data set, the checksum of what they were read from, and what the user should know."""

    rows: Rows
    sha256: str | dict[str, str] | None
    warnings: tuple[str, ...] = ()


def read_source(entry: DatasetEntry, name: str, roots: Sequence[Path]) -> Source:
    """All rows of a data set, checked and typed; parameters as of `load_splits`."""
    if entry.builtin:
        columns = builtin_columns(entry.builtin, entry)
        if "id" in columns:
            entry = entry.model_copy(update={"columns": entry.columns.model_copy(update={"id": "id"})})
        rows = rows_from_columns(columns, entry, None, lambda row: f"{entry.builtin}, row {row + 1}")
        return Source(rows, None)
    path = find_source(entry, name, roots)
    sums = verified_checksum(entry, name, path)
    warnings = []
    if entry.sha256 is None and not is_tracked(entry.path or ""):
        warnings.append(
            f"{entry.path} lies outside data/raw and datasets.yaml: {name} has no sha256, so a change of "
            f"the data will not be noticed; `evenly add {name} {entry.path}` brings the data in."
        )
    with open_tree(path, entry.path or "") as tree:
        rows, remarks = _read_rows(tree, entry, name)
    warnings += remarks
    return Source(rows, sums, tuple(warnings))


def count_rows(entry: DatasetEntry, name: str, roots: Sequence[Path]) -> int:
    """How many rows a data set has before anything is checked or dropped; images are counted, not opened."""
    if entry.builtin:
        return BUILTIN_ROWS[entry.builtin]
    with open_tree(find_source(entry, name, roots), entry.path or "") as tree:
        if entry.modality == "image" and not entry.columns.image:
            return sum(len(folder_images(branch)[0]) for branch in _part_folders(tree, entry, name))
        return sum(_read_table(tree, file, entry).table.num_rows for file in _part_files(tree, entry, name))


def some_images(entry: DatasetEntry, name: str, roots: Sequence[Path], most: int = 20) -> list[bytes]:
    """A few of a data set's image files, for a guess at what it is like; none where they cannot be had."""
    if entry.modality != "image" or entry.builtin:
        return []
    try:
        with open_tree(find_source(entry, name, roots), entry.path or "") as tree:
            names = [file for file in tree.names if is_image(file)]
            return [tree.read(file) for file in names[:: -(-len(names) // most) or 1]]
    except DataError:
        return []


def _read_rows(tree: FileTree, entry: DatasetEntry, name: str) -> tuple[Rows, list[str]]:
    if entry.modality == "image" and not entry.columns.image:
        branches = _part_folders(tree, entry, name)
        parts = [_read_folder(branch, entry) for branch in branches]
        ignored = [name for branch in branches for name in branch.names if not is_image(name)]
        remarks = left_out(entry.path or "", ignored)
        remarks += [warning for raw in parts for warning in raw.warnings]
    else:
        files = _part_files(tree, entry, name)
        parts = [_read_table(tree, file, entry) for file in files]
        if entry.modality == "image":
            parts = [_with_images(raw, tree, file, entry) for raw, file in zip(parts, files, strict=True)]
        remarks = [warning for raw in parts for warning in raw.warnings]
    starts = np.cumsum([0, *(raw.table.num_rows for raw in parts)])

    def where(row: int) -> str:
        k = int(np.searchsorted(starts, row, side="right")) - 1
        return parts[k].where(row - int(starts[k]))

    given = None
    if entry.files:
        codes = [PARTS.index(part) for part in entry.files.given()]
        given = np.repeat(np.array(codes, dtype=np.int8), np.diff(starts))
    table = _joined(parts)
    if not table.num_rows:
        raise DataError(f"{parts[0].title} has no rows.")
    columns: dict[str, pa.Array] = {c: _one_array(table.column(c)) for c in table.column_names}
    return rows_from_columns(columns, entry, given, where), remarks


def _joined(parts: Sequence[RawTable]) -> pa.Table:
    for other in parts[1:]:
        only = set(parts[0].table.column_names) ^ set(other.table.column_names)
        if only:
            raise DataError(
                f"The column {sorted(only)[0]!r} is in only one of {parts[0].title} and {other.title}; "
                "given splits must have the same columns."
            )
    try:
        return pa.concat_tables([raw.table for raw in parts], promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(
            f"{parts[0].title} and the other given splits have columns of different types ({error}); make "
            "them agree, or name the column in columns.categorical."
        ) from error


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


# -- tables and manifests ------------------------------------------------------------------------------------


def _part_files(tree: FileTree, entry: DatasetEntry, name: str) -> list[str]:
    """The file of each given part, or the one file that there is."""
    if entry.files:
        return [_named(tree, file, f"{name}.files.{part}") for part, file in entry.files.given().items()]
    tables = [file for file in tree.names if table_format(file, entry) and not is_image(file)]
    if len(tables) == 1:
        return tables
    there = ", ".join(tables or tree.names[:5]) or "nothing"
    if len(tree.names) == 1:
        raise DataError(_unknown_form(tree.title_of(tree.names[0])))
    raise DataError(
        f"{tree.title} must hold one csv, tsv, jsonl or parquet file, but there is {there}; give one of them "
        "alone, or name the given splits in files.train, files.validation and files.test."
    )


def _unknown_form(title: str) -> str:
    """What to do with a file whose name says nothing."""
    remedy = {
        **dict.fromkeys((".gz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".tar", ".rar"), "unpack it"),
        **dict.fromkeys((".xls", ".xlsx", ".ods", ".xlsm"), "save the sheet as `CSV UTF-8`"),
        ".json": "write one object a line, as `jq -c '.[]' OLD > NEW.jsonl` does",
    }.get(PurePosixPath(title).suffix.lower(), "rename it, or say `format: csv` in datasets.yaml")
    return f"{title} is none of csv, tsv, jsonl or parquet by its name; {remedy}."


def _named(tree: FileTree, file: str, key: str) -> str:
    """The name in the tree that `file` means: itself, or the only one that ends so, as in archives."""
    if file in tree.names:
        return file
    ending = [candidate for candidate in tree.names if candidate.endswith("/" + file)]
    if len(ending) == 1:
        return ending[0]
    there = ", ".join(tree.names[:8]) or "no files"
    raise DataError(
        f"{file!r}, named by datasets.yaml: {key}, is not in {tree.title}, where there is {there}."
    )


def _read_table(tree: FileTree, file: str, entry: DatasetEntry) -> RawTable:
    title = tree.title_of(file)
    kind = table_format(file, entry)
    if kind is None:
        raise DataError(_unknown_form(title))
    names = entry.columns
    described = (names.label, names.id, names.group, names.weight, names.split)
    text = [column for column in described if column is not None]
    source = names.comparison.column if names.comparison else names.attribute
    kept = entry.modality == "table" and source not in names.categorical
    as_feature = kept and (names.comparison or names.attribute_is_feature or source in (names.features or ()))
    if source is not None and not as_feature:
        text.append(source)
    text += names.categorical
    wanted: list[str] | None = None
    if entry.modality == "table":
        also = [source] if source is not None else []
        wanted = None if names.features is None else [*text, *names.features, *names.drop, *also]
    else:
        text.append((names.image if entry.modality == "image" else names.text) or "text")
        wanted = text
    unique = None if wanted is None else list(dict.fromkeys(wanted))
    return read_table(
        tree.read(file), title, kind, entry, unique, list(dict.fromkeys(text)), names.categorical
    )


def _with_images(raw: RawTable, tree: FileTree, file: str, entry: DatasetEntry) -> RawTable:
    """The manifest with the images themselves in the place of their paths."""
    column = entry.columns.image or "image"
    values = raw.table.column(column)
    missing = next(
        (row for row, value in enumerate(values) if not value.is_valid or not len(value.as_py())), None
    )
    if missing is not None:
        raise DataError(f"{raw.where(missing)} has no image (column {column!r} is empty there).")
    listed = values.to_pylist()
    moving: list[str] = []
    if pa.types.is_string(values.type):
        if len(tree.names) == 1:
            raise DataError(
                f"{tree.title} lists image files; set path to the folder or zip that holds it and them."
            )
        names = manifest_names(tree, file, listed, raw.where)
        images = checked_images(
            lambda row: tree.read(names[row]),
            len(names),
            lambda row: f"{tree.title_of(names[row])} ({raw.where(row)})",
            moving,
        )
    else:
        images = checked_images(lambda row: bytes(listed[row]), len(listed), raw.where, moving)
    index = raw.table.column_names.index(column)
    table = raw.table.set_column(index, column, pa.array(images, pa.binary()))
    return replace(raw, table=table, warnings=(*raw.warnings, *first_frames(moving)))


# -- image folders -------------------------------------------------------------------------------------------


def _part_folders(tree: FileTree, entry: DatasetEntry, name: str) -> list[FileTree]:
    extra = next(
        (k for k in ("id", "group", "attribute", "weight", "split") if getattr(entry.columns, k)), None
    )
    if extra:
        raise DataError(
            f"datasets.yaml: {name}.columns.{extra} needs a manifest, a csv that lists the images; an image "
            "folder knows classes only."
        )
    tree = tree.without_wrapper() if entry.path and entry.path.endswith(".zip") else tree
    if not entry.files:
        return [tree]
    folders = []
    for part, folder in entry.files.given().items():
        branch = tree.below(folder)
        if not branch.names:
            raise DataError(
                f"{folder!r}, named by datasets.yaml: {name}.files.{part}, is no folder in {tree.title}."
            )
        folders.append(branch)
    return folders


def _read_folder(tree: FileTree, entry: DatasetEntry) -> RawTable:
    names, labels = folder_images(tree)
    where: Where = lambda row: tree.title_of(names[row])  # noqa: E731
    moving: list[str] = []
    images = checked_images(lambda row: tree.read(names[row]), len(names), where, moving)
    columns = {entry.columns.label: pa.array(labels, pa.string()), "image": pa.array(images, pa.binary())}
    return RawTable(pa.table(columns), tree.title, where, first_frames(moving))
