"""The check whether a classifier of real rows agrees with a candidate's label, and where it moves if not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from evenly.screening.context import Context, Outcome, verdict

_PENALTY = 10.0  # scikit-learn's C: the inverse strength of regularisation
_ROWS = 30_000  # real rows that the classifier is fitted on at most; the largest classes give way


@dataclass(frozen=True)
class Opinion:
    """What a classifier that has not seen a row thinks of it.

    Attributes
    ----------
    probabilities
        float (n, classes), rows summing to 1, as if all classes were equally frequent; 0 for a class that the
        classifier does not know.
    """

    probabilities: np.ndarray

    def places(self, codes: np.ndarray) -> np.ndarray:
        """Place of each row's class, 1 for the most probable, the last where it is unknown; int64 (n,)."""
        n, classes = self.probabilities.shape
        own = self.probabilities[np.arange(n), codes][:, None]
        places = 1 + (self.probabilities > own).sum(axis=1)
        return np.asarray(np.where(own[:, 0] > 0, places, classes))

    def agrees(self, codes: np.ndarray, top: int, min_confidence: float | None) -> np.ndarray:
        """Whether the class is among the first `top`, or has that probability, bool (n,)."""
        agrees = self.places(codes) <= top
        if min_confidence is not None:
            agrees |= self.probabilities[np.arange(len(codes)), codes] >= min_confidence
        return agrees


def disagreeing(context: Context, rows: np.ndarray) -> Outcome:
    """Candidates whose label the classifier does not share, and where they go when they are moved.

    The classifier is a logistic regression on the vectors of the real training rows, every class weighing
    the same: a scarce class is what candidates are for, and must not lose by being scarce. Whether it is
    to be trusted with a class, its opinions on that class's real rows tell, each by a model fitted
    without the row.
    """
    rules = context.settings.agreement
    train = context.train
    sample = rows_within(train.samples.codes, _ROWS, context.seed)
    vectors, codes = train.vectors[sample], train.samples.codes[sample]
    classes = len(context.classes)
    present = np.unique(codes)
    if len(present) < 2:
        return Outcome(skipped=("the real training rows are of one class",))
    top = min(rules.top_k, max(1, len(present) // 2))
    left_out = out_of_fold(vectors, codes, classes, rules.folds, context.seed)
    passed = left_out.agrees(codes, top, rules.min_confidence)
    real_pass = {int(code): float(passed[codes == code].mean()) for code in present}
    untrusted = {code for code, share in real_pass.items() if share < rules.min_real_pass}

    shown, labels = context.shown(rows), context.codes(rows)
    opinion = fitted_opinion(vectors, codes, classes)(shown.vectors)
    places = context.agreement[rows] = opinion.places(labels)
    agrees = opinion.agrees(labels, top, rules.min_confidence)
    trusted = np.array([code not in untrusted for code in labels], dtype=bool)
    failed = ~agrees & trusted
    first = opinion.probabilities.argmax(axis=1)
    details = np.full(len(rows), None, dtype=object)
    details[:] = [
        f"first is {context.classes[code]} ({row.max():.2f}), own class {row[label]:.2f}"
        for code, label, row in zip(first, labels, opinion.probabilities, strict=True)
    ]
    moved = None
    if rules.relabel:
        sure = opinion.probabilities.max(axis=1) >= rules.relabel_confidence
        near = _majority(shown.vectors, vectors, codes, rules.neighbours, classes)
        move = failed & sure & (near == first) & np.isin(first, list(set(real_pass) - untrusted))
        moved = np.full(len(rows), None, dtype=object)
        moved[move] = [context.classes[code] for code in first[move]]
        failed = failed & ~move
    skipped = tuple(
        f"class {context.classes[code]}: {real_pass[code]:.0%} of its real rows pass out of fold, "
        f"less than {rules.min_real_pass:.0%}"
        for code in sorted(untrusted)
    )
    verdicts = (verdict("agreement", failed, score=places, threshold=top, detail=details),)
    measured: dict[str, Any] = {
        "candidates_agreeing": float(agrees.mean()),
        "top_k": top,
        "real_rows_passing": float(passed.mean()),
        "candidates_first": float((places == 1).mean()),
    }
    return Outcome(verdicts, labels=moved, skipped=skipped, measured=measured)


def fitted_opinion(vectors: np.ndarray, codes: np.ndarray, classes: int) -> Callable[[np.ndarray], Opinion]:
    """A function from vectors to the `Opinion` of a classifier fitted on these rows.

    Parameters
    ----------
    vectors
        float32 (n, d).
    codes
        int64 (n,), at least two different.
    classes
        Number of all classes.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=_PENALTY, class_weight="balanced", max_iter=300, tol=1e-3)
    model.fit(vectors, codes)

    def opinion(others: np.ndarray) -> Opinion:
        probabilities = np.zeros((len(others), classes))
        if len(others):
            probabilities[:, model.classes_] = model.predict_proba(others)
        return Opinion(probabilities)

    return opinion


def out_of_fold(vectors: np.ndarray, codes: np.ndarray, classes: int, folds: int, seed: int) -> Opinion:
    """Opinions on the rows themselves, each by a classifier fitted without the row's fold.

    The rows of every class are dealt to the folds in turn. A class of one row is unknown to the model
    that judges it.
    """
    rng = np.random.default_rng([seed, 3])
    fold = np.empty(len(codes), dtype=np.int64)
    for code in np.unique(codes):
        own = np.flatnonzero(codes == code)
        fold[rng.permutation(own)] = (np.arange(len(own)) + rng.integers(folds)) % folds
    probabilities = np.zeros((len(codes), classes))
    for k in range(folds):
        inside, outside = fold == k, fold != k
        if inside.any() and len(np.unique(codes[outside])) > 1:
            opinion = fitted_opinion(vectors[outside], codes[outside], classes)
            probabilities[inside] = opinion(vectors[inside]).probabilities
    return Opinion(probabilities)


def rows_within(codes: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Rising positions of at most `most` rows: all of small classes, an equal number of each larger one."""
    sizes = np.bincount(codes)
    if sizes.sum() <= most:
        return np.arange(len(codes))
    rising = np.sort(sizes[sizes > 0])
    kept_below = np.concatenate([[0], np.cumsum(rising)[:-1]])
    limits = (most - kept_below) // (len(rising) - np.arange(len(rising)))
    limit = max(1, int(limits[np.argmax(limits < rising)]))
    rng = np.random.default_rng([seed, 4])
    chosen = [rng.permutation(np.flatnonzero(codes == code))[:limit] for code in np.flatnonzero(sizes)]
    return np.sort(np.concatenate(chosen))


def _majority(vectors: np.ndarray, real: np.ndarray, codes: np.ndarray, k: int, classes: int) -> np.ndarray:
    """Class of more than half of the k nearest real rows, int64 (n,), -1 where there is none."""
    from evenly.features.neighbours import nearest_neighbours

    if not len(vectors):
        return np.empty(0, dtype=np.int64)
    k = min(k, len(real))
    _, indices = nearest_neighbours(vectors, real, k)
    votes = np.zeros((len(vectors), classes), dtype=np.int64)
    np.add.at(votes, (np.arange(len(vectors))[:, None], codes[indices]), 1)
    return np.where(2 * votes.max(axis=1) > k, votes.argmax(axis=1), -1)
