"""Synthetic rows of a sample table: ids, lineage and payload."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from evenly.resampling.segments import Segments
from evenly.samples import SampleTable


def duplicate_rows(samples: SampleTable, parents: np.ndarray, taken: set[str]) -> SampleTable:
    """Copy the rows at `parents`, payload included; origin `duplicate`. Their ids are added to `taken`."""
    return _offspring(samples, parents, "duplicate", {}, None, None, taken)


def interpolated_rows(
    samples: SampleTable, segments: Segments, origin: str, payload: Mapping[str, pa.Array], taken: set[str]
) -> SampleTable:
    """Build the rows of segments with the payload given; their ids are added to `taken`."""
    neighbours = samples.table.column("id").take(pa.array(segments.neighbours))
    weights = pa.array(segments.weights.astype(np.float64))
    return _offspring(samples, segments.parents, origin, payload, neighbours, weights, taken)


def _offspring(
    samples: SampleTable,
    parents: np.ndarray,
    origin: str,
    payload: Mapping[str, pa.Array],
    neighbours: pa.ChunkedArray | None,
    weights: pa.Array | None,
    taken: set[str],
) -> SampleTable:
    """Rows like their parents (label, group, attribute) but for id, origin, lineage and payload."""
    n = len(parents)
    table = samples.table.take(pa.array(parents))
    columns = {name: table.column(name) for name in table.column_names}
    columns |= {
        "id": pa.array(_fresh_ids(samples.ids[parents], origin, taken), pa.string()),
        "origin": pa.array(np.full(n, origin, dtype=object), pa.string()),
        "parent": table.column("id"),
        "neighbour": pa.nulls(n, pa.string()) if neighbours is None else neighbours,
        "neighbour_weight": pa.nulls(n, pa.float64()) if weights is None else weights,
    }
    if "details" in columns:
        columns["details"] = pa.nulls(n, pa.string())
    return SampleTable(pa.table(columns | dict(payload)), samples.schema)


def _fresh_ids(parents: np.ndarray, origin: str, taken: set[str]) -> list[str]:
    """`<parent>+<origin><ordinal>`; the ordinal counts each parent's offspring and leaps over taken ids."""
    ordinals: dict[str, int] = {}
    ids = []
    for parent in parents:
        ordinal = ordinals.get(parent, 0) + 1
        while (name := f"{parent}+{origin}{ordinal}") in taken:
            ordinal += 1
        ordinals[parent] = ordinal
        taken.add(name)
        ids.append(name)
    return ids
