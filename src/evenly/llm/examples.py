"""Which real training rows a call shows: drawn for diversity, another handful in every call.

Vectors are made here, cheaply and from training rows alone, so that generation does not wait for `featurize`.
How the rows are worded in a prompt is not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evenly.features.ngramsets import ngram_sets
from evenly.samples import SampleTable

#: Rows of one class that take turns as examples; a larger class shows its most diverse ones.
MOST_EXAMPLES = 500
_NGRAM = 3


def row_vectors(samples: SampleTable) -> Any:
    """Vectors of unit length, one a row: character trigrams of texts, scaled and one-hot columns of tables.

    Returns
    -------
    scipy.sparse.csr_array
        (n, d), float64.
    """
    from scipy.sparse import csr_array

    if samples.modality == "table":
        return csr_array(_unit_rows(_table_matrix(samples)))
    sets = ngram_sets([text or "" for text in samples.texts], _NGRAM)
    shape = (len(sets), max(sets.vocabulary, 1))
    matrix = csr_array((np.ones(len(sets.tokens)), sets.tokens, sets.starts), shape=shape)
    occurrences = np.bincount(sets.tokens, minlength=shape[1])
    matrix.data = np.log((1 + len(sets)) / (1 + occurrences))[sets.tokens] + 1.0
    lengths = np.sqrt(np.add.reduceat(np.append(matrix.data**2, 0.0), sets.starts[:-1]))
    matrix.data /= np.repeat(np.where(sets.sizes > 0, lengths, 1.0), sets.sizes)
    return matrix


def farthest_point_order(vectors: Any, count: int) -> list[int]:
    """Rows in an order whose every beginning is spread out: the next is farthest from all before it.

    The greedy 2-approximation of the k-centre problem (Gonzalez 1985).

    Parameters
    ----------
    vectors
        Sparse rows of unit length (n, d); the first is the row nearest to their mean. Ties go to the earlier
        row.
    count
        How many; fewer where there are fewer rows. A smaller count gives a beginning of a larger one's order.
    """
    n = vectors.shape[0]
    if n == 0 or count <= 0:
        return []
    mean = np.asarray(vectors.mean(axis=0)).ravel()
    order = [_first_best(vectors @ mean)]
    nearest = np.full(n, -np.inf)  # cosine with the nearest chosen row; a chosen row leaves with +inf
    while len(order) < min(n, count):
        last = vectors[[order[-1]]]
        nearest = np.maximum(nearest, (vectors @ last.T).toarray().ravel())
        nearest[order] = np.inf
        order.append(_first_best(-nearest))
    return order


def nearest_classes(vectors: Any, labels: np.ndarray, classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """For every class, the other classes with rows, the most similar mean vector (by cosine) first.

    Parameters
    ----------
    vectors
        Sparse rows of unit length (n, d).
    labels
        Label of each row (n,).
    classes
        All classes; ties go to the earlier one.
    """
    from scipy.sparse import csr_array

    present = [name for name in classes if (labels == name).any()]
    position = {name: k for k, name in enumerate(present)}
    codes = np.fromiter((position[label] for label in labels), np.int64, len(labels))
    indicator = csr_array(
        (np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(len(present), len(codes))
    )
    sums = indicator @ vectors
    norms = np.sqrt(np.asarray(sums.multiply(sums).sum(axis=1)).ravel())
    products = (sums @ sums.T).toarray()
    cosines = np.round(products / np.maximum(np.outer(norms, norms), 1e-12), 12)
    result: dict[str, tuple[str, ...]] = {name: tuple(present) for name in classes}
    for k, name in enumerate(present):
        order = np.argsort(-cosines[k], kind="stable")
        result[name] = tuple(present[j] for j in order if j != k)
    return result


def in_turn(order: Sequence[int], call: int, size: int) -> list[int]:
    """Examples of the `call`-th call: the next `size` of the order, going round; each row at most once."""
    size = min(size, len(order))
    return [order[(call * size + j) % len(order)] for j in range(size)]


def _first_best(scores: np.ndarray) -> int:
    """Position of the largest score; the first of those that differ by rounding only."""
    return int(np.argmax(np.round(scores, 12)))


def _table_matrix(samples: SampleTable) -> np.ndarray:
    """Numbers standardised (missing: the mean) and categories one-hot, float64 (n, d)."""
    blocks = []
    for feature in samples.schema.features:
        values = samples.table.column(feature.name).to_pylist()
        if feature.kind == "category":
            position = {name: k for k, name in enumerate(sorted({v for v in values if v is not None}))}
            block = np.zeros((len(values), len(position)))
            for row, value in enumerate(values):
                if value is not None:
                    block[row, position[value]] = 1.0
        else:
            numbers = np.array([np.nan if v is None else float(v) for v in values])
            known = numbers[np.isfinite(numbers)]
            middle, spread = (known.mean(), known.std()) if len(known) else (0.0, 0.0)
            block = ((np.where(np.isfinite(numbers), numbers, middle) - middle) / (spread or 1.0))[:, None]
        blocks.append(block)
    return np.hstack(blocks) if blocks else np.zeros((len(samples), 1))


def _unit_rows(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12))
