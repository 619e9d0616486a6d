"""The few numbers watched while a model is fitted. How a model is judged lives in `evenly.evaluation`."""

from __future__ import annotations

import numpy as np


def macro_f1(codes: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """Mean F1 over the classes that occur among the true or the predicted labels; NaN without rows.

    Parameters
    ----------
    codes, predicted
        True and predicted classes as positions, int64 (n,).
    classes
        Number of classes k.
    """
    hits, true, guessed = _counts(codes, predicted, classes)
    seen = true + guessed > 0
    return float(np.mean(2 * hits[seen] / (true + guessed)[seen])) if seen.any() else float("nan")


def balanced_accuracy(codes: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """Mean recall over the classes that occur among the true labels; NaN without rows."""
    hits, true, _ = _counts(codes, predicted, classes)
    seen = true > 0
    return float(np.mean(hits[seen] / true[seen])) if seen.any() else float("nan")


def prediction_scores(codes: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """`loss` (mean negative log-likelihood), `macro_f1`, `balanced_accuracy` of probabilities (n, k)."""
    if not len(codes):
        return {}
    predicted = probabilities.argmax(axis=1)
    true = probabilities[np.arange(len(codes)), codes]
    classes = probabilities.shape[1]
    return {
        "loss": float(-np.log(np.maximum(true, np.finfo(np.float64).tiny)).mean()),
        "macro_f1": macro_f1(codes, predicted, classes),
        "balanced_accuracy": balanced_accuracy(codes, predicted, classes),
    }


def _counts(
    codes: np.ndarray, predicted: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    hits = np.bincount(codes[codes == predicted], minlength=classes)
    return hits, np.bincount(codes, minlength=classes), np.bincount(predicted, minlength=classes)
