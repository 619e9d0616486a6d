"""Which rows of a class the methods of the SMOTE family interpolate from, and how often.

Each function returns sources for `segments`, or none where the method has nothing to start from. Parents of
the same standing are used equally often, as in Chawla's algorithm. The rules are written anew because the
classes of imbalanced-learn hide which rows a sample was made from, and take 3 to 5 times the CPU on 100,000
rows (docs/results/speed.md).
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from evenly.features.neighbours import nearest_neighbours
from evenly.resampling.segments import Source, even_counts, proportional_counts

#: Neighbours among all classes that tell whether a row is in danger: the m of Han et al. 2005 as commonly
#: set.
DANGER_NEIGHBOURS = 10
#: How far SVM-SMOTE reaches beyond a safe support vector, as a share of the way to its neighbour.
EXTRAPOLATION = 0.5


@dataclass(frozen=True)
class Space:
    """The table in feature space; `seed` says how it falls into clusters."""

    vectors: np.ndarray
    codes: np.ndarray
    seed: int = 0

    def foreign_neighbours(self, rows: np.ndarray, m: int) -> tuple[np.ndarray, int]:
        """Count the neighbours of another class among the `m` nearest of each row, int64 (rows,).

        The second value is the number of neighbours looked at: `m`, or all other rows where there are fewer.
        """
        m = min(m, len(self.vectors) - 1)
        _, near = nearest_neighbours(self.vectors[rows], self.vectors, m, exclude_self=rows)
        return (self.codes[near] != self.codes[rows][:, None]).sum(axis=1), m

    @cached_property
    def support_vectors(self) -> np.ndarray:
        """Positions of the support vectors of an RBF support vector machine on all classes, ascending."""
        from sklearn.svm import SVC

        return np.sort(SVC(gamma="scale").fit(self.vectors, self.codes).support_)

    @cached_property
    def clusters(self) -> np.ndarray:
        """Cluster of each row, by mini-batch k-means on all of them."""
        return cluster_labels(self.vectors, int(random_stream(self.seed, "clusters").integers(2**31)))


@dataclass(frozen=True)
class Members:
    """The rows of the class that grows."""

    rows: np.ndarray
    vectors: np.ndarray
    k: int

    def source(self, chosen: np.ndarray, counts: np.ndarray, furthest: float = 1.0) -> Source:
        """Interpolate from the chosen members (positions among the members, ascending)."""
        everyone = len(chosen) == len(self.rows)
        queries = self.vectors if everyone else self.vectors[chosen]
        _, near = nearest_neighbours(queries, self.vectors, self.k, exclude_self=everyone or chosen)
        return Source(self.rows[chosen], self.rows[near], counts, furthest)


def smote(members: Members, n: int, rng: np.random.Generator) -> list[Source]:
    """Interpolate from every row (Chawla et al. 2002)."""
    everyone = np.arange(len(members.rows))
    return [members.source(everyone, even_counts(n, len(everyone), rng))]


def borderline_smote(space: Space, members: Members, n: int, rng: np.random.Generator) -> list[Source]:
    """Interpolate from rows in danger: half or more, but not all, of 10 neighbours are of other classes.

    Han, Wang and Mao, "Borderline-SMOTE", 2005, the first variant (borderline-1).
    """
    chosen = np.flatnonzero(in_danger(*space.foreign_neighbours(members.rows, DANGER_NEIGHBOURS)))
    return [members.source(chosen, even_counts(n, len(chosen), rng))] if len(chosen) else []


def svm_smote(space: Space, members: Members, n: int, rng: np.random.Generator) -> list[Source]:
    """Interpolate from support vectors in danger, extrapolate from safe ones, leave out noise.

    Nguyen, Cooper and Kamei, "Borderline over-sampling for imbalanced data classification", 2009. The share
    of the two kinds is drawn from Beta(10, 10), as imbalanced-learn does; where one kind is missing the other
    makes all. The support vector machine sees every row, which takes minutes beyond some 20,000.
    """
    if len(np.unique(space.codes)) < 2:
        return []
    chosen = np.flatnonzero(np.isin(members.rows, space.support_vectors))
    if not len(chosen):
        return []
    foreign, m = space.foreign_neighbours(members.rows[chosen], DANGER_NEIGHBOURS)
    danger = in_danger(foreign, m)
    safe = foreign < m
    parts = [(chosen[danger], 1.0), (chosen[safe & ~danger], -EXTRAPOLATION)]
    interpolate = int(rng.beta(10, 10) * (n + 1))
    sizes = [interpolate, n - interpolate]
    if not len(parts[0][0]):
        sizes = [0, n]
    elif not len(parts[1][0]):
        sizes = [n, 0]
    return [
        members.source(rows, even_counts(size, len(rows), rng), furthest)
        for (rows, furthest), size in zip(parts, sizes, strict=True)
        if len(rows) and size
    ]


def adasyn(space: Space, members: Members, n: int, k: int) -> list[Source]:
    """Interpolate from each row in proportion to its share of foreign neighbours (He et al. 2008)."""
    shares = density_ratios(space, members, k)
    if not shares.any():
        return []
    counts = proportional_counts(n, shares)
    chosen = np.flatnonzero(counts)
    return [members.source(chosen, counts[chosen])]


def density_ratios(space: Space, members: Members, k: int) -> np.ndarray:
    """Share of each member's `k` nearest rows that are of other classes, float64 (m,)."""
    foreign, k = space.foreign_neighbours(members.rows, k)
    return foreign / k


def in_danger(foreign: np.ndarray, m: int) -> np.ndarray:
    """Tell from the number of foreign ones among `m` neighbours whether a row is at the border."""
    return (foreign >= m / 2) & (foreign < m)


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
    space: Space, members: Members, n: int, share: float, rng: np.random.Generator
) -> list[Source]:
    """Interpolate within the clusters in which the class is frequent enough."""
    own = space.clusters[members.rows]
    sizes = np.bincount(space.clusters)
    held = np.bincount(own, minlength=len(sizes))
    at_home = held / np.maximum(sizes, 1) >= share / 2
    k = min(members.k, int(held[at_home].max(initial=0)) - 1)
    if k < 1:
        return []
    chosen = [np.flatnonzero(own == c) for c in np.flatnonzero(at_home & (held > k))]
    weights = np.array([sparsity(members.vectors[rows]) for rows in chosen])
    if not weights.any():  # every cluster is one point
        weights = np.ones(len(chosen))
    sources = []
    for rows, size in zip(chosen, proportional_counts(n, weights), strict=True):
        if size:
            part = replace(members, rows=members.rows[rows], vectors=members.vectors[rows], k=k)
            sources.append(part.source(np.arange(len(rows)), even_counts(int(size), len(rows), rng)))
    return sources


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


def random_stream(seed: int, *names: str) -> np.random.Generator:
    """Random numbers for one purpose, which no other purpose or class has an influence on."""
    text = "/".join((str(seed), *names)).encode()
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(text, digest_size=16).digest()))


@dataclass(frozen=True)
class Task:
    """What a rule is to do: grow `members` by `n` rows; all classes together grow by `n_in_all`."""

    space: Space
    members: Members
    n: int
    k_neighbors: int
    n_in_all: int


@dataclass(frozen=True)
class Rule:
    """What a method interpolates from, and why it may find nothing: a name, and the end of a sentence."""

    sources: Callable[[Task, np.random.Generator], list[Source]]
    reason: str = ""
    sentence: str = ""
    names_parents: bool = False  # whether it is told when few rows of the class are parents


_SMOTE = Rule(lambda task, rng: smote(task.members, task.n, rng))
#: By the `rule` of a resampler's specification.
RULES: Mapping[str, Rule] = {
    "smote": _SMOTE,
    "smotenc": _SMOTE,
    "borderline_smote": Rule(
        lambda task, rng: borderline_smote(task.space, task.members, task.n, rng),
        "no_borderline_rows",
        "has no row in danger (half or more, not all, neighbours foreign): plain SMOTE.",
    ),
    "svm_smote": Rule(
        lambda task, rng: svm_smote(task.space, task.members, task.n, rng),
        "no_support_vectors",
        "has no support vector that is not noise: plain SMOTE was used.",
    ),
    "adasyn": Rule(
        lambda task, rng: adasyn(task.space, task.members, task.n, task.k_neighbors),
        "no_foreign_neighbours",
        "has no row with a neighbour of another class: plain SMOTE was used.",
    ),
    "kmeans_smote": Rule(
        lambda task, rng: kmeans_smote(task.space, task.members, task.n, task.n / task.n_in_all, rng),
        "no_clusters",
        "has no cluster with enough of its rows: plain SMOTE was used.",
        names_parents=True,
    ),
}
