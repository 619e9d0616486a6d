"""Uncertainty of metrics: their intervals, and the bootstrap over test rows, paired between models and rules.

All resamples of `n` rows under one seed are the same, so what two models score on them can be subtracted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evenly.evaluation.metrics import HEADLINE, Predictions, WeightedPredictions
from evenly.resamples import BLOCKS, MOST_ROWS, Blocks, shared_blocks, shared_weights

#: Cells (resamples × rows × classes) that the ranking metrics may touch before they get fewer resamples.
_RANKING_BUDGET = 200_000_000
_FEWEST = 200
_CHUNK_CELLS = 2_000_000
#: Digits behind the point in metrics.json: more than any test set carries, few enough to read.
_DIGITS = 6


@dataclass(frozen=True)
class Interval:
    """An estimate from all rows with the ends of its 95% interval; low ≤ value ≤ high."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of 0."""
        return self.low > 0 or self.high < 0

    @property
    def ends(self) -> tuple[float, float, float]:
        """Value, low and high."""
        return self.value, self.low, self.high


def bootstrap_weights(rows: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draw rows with replacement, over and over: how often each row came, in chunks of float32 (b, rows).

    The chunks, and so the resamples, depend on nothing but the arguments.
    """
    generator = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_CELLS // rows)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = generator.integers(rows, size=(size, rows))
        drawn += np.arange(size)[:, None] * rows
        counts = np.bincount(drawn.ravel(), minlength=size * rows)
        yield counts.reshape(size, rows).astype(np.float32)


def random_blocks(rows: int, seed: int, row_weights: np.ndarray | None = None) -> Blocks | None:
    """Blocks of equal size in which more than `MOST_ROWS` rows are drawn with replacement; else None."""
    if rows <= MOST_ROWS:
        return None
    of_row = np.random.default_rng([seed, 2]).permutation(rows) % BLOCKS
    return Blocks(of_row, np.ones(rows) if row_weights is None else row_weights, BLOCKS)


def bootstrap_draws(
    predictions: Sequence[Predictions],
    *,
    resamples: int,
    seed: int,
    row_weights: np.ndarray | None = None,
    names: Collection[str] | None = None,
) -> list[dict[str, np.ndarray]]:
    """Headline metrics of several sets of predictions for the same rows, on the same resamples of these rows.

    Gives, for each set, metric to its values, float (B,): the ranking metrics fewer where rows × classes are
    many. Many rows are drawn in blocks (`random_blocks`). Of several sets, metrics of decisions are drawn
    with rows besides on which they differ from the first (`_with_unseen`).

    Parameters
    ----------
    predictions
        For the same rows in the same order.
    resamples, seed
        Number of resamples B, and where they come from.
    row_weights
        What each row counts besides, float (n,).
    names
        Which of `HEADLINE`; all where None.
    """
    rows, classes = len(predictions[0]), predictions[0].classes
    affordable = _RANKING_BUDGET // (rows * classes * len(predictions))
    ranked = min(resamples, max(_FEWEST, affordable))
    names = tuple(HEADLINE) if names is None else names
    ranking, unranked = ([name for name in names if HEADLINE[name].ranks is ranks] for ranks in (True, False))
    decided = [name for name in names if HEADLINE[name].of_decisions]
    padded = _with_unseen(predictions) if len(predictions) > 1 and decided else []
    y, of_unseen = predictions[0].y, np.random.default_rng([seed, 1])
    each = np.ones(rows) if row_weights is None else row_weights
    of_class = np.bincount(y, each, classes) / np.maximum(np.bincount(y, minlength=classes), 1)
    blocks = random_blocks(rows, seed, each)
    more = None if blocks is None else _with_more(blocks, 2 * classes)
    collected: list[dict[str, list[np.ndarray]]] = [{} for _ in predictions]
    done = 0
    drawn = rows if blocks is None else blocks.number
    for weights in bootstrap_weights(drawn, resamples if names else 0, seed):
        some = weights[: max(0, ranked - done)]
        if blocks is None:
            weights *= each.astype(np.float32)
            some = weights
        for into, one in zip(collected, predictions, strict=True):
            found = one.values(weights, unranked, blocks)
            found |= one.values(some, ranking if done < ranked else (), blocks)
            for name, values in found.items():
                into.setdefault(name, []).append(values)
        if padded:
            unseen = of_unseen.gamma(0.5, size=(len(weights), 2 * classes)) * np.tile(of_class, 2)
            weights = np.hstack([weights, unseen.astype(np.float32)])
            for into, one in zip(collected, padded, strict=True):
                for name, values in one.values(weights, decided, more).items():
                    into[name][-1] = values
        done += len(weights)
    return [{name: np.concatenate(into[name]) for name in HEADLINE if name in into} for into in collected]


def _with_more(blocks: Blocks, rows: int) -> Blocks:
    """The blocks, and behind them rows that are drawn by themselves."""
    of_row = np.append(blocks.of_row, blocks.number + np.arange(rows))
    return Blocks(of_row, np.append(blocks.each, np.ones(rows)), blocks.number + rows)


def _with_unseen(predictions: Sequence[Predictions]) -> list[Predictions]:
    """Add rows on which sets of predictions may differ from the first although no row at hand shows it.

    Of each class there is one that the first finds and the others do not, and one the other way round; who
    misses it says what mistakes on the class say most. Half a row each, as in Jeffreys' prior of a share:
    a bootstrap knows of no difference that its rows lack, and of few rows most lack some. Predictions that
    decide as the first on every row do so on these.
    """
    first = predictions[0]
    k, y = first.classes, first.y
    mistakes = sum(one.weighted().confusion for one in predictions) + np.bincount(y, minlength=k) / len(y)
    other, own = (mistakes * (1 - np.eye(k))).argmax(axis=1), np.arange(k)
    padded = []
    for one in predictions:
        alike = np.array_equal(one.predicted, first.predicted)
        more = np.concatenate([own, other] if alike else [other, own])
        padded.append(
            Predictions(
                np.concatenate([y, own, own]),
                np.vstack([one.probabilities, np.eye(k)[more]]),
                np.concatenate([one.predicted, more]),
                rare=one.rare,
            )
        )
    return padded


def resampled(
    predictions: Sequence[Predictions],
    names: Sequence[str],
    metrics: Sequence[str],
    row_weights: np.ndarray | None = None,
) -> list[dict[str, np.ndarray]]:
    """Metrics of several predictions on the shared resamples of their rows, by name, float32 (RESAMPLES,).

    `names` are those of the rows in order, or of their groups; `row_weights`, (n,), is what each counts
    besides.
    """
    collected: list[dict[str, list[np.ndarray]]] = [{} for _ in predictions]
    each = np.ones(len(names)) if row_weights is None else row_weights
    of_row, units = shared_blocks(names)
    blocks = None if of_row is None else Blocks(of_row, each, len(units))
    for weights in shared_weights(units) if predictions else ():
        if blocks is None and row_weights is not None:
            weights *= row_weights.astype(np.float32)
        for into, one in zip(collected, predictions, strict=True):
            for name, values in one.values(weights, metrics, blocks).items():
                into.setdefault(name, []).append(values.astype(np.float32))
    joined = [{name: np.concatenate(parts) for name, parts in into.items()} for into in collected]
    return [{name: values for name, values in one.items() if not np.isnan(values).any()} for one in joined]


def metric_intervals(
    values: Mapping[str, np.ndarray | float],
    draws: Mapping[str, np.ndarray],
    sample: WeightedPredictions | None = None,
) -> dict[str, Interval]:
    """95% intervals of metrics; metrics that do not exist (NaN) are left out.

    Headline metrics of the sample have their own intervals, which hold where a class has a handful of rows
    (`evenly.evaluation.bounds`). All others have percentiles of the resamples (Efron 1979), which cannot know
    of what those rows did not show.
    """
    found = {}
    for name, known in values.items():
        value, metric = float(known), HEADLINE.get(name)
        if np.isnan(value):
            continue
        if sample is not None and metric is not None and metric.ends is not None:
            low, high = metric.ends(sample)
        elif name in draws:
            low, high = np.nanpercentile(draws[name], (2.5, 97.5))
        else:
            continue
        found[name] = Interval(value, min(float(low), value), max(float(high), value))
    return found


def paired_differences(
    values: Mapping[str, np.ndarray | float],
    draws: Mapping[str, np.ndarray],
    base_values: Mapping[str, np.ndarray | float],
    base_draws: Mapping[str, np.ndarray],
) -> dict[str, Interval]:
    """Differences to a base on the same rows with 95% percentile intervals over the same resamples."""
    found = {}
    for name, drawn in draws.items():
        value = float(values[name]) - float(base_values[name])
        if not np.isnan(value):
            low, high = np.nanpercentile(drawn - base_draws[name], (2.5, 97.5))
            found[name] = Interval(value, min(float(low), value), max(float(high), value))
    return found


def intervals_json(intervals: Mapping[str, Interval]) -> dict[str, float]:
    """Write each interval as three numbers: NAME, NAME_low and NAME_high."""
    return {
        f"{name}{end}": rounded(value)
        for name, interval in intervals.items()
        for end, value in zip(("", "_low", "_high"), interval.ends, strict=True)
    }


def rounded(value: float) -> float:
    """Cut a number to the digits of metrics.json."""
    # Adding 0 turns a rounded −0.0 into 0.0.
    return round(float(np.float64(value)), _DIGITS) + 0.0
