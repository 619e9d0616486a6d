"""What featurizers share: their file, the payload that they read, and the `vector` column of rows that exist
in feature space only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from evenly.errors import DataError
from evenly.files import files_beside, sealed, write_json
from evenly.samples import Modality, SampleTable

#: In the folder of every featurizer: what it is and how it was fitted.
DESCRIPTION = "featurizer.json"


def write_description(description: Mapping[str, Any], folder: Path) -> None:
    """Write what a featurizer is, with the checksums of its other files, which are there already."""
    write_json(sealed(description, files_beside(folder / DESCRIPTION)), folder / DESCRIPTION)


def present_payload(samples: SampleTable) -> list[Any]:
    """Texts or encoded images, after refusing a row that has none."""
    values = samples.texts if samples.modality == "text" else samples.images
    missing = next((row for row, value in enumerate(values) if value is None), None)
    if missing is not None:
        what = "a text" if samples.modality == "text" else "an image"
        raise DataError(f"Row {samples.ids[missing]!r} has neither {what} nor a vector.")
    return list(values)


def null_payload(vectors: np.ndarray, modality: Modality = "text") -> Mapping[str, pa.Array]:
    """Payload columns of n texts or images that exist as vectors only, float32 (n, d)."""
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).ravel())
    column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    kind = pa.string() if modality == "text" else pa.binary()
    return {modality: pa.nulls(len(vectors), kind), "vector": column}


def with_given_vectors(
    samples: SampleTable, dimension: int, compute: Callable[[SampleTable], np.ndarray]
) -> np.ndarray:
    """Vectors of all samples: those of the `vector` column as they are, the others by `compute`.

    Raises
    ------
    DataError
        When a given vector has another length: it was made with other features.
    """
    if not len(samples):
        return np.zeros((0, dimension), dtype=np.float32)
    if not samples.has("vector"):
        return compute(samples)
    column = samples.table.column("vector").combine_chunks()
    given = ~np.asarray(column.is_null().to_numpy(zero_copy_only=False), dtype=bool)
    if not given.any():
        return compute(samples)
    length = column.type.list_size
    if length != dimension:
        raise DataError(
            f"Row {samples.ids[given][0]!r} carries a vector of {length} numbers, but the features have "
            f"{dimension}; run `dvc repro` to make both anew."
        )
    out = np.empty((len(samples), dimension), dtype=np.float32)
    out[given] = column.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, dimension)
    if not given.all():
        out[~given] = compute(samples.take(~given))
    return out
