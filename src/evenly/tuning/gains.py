"""How much better the best recipe is than the one that the search began with, with three different claims.

The gain on the rows that chose it is too large: the best of many is good and lucky. The bootstrap that
repeats the choice corrects for that on the same rows; new seeds do on others. What the numbers mean in words
is in `evenly.tuning.outputs`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evenly.confusion import balanced_accuracy, macro_f1, outcomes
from evenly.evaluation.intervals import Interval, bootstrap_weights

#: Resamples of the validation rows.
RESAMPLES = 1000
_SCORES = {"macro_f1": macro_f1, "balanced_accuracy": balanced_accuracy}

#: Of one seed: classes of the validation rows, int64 (n,), and what each recipe predicts, int64 (recipes, n).
Predictions = tuple[np.ndarray, np.ndarray]


def apparent_gain(predictions: Sequence[Predictions], metric: str, best: int, seed: int) -> Interval:
    """How much a recipe is above the first on the rows that chose it, with the paired bootstrap over rows.

    Its interval allows for these rows being others, and not for the choice: after a search it is too good.
    `best` is the position of the recipe; what gains is the mean of the metric over the seeds.
    """
    pair = [(y, predicted[[0, best]]) for y, predicted in predictions]
    first, other = _mean_scores(pair, metric, None, seed)
    drawn = _mean_scores(pair, metric, "inside", seed)
    return _interval(float(other[0] - first[0]), drawn[1] - drawn[0])


def corrected_gain(predictions: Sequence[Predictions], metric: str, seed: int) -> Interval:
    """How much choosing the best recipe gains over the first, on rows that had no part in the choice.

    In every resample of the validation rows the best recipe is chosen anew, and compared on the rows that the
    resample has left out (bootstrap bias corrected; Tsamardinos, Greasidou & Borboudakis 2018, algorithm 2).
    About a third of the rows compare, so that the interval is rather too wide.
    """
    inside = _mean_scores(predictions, metric, "inside", seed)
    outside = _mean_scores(predictions, metric, "outside", seed)
    chosen = inside.argmax(axis=0)  # the first of equals
    drawn = outside[chosen, np.arange(len(chosen))] - outside[0]
    return _interval(float(np.nanmean(drawn)), drawn)


def _mean_scores(predictions: Sequence[Predictions], metric: str, rows: str | None, seed: int) -> np.ndarray:
    """Metric of each recipe, mean over seeds: float64 (recipes, 1), or (recipes, resamples).

    `rows` are those `inside` or `outside` the resamples, or all of them where it is None.
    """
    by_seed, score = [], _SCORES[metric]
    for offset, (y, predicted) in enumerate(predictions):
        classes = int(max(y.max(), predicted.max())) + 1
        chunks = [None] if rows is None else bootstrap_weights(len(y), RESAMPLES, seed + offset)
        parts = []
        for weights in chunks:
            if rows == "outside" and weights is not None:
                weights = (weights == 0).astype(np.float32)
            scores = [score(outcomes(y, guess, classes, weights)) for guess in predicted]
            parts.append([np.atleast_1d(one).astype(np.float64) for one in scores])
        by_seed.append(np.concatenate(parts, axis=1))
    return np.asarray(np.mean(by_seed, axis=0))


def _interval(value: float, drawn: np.ndarray) -> Interval:
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return Interval(value, min(float(low), value), max(float(high), value))
