"""What classifiers learn from made rows: trained on made and asked about real, the reverse, and telling both
apart.
"""

from __future__ import annotations

import numpy as np

from evenly.screening.checks.opinions import fitted_opinion
from evenly.screening.checks.realism import discriminator_scores


def balanced_accuracy_across(
    vectors: np.ndarray, codes: np.ndarray, others: np.ndarray, other_codes: np.ndarray
) -> float | None:
    """Mean recall over classes of a classifier fitted on some rows and asked about others.

    A logistic regression in which every class weighs the same. Fitted on made rows and asked about real ones
    this is TSTR, the other way round TRTS (Esteban et al., 2017, 1706.02633).

    Parameters
    ----------
    vectors, codes
        Rows to fit on, float32 (n, d), and their classes, int64 (n,).
    others, other_codes
        Rows to ask about; those of classes that are not fitted are left out.

    Returns
    -------
    float or None
        None where fewer than two classes are fitted, or nothing is left to ask.
    """
    present = np.unique(codes)
    asked = np.isin(other_codes, present)
    if len(present) < 2 or not asked.any():
        return None
    classes = int(max(codes.max(), other_codes.max())) + 1
    opinion = fitted_opinion(vectors, codes, classes, others[asked])
    hits = opinion.probabilities.argmax(axis=1) == other_codes[asked]
    return float(np.mean([hits[other_codes[asked] == code].mean() for code in np.unique(other_codes[asked])]))


def discriminator_auc(real: np.ndarray, made: np.ndarray, seed: int) -> float:
    """Area under the ROC curve of a classifier that tells made from real rows, out of fold.

    0.5 where it cannot (or a little less by chance), 1 where it always can.

    Parameters
    ----------
    real, made
        float (n, d) and (m, d), at least three rows each.
    seed
        Settles the folds.

    References
    ----------
    Lopez-Paz & Oquab, Revisiting Classifier Two-Sample Tests, ICLR 2017.
    """
    from sklearn.metrics import roc_auc_score

    low, high = discriminator_scores(made, real, np.ones(len(real)), seed)
    return float(roc_auc_score(np.repeat([0, 1], [len(low), len(high)]), np.concatenate([low, high])))
