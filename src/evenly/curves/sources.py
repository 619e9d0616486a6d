"""What a curve is drawn over: the variants of classifiers, and the rows that are added, in their order.

Rows are copies, copies of the scarce classes only, SMOTE's, and those that the producers of a run have made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from evenly.classifiers.training.sampling import repeated_shuffles
from evenly.errors import DataError, ParameterError
from evenly.features.featurizer import Featurizer
from evenly.params.base import Settings
from evenly.params.losses import LossSettings
from evenly.params.models import MODELS, ModelsSettings
from evenly.params.training import TrainingSettings
from evenly.plans import ResamplePlan, TrainPlan
from evenly.resampling.resample import resample
from evenly.resampling.selection import random_stream
from evenly.samples import SampleTable

SourceName = Literal["run", "duplication", "smote", "fair_duplication"]
MetricName = Literal["error", "balanced_error", "macro_f1", "worst_class_error", "worst_group_error"]
if TYPE_CHECKING:
    CurveModel = str
else:
    CurveModel = Literal[tuple(name for name, spec in MODELS.items() if spec.regularised)]
#: A grid is hundreds of fits: trees and rounds are no more than these, unless the command names the rounds.
MOST: dict[str, int] = {"trees": 100, "rounds": 80}


class CurveSettings(Settings):
    """What to draw."""

    #: Where the rows that are added come from; `run` are the kept rows of the run's producers.
    sources: tuple[SourceName, ...]
    #: Each is fitted plain, with the settings of params.yaml, and regularised.
    models: tuple[CurveModel, ...]
    #: Steps after the first, which is no synthetic row.
    steps: PositiveInt = 4
    #: Rows of the last step; None takes those of the run, or what it takes to balance the classes.
    most: PositiveInt | None = None
    #: Each draws other synthetic rows and seeds the classifier anew.
    seeds: tuple[NonNegativeInt, ...]
    #: On test rows.
    metric: MetricName = "balanced_error"
    #: Boosting rounds, all of which are made: no row is kept from training to say when to stop. None stops by
    #: the validation rows.
    rounds: PositiveInt | None = None
    #: Whether rows of the run are added in the order in which they came, or drawn by each seed.
    in_order: bool = False


class Variant(Settings):
    """A classifier of the curves: a model with the settings of params.yaml, or its regularised form."""

    model: CurveModel
    regularised: bool

    @property
    def title(self) -> str:
        """What it is called."""
        return f"{self.model}, regularised" if self.regularised else self.model

    def plan(self, models: ModelsSettings, seed: int, rounds: int | None = None) -> TrainPlan:
        """Say how it is fitted, in one thread, with the plain loss, and with exactly so many `rounds`."""
        settings = getattr(models, self.model)
        changes = {k: min(most, getattr(settings, k)) for k, most in MOST.items() if hasattr(settings, k)}
        if rounds and "rounds" in changes:
            changes["rounds"] = rounds
        if self.regularised:
            changes |= MODELS[self.model].regularised
        return TrainPlan(
            model=self.model,
            settings=settings.model_copy(update=changes),
            loss="cross_entropy",
            losses=LossSettings(),
            sampler="uniform",
            training=TrainingSettings(),
            seed=seed,
            threads=1,
        )


def variants(models: tuple[CurveModel, ...]) -> list[Variant]:
    """All classifiers of the curves, the plain form of each model before its regularised one."""
    return [Variant(model=model, regularised=strong) for model in models for strong in (False, True)]


def named_choices(text: str, kind: Any, option: str) -> tuple[Any, ...]:
    """Read `a,b,c`, each of them one of a `Literal`."""
    allowed = get_args(kind)
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        if name not in allowed:
            raise ParameterError(f"{option} takes {', '.join(allowed)}, separated by commas, not {name!r}.")
    return names


@dataclass(frozen=True)
class VectorRows:
    """Rows as vectors: `vectors` float32 (n, d), `codes` their classes as positions, int64 (n,)."""

    vectors: np.ndarray
    codes: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: np.ndarray | slice) -> VectorRows:
        """Rows by position or by mask."""
        return VectorRows(self.vectors[rows], self.codes[rows])

    def first(self, count: int) -> VectorRows:
        """The first so many rows."""
        return self.take(slice(count))

    def followed_by(self, other: VectorRows) -> VectorRows:
        """These rows, then the others."""
        if not len(other):
            return self
        codes = np.concatenate([self.codes, other.codes])
        return VectorRows(np.concatenate([self.vectors, other.vectors]), codes)


def vector_rows(samples: SampleTable, featurizer: Featurizer) -> VectorRows:
    """Vectors and classes of a table, which may be empty."""
    if not len(samples):
        return VectorRows(np.zeros((0, featurizer.dimension), np.float32), np.zeros(0, np.int64))
    return VectorRows(featurizer.transform(samples), samples.codes)


@dataclass(frozen=True)
class Pool:
    """What sources draw from."""

    #: The training rows, ordered by id, as a table and as vectors.
    samples: SampleTable
    rows: VectorRows
    #: Rows that the run's producers have made and its screening has kept.
    made: VectorRows
    #: Fitted on the training rows.
    featurizer: Featurizer

    def to_balance(self) -> int:
        """Rows that it takes to bring all classes to the largest."""
        counts = [count for count in self.samples.counts.values() if count]
        return sum(max(counts) - count for count in counts)


def added_rows(source: SourceName, pool: Pool, most: int, seed: int, in_order: bool = False) -> VectorRows:
    """The rows that a curve adds, so that its step of k rows is the first k of them.

    `duplication` copies training rows of all classes alike, each as often as any other: with as many copies
    as there are rows, every row is there twice. `fair_duplication` and `smote` give every row to the class
    that has the fewest by then; the one copies the class's rows in turn, the other makes new ones between
    them. `run` gives its rows in a random order, or `in_order`, as they came.
    """
    rng = random_stream(seed, "curve", source)
    if source == "run":
        if not len(pool.made):
            raise DataError(
                "The run has kept no generated rows (data/filtered/kept.parquet is empty): run a recipe such "
                "as llm or vae, name its experiment with --rev, or leave the source `run` out."
            )
        return pool.made.first(most) if in_order else pool.made.take(rng.permutation(len(pool.made))[:most])
    if source == "duplication":
        return pool.rows.take(repeated_shuffles(np.arange(len(pool.rows)), most, rng))
    classes = filling_order(list(pool.samples.counts.values()), most)
    if source == "fair_duplication":
        return _placed(classes, _copies(pool, classes, rng))
    return _placed(classes, _between(pool, classes, seed))


def filling_order(counts: Sequence[int], most: int) -> np.ndarray:
    """The class of each row that is added, when every row goes to the class that has the fewest by then."""
    filled = np.array(counts, dtype=np.float64)
    filled[filled == 0] = np.inf
    order = np.empty(most, dtype=np.int64)
    for place in range(most):
        order[place] = code = int(filled.argmin())
        filled[code] += 1
    return order


def _copies(pool: Pool, classes: np.ndarray, rng: np.random.Generator) -> dict[int, VectorRows]:
    """Training rows of each class in turn, as many as are added."""
    codes, counts = np.unique(classes, return_counts=True)
    return {
        code: pool.rows.take(repeated_shuffles(np.flatnonzero(pool.rows.codes == code), count, rng))
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True)
    }


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
    return {int(code): made.take(made.codes == code) for code in np.unique(classes)}


def _placed(classes: np.ndarray, by_class: dict[int, VectorRows]) -> VectorRows:
    """Put each class's rows, in their order, where the class has its turn."""
    width = next((rows.vectors.shape[1] for rows in by_class.values()), 0)
    vectors = np.zeros((len(classes), width), dtype=np.float32)
    for code, rows in by_class.items():
        vectors[classes == code] = rows.vectors
    return VectorRows(vectors, classes)
