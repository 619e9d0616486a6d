"""The headline metrics of one set of predictions, all at once and for many weightings of the rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from evenly.evaluation import metrics
from evenly.evaluation.calibration import CalibrationGaps


@dataclass(frozen=True)
class Metric:
    """How a headline metric is called in tables, which direction is good, and what it says."""

    label: str
    higher_is_better: bool
    meaning: str


#: In the order of the tables.
HEADLINE: dict[str, Metric] = {
    "macro_f1": Metric("Macro F1", True, "mean over classes of the harmonic mean of precision and recall"),
    "balanced_accuracy": Metric("Balanced accuracy", True, "mean recall: every class counts the same"),
    "accuracy": Metric("Accuracy", True, "share of rows predicted rightly"),
    "worst_class_recall": Metric("Worst-class recall", True, "recall of the class that is found least"),
    "g_mean": Metric("G-mean", True, "geometric mean of the recalls; 0 if one class is never found"),
    "weighted_f1": Metric("Weighted F1", True, "mean F1 weighted by class size"),
    "macro_precision": Metric("Macro precision", True, "mean precision over classes"),
    "macro_recall": Metric("Macro recall", True, "the same number as balanced accuracy"),
    "mcc": Metric("Matthews correlation", True, "correlation of prediction and truth, -1 to 1"),
    "auroc": Metric("AUROC", True, "chance that a row of the class outranks another; mean one-vs-rest"),
    "average_precision": Metric("Average precision", True, "area under precision-recall; mean over classes"),
    "nll": Metric("Log loss", False, "mean -log of the probability of the true class, in nats"),
    "brier": Metric("Brier score", False, "mean squared distance to the one-hot truth, 0 to 2"),
    "calibration_error": Metric(
        "Calibration error", False, "gap between confidence and accuracy, bins of equal mass"
    ),
    "class_calibration_error": Metric(
        "Class-wise calibration error", False, "the same for every class's probability, averaged"
    ),
}
#: Need the rows sorted by every class's score: the costly ones.
RANKING_METRICS = ("auroc", "average_precision")
#: Biased upwards in small samples, and once more in each resample of them.
CALIBRATION_METRICS = ("calibration_error", "class_calibration_error")


class Predictions:
    """Predictions for rows of known class, prepared so that re-weighting the rows costs little.

    Parameters
    ----------
    y
        True class positions, int (n,), n > 0.
    probabilities
        Float64 (n, k), rows sum to 1.
    predicted
        Class positions decided for, int (n,); the most probable class where None.
    bins
        Bins of the calibration errors.
    """

    def __init__(
        self,
        y: np.ndarray,
        probabilities: np.ndarray,
        predicted: np.ndarray | None = None,
        *,
        bins: int = 15,
    ) -> None:
        self.y = y
        self.probabilities = probabilities
        self.predicted = probabilities.argmax(axis=1) if predicted is None else predicted
        self.classes = probabilities.shape[1]
        self._losses = metrics.log_losses(y, probabilities)
        self._briers = metrics.brier_scores(y, probabilities)
        self._gaps = CalibrationGaps(y, probabilities, bins)
        self.rankings = {
            k: metrics.Ranking(y == k, probabilities[:, k]) for k in range(self.classes) if np.any(y == k)
        }

    def __len__(self) -> int:
        return len(self.y)

    def outcomes(self, weights: np.ndarray | None = None) -> metrics.Outcomes:
        """Hits, rows and predictions per class."""
        return metrics.outcomes(self.y, self.predicted, self.classes, weights)

    def values(
        self, weights: np.ndarray | None = None, names: Collection[str] = tuple(HEADLINE)
    ) -> dict[str, np.ndarray]:
        """Headline metrics.

        Parameters
        ----------
        weights
            Row weights, float (n,) or (b, n); None counts every row once.
        names
            Which of `HEADLINE`.

        Returns
        -------
        dict
            Metric to value, float () or (b,); NaN where a metric does not exist.
        """
        o = self.outcomes(weights)
        recall = metrics.balanced_accuracy(o)
        found = {
            "macro_f1": metrics.macro_f1(o),
            "balanced_accuracy": recall,
            "accuracy": metrics.accuracy(o),
            "worst_class_recall": metrics.worst_class_recall(o),
            "g_mean": metrics.g_mean(o),
            "weighted_f1": metrics.weighted_f1(o),
            "macro_precision": metrics.macro_precision(o),
            "macro_recall": recall,
            "mcc": metrics.matthews_correlation(o),
            "nll": _mean(self._losses, weights),
            "brier": _mean(self._briers, weights),
            "calibration_error": self._gaps.top_label(weights),
        }
        if "class_calibration_error" in names:
            found["class_calibration_error"] = self._gaps.class_wise(weights)
        if any(name in names for name in RANKING_METRICS):
            found.update(self._ranking_values(weights))
        return {name: found[name] for name in HEADLINE if name in names}

    def _ranking_values(self, weights: np.ndarray | None) -> dict[str, np.ndarray]:
        pairs = [ranking.auroc_and_average_precision(weights) for ranking in self.rankings.values()]
        return {
            name: np.asarray(_mean_of_known(np.stack([pair[i] for pair in pairs])))
            for i, name in enumerate(RANKING_METRICS)
        }


def _mean(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    if weights is None:
        return np.asarray(values.mean())
    return np.asarray((weights @ values.astype(weights.dtype)) / weights.sum(axis=-1))


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    number = known.sum(axis=0)
    total = np.where(known, values, 0).sum(axis=0)
    return np.asarray(np.where(number > 0, total / np.maximum(number, 1), np.nan))
