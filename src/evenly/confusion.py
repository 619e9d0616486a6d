"""What a confusion matrix says: metrics of hits and misses, arrays in, numbers out.

Training watches them, evaluation reports them. Where a definition leaves a gap: means over classes run over
those that have rows; the precision of a class that is never predicted is 0; the Matthews correlation of a
constant prediction is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
    if weights.ndim == 1:
        rows = ((y, weights * (y == predicted)), (y, weights), (predicted, weights))
        return Outcomes(*(np.bincount(column, counted, classes) for column, counted in rows))
    one_hot = np.eye(classes, dtype=weights.dtype)
    actual = one_hot[y]
    # One product for the three: the weights are read once, which is what takes the time.
    sums = weights @ np.hstack([actual * (y == predicted)[:, None], actual, one_hot[predicted]])
    return Outcomes(*(sums[..., part * classes : (part + 1) * classes] for part in range(3)))


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
    return np.asarray(mean_of_known(recalls(o)))


def macro_precision(o: Outcomes) -> np.ndarray:
    """Mean precision, (…)."""
    return np.asarray(mean_of_known(precisions(o)))


def macro_f1(o: Outcomes) -> np.ndarray:
    """Mean F1, (…)."""
    return np.asarray(mean_of_known(f1_scores(o)))


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
        return np.asarray(np.exp(mean_of_known(np.log(found))))


def matthews_correlation(o: Outcomes) -> np.ndarray:
    """Matthews correlation for any number of classes, −1…1 (Gorodkin 2004, equation 8)."""
    total = o.actual.sum(axis=-1)
    covariance = o.hits.sum(axis=-1) * total - (o.actual * o.predicted).sum(axis=-1)
    spread = (total**2 - (o.predicted**2).sum(axis=-1)) * (total**2 - (o.actual**2).sum(axis=-1))
    return np.asarray(np.where(spread > 0, covariance / np.sqrt(np.where(spread > 0, spread, 1)), 0.0))


def _where_present(o: Outcomes, above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Divide; 0 where `below` is 0, NaN where the class has no row."""
    ratio = above / np.where(below > 0, below, 1)
    return np.asarray(np.where(o.actual > 0, ratio, np.nan))


def mean_of_known(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Mean without the NaN; NaN where nothing else is there."""
    known = ~np.isnan(values)
    number = known.sum(axis=axis)
    total = np.where(known, values, 0).sum(axis=axis)
    return np.asarray(np.where(number > 0, total / np.maximum(number, 1), np.nan))
