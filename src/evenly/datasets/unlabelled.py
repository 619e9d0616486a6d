"""Rows without labels, in the forms that data sets have, as samples that a trained model takes.

What a model takes is its schema; nothing is inferred from the new rows but how a file is to be read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from evenly.datasets.conforming import conforming_features, unseen_values
from evenly.datasets.images import checked_images, is_image, left_out
from evenly.datasets.rows import filled
from evenly.datasets.sources import FileTree, Where, open_tree
from evenly.datasets.tabular import RawTable, column_names, read_table, table_format
from evenly.errors import DataError
from evenly.params.base import settings_from
from evenly.params.datasets import DatasetEntry, Format
from evenly.samples import SampleTable, Schema

#: The payload of rows from a position up to another.
Payload = Callable[[int, int], dict[str, "pa.Array"]]


@dataclass(frozen=True)
class InputFile:
    """How a file with rows is to be read; None is what the file or its name says.

    The columns with the text or the image (encoded bytes, or a path relative to the file) are `text` and
    `image` by default, that with ids is `id` where there is one, else rows are numbered from 1.
    """

    text: str | None = None
    image: str | None = None
    id: str | None = None
    delimiter: str | None = None
    #: How numbers are written in it, as in datasets.yaml.
    decimal: str | None = None
    thousands: str | None = None
    missing: tuple[str, ...] = ()
    #: Column with the class, where it is asked for; images in folders are of the class of theirs.
    label: str | None = None


@dataclass(frozen=True)
class Unlabelled:
    """Rows without labels, in the order of their file or of their file names.

    The schema is that of the model, except that an integer feature with fractions in these rows is a number.
    Images are read from their files only when a range of `payload` asks for them. `remarks` are sentences
    that the user should know. `where` says where a row stands; `labels` are there where they were asked for.
    """

    ids: Sequence[str]
    schema: Schema
    remarks: tuple[str, ...]
    payload: Payload
    where: Callable[[int], str]
    labels: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def batches(self, size: int) -> Iterator[SampleTable]:
        """All rows in order, as tables of `size` rows and a rest.

        A sample table has a label in every row. Here it is the first class throughout and means nothing:
        what asks for predictions must not read it.
        """
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            columns = {"id": self.ids[start:stop], "label": [self.schema.classes[0]] * (stop - start)}
            columns["origin"] = ["real"] * (stop - start)
            described = {name: pa.array(values, pa.string()) for name, values in columns.items()}
            yield SampleTable(pa.table({**described, **self.payload(start, stop)}), self.schema)


@contextmanager
def open_unlabelled(path: Path, schema: Schema, how: InputFile = InputFile()) -> Iterator[Unlabelled]:
    """Rows for a model, to be used while the block runs.

    Parameters
    ----------
    path
        A csv, tsv, jsonl or Parquet file (sample tables included), or a zip or folder with one of these. For
        images: a folder or zip of image files, one image file, or a csv, tsv, jsonl or Parquet that lists
        them in a column.
    schema
        Of the samples that the model takes.
    how
        How to read a file.

    Raises
    ------
    DataError
        Naming what is not there or cannot be read: the file, a column that the model needs, or a row with a
        value that it cannot take.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist; give a file or folder with the rows to predict.")
    for name in ("text", "image"):
        if getattr(how, name) is not None and schema.modality != name:
            raise DataError(f"The model takes {schema.modality} rows, so no {name} column can be named.")
    with open_tree(path, str(path), links_out=True) as tree:
        if schema.modality == "image" and (len(tree.names) != 1 or is_image(tree.names[0])):
            yield _image_files(tree, schema, how)
        else:
            yield _file_rows(tree, path, schema, how)


def _image_files(tree: FileTree, schema: Schema, how: InputFile) -> Unlabelled:
    """All images of a tree, whatever folders they lie in; ids are their names."""
    if how != InputFile():
        raise DataError(
            f"{tree.title} is read as image files, which have no columns; give the file that lists the "
            "images instead, or leave out what names columns."
        )
    names = [name for name in tree.names if is_image(name)]
    if not names:
        raise DataError(f"{tree.title} holds no images; give a folder with png, jpg or other image files.")
    remarks = tuple(left_out(tree.title, [name for name in tree.names if not is_image(name)]))

    def payload(start: int, stop: int) -> dict[str, pa.Array]:
        part = names[start:stop]
        images = checked_images(lambda k: tree.read(part[k]), len(part), lambda k: tree.title_of(part[k]))
        return {"image": pa.array(images, pa.binary())}

    return Unlabelled(names, schema, remarks, payload, lambda row: tree.title_of(names[row]))


# -- files with columns --------------------------------------------------------------------------------------


def _file_rows(tree: FileTree, path: Path, schema: Schema, how: InputFile) -> Unlabelled:
    values: dict[str, Any] = {"modality": schema.modality, "licence": "", "delimiter": how.delimiter}
    values |= {"decimal": how.decimal, "thousands": how.thousands, "missing": how.missing}
    entry = settings_from(DatasetEntry, values, "the input")
    file, kind = _one_table(tree, entry)
    data, title = tree.read(file), tree.title_of(file)
    there = column_names(data, title, kind, entry)
    if schema.modality == "table":
        wanted = [feature.name for feature in schema.features]
        categories = [feature.name for feature in schema.features if feature.kind == "category"]
        as_text = list(categories)
    else:
        categories = []
        wanted = [getattr(how, schema.modality) or schema.modality]
        as_text = list(wanted)
    payload_name = wanted[0]
    id_name = how.id or ("id" if "id" in there else None)
    if id_name is not None and id_name not in wanted:
        wanted.append(id_name)
        as_text.append(id_name)
    if how.label is not None:
        wanted.append(how.label)
        as_text.append(how.label)
    _require(wanted, there, title, schema)
    if schema.modality == "text" and kind == "parquet" and {"label", "origin", "vector"}.issubset(there):
        wanted.append("vector")  # a sample table, with rows that exist in feature space only

    raw = read_table(data, title, kind, entry, wanted, as_text, categories)
    if not raw.table.num_rows:
        raise DataError(f"{title} has no rows.")
    unused = [name for name in there if name not in wanted]
    remarks = [*raw.warnings, *([f"Columns that are not used: {', '.join(unused)}."] if unused else [])]
    ids = _ids(raw, id_name)
    labels = None
    if how.label is not None:
        labels = filled(raw.table.column(how.label), how.label, "label", raw.where).to_pylist()
    if schema.modality == "image":
        folder = path if path.is_dir() else path.parent
        listed = _listed_images(raw, payload_name, folder)
        return Unlabelled(ids, schema, tuple(remarks), listed, raw.where, labels)
    if schema.modality == "text":
        columns = _texts(raw, payload_name)
    else:
        columns, schema = conforming_features(raw, schema)
        remarks += unseen_values(columns, schema)
    return Unlabelled(
        ids,
        schema,
        tuple(remarks),
        lambda start, stop: {name: values.slice(start, stop - start) for name, values in columns.items()},
        raw.where,
        labels,
    )


def _one_table(tree: FileTree, entry: DatasetEntry) -> tuple[str, Format]:
    found = [(file, kind) for file in tree.names if (kind := table_format(file, entry))]
    if len(found) == 1:
        return found[0]
    there = "there are several" if found else "there is none"
    raise DataError(f"{tree.title} must be or hold one csv, tsv, jsonl or parquet file by its name; {there}.")


def _require(wanted: Collection[str], there: Collection[str], title: str, schema: Schema) -> None:
    missing = [name for name in wanted if name not in there]
    if not missing:
        return
    if missing[0] in {feature.name for feature in schema.features}:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DataError(
            f"{title} has no column {missing[0]!r}{more}, which the model needs; its columns are "
            f"{', '.join(there)}."
        )
    raise DataError(f"{title} has no column {missing[0]!r}; name one of its columns: {', '.join(there)}.")


def _ids(raw: RawTable, name: str | None) -> Sequence[str]:
    if name is None:
        return [str(number) for number in range(1, raw.table.num_rows + 1)]
    ids: list[str] = filled(raw.table.column(name), name, "id", raw.where).to_pylist()
    first: dict[str, int] = {}
    for row, value in enumerate(ids):
        if (earlier := first.setdefault(value, row)) != row:
            raise DataError(
                f"The id {value!r} occurs twice in column {name!r}: {raw.where(earlier)}, and "
                f"{raw.where(row)}; make ids unique, or name another column."
            )
    return ids


# -- payload -------------------------------------------------------------------------------------------------


def _texts(raw: RawTable, name: str) -> dict[str, pa.Array]:
    vectors = raw.table.column("vector") if "vector" in raw.table.column_names else None
    if vectors is not None and pa.types.is_fixed_size_list(vectors.type):
        return {"text": raw.table.column(name), "vector": vectors}
    return {"text": filled(raw.table.column(name), name, "text", raw.where, trim=False)}


def _listed_images(raw: RawTable, name: str, folder: Path) -> Payload:
    """Images of a column: encoded, or as paths, absolute or relative to `folder`."""
    column = raw.table.column(name)
    if not pa.types.is_string(column.type):
        missing = next((row for row, value in enumerate(column) if not value.is_valid), None)
        if missing is not None:
            raise DataError(f"{raw.where(missing)} has no image (column {name!r} is empty there).")

        def given(start: int, stop: int) -> dict[str, pa.Array]:
            images = column.slice(start, stop - start).to_pylist()
            where: Where = lambda k: raw.where(start + k)  # noqa: E731
            return {"image": pa.array(checked_images(lambda k: bytes(images[k]), len(images), where))}

        return given
    files = [
        folder / path.replace("\\", "/") for path in filled(column, name, "image", raw.where).to_pylist()
    ]
    for row, file in enumerate(files):
        if not file.is_file():
            raise DataError(f"{raw.where(row)} names the image {file}, which does not exist.")

    def listed(start: int, stop: int) -> dict[str, pa.Array]:
        images = checked_images(
            lambda k: files[start + k].read_bytes(),
            stop - start,
            lambda k: f"{files[start + k]} ({raw.where(start + k)})",
        )
        return {"image": pa.array(images, pa.binary())}

    return listed
