"""The `vector` column: rows that exist in feature space only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from evenly.errors import DataError
from evenly.samples import SampleTable


def with_given_vectors(
    samples: SampleTable, dimension: int, compute: Callable[[SampleTable], np.ndarray]
) -> np.ndarray:
    """Vectors of all samples: those of the `vector` column as they are, the others from their payload.

    Parameters
    ----------
    samples
        n rows.
    dimension
        Length that given vectors must have.
    compute
        Gives the vectors of rows without one, float32 (rows, dimension).

    Raises
    ------
    DataError
        When a given vector has another length: it was made with other features.
    """
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


def vector_column(vectors: np.ndarray) -> pa.Array:
    """Arrow column (n,) of the rows of a float32 matrix (n, d)."""
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
