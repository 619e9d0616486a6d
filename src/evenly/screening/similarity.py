"""All pairs of rows that are at least so similar, found exactly and without looking at every pair.

Texts are compared by the Jaccard index of their character n-gram sets, vectors by their cosine or their
distance. No pair is missed and none is wrong. What is done about a pair belongs to
`evenly.screening.checks.duplicates`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from evenly.features.ngramsets import NgramSets

#: Prefixes are so long that a similar pair shares this many n-grams of them at least: more work in
#: counting, far fewer pairs to verify.
_COMMON = 4
#: Upper bound on the common prefix tokens counted in one sparse product; some 16 bytes each.
_PRODUCT_BUDGET = 1 << 23
#: Pairs whose sets are intersected at once; some hundred n-grams each.
_VERIFY_BLOCK = 1 << 17
_BITS = 512
_SLACK = 1e-6  # keeps rounding from ever making a bound too strict
_BLOCK = 1 << 24  # entries of one block of the product of two vector tables: 64 MiB


@dataclass(frozen=True)
class Pairs:
    """Similar pairs: positions in the first and the second list, int64 (m,), and how similar they are."""

    left: np.ndarray
    right: np.ndarray
    similarity: np.ndarray

    def __len__(self) -> int:
        return len(self.left)


def joined_pairs(blocks: Iterable[Pairs]) -> Pairs:
    """All pairs of these blocks, sorted by `left`, then `right`."""
    blocks = [Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64)), *blocks]
    left, right = (np.concatenate([getattr(block, side) for block in blocks]) for side in ("left", "right"))
    order = np.lexsort((right, left))
    similarity = np.concatenate([block.similarity for block in blocks])
    return Pairs(left[order], right[order], similarity[order])


# -- vectors -----------------------------------------------------------------------------------------------


def similar_vectors(vectors: np.ndarray, others: np.ndarray | None, threshold: float) -> Iterator[Pairs]:
    """All pairs of rows whose cosine is `threshold`, in (-1, 1], or more, block by block, in bounded memory.

    Without `others`, the rows among themselves (then `left` < `right`). A row of zeros is similar to none.
    The product is in float32; pairs near the threshold are decided in float64.
    """
    if not -1 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}; it must be above -1 and at most 1")
    left = _unit_rows(vectors)
    right = left if others is None else _unit_rows(others)

    def cosine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        norms = np.sqrt(np.einsum("ij,ij->i", x, x) * np.einsum("ij,ij->i", y, y))
        return np.asarray(np.einsum("ij,ij->i", x, y) / norms)

    return _exact_pairs(
        vectors,
        others,
        lambda rows, first: left[rows] @ right[first:].T >= threshold - 1e-5,
        cosine,
        lambda cosines: cosines >= threshold,
    )


def close_vectors(vectors: np.ndarray, radius: float) -> Iterator[Pairs]:
    """All pairs of rows (`left` < `right`) whose Euclidean distance is `radius` or less, block by block.

    `similarity` holds the distance. The product is in float32; pairs near the radius are decided in float64.
    """
    vectors = np.asarray(vectors, dtype=np.float32)
    squares = np.einsum("ij,ij->i", vectors, vectors)
    # Rounding of |x|² + |y|² − 2xy in float32 grows with the lengths and the number of products summed.
    margin = 8e-7 * np.sqrt(vectors.shape[1] + 1) * float(squares.max(initial=0)) + 1e-30

    def near(rows: slice, first: int) -> np.ndarray:
        squared = squares[rows, None] + squares[first:] - 2 * (vectors[rows] @ vectors[first:].T)
        return np.asarray(squared <= radius**2 + margin)

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        difference = x - y
        return np.asarray(np.sqrt(np.einsum("ij,ij->i", difference, difference)))

    return _exact_pairs(vectors, None, near, distance, lambda distances: distances <= radius)


def _exact_pairs(
    vectors: np.ndarray,
    others: np.ndarray | None,
    near: Callable[[slice, int], np.ndarray],
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray],
    keep: Callable[[np.ndarray], np.ndarray],
) -> Iterator[Pairs]:
    """Pairs that `near` nominates, of some rows and the others from a first one on, and `keep` keeps."""
    points = vectors if others is None else others
    step = max(1, _BLOCK // max(1, len(points)))
    for start in range(0, len(vectors), step):
        first = start if others is None else 0
        i, j = np.nonzero(near(slice(start, start + step), first))
        i, j = i + start, j + first
        if others is None:
            i, j = i[i < j], j[i < j]
        for part in range(0, len(i), _VERIFY_BLOCK):
            rows, columns = i[part : part + _VERIFY_BLOCK], j[part : part + _VERIFY_BLOCK]
            values = measure(vectors[rows].astype(np.float64), points[columns].astype(np.float64))
            kept = keep(values)
            if kept.any():
                yield Pairs(rows[kept], columns[kept], values[kept])


def _unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows of length one in float32; NaN, which is near to nothing, where they have no length."""
    vectors = np.asarray(vectors)
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return (vectors / np.where(norms == 0, np.nan, norms)[:, None]).astype(np.float32)


# -- sets of n-grams ---------------------------------------------------------------------------------------


def similar_sets(sets: NgramSets, others: NgramSets | None, threshold: float) -> Iterator[Pairs]:
    """All pairs of sets whose Jaccard index is `threshold`, in (0, 1], or more, in blocks of bounded memory.

    Both are of one vocabulary; without `others`, the sets among themselves (then `left` < `right`). An empty
    set is similar to none.

    Prefix filtering: with all n-grams ordered from rare to frequent, sets x and y with J(x, y) ≥ t share at
    least c + α − ⌈t·max(|x|, |y|)⌉ (or α) of the first |x| − ⌈t|x|⌉ + c n-grams of x and |y| − ⌈t|y|⌉ + c of
    y, where α = ⌈t/(1 + t)·(|x| + |y|)⌉ is the overlap they need and c = 4 (Bayardo et al. 2007; longer
    prefixes with more to share, Wang et al. 2012). These are counted by sparse products of the prefixes,
    class of sizes by class of sizes (length filter, Xiao et al. 2008). What is left must pass a bitmap bound
    (Sandes et al. 2020), and then its sets are intersected.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}; it must be above 0 and at most 1")
    among = others is None
    left = _Prefixes(sets, threshold)
    right = left if others is None else _Prefixes(others, threshold)
    for a, group in enumerate(left.groups):
        for b, other in enumerate(right.groups):
            if among and b < a:
                continue
            if max(group.low, other.low) * threshold - _SLACK > min(group.high, other.high):
                continue
            needed = _least_shared(group, other, threshold)
            for i, j in _sharing_prefixes(group, other, needed):
                if among:
                    mask = group.rows[i] < other.rows[j] if a == b else np.ones(len(i), dtype=bool)
                    i, j = i[mask], j[mask]
                for pairs in _verified(left, right, group.rows[i], other.rows[j], threshold):
                    first, second = pairs.left, pairs.right
                    if among:
                        first, second = np.minimum(first, second), np.maximum(first, second)
                    yield Pairs(first, second, pairs.similarity)


@dataclass(frozen=True)
class _Group:
    """Sets of about the same size: their rows, least and greatest size, and prefixes as sparse matrices."""

    rows: np.ndarray
    low: int
    high: int
    prefixes: Any  # csr (rows, vocabulary) of ones
    transposed: Any  # csr (vocabulary, rows)


class _Prefixes:
    """Sets prepared for a join at one threshold: size groups with prefixes, bitmaps, and the full sets."""

    def __init__(self, sets: NgramSets, threshold: float) -> None:
        self.sizes = sets.sizes
        self.full = _incidence(sets, np.int8)
        self.bitmaps = _bitmaps(sets)
        self.groups = [self._group(sets, rows, threshold) for rows in _size_groups(self.sizes)]

    def _group(self, sets: NgramSets, rows: np.ndarray, threshold: float) -> _Group:
        sizes = self.sizes[rows]
        lengths = np.minimum(sizes, sizes - np.ceil(threshold * sizes - _SLACK).astype(np.int64) + _COMMON)
        prefixes = _incidence(sets.beginnings(rows, lengths))
        return _Group(rows, int(sizes.min()), int(sizes.max()), prefixes, prefixes.T.tocsr())


def _size_groups(sizes: np.ndarray) -> list[np.ndarray]:
    """Rows in groups of rising, similar size; rows with an empty set are in none."""
    order = np.argsort(sizes, kind="stable")
    order = order[sizes[order] > 0]
    ordered = sizes[order]
    groups = []
    start = 0
    while start < len(order):
        stop = int(np.searchsorted(ordered, max(ordered[start] + 1, 1.08 * ordered[start]), side="left"))
        stop = max(stop, min(start + 256, len(order)))
        groups.append(order[start:stop])
        start = stop
    return groups


def _incidence(sets: NgramSets, kind: type[np.signedinteger[Any]] = np.int32) -> Any:
    """Sparse matrix (n, vocabulary) with a one for each n-gram of each set."""
    from scipy import sparse

    ones: np.ndarray = np.ones(len(sets.tokens), dtype=kind)
    matrix = sparse.csr_matrix((ones, sets.tokens, sets.starts), shape=(len(sets), sets.vocabulary))
    matrix.has_canonical_format = True
    return matrix


def _bitmaps(sets: NgramSets) -> np.ndarray:
    """Each set hashed into 512 bits, uint64 (n, 8)."""
    bits = (sets.tokens.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - 9)
    out = np.empty((len(sets), _BITS // 64), dtype=np.uint64)
    step = 1 << 14
    for start in range(0, len(sets), step):
        stop = min(start + step, len(sets))
        first, last = sets.starts[start], sets.starts[stop]
        present = np.zeros((stop - start, _BITS), dtype=bool)
        present[np.repeat(np.arange(stop - start), sets.sizes[start:stop]), bits[first:last]] = True
        out[start:stop] = np.packbits(present, axis=1).view(np.uint64)
    return out


def _needed_overlap(size: np.ndarray | int, other: np.ndarray | int, threshold: float) -> np.ndarray:
    """α: the least overlap of two sets with a Jaccard index of `threshold`."""
    total = np.asarray(size, dtype=np.int64) + other
    return np.ceil(threshold / (1 + threshold) * total - _SLACK).astype(np.int64)


def _least_shared(group: _Group, other: _Group, threshold: float) -> int:
    """How many prefix n-grams a similar pair from these groups shares at least."""
    a = np.arange(group.low, group.high + 1)[:, None]
    b = np.arange(other.low, other.high + 1)[None, :]
    if a.size * b.size > 1 << 16:
        return 1
    longer = np.ceil(threshold * np.maximum(a, b) - _SLACK).astype(np.int64)
    overlap = _needed_overlap(a, b, threshold)
    shared = np.clip(_COMMON + overlap - longer, 1, np.maximum(1, overlap))
    possible = np.maximum(a, b) * threshold - _SLACK <= np.minimum(a, b)
    return int(shared[possible].min()) if possible.any() else 1


def _sharing_prefixes(group: _Group, other: _Group, needed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions in two groups of the pairs that share at least `needed` prefix n-grams."""
    frequency = np.diff(other.transposed.indptr)
    work = np.add.reduceat(frequency[group.prefixes.indices].astype(np.int64), group.prefixes.indptr[:-1])
    blocks = np.cumsum(work) // _PRODUCT_BUDGET
    edges = np.concatenate([[0], np.flatnonzero(np.diff(blocks)) + 1, [len(work)]])
    for start, stop in pairwise(edges):
        product = group.prefixes[start:stop] @ other.transposed
        found = np.flatnonzero(product.data >= needed)
        rows = np.searchsorted(product.indptr, found, side="right") - 1
        yield rows + start, product.indices[found].astype(np.int64)


def _verified(
    left: _Prefixes, right: _Prefixes, i: np.ndarray, j: np.ndarray, threshold: float
) -> Iterator[Pairs]:
    """The candidate pairs that are similar."""
    for start in range(0, len(i), 8 * _VERIFY_BLOCK):
        rows, columns = i[start : start + 8 * _VERIFY_BLOCK], j[start : start + 8 * _VERIFY_BLOCK]
        a, b = left.sizes[rows], right.sizes[columns]
        # The symmetric difference is at least the number of bits in which the bitmaps differ.
        allowed = a + b - 2 * _needed_overlap(a, b, threshold)
        near = np.flatnonzero(allowed >= 0)
        differing = np.bitwise_count(left.bitmaps[rows[near]] ^ right.bitmaps[columns[near]])
        near = near[differing.sum(axis=1, dtype=np.int64) <= allowed[near]]
        for part in range(0, len(near), _VERIFY_BLOCK):
            chosen = near[part : part + _VERIFY_BLOCK]
            x, y = rows[chosen], columns[chosen]
            common = np.asarray(left.full[x].multiply(right.full[y]).sum(axis=1)).ravel().astype(np.int64)
            similarity = common / (a[chosen] + b[chosen] - common)
            mask = similarity >= threshold
            if mask.any():
                yield Pairs(x[mask], y[mask], similarity[mask])
