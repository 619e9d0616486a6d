"""SMOTE and ADASYN against imbalanced-learn: CPU seconds in one process, alternating, medians.

100,000 × 384 float32, 10 % of them the minority, brought to balance with 5 neighbours. Both sides start from
the same arrays and end with the new rows stacked under the given ones.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from evenly.features.neighbours import nearest_neighbours
from evenly.resampling.segments import draw_segments, interpolated
from evenly.resampling.selection import Members, Space, adasyn, smote

NEIGHBOURS = 5


def imbalanced_table(rows: int, dimensions: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping normal clouds, float32 (rows, dimensions); every tenth row is of class 1."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(rows) % 10 == 0).astype(np.int64)
    vectors = rng.standard_normal((rows, dimensions), dtype=np.float32)
    vectors += labels[:, None].astype(np.float32) * np.float32(0.05)
    return vectors, labels


def our_oversampling(vectors: np.ndarray, labels: np.ndarray, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Bring class 1 to the size of class 0."""
    rng = np.random.default_rng(1)
    rows = np.flatnonzero(labels == 1)
    n = len(labels) - 2 * len(rows)
    members = Members(rows, vectors[rows], NEIGHBOURS)
    sources = (
        smote(members, n, rng)
        if method == "smote"
        else adasyn(Space(vectors, labels), members, n, NEIGHBOURS)
    )
    balanced = np.empty((len(labels) + n, vectors.shape[1]), dtype=np.float32)
    balanced[: len(labels)] = vectors
    interpolated(vectors, draw_segments(sources, rng), out=balanced[len(labels) :])
    return balanced, np.concatenate([labels, np.ones(n, labels.dtype)])


def their_oversampling(vectors: np.ndarray, labels: np.ndarray, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Do the same with imbalanced-learn."""
    from imblearn.over_sampling import ADASYN, SMOTE

    if method == "smote":
        sampler = SMOTE(k_neighbors=NEIGHBOURS, random_state=1)
    else:
        sampler = ADASYN(n_neighbors=NEIGHBOURS, random_state=1)
    made: tuple[np.ndarray, np.ndarray] = sampler.fit_resample(vectors, labels)
    return made


def their_neighbours(points: np.ndarray) -> np.ndarray:
    """Find with scikit-learn what SMOTE looks for: the neighbours of each point but itself."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(points).kneighbors(points, return_distance=False)
    return np.asarray(found[:, 1:])


def compare(name: str, ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> None:
    """Print the medians of both, and how many times less CPU ours takes."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for run, spent in zip((ours, theirs), seconds, strict=True):
            started = time.process_time()
            run()
            spent.append(time.process_time() - started)
    mine, other = (statistics.median(spent) for spent in seconds)
    print(f"{name:<34} evenly {mine:7.2f} s   reference {other:7.2f} s   {other / mine:5.1f}× less CPU")


def main() -> None:
    """Print one line a comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    vectors, labels = imbalanced_table(chosen.rows, chosen.dimensions)
    scarce = vectors[labels == 1]
    size = f"{chosen.rows:,}×{chosen.dimensions}"
    for run in (our_oversampling, their_oversampling):  # imports and threads are not part of it
        run(*imbalanced_table(1000, 8), "smote")

    agree = (nearest_neighbours(scarce, scarce, NEIGHBOURS, True)[1] == their_neighbours(scarce)).mean()
    print(f"neighbours equal to scikit-learn's: {agree:.4%}")
    compare(
        f"neighbour search {len(scarce):,}×{chosen.dimensions}",
        lambda: nearest_neighbours(scarce, scarce, NEIGHBOURS, True),
        lambda: their_neighbours(scarce),
        chosen.rounds,
    )
    compare(
        f"SMOTE {size}",
        lambda: our_oversampling(vectors, labels, "smote"),
        lambda: their_oversampling(vectors, labels, "smote"),
        chosen.rounds,
    )
    compare(
        f"ADASYN {size}",
        lambda: our_oversampling(vectors, labels, "adasyn"),
        lambda: their_oversampling(vectors, labels, "adasyn"),
        1,
    )


if __name__ == "__main__":
    main()
