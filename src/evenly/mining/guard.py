"""The guard against label noise: which training rows probably carry the wrong label, and how sure that is.

Confident learning on probabilities of models that have not seen the rows: Northcutt, Jiang & Chuang 2021
(arXiv 1911.00068).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evenly.params.mining import GuardSettings


@dataclass(frozen=True)
class Suspicion:
    """What the guard found among n rows of k classes."""

    suspect: np.ndarray  # bool (n,): the label is probably wrong
    suggested: np.ndarray  # int64 (n,): the class that the row more probably belongs to
    self_confidence: np.ndarray  # float64 (n,): out-of-fold probability of the label, NaN without an opinion
    support: np.ndarray  # float64 (n,): out-of-fold probability of the suggested class
    unjudged: dict[int, int]  # classes whose rows cannot be judged, and their numbers of independent rows
    thresholds: np.ndarray  # float64 (k,): mean self-confidence of each judged class, NaN for the others
    wrong: np.ndarray  # float64 (k,): estimated share of wrong labels, NaN for classes that are not judged
    found: np.ndarray  # float64 (k,): share of rows that the quick model finds out of fold, NaN without rows


def suspicion(
    probabilities: np.ndarray, codes: np.ndarray, independent: np.ndarray, settings: GuardSettings
) -> Suspicion:
    """Judge the labels of rows by probabilities out of fold, float64 (n, k), NaN where there is no opinion.

    Confident learning among the classes that can be judged. The thresholds of scarce classes are low, so that
    hard rows easily reach one; hence a row is suspect only if another class is also `min_odds` times as
    probable as its label. Classes of a few `independent` rows (families), int64 (k,), are left alone: a model
    that has hardly seen them would suspect all of their rows.
    """
    n, k = probabilities.shape
    known = ~np.isnan(probabilities).any(axis=1)
    filled = np.where(known[:, None], probabilities, 0.0)
    own = filled[np.arange(n), codes]
    rows = np.bincount(codes, minlength=k)
    judged = independent >= settings.min_class_rows

    eligible = np.flatnonzero(known & judged[codes])
    among = np.where(judged, filled, 0.0)
    thresholds = class_thresholds(among[eligible], codes[eligible])
    joint = confident_joint(among[eligible], codes[eligible], thresholds)
    counts = calibrated_counts(joint, np.bincount(codes[eligible], minlength=k))
    prune = pruned_by_class if settings.prune == "class" else pruned_by_noise_rate
    suspect = np.zeros(n, dtype=bool)
    suspect[eligible] = prune(among[eligible], codes[eligible], counts)
    likelier = among.argmax(axis=1)
    support = among[np.arange(n), likelier]
    suspect &= (likelier != codes) & (support >= settings.min_odds * own)

    total = counts.sum(axis=1)
    hits = np.bincount(codes, known & (filled.argmax(axis=1) == codes), minlength=k)
    return Suspicion(
        suspect=suspect,
        suggested=likelier,
        self_confidence=np.where(known, own, np.nan),
        support=support,
        unjudged={int(code): int(independent[code]) for code in np.flatnonzero(~judged & (rows > 0))},
        thresholds=np.where(np.isfinite(thresholds), thresholds, np.nan),
        wrong=np.where(total > 0, 1 - np.diag(counts) / np.maximum(total, 1), np.nan),
        found=np.where(rows > 0, hits / np.maximum(rows, 1), np.nan),
    )


# Below: probabilities are float (n, k), labels positions, int (n,).


def class_thresholds(probabilities: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Mean probability that rows with label j give to j (equation 2), float64 (k,); infinite without rows."""
    classes = probabilities.shape[1]
    rows = np.bincount(codes, minlength=classes)
    own = np.bincount(codes, probabilities[np.arange(len(codes)), codes], minlength=classes)
    return np.where(rows > 0, own / np.maximum(rows, 1), np.inf)


def confident_joint(probabilities: np.ndarray, codes: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Count rows with label i (first axis) that confidently belong to class j (equation 1), int64 (k, k).

    A row confidently belongs to the most probable of the classes whose threshold it reaches; to none where it
    reaches none.
    """
    classes = len(thresholds)
    reached = np.where(probabilities >= thresholds, probabilities, -1.0)
    belongs = reached.argmax(axis=1)
    confident = reached.max(axis=1) >= 0
    cells = codes[confident] * classes + belongs[confident]
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def calibrated_counts(joint: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Estimated number of rows with label i that belong to class j (equation 3), float64 (k, k).

    Row i sums to `rows[i]`. A label without a confident row counts as right throughout.
    """
    total = joint.sum(axis=1, keepdims=True)
    shares = np.where(total > 0, joint / np.maximum(total, 1), np.eye(len(joint)))
    return np.asarray(shares * rows[:, None])


def pruned_by_class(probabilities: np.ndarray, codes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mark, for each label, as many rows as are estimated wrong: those least confident in it, bool (n,).

    Prune by class, section 3.2 of the paper; `counts` are the calibrated ones.
    """
    confidence = probabilities[np.arange(len(codes)), codes]
    marked = np.zeros(len(codes), dtype=bool)
    for label in np.unique(codes):
        own = np.flatnonzero(codes == label)
        wrong = round(float(counts[label].sum() - counts[label, label]))
        marked[own[np.argsort(confidence[own], kind="stable")[:wrong]]] = True
    return marked


def pruned_by_noise_rate(probabilities: np.ndarray, codes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mark, for each label i and other class j, as many rows with the widest margin p_j − p_i, bool (n,).

    Prune by noise rate, section 3.2 of the paper.
    """
    marked = np.zeros(len(codes), dtype=bool)
    for label in np.unique(codes):
        own = np.flatnonzero(codes == label)
        for other in np.flatnonzero(np.rint(counts[label]) > 0):
            if other != label:
                margin = probabilities[own, other] - probabilities[own, label]
                widest = np.argsort(-margin, kind="stable")[: round(float(counts[label, other]))]
                marked[own[widest]] = True
    return marked
