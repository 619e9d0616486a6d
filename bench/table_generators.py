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

import numpy as np
import pandas as pd

from bench.tables import all_sets
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


def class_by_class(fill: Filler, x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows and those that make every class as large as the largest."""
    counts = np.bincount(y)
    made = [
        (fill if counts[code] >= ENOUGH else copies)(x[y == code], counts.max() - counts[code], seed)
        for code in range(len(counts))
        if counts[code] < counts.max()
    ]
    lacking = np.repeat(np.arange(len(counts)), counts.max() - counts)
    return np.concatenate([x, *made]), np.concatenate([y, lacking])


def of_evenly(kind: GeneratorKind, train: SampleTable, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The same by a generator of evenly, which sees all classes at once."""
    counts = np.bincount(train.codes)
    missing = dict(zip(train.classes, (counts.max() - counts).tolist(), strict=True))
    wanted = {
        name: n for (name, n), own in zip(missing.items(), counts, strict=True) if n > 0 and own >= ENOUGH
    }
    settings = GenerativeSettings(kind=kind)
    plan = GeneratePlan(
        kind=kind,
        counts=wanted,
        generator=generator_settings(settings, "table", "recipes.bench.generate"),
        sampling=settings.sampling,
        seed=seed,
        threads=1,
    )
    made = generate(train, plan).samples
    parts = [train] if made is None else [train, made]
    x, y = np.concatenate([matrix(part) for part in parts]), np.concatenate([part.codes for part in parts])
    return class_by_class(copies, x, y, seed)


def smote(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """imbalanced-learn's; classes that are too small for six neighbours are copied first."""
    from imblearn.over_sampling import SMOTE

    small = {code: 6 for code, count in enumerate(np.bincount(y)) if count < 6}
    for code, rows in small.items():
        own = x[y == code]
        x = np.concatenate([x, copies(own, rows - len(own), seed)])
        y = np.concatenate([y, np.full(rows - len(own), code)])
    found: tuple[np.ndarray, np.ndarray] = SMOTE(random_state=seed).fit_resample(x, y)
    return found


def matrix(samples: SampleTable) -> np.ndarray:
    """Columns, all of them numbers, float (n, d)."""
    return np.column_stack([np.asarray(samples.column(f.name), dtype=float) for f in samples.schema.features])


def scores(x: np.ndarray, y: np.ndarray, test: SampleTable, seed: int) -> list[float]:
    """Macro F1 of a logistic regression, a forest and boosted trees."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    models = (
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        RandomForestClassifier(n_estimators=300, random_state=seed),
        HistGradientBoostingClassifier(random_state=seed),
    )
    z, classes = matrix(test), len(test.classes)
    return [float(macro_f1(outcomes(test.codes, m.fit(x, y).predict(z), classes))) for m in models]


def main() -> None:
    """Print a line for each set, seed and side, and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", default=SETS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    others = {"forest_leaves": ("arfpy", forest_leaves), "forest_flow": ("ForestDiffusion", forest_flow)}
    others = {side: one for side, one in others.items() if importlib.util.find_spec(one[0])}
    found: dict[str, list[list[float]]] = {}
    for one in (one for one in all_sets() if one.name in options.sets):
        for seed in range(1, options.seeds + 1):
            train, _, test = one.split(seed)
            x, y = matrix(train), train.codes
            sides: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
                "none": lambda x=x, y=y: (x, y),
                "copies": lambda x=x, y=y, seed=seed: class_by_class(copies, x, y, seed),
                "smote": lambda x=x, y=y, seed=seed: smote(x, y, seed),
                "vae": lambda train=train, seed=seed: of_evenly("vae", train, seed),
                "gan": lambda train=train, seed=seed: of_evenly("gan", train, seed),
            }
            for side, (_, fill) in others.items():
                sides[side] = lambda fill=fill, x=x, y=y, seed=seed: class_by_class(fill, x, y, seed)
            for side, balanced in sides.items():
                began = time.process_time()
                table = balanced()
                seconds = time.process_time() - began
                row = scores(*table, test, seed)
                found.setdefault(side, []).append([*row, float(np.mean(row)), seconds])
                figures = " ".join(f"{v:.3f}" for v in row)
                print(f"{one.name} {seed} {side:14} {figures} {seconds:.1f} s", flush=True)
    print("\n| rows by | logistic regression | forest | boosted trees | mean | CPU s |")
    print("|---|---:|---:|---:|---:|---:|")
    for side, rows in found.items():
        *means, seconds = np.mean(rows, axis=0)
        print(f"| `{side}` |", *(f"{v:.3f} |" for v in means), f"{seconds:.1f} |")


if __name__ == "__main__":
    main()
