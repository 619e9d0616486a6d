"""The nearest point within a radius, exactly, without looking at every pair: near-copies among many rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from evenly.features.neighbours import TREE_DIMENSIONS, nearest_neighbours

#: Up to so many pairs matrix products are as fast.
_FEW_PAIRS = 1 << 24
_BASIS_ROWS = 1000  # points that the directions of the tree are told from
_QUERIES = 4096  # asked of the tree at once
_PAIRS = 1 << 20  # candidates held at once
_NUMBERS = 1 << 20  # coordinates held at once while distances are computed
#: A query with more than this share of the points near it in the tree's dimensions is compared with all.
_CROWDED = 0.02


def nearest_within(
    queries: np.ndarray, points: np.ndarray, radii: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest point of each query that is no farther than a radius.

    Parameters
    ----------
    queries
        float32 (q, d), finite.
    points
        float32 (n, d), finite.
    radii
        One for all, or one for each query, (q,), not negative.

    Returns
    -------
    distances : numpy.ndarray
        float32 (q,), infinite where no point is so near.
    indices : numpy.ndarray
        int64 (q,), positions in `points`, -1 where there is none; the first of those at the same distance.

    Notes
    -----
    Distances in a projection are no greater than those in the full space. So a k-d tree in the directions
    of the largest variance gives all points that may be near enough, and these are compared in full. Where
    the radius is small against the spread they are few, and the time grows hardly faster than the rows.
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    points = np.ascontiguousarray(points, dtype=np.float32)
    limits = np.broadcast_to(np.asarray(radii, dtype=np.float32), (len(queries),))
    distances = np.full(len(queries), np.inf, dtype=np.float32)
    indices = np.full(len(queries), -1, dtype=np.int64)
    if not len(queries) or not len(points):
        return distances, indices
    everywhere = np.arange(len(queries))
    if points.shape[1] > TREE_DIMENSIONS and len(queries) * len(points) > _FEW_PAIRS:
        everywhere = _by_projection(queries, points, limits, distances, indices)
    if len(everywhere):
        found, places = nearest_neighbours(queries[everywhere], points, 1)
        near = found[:, 0] <= limits[everywhere]
        distances[everywhere[near]], indices[everywhere[near]] = found[near, 0], places[near, 0]
    return distances, indices


def _by_projection(
    queries: np.ndarray, points: np.ndarray, limits: np.ndarray, distances: np.ndarray, indices: np.ndarray
) -> np.ndarray:
    """Fill in the last two; give the positions of queries that have too many points around them for it."""
    from scipy.spatial import cKDTree

    basis = _directions(points)
    projected, asked = points @ basis, queries @ basis
    tree = cKDTree(projected, balanced_tree=False)
    # What rounding may add to a distance in the projection.
    slack = 1e-5 * float(max(np.abs(points).max(), np.abs(queries).max())) * points.shape[1] ** 0.5
    crowded = []
    for start in range(0, len(queries), _QUERIES):
        block = np.arange(start, min(start + _QUERIES, len(queries)))
        reach = limits[block] + slack
        counts = tree.query_ball_point(asked[block], reach, return_length=True)
        many = counts > _CROWDED * len(points)
        crowded.append(block[many])
        rows = np.flatnonzero(~many & (counts > 0))
        for part in np.split(rows, np.flatnonzero(np.diff(np.cumsum(counts[rows]) // _PAIRS)) + 1):
            if len(part):
                lists = tree.query_ball_point(asked[block[part]], reach[part])
                _settle(block[part], lists, (queries, points), limits, distances, indices)
    return np.concatenate(crowded)


def _settle(
    rows: np.ndarray,
    lists: Any,
    vectors: tuple[np.ndarray, np.ndarray],
    limits: np.ndarray,
    distances: np.ndarray,
    indices: np.ndarray,
) -> None:
    """Compare queries with the points that the tree found, and write the nearest into the last two."""
    queries, points = vectors
    left = np.repeat(rows, [len(found) for found in lists])
    right = np.concatenate([np.asarray(found, dtype=np.int64) for found in lists])
    exact = np.empty(len(left))
    step = max(1, _NUMBERS // points.shape[1])
    for start in range(0, len(left), step):
        part = slice(start, start + step)
        difference = queries[left[part]].astype(np.float64) - points[right[part]]
        exact[part] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    found = exact.astype(np.float32)
    near = np.flatnonzero(found <= limits[left])
    order = near[np.lexsort((right[near], exact[near], left[near]))]
    first = order[np.unique(left[order], return_index=True)[1]]
    distances[left[first]], indices[left[first]] = found[first], right[first]


def _directions(points: np.ndarray) -> np.ndarray:
    """Orthonormal directions in which points spread most, float32 (d, TREE_DIMENSIONS)."""
    sample = points[np.linspace(0, len(points) - 1, min(len(points), _BASIS_ROWS)).astype(np.int64)]
    centred = sample.astype(np.float64) - sample.mean(axis=0, dtype=np.float64)
    basis = np.linalg.svd(centred, full_matrices=False)[2][:TREE_DIMENSIONS]
    return np.ascontiguousarray(basis.T, dtype=np.float32)
