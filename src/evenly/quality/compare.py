"""Producers of synthetic samples side by side: the same measures, on rows of the same classes, for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evenly.features import Featurizer
from evenly.features.neighbours import nearest_neighbours
from evenly.quality.features import Seen, Space, fit_space
from evenly.quality.measures import (
    balanced_accuracy_across,
    column_distances,
    correlation_difference,
    discriminator_auc,
    frechet_distance,
    inception_score,
    kernel_distance,
    manifold_measures,
)
from evenly.samples import SampleTable
from evenly.screening.checks.memorised import copy_detector
from evenly.screening.checks.opinions import rows_within
from evenly.screening.checks.realism import variance_ratio, variance_ratios

#: What real rows that no producer has seen score: the standard for all others.
UNSEEN = "real, unseen"
#: Of fresh rows, this share is taken for copies.
FALSE_ALARMS = 0.005
_MOST = 2000  # rows of a producer, and held-out rows, that are compared
_REAL_NUMBERS = 1 << 27  # numbers in the vectors of the real training rows that copies are looked for among
_FEWEST = 10  # rows of both sorts below which their distributions are not compared
_MANIFOLD = 5  # neighbour whose distance is a row's radius
_COPIES = 5  # neighbour whose distance copies are told by
_FLAT = 0.25  # share of the real variance below which a class is said to have collapsed; SMOTE has .6
_FEWEST_OF_CLASS = 5  # rows of both sorts below which nothing is said about a class


@dataclass(frozen=True)
class ProducerQuality:
    """What one producer's rows score."""

    name: str  # The producer: an origin, or `UNSEEN`
    rows: int  # Number of its rows
    #: Rows of it, and as many held-out ones of the same classes, whose distributions were compared.
    compared: int
    #: By measure (`evenly.quality.outputs.MEASURES`); what these rows do not tell is left out.
    values: dict[str, float]
    worst_column: str | None  # The column whose distance is largest, for tables
    flat_classes: tuple[str, ...]  # Classes whose rows have less than a quarter of the real rows' variance


@dataclass(frozen=True)
class Quality:
    """Producers side by side; `features` says in which space, `train_rows` and `held_out_rows` against how
    many real rows.
    """

    features: str
    train_rows: int
    held_out_rows: int
    producers: tuple[ProducerQuality, ...]


def quality_by_origin(balanced: SampleTable, **against: Any) -> Quality | None:
    """Compare the synthetic rows of a balanced table by their origin, as `quality_of`; None without any."""
    origins = sorted(set(balanced.origins) - {"real"})
    tables = {origin: balanced.take(balanced.origins == origin) for origin in origins}
    return quality_of(tables, **against) if tables else None


def quality_of(
    producers: Mapping[str, SampleTable],
    *,
    train: SampleTable,
    held_out: SampleTable,
    featurizer: Featurizer,
    seed: int,
    unseen: SampleTable | None = None,
    threads: int = 1,
) -> Quality:
    """Compare producers by every measure, in one space.

    Parameters
    ----------
    train
        The training split, of which the real rows are used: what producers have seen.
    held_out
        Real rows that no producer has seen. A producer that copies its training rows is no closer to these.
    featurizer
        Fitted on the training rows.
    seed
        Settles the classifier behind the features, folds, and which rows are compared where there are many.
    unseen
        More such rows, which are scored as if a producer had made them, to tell what real rows score.

    Notes
    -----
    Producers make rows of scarce classes, held-out rows are of all. So distributions are compared on as many
    rows of each class from both sides. Where there are many rows, a sample of 2,000 is compared, which keeps
    the time linear in their number.
    """
    from evenly.classifiers.devices import pinned_threads

    real, held_out = train.take(train.is_real).sorted_by_id(), held_out.sorted_by_id()
    if not len(held_out) or len(np.unique(real.codes)) < 2:
        raise ValueError("quality needs held-out rows, and real training rows of at least two classes")
    tables = producers if unseen is None else {UNSEEN: unseen, **producers}
    with pinned_threads(threads):
        comparison = _Comparison(real, held_out, fit_space(real, featurizer, seed, threads), seed)
        found = [comparison.of(name, rows) for name, rows in tables.items() if len(rows)]
    return Quality(comparison.space.name, len(comparison.real), len(comparison.held_out), tuple(found))


class _Comparison:
    """The real rows, and everything that is computed from them once."""

    def __init__(self, real: SampleTable, held_out: SampleTable, space: Space, seed: int) -> None:
        most = max(_MOST, _REAL_NUMBERS // space.featurizer.dimension)
        self.space, self.seed = space, seed
        self.real = real.take(rows_within(real.codes, most, seed))
        self.held_out = held_out.take(rows_within(held_out.codes, _MOST, seed))
        self.reference = space.see(self.held_out)
        # Whole tables of vectors are kept for the search of copies only.
        self.vectors = np.asarray(space.featurizer.transform(self.real), dtype=np.float32)
        fitted = rows_within(self.real.codes, _MOST, seed)
        self.fitted = space.see(self.real.take(fitted))
        self.copies = copy_detector(self.vectors, _COPIES, FALSE_ALARMS, seed)
        self.spacing = float(nearest_neighbours(self.reference.vectors, self.vectors, 1)[0].mean())

    def of(self, name: str, rows: SampleTable) -> ProducerQuality:
        """What a producer's rows score."""
        samples = rows.sorted_by_id()
        samples = samples.take(rows_within(samples.codes, _MOST, self.seed))
        made = self.space.see(samples)
        left, right = _matched(made.codes, self.reference.codes, self.seed)
        values = self._copies(made)
        sides = made.vectors, made.codes, self.fitted.vectors, self.fitted.codes
        if (spread := variance_ratio(*sides)) is not None:
            values["variance_ratio"] = spread
        values |= self._usefulness(made, self.reference)
        worst = None
        if len(left) >= _FEWEST:
            values |= self._distances(made.take(left), self.reference.take(right))
            if samples.modality == "table" and samples.schema.features:
                distances = column_distances(self.held_out.take(right), samples.take(left))
                values["column_distance"] = float(np.mean(list(distances.values())))
                worst = max(distances, key=lambda name: distances[name])
        # Classes of which a producer makes one row again and again.
        ratios = variance_ratios(*sides, _FEWEST_OF_CLASS)
        flat = tuple(samples.classes[code] for code, ratio in ratios.items() if ratio < _FLAT)
        return ProducerQuality(name, len(rows), len(left), values, worst, flat)

    def _distances(self, made: Seen, real: Seen) -> dict[str, float]:
        found = {
            "fid": frechet_distance(real.features, made.features),
            "kid": kernel_distance(real.features, made.features),
            "inception_score": inception_score(made.probabilities),
            "discriminator_auc": discriminator_auc(real.compact, made.compact, self.seed),
        }
        found |= asdict(manifold_measures(real.features, made.features, _MANIFOLD))
        if self.real.modality == "table":
            difference = correlation_difference(real.vectors, made.vectors)
            if difference is not None:
                found["correlation_difference"] = difference
        return found

    def _copies(self, made: Seen) -> dict[str, float]:
        """Share of copies of training rows, and the distance to these against that of held-out rows."""
        found: dict[str, float] = {}
        nearest, places = nearest_neighbours(made.vectors, self.vectors, 1)
        if self.copies is not None:
            ratios = self.copies.ratios(made.vectors, (nearest[:, 0], places[:, 0]))[0]
            found["copied"] = float((ratios < self.copies.limit).mean())
        if self.spacing > 0:
            found["nearest_ratio"] = float(nearest.mean()) / self.spacing
        return found

    def _usefulness(self, made: Seen, held_out: Seen) -> dict[str, float]:
        """What made rows teach a classifier of real ones (classes without any keep their real rows)."""
        real = self.fitted
        rest = ~np.isin(real.codes, made.codes)
        vectors, codes = (
            np.concatenate(pair)
            for pair in ((made.compact, real.compact[rest]), (made.codes, real.codes[rest]))
        )
        scores = {
            "tstr": balanced_accuracy_across(vectors, codes, held_out.compact, held_out.codes),
            "trts": balanced_accuracy_across(real.compact, real.codes, made.compact, made.codes),
        }
        return {name: value for name, value in scores.items() if value is not None}


def _matched(codes: np.ndarray, others: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of as many rows of each class on both sides, drawn for each class by itself."""
    chosen: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for code in np.intersect1d(codes, others):
        sides = np.flatnonzero(codes == code), np.flatnonzero(others == code)
        n = min(map(len, sides))
        for side, rows in enumerate(sides):
            rng = np.random.default_rng([seed, 13, side, int(code)])
            chosen[side].append(rng.permutation(rows)[:n])
    left, right = (np.sort(np.concatenate([*parts, np.empty(0, np.int64)])) for parts in chosen)
    return left, right
