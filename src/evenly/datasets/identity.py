"""What makes a row itself: the fingerprint of its payload, ids made from content, and the copies of a row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenly.params.datasets import PARTS
from evenly.samples import Feature

#: How many rows a report lists as examples.
EXAMPLES = 10
_BLOCK = 1 << 16  # payloads that are Python objects at once


def fingerprints_of(payload: Mapping[str, pa.Array], features: Sequence[Feature]) -> np.ndarray:
    """64-bit hashes of payloads, uint64 (n,): of the text, the encoded image, or the features of a table."""
    if features:
        return _table_fingerprints(payload, features)
    (values,) = payload.values()
    return _hashed(v.encode() if isinstance(v, str) else v for v in _listed(values))


def content_ids(fingerprints: np.ndarray, labels: pa.Array, others: Sequence[pa.Array]) -> list[str]:
    """Ids that follow from the content alone, whatever the order of the rows.

    An id is the fingerprint in hexadecimal, followed by `-1`, `-2`, … for further copies of the same payload,
    which are numbered in the order of their label and then of `others`.
    """
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
    numbers = memoryview(matrix.data).cast("B") if matrix.size else memoryview(b"")
    texts: Iterable[str] = repeat("", rows)
    if words:
        sign = pa.scalar("\x1f", pa.large_string())
        joined = pc.binary_join_element_wise(*words, sign, null_handling="replace", null_replacement="\x00")
        texts = _listed(joined)
    return _hashed(
        b"".join((numbers[k * width : (k + 1) * width], text.encode())) for k, text in enumerate(texts)
    )


def _listed(values: pa.Array) -> Iterator[Any]:
    """The values one by one, of which only some are Python's at a time."""
    for start in range(0, len(values), _BLOCK):
        yield from values.slice(start, _BLOCK).to_pylist()


def _hashed(values: Iterable[bytes]) -> np.ndarray:
    """64-bit BLAKE2b of each, uint64 (n,)."""
    digests = bytearray()
    for value in values:
        digests += hashlib.blake2b(value, digest_size=8).digest()
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


# -- copies -------------------------------------------------------------------------------------------------


def first_copies(fingerprints: np.ndarray, *keys: np.ndarray) -> np.ndarray:
    """For each row, the first row by position with the same fingerprint and the same `keys`; int64 (n,)."""
    _, combined = np.unique(fingerprints, return_inverse=True)
    for key in keys:
        codes = key.astype(np.int64)
        _, combined = np.unique(combined * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)
    _, first = np.unique(combined, return_index=True)
    firsts: np.ndarray = first[combined]
    return firsts


def leaked_copies(fingerprints: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """For each row, a row with the same payload in a later part, or −1; int64 (n,).

    Later means test after validation after train: such a row has to leave its part, so that nothing is
    trained or tuned on what is tested.
    """
    order = np.lexsort((-parts, fingerprints))
    _, first, payload = np.unique(fingerprints[order], return_index=True, return_inverse=True)
    latest = order[first][payload]
    copies = np.full(len(parts), -1, dtype=np.int64)
    copies[order] = np.where(parts[latest] > parts[order], latest, -1)
    return copies


def conflicting(fingerprints: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Mask of rows whose payload also occurs with another label; bool (n,)."""
    _, payload = np.unique(fingerprints, return_inverse=True)
    pairs = np.unique(np.stack([payload, codes]), axis=1)
    return np.asarray((np.bincount(pairs[0]) > 1)[payload])


@dataclass
class Copies:
    """What happened to identical rows: how many were dropped from each part (`undecided`: before there were
    parts) and how many of these had another label than the row that stays; leaks that were kept; examples.
    """

    ids: np.ndarray
    labels: np.ndarray
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    undecided: int = 0
    conflicts_dropped: int = 0
    leaks_kept: int = 0
    examples: list[dict[str, str]] = field(default_factory=list)

    def drop(self, rows: np.ndarray, kept: np.ndarray, parts: np.ndarray | None) -> None:
        """Record that `rows` go because `kept` (one for each) stay."""
        if parts is None:
            self.undecided += len(rows)
        for row, stays in zip(rows.tolist(), kept.tolist(), strict=True):
            if parts is not None:
                self.dropped[PARTS[parts[row]]] += 1
            self.conflicts_dropped += bool(self.labels[row] != self.labels[stays])
            if len(self.examples) < EXAMPLES:
                example = {"dropped": self.ids[row], "kept": self.ids[stays]}
                if parts is not None:
                    example |= {"dropped_from": PARTS[parts[row]], "kept_in": PARTS[parts[stays]]}
                self.examples.append(example)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"dropped_before_split": self.undecided, "dropped": self.dropped, "examples": self.examples}
