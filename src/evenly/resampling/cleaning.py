"""Which rows the cleaning methods take away: Tomek links and edited nearest neighbours."""

from __future__ import annotations

import numpy as np

from evenly.features.neighbours import nearest_neighbours


def tomek_links(vectors: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Mark rows that are, with a row of another class, each other's nearest neighbour (Tomek 1976).

    Parameters
    ----------
    vectors
        float32 (n, d), n ≥ 2.
    codes
        int64 (n,): classes.

    Returns
    -------
    numpy.ndarray
        bool (n,).
    """
    _, near = nearest_neighbours(vectors, vectors, 1, exclude_self=True)
    nearest = near[:, 0]
    mutual = nearest[nearest] == np.arange(len(codes))
    return np.asarray(mutual & (codes[nearest] != codes))


def edited_rows(vectors: np.ndarray, codes: np.ndarray, candidates: np.ndarray, k: int) -> np.ndarray:
    """Mark candidates with a row of another class among their `k` nearest (Wilson 1972, every neighbour must
    agree).

    Parameters
    ----------
    vectors
        float32 (n, d), n > k.
    codes
        int64 (n,): classes.
    candidates
        bool (n,): rows that may be marked.
    k
        Neighbours per row.

    Returns
    -------
    numpy.ndarray
        bool (n,).
    """
    rows = np.flatnonzero(candidates)
    marked = np.zeros(len(codes), dtype=bool)
    if len(rows):
        everyone = len(rows) == len(codes)
        queries = vectors if everyone else vectors[rows]
        _, near = nearest_neighbours(queries, vectors, k, exclude_self=everyone or rows)
        marked[rows] = (codes[near] != codes[rows][:, None]).any(axis=1)
    return marked
