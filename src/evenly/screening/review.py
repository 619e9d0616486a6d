"""A file for people: kept samples beside the real ones they resemble, for reading in a spreadsheet.

What people fill in comes back through `evenly.screening.verdicts`.
"""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np

from evenly.files import write_text
from evenly.payloads import payloads, spreadsheet_cell
from evenly.samples import SampleTable
from evenly.screening.nothing import REVIEW_COLUMNS, SOURCES


def write_review_sample(
    kept: SampleTable,
    kept_vectors: np.ndarray,
    train: SampleTable,
    train_vectors: np.ndarray,
    path: str | Path,
    *,
    share: float,
    seed: int,
) -> int:
    """Write a share of the kept rows of every class, each beside the real rows that it resembles most.

    The columns `verdict` and `label` are left empty for the reader. Cells that a spreadsheet would take
    for a formula get an apostrophe before them.

    Parameters
    ----------
    kept, kept_vectors
        The rows and their vectors, float32 (n, d).
    train, train_vectors
        The real training rows and theirs.
    path
        CSV, UTF-8 with a byte-order mark.
    share
        Of each class, rounded up, in 0..1.
    seed
        Chooses the rows.

    Returns
    -------
    int
        Number of rows written.
    """
    from evenly.features.neighbours import nearest_neighbours

    chosen = stratified_rows(kept.labels, share, seed)
    shown, sources = payloads(kept.take(chosen)), payloads(train)
    position = {name: k for k, name in enumerate(train.ids)}
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(REVIEW_COLUMNS)
    for row, payload in zip(chosen, shown, strict=True):
        own = np.flatnonzero(train.labels == kept.labels[row])
        near: list[int] = []
        if len(own):
            k = min(SOURCES, len(own))
            near = list(own[nearest_neighbours(kept_vectors[[row]], train_vectors[own], k)[1][0]])
        parent = position.get(kept.column("parent")[row])
        if parent is not None:
            near = [parent, *(k for k in near if k != parent)][:SOURCES]
        cells = [kept.ids[row], kept.labels[row], kept.origins[row], payload]
        cells += [sources[k] for k in near] + [""] * (SOURCES - len(near))
        writer.writerow([spreadsheet_cell(cell) for cell in [*cells, "", ""]])
    write_text("\ufeff" + file.getvalue(), path)
    return len(chosen)


def stratified_rows(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Positions of a share of the rows of every class, rounded up, rising."""
    rng = np.random.default_rng([seed, 7])
    chosen = [np.empty(0, dtype=np.int64)]
    for name in sorted(set(labels)):
        own = np.flatnonzero(labels == name)
        chosen.append(rng.permutation(own)[: math.ceil(share * len(own))])
    return np.sort(np.concatenate(chosen))
