"""Whether what a generator made deserves the name: varied within each class, and of the class that it should
be. How good it is, is measured elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from evenly.features import Featurizer
from evenly.generators.fitting import COLLAPSED
from evenly.generators.judging import spread_ratios
from evenly.generators.rows import evenly_spaced
from evenly.samples import SampleTable

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
    """What became of one class.

    Attributes
    ----------
    outcome
        `collapsed`: its rows hardly vary; `ignores_class`: they look like other classes; `one_class`: there
        was no other class to tell it from, so that the generator learned no condition.
    spread
        How varied the rows are against the real ones (`judging.spread_ratios`); None where unknown.
    agreement
        Share of the rows that a classifier of the real training rows gives this class; None with one class.
    recall
        The same of the real rows, out of fold; None where the class has fewer than three rows.
    """

    outcome: Outcome
    spread: float | None
    agreement: float | None
    recall: float | None


class RealClassifier:
    """A logistic regression on vectors of real training rows: enough to tell a class or a boundary.

    Parameters
    ----------
    real
        Real training rows, ordered by id, of two classes or more.
    featurizer
        Of the data set.
    """

    def __init__(self, real: SampleTable, featurizer: Featurizer) -> None:
        from sklearn.linear_model import LogisticRegression

        rows = evenly_spaced(real.codes, MOST_PER_CLASS)
        vectors = featurizer.transform(real.take(rows)).astype(np.float64)
        self._featurizer = featurizer
        self._mean, self._deviation = vectors.mean(axis=0), max(float(vectors.std()), 1e-12)
        scaled, codes = self._scaled(vectors), real.codes[rows]
        # Classes weigh alike: the boundary is that between balanced classes.
        self._model = LogisticRegression(C=1.0, max_iter=300, class_weight="balanced")
        fold = _fold_of(codes)
        right: dict[int, list[bool]] = {}
        for k in range(FOLDS):
            # Classes too small for every fold are in all of them, and are not judged.
            inside, outside = fold != k, fold == k
            if outside.any() and len(np.unique(codes[inside])) > 1:
                given = self._model.fit(scaled[inside], codes[inside]).predict(scaled[outside])
                for code, hit in zip(codes[outside], given == codes[outside], strict=True):
                    right.setdefault(int(code), []).append(bool(hit))
        #: Share of the real rows of each class that the classifier recognises, out of fold.
        self.recall = {code: float(np.mean(hits)) for code, hits in right.items()}
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
    """Judge every class that has generated rows.

    Parameters
    ----------
    made
        Generated rows.
    real
        Real training rows.
    featurizer
        Gives the vectors whose variance is compared.
    classifier
        Fitted on the real rows; None where they are of one class.
    """
    made = made.take(evenly_spaced(made.codes, MOST_PER_CLASS))
    rows = evenly_spaced(real.codes, MOST_PER_CLASS)
    spreads = spread_ratios(
        featurizer.transform(made), made.codes, featurizer.transform(real.take(rows)), real.codes[rows]
    )
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


def outcome_sentences(outcomes: dict[str, ClassOutcome]) -> list[str]:
    """One sentence for each class that did not come out well."""
    sentences = []
    for name, found in outcomes.items():
        if found.outcome == "collapsed":
            sentences.append(
                f"Class {name!r} has collapsed: its generated rows vary {found.spread:.2f} times as much as "
                "its real ones."
            )
        elif found.outcome == "ignores_class":
            sentences.append(
                f"Class {name!r} looks like other classes: a classifier of the real rows recognises "
                f"{found.agreement:.0%} of its generated rows and {found.recall:.0%} of others of its own."
            )
        elif found.outcome == "one_class":
            sentences.append(
                f"The training rows are all of class {name!r}: the generator cannot have learned what makes "
                "the class."
            )
    return sentences


def outcome_json(found: ClassOutcome) -> dict[str, Any]:
    """Ready for JSON, rounded to what is meant."""
    return {
        "outcome": found.outcome,
        "spread": None if found.spread is None else round(found.spread, 4),
        "agreement": None if found.agreement is None else round(found.agreement, 4),
        "recall": None if found.recall is None else round(found.recall, 4),
    }


def _fold_of(codes: np.ndarray) -> np.ndarray:
    """Fold of each row, int64 (n,): those of a class in turn; −1 for classes with fewer rows than folds."""
    folds = np.full(len(codes), -1, dtype=np.int64)
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        if len(rows) >= FOLDS:
            folds[rows] = np.arange(len(rows)) % FOLDS
    return folds
