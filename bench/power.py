"""What a comparison finds on 200 rows: level and power of hold-out seeds against folds, at the same cost.

Two techniques are logistic regressions on features of their own. Where both have the same noise they are
equally good by symmetry, and every difference that is called one is false. Both designs fit ten models: five
seeds, or one repetition of five folds. Rival: the corrected resampled t-test over the seeds or folds alone.
"""

from __future__ import annotations

import sys

import numpy as np
from sklearn.linear_model import LogisticRegression

from evenly.comparison.statistics import Design, estimate
from evenly.confusion import macro_f1, outcomes
from evenly.datasets.partition import TEST, TRAIN, draws, fold_test_rows, stratified
from evenly.resamples import shared_weights

ROWS, CLASSES, SEEDS, VALIDATION = 200, 3, 5, 0.16
SHARES = np.array([0.6, 0.3, 0.1])
MEANS = np.array([[0, 0, 0, 0], [1.6, 0, 1, 0], [0, 1.6, 0, 1.6]], dtype=np.float64)
#: Noise of the second technique's features at which it is .10 worse (the first has 1.0).
WORSE = 1.28


def made(generator: np.random.Generator, rows: int, noise: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Classes of the rows, and the features of both techniques."""
    while True:
        y = generator.choice(CLASSES, size=rows, p=SHARES)
        if np.bincount(y, minlength=CLASSES).min() >= SEEDS:
            break
    shape = (rows, MEANS.shape[1])
    return y, [MEANS[y] + scale * generator.standard_normal(shape) for scale in (1.0, noise)]


def parts_of(y: np.ndarray, names: list[str], design: str, seed: int) -> np.ndarray:
    """Part of each row under a seed: a hold-out, or a fold of the first repetition."""
    drawn = draws(names, seed, "split")
    if design == "redrawn":
        return stratified(y, drawn, VALIDATION, 1 / SEEDS)
    tested = fold_test_rows(y, draws(names, 0, "folds"), None, SEEDS, seed, 0)
    parts = np.full(len(y), TEST, dtype=np.int8)
    parts[~tested] = stratified(y[~tested], drawn[~tested], VALIDATION * SEEDS / (SEEDS - 1), 0.0)
    return parts


def compared(number: int, noise: float, design: str) -> tuple[float, float, float, float]:
    """Difference in macro F1, half-width and p-value of evenly, and the p-value of the t-test alone."""
    generator = np.random.default_rng([number, 3])
    y, features = made(generator, ROWS, noise)
    names = [f"{number}-{k}" for k in range(ROWS)]
    weights = np.concatenate(list(shared_weights(names)))
    differences, drawn = [], []
    decided = np.zeros((2, ROWS), dtype=np.int64)
    for seed in range(SEEDS):
        parts = parts_of(y, names, design, seed)
        train, test = parts == TRAIN, np.flatnonzero(parts == TEST)
        for place, x in enumerate(features):
            model = LogisticRegression(max_iter=300).fit(x[train], y[train])
            decided[place, test] = model.predict(x[test])
        difference = scored(y[test], decided[:, test], weights[:, test])
        differences.append(difference[0])
        drawn.append(difference[1:])
    share = 1 / (SEEDS - 1)
    alone = estimate(differences, Design("redrawn", share))
    if design == "folds":
        whole = scored(y, decided, weights)
        found = estimate(differences, Design("folds", share), whole[1:], float(whole[0]))
    else:
        found = estimate(differences, Design("redrawn", share), np.mean(drawn, axis=0))
    return found.mean, (found.high - found.low) / 2, found.p_value, alone.p_value


def scored(y: np.ndarray, decided: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Difference of both techniques in macro F1 on the rows, then on each resample of them."""
    rows = np.vstack([np.ones(len(y)), weights])
    ours, theirs = (macro_f1(outcomes(y, one, CLASSES, rows)) for one in decided)
    return np.asarray(ours - theirs)


def main() -> None:
    """Print level and power; the argument is the number of data sets."""
    sets = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    print(
        f"{sets} data sets of {ROWS} rows, classes {SHARES}, {SEEDS} seeds or folds; called different at 5%"
    )
    print(f"{'design':<10}{'noise':>7}{'difference':>12}{'half-width':>12}{'evenly':>9}{'t-test alone':>14}")
    power = {}
    for noise in (1.0, WORSE):
        for design in ("redrawn", "folds"):
            values = np.array([compared(number, noise, design) for number in range(sets)])
            called = (values[:, 2:] < 0.05).mean(axis=0)
            power[design, noise] = called[0]
            mean, half = values[:, :2].mean(axis=0)
            print(
                f"{design:<10}{noise:>7}{mean:>12.3f}{half:>12.3f}{called[0]:>9.3f}{called[1]:>14.3f}",
                flush=True,
            )
    ratio = power["folds", WORSE] / power["redrawn", WORSE]
    print(f"folds find {ratio:.2f} times as many; false positives {power['folds', 1.0]:.3f}")


if __name__ == "__main__":
    main()
