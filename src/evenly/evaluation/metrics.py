"""Classification metrics: arrays in, numbers out, for one set of row weights or many at once.

`HEADLINE`, at the end, has one entry for each metric that is reported; every table, file and plot reads it.

Those of hits and misses are in `evenly.confusion`. A ranking metric of a class that has no row, or has all of
them, does not exist and is left out of the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from evenly.confusion import (
    Outcomes,
    accuracy,
    balanced_accuracy,
    f1_scores,
    g_mean,
    macro_f1,
    macro_precision,
    matthews_correlation,
    mean_of_known,
    outcomes,
    precisions,
    recalls,
    weighted_f1,
    worst_class_recall,
)
from evenly.evaluation import bounds
from evenly.evaluation.calibration import EPSILON, CalibrationGaps
from evenly.resamples import MOST_ROWS, Blocks


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
        # Rules that do not change the order share a ranking, and what it gave of one array of weights.
        self._last_found: tuple[np.ndarray | None, tuple[np.ndarray, ...]] = None, ()
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

    def auroc_and_average_precision(
        self, weights: np.ndarray | None = None, blocks: Blocks | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Area under the ROC curve, ties counting half, and average precision, not interpolated, (…) each.

        Both are sums over the positive rows. NaN without a positive row, AUROC also without a negative one.
        Of blocks, weights are (b, blocks).
        """
        if blocks is None:
            weights = np.ones(len(self._order)) if weights is None else weights
            return self._of_ordered(np.take(weights, self._order, axis=-1))
        assert weights is not None
        known, found = self._last_found
        if known is not weights:
            place, each = blocks.of_row[self._order], blocks.each[self._order].astype(weights.dtype)
            parts = [self._of_ordered(one[place] * each) for one in weights]
            found = tuple(np.array(values) for values in zip(*parts, strict=True))
            self._last_found = weights, found
        return found[0], found[1]

    def _of_ordered(self, ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


def wanted_threshold(
    positive: np.ndarray, scores: np.ndarray, wanted: float, of: str, weights: np.ndarray | None = None
) -> float | None:
    """Score from which to take rows for a class, so that `of`, precision or recall, is at least as wanted.

    The other one is as large as it can be; None where no score gives as much.
    """
    weights = np.ones(len(scores)) if weights is None else weights
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    found, taken = (np.cumsum(part[order])[ends] for part in (weights * positive, weights))
    if not found[-1]:
        return None
    precision, recall = found / taken, found / found[-1]
    bound, free = (precision, recall) if of == "precision" else (recall, precision)
    good = np.flatnonzero(bound >= wanted - 1e-12)
    return float(scores[order][ends][good[free[good].argmax()]]) if len(good) else None


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1), np.nan))


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
    rare
        Position of the class that has metrics of its own; they do not exist where None.
    costs
        What each decision would cost on each row, float (n, k); None where nothing says so.
    """

    def __init__(
        self,
        y: np.ndarray,
        probabilities: np.ndarray,
        predicted: np.ndarray | None = None,
        *,
        bins: int = 15,
        rare: int | None = None,
        costs: np.ndarray | None = None,
    ) -> None:
        self.bins, self.rare, self.costs = bins, rare, costs
        self.y = y
        self.probabilities = probabilities
        self.predicted = probabilities.argmax(axis=1) if predicted is None else predicted
        self.classes = probabilities.shape[1]
        self.losses = log_losses(y, probabilities)
        self.briers = brier_scores(y, probabilities)
        self.gaps = CalibrationGaps(y, probabilities, bins)
        self.ranked = tuple(np.flatnonzero(np.bincount(y)).tolist())
        self._rankings: dict[int, Ranking] = {}

    def __len__(self) -> int:
        return len(self.y)

    def ranking(self, k: int) -> Ranking:
        """Rows sorted by their score for a class that is `ranked`."""
        if k not in self._rankings:
            self._rankings[k] = Ranking(self.y == k, self.probabilities[:, k])
        return self._rankings[k]

    def decided(self, probabilities: np.ndarray, predicted: np.ndarray) -> Predictions:
        """The same rows with the probabilities and decisions of a rule."""
        made = Predictions(self.y, probabilities, predicted, bins=self.bins, rare=self.rare, costs=self.costs)
        if self.classes == 2 and len(self) > MOST_ROWS:
            # No rule changes the order of two classes' scores, but for rounding.
            made._rankings = self._rankings
        return made

    @property
    def decision_costs(self) -> np.ndarray | None:
        """What the decision on each row costs, (n,)."""
        return None if self.costs is None else self.costs[np.arange(len(self)), self.predicted]

    def outcomes(self, weights: np.ndarray | None = None) -> Outcomes:
        """Hits, rows and predictions per class."""
        return outcomes(self.y, self.predicted, self.classes, weights)

    def weighted(
        self, weights: np.ndarray | None = None, blocks: Blocks | None = None
    ) -> WeightedPredictions:
        """These predictions, their rows counted by weights, float (n,) or (b, n); once each where None.

        Of blocks of rows, weights are (b, blocks).
        """
        return WeightedPredictions(self, weights, blocks)

    def values(
        self,
        weights: np.ndarray | None = None,
        names: Collection[str] | None = None,
        blocks: Blocks | None = None,
    ) -> dict[str, np.ndarray]:
        """Headline metrics, float () or (b,) each; NaN where a metric does not exist.

        Parameters
        ----------
        weights
            Row weights, float (n,) or (b, n); None counts every row once.
        names
            Which of `HEADLINE`; all where None.
        blocks
            Where rows are weighed in blocks, these; weights are (b, blocks) then.
        """
        weighted = self.weighted(weights, blocks)
        chosen = HEADLINE if names is None else {name: HEADLINE[name] for name in HEADLINE if name in names}
        return {name: metric.value(weighted) for name, metric in chosen.items()}


class WeightedPredictions:
    """Predictions under one set of row weights or a stack of them, with what several metrics need."""

    def __init__(
        self, predictions: Predictions, weights: np.ndarray | None, blocks: Blocks | None = None
    ) -> None:
        self.predictions = predictions
        self.weights = weights
        self.blocks = blocks

    @cached_property
    def outcomes(self) -> Outcomes:
        """Hits, rows and predictions per class."""
        if self.blocks is None:
            return self.predictions.outcomes(self.weights)
        predicted, k = self.predictions.predicted, self.predictions.classes
        parts = ((self.y == predicted, self.y), (1.0, self.y), (1.0, predicted))
        return Outcomes(*(self.weights @ self.blocks.sums(values, column, k) for values, column in parts))

    @property
    def y(self) -> np.ndarray:
        """True class positions, int (n,)."""
        return self.predictions.y

    @cached_property
    def row_weights(self) -> np.ndarray:
        """What each row counts, float (n,)."""
        return np.ones(len(self.y)) if self.weights is None else self.weights

    @cached_property
    def squares(self) -> Outcomes:
        """Outcomes of the rows under their squared weights."""
        return self.outcomes if self.weights is None else self.predictions.outcomes(self.weights**2)

    @cached_property
    def confusion(self) -> np.ndarray:
        """Weight of the rows by true and predicted class, (k, k)."""
        k = self.predictions.classes
        cells = self.y * k + self.predictions.predicted
        return np.bincount(cells, self.row_weights, k * k).reshape(k, k)

    @cached_property
    def rankings(self) -> tuple[np.ndarray, np.ndarray]:
        """AUROC and average precision of the classes that have rows, (classes, …) each."""
        pairs = [self.ranked(k) for k in self.predictions.ranked]
        auroc, average_precision = (np.stack(values) for values in zip(*pairs, strict=True))
        return auroc, average_precision

    def ranked(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """AUROC and average precision of a class that has rows, (…) each."""
        return self.predictions.ranking(k).auroc_and_average_precision(self.weights, self.blocks)

    def ranking_ends(self) -> tuple[bounds.Ends, bounds.Ends]:
        """Intervals of the means of `rankings`, under one set of weights."""
        actual, squares = (o.actual[list(self.predictions.ranked)] for o in (self.outcomes, self.squares))
        rows = actual**2 / squares
        others = (actual.sum() - actual) ** 2 / np.maximum(squares.sum() - squares, 1e-12)
        auroc, average_precision = self.rankings
        return bounds.ranking_ends(auroc, rows, others), bounds.average_precision_ends(
            average_precision, rows
        )

    def of_rare(self, metric: Callable[[Outcomes], np.ndarray]) -> np.ndarray:
        """What a metric of each class says of the rare one, (…); NaN where there is none."""
        rare = self.predictions.rare
        return self._unknown if rare is None else np.asarray(metric(self.outcomes)[..., rare])

    def rare_average_precision(self) -> np.ndarray:
        """Average precision of the rare class alone, (…)."""
        rare = self.predictions.rare
        return self._unknown if rare not in self.predictions.ranked else self.ranked(rare)[1]

    def rare_ends(self, ends: tuple[np.ndarray, np.ndarray]) -> bounds.Ends:
        """Of intervals of all classes, that of the rare one."""
        rare = self.predictions.rare
        assert rare is not None
        return float(ends[0][rare]), float(ends[1][rare])

    def expected_cost(self) -> np.ndarray:
        """Mean cost of the decisions, (…)."""
        costs = self.predictions.decision_costs
        return self._unknown if costs is None else self.mean(costs)

    @property
    def _unknown(self) -> np.ndarray:
        return np.full(() if self.weights is None else self.weights.shape[:-1], np.nan)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Weighted mean of one value a row."""
        if self.weights is None:
            return np.asarray(values.mean())
        if self.blocks is not None:
            sums, rows = (self.weights @ self.blocks.sums(part)[:, 0] for part in (values, 1.0))
            return np.asarray(sums / rows)
        return np.asarray((self.weights @ values.astype(self.weights.dtype)) / self.weights.sum(axis=-1))


@dataclass(frozen=True)
class Measure:
    """How a number is called in tables, which direction is good, and what it says."""

    label: str
    higher_is_better: bool
    meaning: str


@dataclass(frozen=True)
class Metric(Measure):
    """A measure of predictions.

    Attributes
    ----------
    value
        Gives the metric, float () or (b,), of weighted predictions.
    in_short
        Whether short tables have it, too: the one on the terminal and that of the model card.
    of_rules
        Whether decision rules and techniques are judged by it.
    ranks
        Whether it needs the rows sorted by every class's score, and so is costly.
    of_decisions
        Whether it follows from what rows are taken for.
    ends
        Gives the ends of its 95% interval under one set of weights; percentiles of resamples where None.
    """

    value: Callable[[WeightedPredictions], np.ndarray]
    in_short: bool = False
    of_rules: bool = False
    ranks: bool = False
    of_decisions: bool = False
    ends: Callable[[WeightedPredictions], bounds.Ends] | None = None


def _of_outcomes(
    label: str,
    meaning: str,
    value: Callable[[Outcomes], np.ndarray],
    ends: Callable[[WeightedPredictions], bounds.Ends],
    **flags: bool,
) -> Metric:
    return Metric(
        label, True, meaning, lambda weighted: value(weighted.outcomes), of_decisions=True, ends=ends, **flags
    )


def _price(sample: WeightedPredictions, costs: np.ndarray) -> float:
    """What a mistake would cost on average over the rows."""
    return float(sample.row_weights @ costs / sample.row_weights.sum())


def _nll_ends(sample: WeightedPredictions) -> bounds.Ends:
    second = np.sort(sample.predictions.probabilities, axis=1)[:, -2:][:, 0]
    losses = -np.log(np.clip(second, EPSILON, 1))
    return bounds.mean_ends(sample, sample.predictions.losses, _price(sample, losses))


def _brier_ends(sample: WeightedPredictions) -> bounds.Ends:
    top = sample.predictions.probabilities.max(axis=1)
    return bounds.mean_ends(sample, sample.predictions.briers, _price(sample, 2 * top**2))


def _rare_average_precision_ends(sample: WeightedPredictions) -> bounds.Ends:
    shares = bounds.recall_shares(sample)
    value = np.full(len(shares.value), float(sample.rare_average_precision()))
    return sample.rare_ends(bounds.exact_interval(value * shares.rows, shares.rows))


def _cost_ends(sample: WeightedPredictions) -> bounds.Ends:
    """That of a sum of rare events, over what the cheapest decision costs anyhow."""
    costs, decided = sample.predictions.costs, sample.predictions.decision_costs
    assert costs is not None
    assert decided is not None
    least = float(costs.min())
    low, high = bounds.mean_ends(sample, decided - least, _price(sample, costs.max(axis=1) - least))
    return low + least, high + least


#: In the order of the tables.
HEADLINE: dict[str, Metric] = {
    "macro_f1": _of_outcomes(
        "Macro F1", "mean over classes of the harmonic mean of precision and recall",
        macro_f1, bounds.macro_f1_ends, in_short=True, of_rules=True,
    ),
    "balanced_accuracy": _of_outcomes(
        "Balanced accuracy", "mean recall: every class counts the same",
        balanced_accuracy, bounds.balanced_accuracy_ends, in_short=True, of_rules=True,
    ),
    "rare_f1": Metric(
        "Rare-class F1", True, "F1 of the class with the fewest training rows, or the one that is set",
        lambda weighted: weighted.of_rare(f1_scores), in_short=True, of_rules=True, of_decisions=True,
        ends=lambda weighted: weighted.rare_ends(bounds.f1_ends(weighted)),
    ),
    "rare_recall": Metric(
        "Rare-class recall", True, "share of its rows that are found",
        lambda weighted: weighted.of_rare(recalls), in_short=True, of_rules=True, of_decisions=True,
        ends=lambda weighted: weighted.rare_ends(bounds.recall_shares(weighted).ends()),
    ),
    "rare_precision": Metric(
        "Rare-class precision", True, "share of the rows taken for it that are of it",
        lambda weighted: weighted.of_rare(precisions), in_short=True, of_rules=True, of_decisions=True,
        ends=lambda weighted: weighted.rare_ends(bounds.precision_shares(weighted).ends()),
    ),
    "rare_average_precision": Metric(
        "Rare-class AP", True, "its average precision against the rest: area under precision-recall",
        lambda weighted: weighted.rare_average_precision(), in_short=True, of_rules=True, ranks=True,
        ends=_rare_average_precision_ends,
    ),
    "expected_cost": Metric(
        "Expected cost", False, "mean cost of a decision, as evaluate.costs has it",
        lambda weighted: weighted.expected_cost(), in_short=True, of_rules=True, ends=_cost_ends,
    ),
    "accuracy": _of_outcomes(
        "Accuracy", "share of rows predicted rightly",
        accuracy, bounds.accuracy_ends, in_short=True, of_rules=True,
    ),
    "worst_class_recall": _of_outcomes(
        "Worst-class recall", "recall of the class that is found least",
        worst_class_recall, bounds.worst_class_recall_ends, in_short=True, of_rules=True,
    ),
    "g_mean": _of_outcomes(
        "G-mean", "geometric mean of the recalls; 0 if one class is never found",
        g_mean, bounds.g_mean_ends, in_short=True,
    ),
    "weighted_f1": _of_outcomes(
        "Weighted F1", "mean F1 weighted by class size", weighted_f1, bounds.weighted_f1_ends
    ),
    "macro_precision": _of_outcomes(
        "Macro precision", "mean precision over classes", macro_precision, bounds.macro_precision_ends
    ),
    "macro_recall": _of_outcomes(
        "Macro recall", "the same number as balanced accuracy",
        balanced_accuracy, bounds.balanced_accuracy_ends,
    ),
    "mcc": _of_outcomes(
        "Matthews correlation", "correlation of prediction and truth, -1 to 1",
        matthews_correlation, bounds.matthews_ends, in_short=True,
    ),
    "auroc": Metric(
        "AUROC", True, "chance that a row of the class outranks another; mean one-vs-rest",
        lambda weighted: mean_of_known(weighted.rankings[0], axis=0), in_short=True, ranks=True,
        ends=lambda weighted: weighted.ranking_ends()[0],
    ),
    "average_precision": Metric(
        "Average precision", True, "area under precision-recall; mean over classes",
        lambda weighted: mean_of_known(weighted.rankings[1], axis=0), in_short=True, ranks=True,
        ends=lambda weighted: weighted.ranking_ends()[1],
    ),
    "nll": Metric(
        "Log loss", False, "mean -log of the probability of the true class, in nats",
        lambda weighted: weighted.mean(weighted.predictions.losses), in_short=True, of_rules=True,
        ends=_nll_ends,
    ),
    "brier": Metric(
        "Brier score", False, "mean squared distance to the one-hot truth, 0 to 2",
        lambda weighted: weighted.mean(weighted.predictions.briers), in_short=True, of_rules=True,
        ends=_brier_ends,
    ),
    "calibration_error": Metric(
        "Calibration error", False, "gap between confidence and accuracy, bins of equal mass",
        lambda weighted: weighted.predictions.gaps.top_label(weighted.weights, weighted.blocks),
        in_short=True, of_rules=True,
        ends=lambda weighted: weighted.predictions.gaps.top_label_ends(weighted.weights),
    ),
    "class_calibration_error": Metric(
        "Class-wise calibration error", False, "the same for every class's probability, averaged",
        lambda weighted: weighted.predictions.gaps.class_wise(weighted.weights, weighted.blocks),
        ends=lambda weighted: weighted.predictions.gaps.class_wise_ends(weighted.weights),
    ),
}  # fmt: skip
SHORT = tuple(name for name, metric in HEADLINE.items() if metric.in_short)
OF_RULES = tuple(name for name, metric in HEADLINE.items() if metric.of_rules)
