"""Rows made elsewhere: read as the data set's own are, kept in data/imported, and brought into a run.

A file of data/imported is a sample table, `DATASET.ORIGIN.parquet`, in which every row has an id made of its
content, and says which file and row it came from.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, get_args

from evenly.datasets.sources import checksum
from evenly.datasets.unlabelled import InputFile, Unlabelled, open_unlabelled
from evenly.errors import DataError, ParameterError, RecipeError
from evenly.params.generative import GeneratorKind
from evenly.params.resampling import ResampleMethod
from evenly.samples import SampleTable, Schema, concatenate, read_samples, write_samples
from evenly.wording import first_names

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = Path("data/imported")
_ORIGIN = r"[A-Za-z][A-Za-z0-9_-]*"
#: Origins that rows of the pipeline have.
_TAKEN = {"real", "duplicate", "llm", "transform", *get_args(GeneratorKind), *get_args(ResampleMethod)}
_BRING = "bring rows with `evenly import-rows FILE --origin NAME`"


@dataclass(frozen=True)
class Imported:
    """Rows of a file as samples, and sentences that the user should know."""

    samples: SampleTable
    remarks: tuple[str, ...]


def imported_rows(path: Path, origin: str, schema: Schema, how: InputFile) -> Imported:
    """Read rows made elsewhere.

    Parameters
    ----------
    path
        A csv, tsv, jsonl or Parquet file, a zip or folder with one, or for images a folder or zip with a
        folder for each class.
    origin
        What to call where they come from.
    schema
        Of the data set's training rows: classes, and features with their types.
    how
        How to read a file; `label` names the column with the class.

    Raises
    ------
    DataError, ParameterError
        Naming the file, column or row that cannot be taken.
    """
    check_origin(origin)
    if not path.exists():
        raise DataError(f"{path} does not exist; name the file or folder with the rows.")
    with open_unlabelled(path, schema, how) as rows:
        return Imported(_samples(rows, path, origin, schema), rows.remarks)


def check_origin(origin: str) -> None:
    """Refuse an origin that is no name, or that rows of the pipeline have."""
    if not re.fullmatch(_ORIGIN, origin):
        raise ParameterError(
            f"--origin is {origin!r}; use letters, digits, _ and -, and begin with a letter."
        )
    if origin in _TAKEN:
        raise ParameterError(
            f"--origin {origin!r} is what rows of the pipeline itself are called; choose another name."
        )


def _samples(rows: Unlabelled, path: Path, origin: str, schema: Schema) -> SampleTable:
    import pyarrow as pa

    labels = rows.labels or [PurePosixPath(name).parent.name for name in rows.ids]
    for row, label in enumerate(labels):
        if label not in schema.classes:
            said = f"has the class {label!r}" if label else "lies in no folder that names its class"
            raise DataError(
                f"{rows.where(row)} {said}; classes are {first_names(schema.classes, 20, '{!r}')}."
            )
    payload = rows.payload(0, len(rows))
    for feature, own in zip(rows.schema.features, schema.features, strict=True):
        if feature.kind != own.kind:
            values = payload[feature.name].to_pylist()
            row = next(k for k, value in enumerate(values) if value is not None and value != round(value))
            raise DataError(
                f"{rows.where(row)} has {values[row]} in column {feature.name!r}, which holds whole numbers "
                "in the data set; round it, or leave it empty."
            )
    content = path.name, checksum(path)
    details = [
        json.dumps({"imported": {"file": content[0], "sha256": content[1], "row": str(name)}}, sort_keys=True)
        for name in rows.ids
    ]
    columns = {"id": _ids(origin, labels, payload), "label": labels, "origin": [origin] * len(rows)}
    arrays = {name: pa.array(values, pa.string()) for name, values in {**columns, "details": details}.items()}
    payload.pop("vector", None)
    return SampleTable(pa.table({**arrays, **payload}), schema)


def _ids(origin: str, labels: Sequence[str], payload: Mapping[str, pa.Array]) -> list[str]:
    """An id from the content of each row; rows that are the same are numbered."""
    seen: Counter[str] = Counter()
    ids = []
    for label, *values in zip(labels, *(payload[name].to_pylist() for name in sorted(payload)), strict=True):
        key = hashlib.blake2b(
            repr((label, values)).encode("utf-8", "surrogatepass"), digest_size=8
        ).hexdigest()
        seen[key] += 1
        ids.append(f"{origin}:{key}" + (f":{seen[key]}" if seen[key] > 1 else ""))
    return ids


def stored_file(dataset: str, origin: str) -> Path:
    """Where the rows of an origin are kept."""
    return FOLDER / f"{dataset}.{origin}.parquet"


def store(imported: Imported, dataset: str, origin: str, replace: bool) -> Path:
    """Keep rows in data/imported.

    Raises
    ------
    DataError
        When there are others of this origin, unless they are to be replaced.
    """
    path = stored_file(dataset, origin)
    if path.exists() and not replace:
        before = read_samples(path)
        if before.table.equals(imported.samples.table):
            return path
        raise DataError(
            f"{path} holds {len(before):,} other rows of this origin; say --replace, or choose another "
            "--origin."
        )
    write_samples(imported.samples, path)
    return path


def imported_origins(dataset: str) -> list[str]:
    """The origins of which rows are kept for a data set."""
    names = (path.name.split(".") for path in FOLDER.glob(f"{dataset}.*.parquet"))
    return sorted(name[1] for name in names if len(name) == 3)


def find_origins(dataset: str, wanted: Sequence[str], where: str) -> list[str]:
    """The origins that a recipe takes, all where it names none.

    Raises
    ------
    RecipeError
        When there is none, or one that is named is not there.
    """
    there = imported_origins(dataset)
    if not there:
        raise RecipeError(
            f"params.yaml: {where} takes rows made elsewhere, and {FOLDER} has none for {dataset!r}; "
            f"{_BRING}."
        )
    for name in wanted:
        if name not in there:
            raise RecipeError(
                f"params.yaml: {where}.origins names {name!r}; for {dataset!r} there are "
                f"{first_names(there, 20)}; {_BRING}."
            )
    return list(wanted) or there


def read_imported(dataset: str, origins: Sequence[str], schema: Schema) -> SampleTable:
    """The rows of these origins as candidates.

    Raises
    ------
    DataError
        When they were read for other classes or features.
    """
    tables = []
    for origin in origins:
        path = stored_file(dataset, origin)
        samples = read_samples(path)
        if samples.schema != schema:
            raise DataError(
                f"{path} was read when the data set had other classes or columns; import its rows again "
                f"(`evenly import-rows FILE --origin {origin} --replace`)."
            )
        tables.append(samples)
    return concatenate(tables)
