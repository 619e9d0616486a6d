"""Whether what a generator makes deserves the name: near to real rows, varied, of its class.

How good it is for a classifier is measured elsewhere.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from sklearn.metrics.pairwise import euclidean_distances
from torch import Tensor

from evenly.features import Featurizer
from evenly.generators.fitting import COLLAPSED, Judgement, Trainee
from evenly.generators.image_networks import trainable_device
from evenly.generators.sampling import Batches, evenly_spaced
from evenly.samples import SampleTable

#: Bandwidths of the kernel in multiples of the median distance between held-out rows of a class.
BANDWIDTHS = (0.5, 1.0, 2.0)
#: Of the real rows of a class so few say nothing about how varied it is.
FEWEST_FOR_SPREAD = 5
#: Rows that are made for a judgement, or more.
FEWEST_MADE = 400


class HeldOut:
    """Held-out rows as something to be compared with."""

    def __init__(self, vectors: np.ndarray, codes: np.ndarray) -> None:
        self._parts = {
            int(code): vectors[codes == code].astype(np.float64)
            for code in np.unique(codes)
            if (codes == code).sum() > 1
        }
        between = [
            euclidean_distances(part, squared=True)[np.triu_indices(len(part), 1)]
            for part in self._parts.values()
        ]
        median = float(np.median(np.concatenate(between))) if between else 0.0
        self._scale = median if median > 0 else 1.0
        self._rows = sum(len(part) for part in self._parts.values())

    def classes(self, fewest: int) -> np.ndarray:
        """Classes of which rows are to be made for a comparison: `fewest` in all or more, shared out as the
        held-out rows are.
        """
        times = max(1, math.ceil(fewest / self._rows))
        return np.concatenate([np.full(times * len(p), code) for code, p in self._parts.items()])

    def discrepancy(self, vectors: np.ndarray, codes: np.ndarray) -> float:
        """Maximum mean discrepancy within classes, squared and unbiased, averaged over held-out rows.

        Mean of k(x, x') + k(y, y') − 2 k(x, y) over pairs of the same class, with a mixture of Gaussian
        kernels: 0 in expectation where both come from one distribution, and then sometimes slightly negative.
        """
        total = 0.0
        for code, real in self._parts.items():
            made = vectors[codes == code].astype(np.float64)
            within = self._mean_kernel(made, made) + self._mean_kernel(real, real)
            total += len(real) * (within - 2 * self._mean_kernel(made, real))
        return total / self._rows

    def _mean_kernel(self, a: np.ndarray, b: np.ndarray) -> float:
        squared = euclidean_distances(a, b, squared=True) / self._scale
        kernel = np.mean([np.exp(-squared / (2 * width**2)) for width in BANDWIDTHS], axis=0)
        if a is b:
            return float((kernel.sum() - np.trace(kernel)) / (len(a) * (len(a) - 1)))
        return float(kernel.mean())


def spread_ratios(
    made: np.ndarray, made_codes: np.ndarray, real: np.ndarray, real_codes: np.ndarray
) -> dict[int, float]:
    """How varied generated rows are within each class, against the real ones: 1 as varied, 0 all the same.

    The square root of the ratio of total variances.
    """
    ratios: dict[int, float] = {}
    for code in np.unique(made_codes):
        a, b = made[made_codes == code], real[real_codes == code]
        if len(a) < 2 or len(b) < FEWEST_FOR_SPREAD:
            continue
        variance = float(b.astype(np.float64).var(axis=0, ddof=1).sum())
        if variance > 0:
            ratios[int(code)] = float(np.sqrt(a.astype(np.float64).var(axis=0, ddof=1).sum() / variance))
    return ratios


@dataclass(frozen=True)
class Judge:
    """Judges what a generator makes against real rows, always asking it for the same classes."""

    held_out: HeldOut | None  # What the rows are compared with; None where no rows are held out
    #: Training rows that say how varied each class is.
    real: np.ndarray
    real_codes: np.ndarray

    def __call__(self, make: Callable[[np.ndarray], np.ndarray]) -> Judgement:
        """Judge a generator, given as classes (n,) to vectors (n, d)."""
        if self.held_out is None:
            judged = np.unique(self.real_codes)
            codes = np.repeat(judged, max(2, FEWEST_MADE // len(judged)))
        else:
            codes = self.held_out.classes(FEWEST_MADE)
        made = make(codes)
        ratios = spread_ratios(made, codes, self.real, self.real_codes)
        return Judgement(
            criterion=self.held_out.discrepancy(made, codes) if self.held_out else None,
            spread=min(ratios.values()) if ratios else None,
        )


@dataclass(frozen=True)
class TrainingRows:
    """What a latent generator is trained and judged on: pixels uint8 (n, h, w, c), or a matrix (n, d)."""

    rows: np.ndarray
    codes: np.ndarray
    held_out: np.ndarray
    held_out_codes: np.ndarray
    classes: int
    judge: Judge
    #: Rows and their classes as the vectors that are judged.
    vectors: Callable[[np.ndarray, np.ndarray], np.ndarray]
    seed: int

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        _, height, width, channels = self.rows.shape
        return height, width, channels


class LatentModel(Trainee):
    """A GAN or VAE in training, and afterwards a decoder to be sampled by its `network`."""

    def __init__(self, data: TrainingRows, latent: int, balance: float) -> None:
        self._data, self.latent, self._device = data, latent, trainable_device()
        self._batches = Batches(data.codes, balance, np.random.default_rng([data.seed, 2]))

    @abstractmethod
    def decode(self, latent: np.ndarray, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Rows (n, …) of latent vectors float32 (n, latent) and classes int64 (n,)."""

    def judge(self) -> Judgement:
        """Judge rows from the prior."""
        rng = np.random.default_rng([self._data.seed, 3])

        def make(codes: np.ndarray) -> np.ndarray:
            latent = rng.standard_normal((len(codes), self.latent), dtype=np.float32)
            return self._data.vectors(self.decode(latent, codes, rng), codes)

        return self._data.judge(make)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self._device)


Outcome = Literal["ok", "collapsed", "ignores_class", "one_class"]

#: Rows of a class that the classifier is fitted on or that are judged, at most.
MOST_PER_CLASS = 500
#: Rows turned into vectors at once: those of larger images are long.
CHUNK = 2000
#: A class looks like others when the classifier recognises fewer than this share of what it recognises of the
#: class's real rows.
LEAST_AGREEMENT = 0.5
#: A classifier that recognises fewer of the real rows of a class cannot judge it.
LEAST_RECALL = 0.5
FOLDS = 3


@dataclass(frozen=True)
class ClassOutcome:
    """What became of one class."""

    #: `collapsed`: its rows hardly vary; `ignores_class`: they look like other classes; `one_class`: there
    #: was no other class to tell it from, so that the generator learned no condition.
    outcome: Outcome
    #: How varied the rows are against the real ones (`judging.spread_ratios`); None where unknown.
    spread: float | None
    #: Share of the rows that a classifier of the real training rows gives this class; None with one class.
    agreement: float | None
    #: The same of the real rows, out of fold; None where the class has fewer than three rows.
    recall: float | None


class RealClassifier:
    """A logistic regression on vectors of real training rows: enough to tell a class or a boundary."""

    def __init__(self, real: SampleTable, featurizer: Featurizer) -> None:
        from sklearn.linear_model import LogisticRegression

        rows = evenly_spaced(real.codes, MOST_PER_CLASS)
        vectors = featurizer.transform(real.take(rows)).astype(np.float64)
        self._featurizer = featurizer
        self._mean, self._deviation = vectors.mean(axis=0), max(float(vectors.std()), 1e-12)
        scaled, codes = self._scaled(vectors), real.codes[rows]
        # Classes weigh alike: the boundary is that between balanced classes.
        self._model = LogisticRegression(C=1.0, max_iter=300, class_weight="balanced")
        # Those of a class in turn; −1 for classes with fewer rows than folds.
        turns = pd.Series(codes).groupby(codes).cumcount().to_numpy() % FOLDS
        fold = np.where(np.bincount(codes)[codes] >= FOLDS, turns, -1)
        hits = np.full(len(codes), np.nan)
        for k in range(FOLDS):
            # Classes too small for every fold are in all of them, and are not judged.
            inside, outside = fold != k, fold == k
            if outside.any() and len(np.unique(codes[inside])) > 1:
                given = self._model.fit(scaled[inside], codes[inside]).predict(scaled[outside])
                hits[outside] = given == codes[outside]
        #: Share of the real rows of each class that the classifier recognises, out of fold.
        self.recall: dict[int, float] = pd.Series(hits).groupby(codes).mean().dropna().to_dict()
        self._model.fit(scaled, codes)

    def probabilities(self, samples: SampleTable) -> np.ndarray:
        """Class probabilities, float64 (n, k)."""
        out = np.zeros((len(samples), len(samples.classes)))
        for start in range(0, len(samples), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(samples)))
            vectors = self._scaled(self._featurizer.transform(samples.take(rows)))
            out[np.ix_(rows, self._model.classes_)] = self._model.predict_proba(vectors)
        return out

    def _scaled(self, vectors: np.ndarray) -> np.ndarray:
        scaled: np.ndarray = (vectors.astype(np.float64) - self._mean) / self._deviation
        return scaled


def class_outcomes(
    made: SampleTable, real: SampleTable, featurizer: Featurizer, classifier: RealClassifier | None
) -> dict[str, ClassOutcome]:
    """Judge every class that has generated rows."""
    made = made.take(evenly_spaced(made.codes, MOST_PER_CLASS))
    real = real.take(evenly_spaced(real.codes, MOST_PER_CLASS))
    vectors, real_vectors = featurizer.transform(made), featurizer.transform(real)
    spreads = spread_ratios(vectors, made.codes, real_vectors, real.codes)
    agreements: dict[int, float] = {}
    if classifier is not None and len(made):
        given = classifier.probabilities(made).argmax(axis=1)
        agreements = {int(c): float((given[made.codes == c] == c).mean()) for c in np.unique(made.codes)}
    recalls = classifier.recall if classifier is not None else {}
    outcomes: dict[str, ClassOutcome] = {}
    for code in np.unique(made.codes):
        spread, agreement, recall = (found.get(int(code)) for found in (spreads, agreements, recalls))
        outcome: Outcome = "ok"
        if spread is not None and spread < COLLAPSED:
            outcome = "collapsed"
        elif agreement is None:
            outcome = "one_class"
        elif recall is not None and recall >= LEAST_RECALL and agreement < LEAST_AGREEMENT * recall:
            outcome = "ignores_class"
        outcomes[made.classes[code]] = ClassOutcome(outcome, spread, agreement, recall)
    return outcomes


_SENTENCES = {
    "collapsed": "Class {0!r} has collapsed: its generated rows vary {1.spread:.2f} times as much as its "
    "real ones.",
    "ignores_class": "Class {0!r} looks like other classes: a classifier of the real rows recognises "
    "{1.agreement:.0%} of its generated rows and {1.recall:.0%} of others of its own.",
    "one_class": "The training rows are all of class {0!r}: the generator cannot have learned what makes "
    "the class.",
}


def outcome_sentences(outcomes: Mapping[str, ClassOutcome]) -> list[str]:
    """One sentence for each class that did not come out well."""
    bad = {name: found for name, found in outcomes.items() if found.outcome != "ok"}
    return [_SENTENCES[found.outcome].format(name, found) for name, found in bad.items()]
