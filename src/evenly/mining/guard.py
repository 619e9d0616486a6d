"""The guard against label noise: which training rows probably carry the wrong label, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evenly.mining.confident import (
    calibrated_counts,
    class_thresholds,
    confident_joint,
    pruned_by_class,
    pruned_by_noise_rate,
)
from evenly.params.mining import GuardSettings


@dataclass(frozen=True)
class Suspicion:
    """What the guard found among n rows of k classes.

    Attributes
    ----------
    suspect
        Rows whose label is probably wrong, bool (n,).
    suggested
        The class that a row more probably belongs to, as a position, int64 (n,).
    self_confidence
        Out-of-fold probability of the label, float64 (n,); NaN where nobody could judge.
    support
        Out-of-fold probability of the suggested class, float64 (n,).
    judged
        Classes whose rows could be judged, bool (k,).
    unjudged
        The other classes that have rows, by position, and their number of independent rows.
    thresholds
        Mean self-confidence of each judged class, float64 (k,); NaN for the others.
    wrong
        Estimated share of wrong labels in each judged class, float64 (k,); NaN for the others.
    found
        Share of each class's rows that the quick model finds out of fold, float64 (k,); NaN without rows.
    """

    suspect: np.ndarray
    suggested: np.ndarray
    self_confidence: np.ndarray
    support: np.ndarray
    judged: np.ndarray
    unjudged: dict[int, int]
    thresholds: np.ndarray
    wrong: np.ndarray
    found: np.ndarray


def suspicion(
    probabilities: np.ndarray, codes: np.ndarray, independent: np.ndarray, settings: GuardSettings
) -> Suspicion:
    """Judge the labels of rows.

    Confident learning among the classes that can be judged. The thresholds of scarce classes are low, so that
    hard rows easily reach one; hence a row is suspect only if another class is also `min_odds` times as
    probable as its label. Classes of a few rows are left alone altogether: a model that has hardly seen them
    would suspect all of their rows.

    Parameters
    ----------
    probabilities
        Out of fold, float64 (n, k); a row of NaN where there is no opinion.
    codes
        Labels as positions, int64 (n,).
    independent
        Families among the rows of each class, int64 (k,).
    settings
        What it takes for a class to be judged, and which rows go.
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
        judged=judged,
        unjudged={int(code): int(independent[code]) for code in np.flatnonzero(~judged & (rows > 0))},
        thresholds=np.where(np.isfinite(thresholds), thresholds, np.nan),
        wrong=np.where(total > 0, 1 - np.diag(counts) / np.maximum(total, 1), np.nan),
        found=np.where(rows > 0, hits / np.maximum(rows, 1), np.nan),
    )
