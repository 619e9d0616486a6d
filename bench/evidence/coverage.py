"""How often the 95% intervals of `evaluate` hold the true value where the scarcest class has few test rows.

Scores of normal classes, for which the truth is known: it is computed from many rows of each class and their
true class probabilities. Test sets of 300 rows (and long tails of 50 to 1 for ten classes) are drawn again
and again, with the rows of each class as given or at random; models are calibrated, too sure, or balanced, on
easy and hard classes. Printed is the smallest coverage over these cases, the mean, and the mean width.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from evenly import confusion
from evenly.evaluation import bounds
from evenly.evaluation.calibration import equal_mass_bins
from evenly.evaluation.evaluate import calibration_bins
from evenly.evaluation.intervals import bootstrap_draws
from evenly.evaluation.metrics import HEADLINE, Predictions

#: Rows behind the truth, as many of each class.
TRUE_ROWS = 100_000
#: Distances of the classes from the others, that of the most frequent and of the scarcest one.
SEPARATIONS = ((1.2, 1.0), (2.0, 1.0), (2.0, 2.0), (3.5, 3.5))
#: What the model makes of the log-odds, and the prior that its scores carry.
MODELS = {"calibrated": (1.0, "own"), "too sure": (2.0, "own"), "balanced": (1.0, "equal")}
OF_CLASSES = {
    "recall": confusion.recalls,
    "precision": confusion.precisions,
    "f1": confusion.f1_scores,
}


@dataclass(frozen=True)
class World:
    """Normal classes with identity covariance, `separation[k]` from the origin on an axis of their own."""

    counts: np.ndarray
    separation: np.ndarray
    sharpness: float
    prior: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """Of the classes, where the model is used."""
        return np.asarray(self.counts / self.counts.sum())

    def scores(self, y: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """What the model says of rows of these classes, and the true class probabilities, (n, k) each."""
        x = generator.normal(size=(len(y), len(self.counts)))
        x[np.arange(len(y)), y] += self.separation[y]
        likelihoods = x * self.separation - self.separation**2 / 2
        return (
            _softmax(self.sharpness * (likelihoods + np.log(self.prior))),
            _softmax(likelihoods + np.log(self.shares)),
        )

    def truth(self) -> dict[str, float]:
        """Every metric of the model as it is."""
        k = len(self.counts)
        y = np.repeat(np.arange(k), TRUE_ROWS // k)
        weights = self.shares[y] * k
        scores, true = self.scores(y, np.random.default_rng(1))
        sample = Predictions(y, scores, rare=k - 1).weighted(weights)
        names = [name for name in HEADLINE if "calibration" not in name]
        found = {name: float(HEADLINE[name].value(sample)) for name in names}
        for name, metric in OF_CLASSES.items():
            values = metric(sample.outcomes)
            found |= {
                f"{name} of the {which} class": float(values[c])
                for which, c in (("largest", 0), ("scarcest", -1))
            }
        bins, top = calibration_bins(int(self.counts.sum()), 15), scores.argmax(axis=1)
        rows = np.arange(len(y))
        draw = np.random.default_rng(2).choice(len(y), size=100_000, p=weights / weights.sum())
        found["calibration_error"] = _true_gap(scores[rows, top][draw], true[rows, top][draw], bins)
        gaps = [_true_gap(scores[draw, c], true[draw, c], bins) for c in range(k)]
        return found | {"class_calibration_error": float(np.mean(gaps))}


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _true_gap(scores: np.ndarray, true: np.ndarray, bins: int) -> float:
    column = equal_mass_bins(scores, bins)
    return float(np.abs(np.bincount(column, scores - true)).sum() / len(scores))


def class_counts(classes: int, rarest: int, rows: int | None) -> np.ndarray:
    """Geometric counts down to the rarest: so many rows together, or 50 to 1 where None."""
    if classes == 2 and rows is not None:
        return np.array([rows - rarest, rarest])
    low, high = 1.0, 1000.0
    for _ in range(60):
        middle = 50.0 if rows is None else (low * high) ** 0.5
        counts = np.round(np.geomspace(rarest * middle, rarest, classes)).astype(int)
        low, high = (low, middle) if rows is not None and counts.sum() > rows else (middle, high)
    return np.asarray(counts)


def intervals(one: Predictions) -> Iterator[tuple[str, float, float]]:
    """Every interval of one test set: name, low, high."""
    sample = one.weighted()
    for name, metric in HEADLINE.items():
        if metric.ends is not None and not np.isnan(metric.value(sample)):
            yield name, *metric.ends(sample)
    for name, ends in (
        ("recall", bounds.recall_shares(sample).ends()),
        ("precision", bounds.precision_shares(sample).ends()),
        ("f1", bounds.f1_ends(sample)),
    ):
        for which, c in (("largest", 0), ("scarcest", -1)):
            if sample.outcomes.actual[c]:
                yield f"{name} of the {which} class", float(ends[0][c]), float(ends[1][c])


def percentiles(one: Predictions, seed: int) -> Iterator[tuple[str, float, float]]:
    """What a plain bootstrap of the rows gives instead."""
    names = [name for name in HEADLINE if name != "expected_cost"]
    (draws,) = bootstrap_draws([one], resamples=300, seed=seed, names=names)
    for name, drawn in draws.items():
        low, high = np.nanpercentile(drawn, (2.5, 97.5))
        yield name, float(low), float(high)


def measured(
    counts: np.ndarray, repetitions: int, plain: bool, seed: int
) -> Mapping[str, list[tuple[float, float]]]:
    """Coverage and mean width of every interval, a pair for each case."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    k = len(counts)
    for first, last in SEPARATIONS:
        for sharpness, prior in MODELS.values():
            own = counts / counts.sum()
            separation = np.linspace(first, last, k) + (0.8 if k > 2 else 0.0)
            world = World(counts, separation, sharpness, own if prior == "own" else np.full(k, 1 / k))
            truth = world.truth()
            for drawn in (False, True):
                generator = np.random.default_rng(seed)
                hits: dict[str, list[tuple[bool, float]]] = defaultdict(list)
                for i in range(repetitions):
                    y = np.repeat(np.arange(k), counts)
                    if drawn:
                        y = generator.choice(k, size=len(y), p=own)
                    scores = world.scores(y, generator)[0]
                    one = Predictions(y, scores, bins=calibration_bins(len(y), 15), rare=k - 1)
                    for name, low, high in percentiles(one, i) if plain else intervals(one):
                        hits[name].append((low - 1e-9 <= truth[name] <= high + 1e-9, high - low))
                for name, pairs in hits.items():
                    covered, width = np.array(pairs, dtype=float).mean(axis=0)
                    found[name].append((float(covered), float(width)))
    return found


def main() -> None:
    """Print coverage by metric and number of rows of the scarcest class."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=300)
    parser.add_argument(
        "--plain", action="store_true", help="percentiles of a plain bootstrap, for comparison"
    )
    parser.add_argument("--positives", type=int, nargs="*", default=[6, 15, 50])
    parser.add_argument("--classes", type=int, nargs="*", default=[2, 10])
    arguments = parser.parse_args()
    print("| classes | test rows | scarcest | metric | smallest coverage | mean | mean width |")
    print("|---:|---:|---:|---|---:|---:|---:|")
    for classes in arguments.classes:
        for rarest in arguments.positives:
            for rows in (300,) if classes == 2 or rarest > 15 else (300, None):
                counts = class_counts(classes, rarest, rows)
                cases = measured(counts, arguments.repetitions, arguments.plain, seed=rarest)
                for name, pairs in cases.items():
                    covered, width = np.array(pairs).T
                    print(
                        f"| {classes} | {counts.sum()} | {counts.min()} | {name} | {covered.min():.3f} "
                        f"| {covered.mean():.3f} | {width.mean():.3f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
