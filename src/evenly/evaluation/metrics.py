"""Classification metrics: arrays in, numbers out. Every metric takes row weights, one set or many at once.

Conventions, where a definition leaves a gap: means over classes run over the classes that occur in `y`; the
precision of a class that is never predicted is 0; the Matthews correlation of a constant prediction is 0; a
ranking metric of a class that has no row, or has all of them, does not exist and is left out of the mean.
Uncertainty lives in `evenly.evaluation.intervals`, calibration in `evenly.evaluation.calibration`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Probabilities are kept this far from 0 before a logarithm is taken: the spacing of float64 at 1.
EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Outcomes:
    """What a confusion matrix says about each class, for one set of row weights or a stack of them.

    Attributes
    ----------
    hits, actual, predicted
        Weight of the rows of each class that were found, of all its rows, of all rows given to it, (…, k).
    """

    hits: np.ndarray
    actual: np.ndarray
    predicted: np.ndarray


def outcomes(
    y: np.ndarray, predicted: np.ndarray, classes: int, weights: np.ndarray | None = None
) -> Outcomes:
    """Sum up rows class by class.

    Parameters
    ----------
    y, predicted
        True and predicted class positions, int (n,).
    classes
        Number of classes k.
    weights
        Row weights, float (n,) or (b, n) for b sets of them; None counts every row once.
    """
    weights = np.ones(len(y)) if weights is None else weights
    one_hot = np.eye(classes, dtype=weights.dtype)
    actual = one_hot[y]
    return Outcomes(
        hits=weights @ (actual * (y == predicted)[:, None]).astype(weights.dtype),
        actual=weights @ actual,
        predicted=weights @ one_hot[predicted],
    )


def accuracy(o: Outcomes) -> np.ndarray:
    """Share of rows that were found, (…)."""
    return np.asarray(o.hits.sum(axis=-1) / o.actual.sum(axis=-1))


def recalls(o: Outcomes) -> np.ndarray:
    """Recall per class, (…, k); NaN for a class without rows."""
    return _where_present(o, o.hits, o.actual)


def precisions(o: Outcomes) -> np.ndarray:
    """Precision per class, (…, k); NaN for a class without rows, 0 for one never predicted."""
    return _where_present(o, o.hits, o.predicted)


def f1_scores(o: Outcomes) -> np.ndarray:
    """Harmonic mean of precision and recall per class, (…, k); NaN for a class without rows."""
    return _where_present(o, 2 * o.hits, o.actual + o.predicted)


def balanced_accuracy(o: Outcomes) -> np.ndarray:
    """Mean recall, (…): the accuracy where every class is equally frequent. Also known as macro recall."""
    return np.asarray(_mean(recalls(o)))


def macro_precision(o: Outcomes) -> np.ndarray:
    """Mean precision, (…)."""
    return np.asarray(_mean(precisions(o)))


def macro_f1(o: Outcomes) -> np.ndarray:
    """Mean F1, (…)."""
    return np.asarray(_mean(f1_scores(o)))


def weighted_f1(o: Outcomes) -> np.ndarray:
    """Mean F1 weighted by the rows of each class, (…)."""
    return np.asarray(np.nansum(f1_scores(o) * o.actual, axis=-1) / o.actual.sum(axis=-1))


def worst_class_recall(o: Outcomes) -> np.ndarray:
    """Smallest recall of a class, (…)."""
    found = recalls(o)
    return np.asarray(np.where(np.isnan(found), np.inf, found).min(axis=-1))


def g_mean(o: Outcomes) -> np.ndarray:
    """Geometric mean of the recalls, (…): 0 as soon as one class is never found (Kubat & Matwin 1997)."""
    found = recalls(o)
    with np.errstate(divide="ignore"):
        return np.asarray(np.exp(_mean(np.log(found))))


def matthews_correlation(o: Outcomes) -> np.ndarray:
    """Matthews correlation for any number of classes, −1…1 (Gorodkin 2004, equation 8)."""
    total = o.actual.sum(axis=-1)
    covariance = o.hits.sum(axis=-1) * total - (o.actual * o.predicted).sum(axis=-1)
    spread = (total**2 - (o.predicted**2).sum(axis=-1)) * (total**2 - (o.actual**2).sum(axis=-1))
    return np.asarray(np.where(spread > 0, covariance / np.sqrt(np.where(spread > 0, spread, 1)), 0.0))


def log_losses(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """−log of the probability given to the true class, row by row, in nats, (n,)."""
    return np.asarray(-np.log(np.clip(probabilities[np.arange(len(y)), y], EPSILON, 1)))


def brier_scores(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Squared distance to the one-hot truth, summed over the classes, row by row, 0…2, (n,) (Brier 1950)."""
    of_truth = probabilities[np.arange(len(y)), y]
    return np.asarray((probabilities**2).sum(axis=1) - 2 * of_truth + 1)


class Ranking:
    """Scores of one class against the rest, sorted once, so that many weightings of the rows cost little.

    Parameters
    ----------
    positive
        Which rows are of the class, bool (n,), at least one.
    scores
        Higher means more likely of the class, float (n,). Rows of equal score are tied.
    """

    def __init__(self, positive: np.ndarray, scores: np.ndarray) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ordered = scores[self._order]
        new = np.flatnonzero(np.diff(ordered)) + 1
        first, last = np.append(0, new), np.append(new, len(ordered)) - 1
        tie = np.searchsorted(new, np.arange(len(ordered)), side="right")
        # Of each positive row, in order of score: its place, and where its tie begins and ends, among all
        # rows and among the positive ones.
        self._positive = np.flatnonzero(positive[self._order])
        ties = tie[self._positive]
        self._first, self._last = first[ties], last[ties]
        self._first_positive = np.searchsorted(ties, ties, side="left")
        self._last_positive = np.searchsorted(ties, ties, side="right") - 1

    def auroc_and_average_precision(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Area under the ROC curve, ties counting half, and average precision, not interpolated, (…) each.

        Both are sums over the positive rows. NaN without a positive row, AUROC also without a negative one.
        """
        weights = np.ones(len(self._order)) if weights is None else weights
        ordered = np.take(weights, self._order, axis=-1)
        above = np.cumsum(ordered, axis=-1)
        positive = ordered[..., self._positive]
        found = np.cumsum(positive, axis=-1)
        all_last = above[..., self._last]
        found_last = found[..., self._last_positive]
        all_before = above[..., self._first] - ordered[..., self._first]
        found_before = found[..., self._first_positive] - positive[..., self._first_positive]
        negatives = above[..., -1] - found[..., -1]
        outranked = negatives[..., None] - (all_last - found_last + all_before - found_before) / 2
        precision = found_last / np.where(all_last > 0, all_last, 1)
        return (
            _ratio((positive * outranked).sum(axis=-1), found[..., -1] * negatives),
            _ratio((positive * precision).sum(axis=-1), found[..., -1]),
        )


def precision_recall_curve(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall at every distinct score, from the highest score down, (thresholds,) each."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    found = np.cumsum(positive[order])[ends]
    return found / (ends + 1), found / positive.sum()


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1), np.nan))


def _where_present(o: Outcomes, above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Divide; 0 where `below` is 0, NaN where the class has no row."""
    ratio = above / np.where(below > 0, below, 1)
    return np.asarray(np.where(o.actual > 0, ratio, np.nan))


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without the NaN; NaN where nothing else is there."""
    known = ~np.isnan(values)
    number = known.sum(axis=-1)
    total = np.where(known, values, 0).sum(axis=-1)
    return np.asarray(np.where(number > 0, total / np.where(number > 0, number, 1), np.nan))
