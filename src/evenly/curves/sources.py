"""The rows that a curve adds, in the order in which it adds them: copies, copies of the scarce classes only,
SMOTE's rows, and those that the producers of a run have made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evenly.curves.settings import SourceName
from evenly.errors import DataError
from evenly.features.featurizer import Featurizer
from evenly.plans import ResamplePlan
from evenly.resampling.growth import random_stream
from evenly.resampling.resample import resample
from evenly.samples import SampleTable


@dataclass(frozen=True)
class VectorRows:
    """Rows as vectors: `vectors` float32 (n, d), `codes` their classes as positions, int64 (n,)."""

    vectors: np.ndarray
    codes: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)

    def first(self, count: int) -> VectorRows:
        """The first so many rows."""
        return VectorRows(self.vectors[:count], self.codes[:count])

    def followed_by(self, other: VectorRows) -> VectorRows:
        """These rows, then the others."""
        if not len(other):
            return self
        return VectorRows(
            np.concatenate([self.vectors, other.vectors]), np.concatenate([self.codes, other.codes])
        )


def vector_rows(samples: SampleTable, featurizer: Featurizer) -> VectorRows:
    """Vectors and classes of a table, which may be empty."""
    if not len(samples):
        return VectorRows(np.zeros((0, featurizer.dimension), np.float32), np.zeros(0, np.int64))
    return VectorRows(featurizer.transform(samples), samples.codes)


@dataclass(frozen=True)
class Pool:
    """What sources draw from.

    Attributes
    ----------
    samples, rows
        The training rows, ordered by id, as a table and as vectors.
    made
        Rows that the run's producers have made and its screening has kept.
    featurizer
        Fitted on the training rows.
    """

    samples: SampleTable
    rows: VectorRows
    made: VectorRows
    featurizer: Featurizer

    def to_balance(self) -> int:
        """Rows that it takes to bring all classes to the largest."""
        counts = [count for count in self.samples.counts.values() if count]
        return sum(max(counts) - count for count in counts)


def added_rows(source: SourceName, pool: Pool, most: int, seed: int) -> VectorRows:
    """The rows that a curve adds, so that its step of k rows is the first k of them.

    `duplication` copies training rows of all classes alike, each as often as any other: with as many copies
    as there are rows, every row is there twice. `fair_duplication` and `smote` give every row to the class
    that has the fewest by then; the one copies the class's rows in turn, the other makes new ones between
    them. `run` gives its rows in a random order.

    Parameters
    ----------
    source
        Where the rows come from.
    pool
        What there is.
    most
        How many to add; `run` gives fewer where it has fewer.
    seed
        Settles what is drawn.

    Raises
    ------
    DataError
        When `run` is asked for and has no rows.
    """
    rng = random_stream(seed, "curve", source)
    if source == "run":
        if not len(pool.made):
            raise DataError(
                "The run has kept no generated rows (data/filtered/kept.parquet is empty): run a recipe such "
                "as llm or vae, name its experiment with --rev, or leave the source `run` out."
            )
        order = rng.permutation(len(pool.made))[:most]
        return VectorRows(pool.made.vectors[order], pool.made.codes[order])
    if source == "duplication":
        chosen = _in_turn(np.arange(len(pool.rows)), most, rng)
        return VectorRows(pool.rows.vectors[chosen], pool.rows.codes[chosen])
    classes = filling_order(list(pool.samples.counts.values()), most)
    if source == "fair_duplication":
        return _placed(classes, _copies(pool, classes, rng))
    return _placed(classes, _between(pool, classes, seed))


def filling_order(counts: Sequence[int], most: int) -> np.ndarray:
    """The class of each row that is added, when every row goes to the class that has the fewest by then.

    Parameters
    ----------
    counts
        Rows of each class; a class without one gets none.
    most
        Rows to add.

    Returns
    -------
    codes : int64 (most,)
        Of equal classes the first comes first.
    """
    filled = np.array(counts, dtype=np.float64)
    filled[filled == 0] = np.inf
    order = np.empty(most, dtype=np.int64)
    for place in range(most):
        order[place] = code = int(filled.argmin())
        filled[code] += 1
    return order


def _in_turn(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rows so that none is drawn a second time before all have been."""
    rounds = [rng.permutation(rows) for _ in range(-(-count // len(rows)))]
    return np.concatenate(rounds)[:count] if rounds else np.zeros(0, dtype=np.int64)


def _copies(pool: Pool, classes: np.ndarray, rng: np.random.Generator) -> dict[int, VectorRows]:
    found = {}
    for code in np.unique(classes):
        members = np.flatnonzero(pool.rows.codes == code)
        chosen = _in_turn(members, int((classes == code).sum()), rng)
        found[int(code)] = VectorRows(pool.rows.vectors[chosen], pool.rows.codes[chosen])
    return found


def _between(pool: Pool, classes: np.ndarray, seed: int) -> dict[int, VectorRows]:
    """SMOTE's rows by class, made all at once as the pipeline makes them."""
    counts = pool.samples.counts
    wanted = np.bincount(classes, minlength=len(counts))
    targets = {name: count + int(n) for (name, count), n in zip(counts.items(), wanted, strict=True)}
    plan = ResamplePlan(
        method="smote", targets=targets, k_neighbors=5, clean_neighbors=3, clean="not_minority", seed=seed
    )
    table, _ = resample(pool.samples, plan, pool.featurizer)
    made = vector_rows(table.take(np.arange(len(pool.samples), len(table))), pool.featurizer)
    return {
        int(code): VectorRows(made.vectors[made.codes == code], made.codes[made.codes == code])
        for code in np.unique(classes)
    }


def _placed(classes: np.ndarray, by_class: dict[int, VectorRows]) -> VectorRows:
    """Put each class's rows, in their order, where the class has its turn."""
    width = next((rows.vectors.shape[1] for rows in by_class.values()), 0)
    vectors = np.zeros((len(classes), width), dtype=np.float32)
    for code, rows in by_class.items():
        vectors[classes == code] = rows.vectors
    return VectorRows(vectors, classes)
