"""Confident learning: which labels of a set are probably wrong, from probabilities of models that have not
seen them.

Northcutt, Jiang & Chuang 2021 (arXiv 1911.00068). Arrays in, arrays out; where the probabilities come from,
and which classes can be judged at all, is told in `evenly.mining.guard`.
"""

from __future__ import annotations

import numpy as np


def class_thresholds(probabilities: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Mean probability that rows with label j give to j (equation 2), float64 (k,); infinite without such
    rows.

    Parameters
    ----------
    probabilities
        Float (n, k), of models that have not seen the row.
    codes
        Labels as positions, int (n,).
    """
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
    """Estimated number of rows with label i that belong to class j, float64 (k, k); row i sums to `rows[i]`.

    Equation 3, times the number of rows. A label without a confident row counts as right throughout.
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
    """Mark, for each label i and other class j, the estimated number of rows with the widest margin p_j −
    p_i.

    Prune by noise rate, section 3.2 of the paper, bool (n,).
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
