"""SMOTE within clusters: only where a class is at home, and more where its rows lie far apart.

Douzas, Bacao and Last, "Improving imbalanced learning through a heuristic oversampling method based on
k-means and SMOTE", 2018, with the rules and defaults of imbalanced-learn's `KMeansSMOTE`.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np

from evenly.resampling.segments import Source, even_counts, proportional_counts
from evenly.resampling.selection import Members, Space

CLUSTERS = 8
_BLOCK = 1024


def cluster_labels(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Cluster all rows of a table by mini-batch k-means into at most 8 clusters, int (n,)."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits(1):
        # Fewer distinct rows than clusters leaves some empty, which is no failure here; one thread keeps
        # results the same everywhere and has no memory leak to be warned of.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "MiniBatchKMeans is known to have a memory leak", UserWarning)
        model = MiniBatchKMeans(n_clusters=min(CLUSTERS, len(vectors)), random_state=seed, n_init=3)
        labels: np.ndarray = model.fit_predict(vectors)
    return labels


def kmeans_smote(
    space: Space, members: Members, n: int, share: float, labels: np.ndarray, rng: np.random.Generator
) -> tuple[list[Source], int]:
    """Interpolate within the clusters in which the class is frequent enough.

    Parameters
    ----------
    space, members
        The table and the class.
    n
        Samples to make.
    share
        This class's share of all samples that are made; a cluster counts where the class has half of it.
    labels
        Cluster of each row of the table.
    rng
        For the draw.

    Returns
    -------
    sources : list of Source
        Empty where no cluster counts.
    k : int
        Neighbours used: fewer than asked for where even the fullest cluster has no more rows of the class.
    """
    own = labels[members.rows]
    sizes = np.bincount(labels)
    held = np.bincount(own, minlength=len(sizes))
    at_home = held / np.maximum(sizes, 1) >= share / 2
    k = min(members.k, int(held[at_home].max(initial=0)) - 1)
    if k < 1:
        return [], members.k
    chosen = [np.flatnonzero(own == c) for c in np.flatnonzero(at_home & (held > k))]
    weights = np.array([sparsity(members.vectors[rows]) for rows in chosen])
    if not weights.any():  # every cluster is one point
        weights = np.ones(len(chosen))
    sources = []
    for rows, size in zip(chosen, proportional_counts(n, weights), strict=True):
        if size:
            part = replace(members, rows=members.rows[rows], vectors=members.vectors[rows], k=k)
            sources.append(part.source(np.arange(len(rows)), even_counts(int(size), len(rows), rng)))
    return sources, k


def sparsity(vectors: np.ndarray) -> float:
    """Mean distance between the rows of a cluster, to a power that grows with their number n, over n."""
    n = len(vectors)
    exponent = math.log(n, 1.6) ** 1.8 * 0.16
    return float(_mean_distance(vectors) ** exponent / n)


def _mean_distance(vectors: np.ndarray) -> float:
    """Mean Euclidean distance over the ordered pairs of different rows."""
    exact = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    norms = np.einsum("ij,ij->i", exact, exact)
    total = 0.0
    for start in range(0, len(exact), _BLOCK):
        part = slice(start, start + _BLOCK)
        squares = norms[part, None] + norms - 2 * exact[part] @ exact.T
        total += float(np.sqrt(np.maximum(squares, 0)).sum())
    return total / (len(exact) * (len(exact) - 1))
