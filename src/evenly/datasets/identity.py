"""What makes a row itself: the fingerprint of its payload, and ids made from content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from evenly.samples import Feature

if TYPE_CHECKING:
    import pyarrow as pa


def fingerprints_of(payload: Mapping[str, pa.Array], features: Sequence[Feature]) -> np.ndarray:
    """64-bit hashes of payloads, uint64 (n,): of the text, the encoded image, or the features of a table."""
    if features:
        return _table_fingerprints(payload, features)
    (values,) = payload.values()
    return _hashed([v.encode() if isinstance(v, str) else v for v in values.to_pylist()])


def content_ids(fingerprints: np.ndarray, labels: pa.Array, others: Sequence[pa.Array]) -> list[str]:
    """Ids that follow from the content alone, whatever the order of the rows.

    An id is the fingerprint in hexadecimal, followed by `-1`, `-2`, … for further copies of the same payload,
    which are numbered in the order of their label and then of `others`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = [pa.array(fingerprints), labels, *others]
    table = pa.table(keys, names=[str(k) for k in range(len(keys))])
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in table.column_names]).to_numpy()
    ordered = fingerprints[order]
    begins = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    first = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
    copy = np.empty(len(order), dtype=np.int64)
    copy[order] = np.arange(len(order)) - first
    return [
        f"{value:016x}-{n}" if n else f"{value:016x}"
        for value, n in zip(fingerprints.tolist(), copy.tolist(), strict=True)
    ]


def _table_fingerprints(payload: Mapping[str, pa.Array], features: Sequence[Feature]) -> np.ndarray:
    """Hashes of feature rows: of the numbers as float64 with one NaN and one zero, then of the categories."""
    import pyarrow as pa
    import pyarrow.compute as pc

    numeric = [payload[f.name] for f in features if f.kind != "category"]
    words = [payload[f.name].cast(pa.large_string()) for f in features if f.kind == "category"]
    rows = len(next(iter(payload.values())))
    matrix = np.empty((rows, len(numeric)), dtype="<f8")
    for k, column in enumerate(numeric):
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        matrix[:, k] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    matrix[np.isnan(matrix)] = np.nan
    matrix += 0.0  # turns -0.0 into 0.0
    width = 8 * len(numeric)
    numbers = matrix.tobytes()
    if not words:
        return _hashed([numbers[k * width : (k + 1) * width] for k in range(rows)])
    joined = pc.binary_join_element_wise(
        *words, pa.scalar("\x1f", pa.large_string()), null_handling="replace", null_replacement="\x00"
    )
    return _hashed(
        [numbers[k * width : (k + 1) * width] + text.encode() for k, text in enumerate(joined.to_pylist())]
    )


def _hashed(values: Sequence[bytes]) -> np.ndarray:

    digests = b"".join(hashlib.blake2b(value, digest_size=8).digest() for value in values)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)
