"""What curves are drawn from: splits, kept rows and settings of the workspace or of any revision."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from evenly.curves.grid import Material
from evenly.curves.sources import Pool, vector_rows
from evenly.errors import DataError
from evenly.experiments.history import Revision
from evenly.features import fit_featurizer
from evenly.params.base import settings_from
from evenly.params.project import PARAMS_FILE, Params
from evenly.samples import SampleTable, Schema, read_samples

_SPLIT = "data/split/{}.parquet"
_KEPT = "data/filtered/kept.parquet"


def read_material(revision: Revision, vector_cache: Path) -> tuple[Pool, Material]:
    """Read splits and kept rows of a revision, and turn them into vectors as its `featurize` has done.

    Parameters
    ----------
    revision
        The workspace, an experiment, a branch, …
    vector_cache
        Folder for vectors of text encoders.

    Raises
    ------
    DataError
        When the revision has no split, or DVC's cache does not hold it.
    """
    params = settings_from(Params, revision.yaml(PARAMS_FILE), f"{PARAMS_FILE} of {revision.name}")
    train, validation, test = (_table(revision, _SPLIT.format(part)) for part in ("train", "val", "test"))
    train = train.sorted_by_id()
    made = _table(revision, _KEPT, train.schema)
    featurizer = fit_featurizer(train, params.features, params.seed, vector_cache)
    pool = Pool(train, vector_rows(train, featurizer), vector_rows(made, featurizer), featurizer)
    return pool, Material(
        train=pool.rows,
        validation=vector_rows(validation, featurizer),
        test=vector_rows(test, featurizer),
        groups=group_codes(test),
        classes=len(train.classes),
        models=params.models,
    )


def group_codes(samples: SampleTable) -> np.ndarray | None:
    """Group of each row, class and spurious attribute, int64 (n,): −1 without one; None where no row has."""
    attributes = samples.column("attribute")
    if all(value is None for value in attributes):
        return None
    pairs = [
        (label, value) if value is not None else None
        for label, value in zip(samples.labels, attributes, strict=True)
    ]
    names = sorted({pair for pair in pairs if pair is not None})
    position = {pair: place for place, pair in enumerate(names)}
    return np.array([-1 if pair is None else position[pair] for pair in pairs], dtype=np.int64)


def _table(revision: Revision, path: str, schema: Schema | None = None) -> SampleTable:
    content = revision.read(path)
    if content is None:
        raise DataError(f"{revision.name} has no {path}; `dvc repro` makes it.")
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        file.write(content)
        file.flush()
        return read_samples(file.name, schema)
