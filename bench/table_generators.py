"""Rows for scarce classes of small tables: VAE, GAN, SMOTE and copies against generators of other packages.

Every class of 10 rows and more is filled up to the largest by the generator, smaller ones by copies, and the
table is read by three models of scikit-learn: macro F1 on test rows, by the most probable class.
`forest_leaves` is arfpy (adversarial random forests: Watson et al., AISTATS 2023, 2205.09435), fitted on each
class; `forest_flow` is ForestDiffusion (Jolicoeur-Martineau et al., AISTATS 2024, 2309.09968), likewise, with
25 noise levels and 20 noisy copies of a row, half and a fifth of its defaults. Tables are of `bench.tables`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import importlib.util
import time
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from bench.tables import RIVALS, all_sets, plain
from evenly.confusion import macro_f1, outcomes
from evenly.generators.generate import generate
from evenly.params.generative import GenerativeSettings, GeneratorKind, generator_settings
from evenly.plans import GeneratePlan
from evenly.samples import SampleTable

SETS = ("made, 10:1", "made, overlapping, 10:1", "made, 3 classes, 10:1", "breast_cancer, 10:1", "wine, 3:1")
SETS += ("haberman", "ecoli3", "new-thyroid1", "vehicle1", "yeast5", "pima", "glass6")
#: Rows of a class from which a generator is fitted.
ENOUGH = 10
#: Rows (n, d) of a class and how many are wanted, to new rows; and a seed.
Filler = Callable[[np.ndarray, int, int], np.ndarray]
#: Rows (n, d) and codes of their classes (n,).
Rows = tuple[np.ndarray, np.ndarray]


def copies(x: np.ndarray, wanted: int, seed: int) -> np.ndarray:
    """Rows by lot."""
    return x[np.random.default_rng(seed).integers(len(x), size=wanted)]


def forest_leaves(x: np.ndarray, wanted: int, seed: int) -> np.ndarray:
    """Rows of leaves of adversarial random forests."""
    from arfpy import arf

    np.in1d = np.isin  # type: ignore[attr-defined]  # noqa: NPY201  # arfpy 0.1.1 knows NumPy before 2.4
    np.random.seed(seed)  # noqa: NPY002
    model = arf.arf(pd.DataFrame(x), verbose=False, random_state=seed)
    model.forde()
    return np.asarray(model.forge(n=wanted), dtype=float)


def forest_flow(x: np.ndarray, wanted: int, seed: int) -> np.ndarray:
    """Rows of a flow whose field is boosted trees."""
    from ForestDiffusion import ForestDiffusionModel

    model = ForestDiffusionModel(x, n_t=25, duplicate_K=20, n_jobs=1, seed=seed)
    return np.asarray(model.generate(batch_size=wanted), dtype=float)


def class_by_class(fill: Filler, x: np.ndarray, y: np.ndarray, seed: int) -> Rows:
    """The rows and those that make every class as large as the largest."""
    lacking = np.bincount(y).max() - np.bincount(y)
    made = [
        (fill if (y == code).sum() >= ENOUGH else copies)(x[y == code], wanted, seed)
        for code, wanted in enumerate(lacking)
        if wanted
    ]
    return np.concatenate([x, *made]), np.concatenate([y, np.repeat(np.arange(len(lacking)), lacking)])


def filled(fill: Filler, train: SampleTable, seed: int) -> Rows:
    """Training rows, every class filled up on its own."""
    return class_by_class(fill, matrix(train), train.codes, seed)


def of_evenly(kind: GeneratorKind, train: SampleTable, seed: int) -> Rows:
    """The same by a generator of evenly, which sees all classes at once."""
    largest, settings = max(train.counts.values()), GenerativeSettings(kind=kind)
    plan = GeneratePlan(
        kind=kind,
        counts={name: largest - own for name, own in train.counts.items() if ENOUGH <= own < largest},
        generator=generator_settings(settings, "table", "recipes.bench.generate"),
        sampling=settings.sampling,
        seed=seed,
        threads=1,
    )
    made = generate(train, plan).samples
    parts = [train] if made is None else [train, made]
    x, y = np.concatenate([matrix(part) for part in parts]), np.concatenate([part.codes for part in parts])
    return class_by_class(copies, x, y, seed)


def smote(train: SampleTable, seed: int) -> Rows:
    """imbalanced-learn's; classes that are too small for six neighbours are copied first."""
    from imblearn.over_sampling import SMOTE

    x, y = matrix(train), train.codes
    for code, count in enumerate(np.bincount(y)):
        few = max(0, 6 - count)
        x, y = np.concatenate([x, copies(x[y == code], few, seed)]), np.concatenate([y, np.full(few, code)])
    found: Rows = SMOTE(random_state=seed).fit_resample(x, y)
    return found


def matrix(samples: SampleTable) -> np.ndarray:
    """Columns, all of them numbers, float (n, d)."""
    return np.array([samples.column(feature.name) for feature in samples.schema.features], dtype=float).T


SIDES: dict[str, Callable[[SampleTable, int], Rows]] = {
    "none": lambda train, seed: (matrix(train), train.codes),
    "copies": partial(filled, copies),
    "smote": smote,
    "vae": partial(of_evenly, "vae"),
    "gan": partial(of_evenly, "gan"),
    "forest_leaves": partial(filled, forest_leaves),
    "forest_flow": partial(filled, forest_flow),
}
#: What sides need that is not installed with evenly.
NEEDS = {"forest_leaves": "arfpy", "forest_flow": "ForestDiffusion"}


def scores(x: np.ndarray, y: np.ndarray, test: SampleTable, seed: int) -> list[float]:
    """Macro F1 of a logistic regression, a forest and boosted trees."""
    guesses = [plain(name, x, y, matrix(test), seed)[name] for name in RIVALS]
    return [float(macro_f1(outcomes(test.codes, guess, len(test.classes)))) for guess in guesses]


def main() -> None:
    """Print a line for each set, seed and side, and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", default=SETS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    sides = {side: fill for side, fill in SIDES.items() if importlib.util.find_spec(NEEDS.get(side, "numpy"))}
    found: dict[str, list[list[float]]] = {side: [] for side in sides}
    for one in (one for one in all_sets() if one.name in options.sets):
        for seed in range(1, options.seeds + 1):
            train, _, test = one.split(seed)
            for side, balanced in sides.items():
                began = time.process_time()
                x, y = balanced(train, seed)
                seconds = time.process_time() - began
                row = scores(x, y, test, seed)
                found[side].append([*row, float(np.mean(row)), seconds])
                figures = " ".join(f"{v:.3f}" for v in row)
                print(f"{one.name} {seed} {side:14} {figures} {seconds:.1f} s", flush=True)
    print("\n| rows by | logistic regression | forest | boosted trees | mean | behind SMOTE | CPU s |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for side, rows in found.items():
        *means, seconds = np.mean(rows, axis=0)
        behind = np.array(found["smote"])[:, 3] - np.array(rows)[:, 3]
        error = behind.std(ddof=1) / len(rows) ** 0.5 if len(rows) > 1 else np.nan
        figures = " | ".join(f"{v:.3f}" for v in means)
        print(f"| `{side}` | {figures} | {behind.mean():.3f} ± {error:.3f} | {seconds:.1f} |")


if __name__ == "__main__":
    main()
