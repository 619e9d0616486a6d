"""Whether `evenly advise` is right on tables: each recipe that costs seconds, on many small sets, in process.

Sets are scikit-learn's, thinned to several ratios, and families made over ratio, overlap, dimension, noise,
classes and rows. Each run is planned, resampled and fitted as the pipeline does it, with at most 80 boosting
rounds, and read out by the rule that validation rows choose; test rows only say afterwards what advice was
worth. What is learned for a set is learned without it. Rival: no recipe at all, with its best rule.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import csv
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evenly.advice.advise import advise
from evenly.advice.shape import DataShape, data_shape
from evenly.augmentation import augment
from evenly.classifiers import build_classifier
from evenly.confusion import macro_f1, outcomes
from evenly.curves.sources import MOST
from evenly.datasets.partition import TEST, TRAIN, VALIDATION, draws, long_tail, stratified
from evenly.evaluation.decisions import deployment_shares, fitted_rules, out_of_fold
from evenly.features import fit_featurizer
from evenly.params.datasets import InducedImbalance, read_entry
from evenly.params.project import Params, read_params
from evenly.planning import make_plans
from evenly.resampling import assemble
from evenly.resampling.resample import resample
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns

TECHNIQUES = (
    "none",
    "class_weights",
    "random_oversampling",
    "random_undersampling",
    "smote",
    "borderline_smote",
    "kmeans_smote",
    "adasyn",
    "offline_augmentation",
)
SEEDS = (1, 2, 3)
#: Test rows of sets that are made; validation has half as many rows as training. Each seed draws all anew.
TEST_ROWS = 2000
#: Shares of validation and test rows of scikit-learn's sets.
SHARES = (0.2, 0.45)
FIELDS = ("set", "seed", "technique", "validation", "test", "argmax", "cpu_s")
FEATURES = ("ratio", "smallest", "rows", "dimensions", "classes", "held_out")


@dataclass(frozen=True)
class BenchSet:
    """A data set: scikit-learn's `source`, or a made one; those of a `family` differ in ratio alone."""

    family: str
    ratio: float
    source: str | None = None
    rows: int = 120
    separation: float = 1.0
    columns: int = 10
    informative: int = 5
    noise: float = 0.01
    classes: int = 2

    @property
    def name(self) -> str:
        """Unique among the sets."""
        return f"{self.family}, {self.ratio:g}:1"

    @property
    def test_share(self) -> float:
        """As `evenly.comparison.statistics` has it; 0 where seeds have no row in common."""
        return SHARES[1] / (1 - SHARES[1]) if self.source else 0.0


_MADE: dict[str, dict[str, Any]] = {
    "made": {},
    "made, overlapping": {"separation": 0.5},
    "made, apart": {"separation": 2.0},
    "made, 40 columns": {"columns": 40},
    "made, 120 columns": {"columns": 120},
    "made, noisy labels": {"noise": 0.1},
    "made, 3 classes": {"classes": 3},
    "made, 6 classes": {"classes": 6, "informative": 8, "columns": 12},
    "made, 60 rows": {"rows": 60},
}
_LOADED: dict[str, tuple[float, ...]] = {
    "breast_cancer": (5, 10, 30),
    "wine": (3, 8),
    "iris": (3, 8),
    "digits": (20,),
}
#: Scikit-learn bins more than 255 different values of a column slowly where rows have weights: few such sets.
SETS = (
    *(BenchSet(name, ratio, **changes) for name, changes in _MADE.items() for ratio in (5, 10, 20)),
    BenchSet("made, 500 rows", 20, rows=500),
    BenchSet("made, 500 rows, overlapping", 20, rows=500, separation=0.5),
    *(BenchSet(name, ratio, source=name) for name, ratios in _LOADED.items() for ratio in ratios),
)


def split_rows(
    one: BenchSet, seed: int, seeds: Sequence[int] = SEEDS
) -> tuple[SampleTable, SampleTable, SampleTable]:
    """Training, validation and test rows of a seed; sets that are loaded are thinned in training alone."""
    if one.source:
        x, y = _loaded(one.source)
    else:
        place, total = seeds.index(seed), one.rows + one.rows // 2 + TEST_ROWS
        every_x, every_y = _made(one, total * len(seeds))
        x, y = (values[place * total : (place + 1) * total] for values in (every_x, every_y))
    names = [f"{k:05d}" for k in range(len(y))]
    drawn = draws(names, seed, "split")
    shares = SHARES if one.source else (one.rows // 2 / len(y), TEST_ROWS / len(y))
    parts = stratified(y, drawn, *shares)
    if one.source:
        train = np.flatnonzero(parts == TRAIN)
        thinned = long_tail(
            y[train], drawn[train], np.bincount(y), InducedImbalance(ratio=one.ratio, profile="exponential")
        )
        parts[train[~thinned]] = -1
    features = tuple(Feature(f"x{k}", "number") for k in range(x.shape[1]))
    schema = Schema("table", tuple(f"class {k}" for k in range(int(y.max()) + 1)), features)
    columns = {
        "id": names,
        "label": [f"class {code}" for code in y],
        **{f"x{k}": x[:, k].astype(float) for k in range(x.shape[1])},
    }
    everything = samples_from_columns(columns, schema)
    train_rows, validation, test = (
        everything.take(np.flatnonzero(parts == part)) for part in (TRAIN, VALIDATION, TEST)
    )
    return train_rows, validation, test


def _loaded(source: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{source}")(return_X_y=True)
    # The class that stays whole is the most frequent one.
    order = np.argsort(-np.bincount(y), kind="stable")
    return x, np.argsort(order)[y]


def _made(one: BenchSet, rows: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import make_classification

    shares = one.ratio ** -(np.arange(one.classes) / (one.classes - 1))
    x, y = make_classification(
        rows,
        one.columns,
        n_informative=one.informative,
        n_redundant=2,
        n_classes=one.classes,
        n_clusters_per_class=2,
        weights=(shares / shares.sum()).tolist(),
        flip_y=one.noise,
        class_sep=one.separation,
        random_state=7,
    )
    return x, y


def run(one: BenchSet, seed: int, settings: Params, seeds: Sequence[int] = SEEDS) -> list[dict[str, Any]]:
    """Fit every technique under a seed; macro F1 of validation rows (out of fold) and of test rows."""
    logging.disable(logging.WARNING)
    train, validation, test = split_rows(one, seed, seeds)
    boosting = settings.models.hist_gradient_boosting
    rounds = min(MOST["rounds"], boosting.rounds)
    models = settings.models.model_copy(
        update={"hist_gradient_boosting": boosting.model_copy(update={"rounds": rounds})}
    )
    params = settings.model_copy(update={"seed": seed, "models": models})
    featurizer = fit_featurizer(train, params.features, seed)
    found: list[dict[str, Any]] = []
    for technique in TECHNIQUES:
        start = time.process_time()
        plans = make_plans(
            train.counts,
            train.schema,
            params.model_copy(update={"balancing": technique}),
            read_entry("wine"),  # says no more than that it is a table
            {},
        )
        table = assemble(train, [augment(train, plans.augment)] if plans.augment else [])
        if plans.resample:
            table, _ = resample(table, plans.resample, featurizer)
        model = build_classifier(plans.train, train.schema, featurizer)
        model.fit(table, validation)
        scores = read_out(model.predict_proba, model.effective_prior, train, validation, test, params)
        found.append(
            {"set": one.name, "seed": seed, "technique": technique}
            | scores
            | {"cpu_s": time.process_time() - start}
        )
    return found


def read_out(
    predicted: Callable[[SampleTable], np.ndarray],
    prior: Sequence[float] | np.ndarray,
    train: SampleTable,
    validation: SampleTable,
    test: SampleTable,
    params: Params,
) -> dict[str, Any]:
    """Score a model by the rule that is best on validation rows, each read by rules made without it."""
    classes = len(train.classes)
    counts = [np.bincount(part.codes, minlength=classes) for part in (train, validation)]
    fitting = {
        "effective": np.asarray(prior, dtype=np.float64),
        "deployment": deployment_shares(params.deployment_prior, train.classes, *counts),
        "weights": None,
        "shrinkage": params.evaluate.threshold_shrinkage,
    }

    def score(table: SampleTable, decided: np.ndarray) -> float:
        return float(macro_f1(outcomes(table.codes, decided, classes)))

    on_validation, on_test = predicted(validation), predicted(test)
    held = out_of_fold(validation.codes, on_validation, **fitting)
    by_rule = {name: score(validation, decided) for name, (_, decided) in held.items()}
    best = max(by_rule, key=lambda name: by_rule[name])
    rules = {rule.name: rule for rule in fitted_rules(validation.codes, on_validation, **fitting)}
    return {
        "validation": by_rule[best],
        "test": score(test, rules[best].decisions(on_test)),
        "argmax": score(test, rules["argmax"].decisions(on_test)),
    }


# -- what the advice was worth -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """Scores of a set by technique and seed, float (techniques, seeds), and what advice sees of it."""

    one: BenchSet
    validation: np.ndarray
    test: np.ndarray
    argmax: np.ndarray
    shape: DataShape

    @property
    def regret(self) -> np.ndarray:
        """Mean macro F1 that each technique is behind the best on test rows, float (techniques,)."""
        means = self.test.mean(axis=1)
        return np.asarray(means.max() - means)

    @property
    def regret_on_others(self) -> np.ndarray:
        """The same against the technique that is best on the other seeds, on each seed in turn.

        The best on the same rows is partly luck; on others it is not, but not always the truly best either.
        """
        left_out = (self.test.sum(axis=1, keepdims=True) - self.test).argmax(axis=0)
        best = np.take_along_axis(self.test, left_out[None], axis=0)
        return np.asarray((best - self.test).mean(axis=1))

    @property
    def near(self) -> np.ndarray:
        """Techniques within one standard error of the mean of the best, bool (techniques,)."""
        best = self.test[self.test.mean(axis=1).argmax()]
        return np.asarray(self.regret <= self._error(best[None])[0] + 1e-9)

    @property
    def near_in_pairs(self) -> np.ndarray:
        """Techniques whose difference from the best is within the standard error of that difference.

        What all techniques of a seed have in common is taken out.
        """
        best = self.test[self.test.mean(axis=1).argmax()]
        return np.asarray(self.regret <= self._error(best - self.test) + 1e-9)

    def _error(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(np.sqrt((1 / values.shape[1] + self.one.test_share) * values.var(axis=1, ddof=1)))

    def feature(self, name: str) -> float:
        """A number of the shape that an order may depend on."""
        if name == "classes":
            return float(len(self.shape.counts))
        return float(getattr(self.shape, name))


#: A technique by its position, as a function of the set.
Choice = Callable[[Result], int]


def learned_order(results: Sequence[Result]) -> list[int]:
    """Techniques by their mean regret on these sets."""
    return [int(k) for k in np.mean([one.regret for one in results], axis=0).argsort(kind="stable")]


def learned_split(results: Sequence[Result]) -> Choice:
    """The best two techniques on these sets, one for each side of the best threshold on a feature."""
    regret = np.array([one.regret for one in results])
    best: tuple[float, str, float, int, int] | None = None
    for name in FEATURES:
        values = np.array([one.feature(name) for one in results])
        for threshold in np.unique(values)[1:]:
            low, high = regret[values < threshold].sum(axis=0), regret[values >= threshold].sum(axis=0)
            total = float(low.min() + high.min())
            if best is None or total < best[0] - 1e-12:
                best = total, name, float(threshold), int(low.argmin()), int(high.argmin())
    if best is None:
        return lambda _: learned_order(results)[0]
    _, name, threshold, below, above = best
    return lambda one: below if one.feature(name) < threshold else above


def first_advice(one: Result, settings: Params) -> list[int]:
    """Positions of the pieces of advice that `evenly advise` gives on the set, the first one first."""
    advice = advise(
        one.shape, settings.recipes, lambda name: None if name in TECHNIQUES else "it is not measured here"
    )
    return [TECHNIQUES.index(suggestion.technique) for suggestion in advice.first]


def by_validation(one: Result, among: Sequence[int]) -> int:
    """Of these techniques, the one that is best on validation rows; the first of equal ones."""
    means = one.validation.mean(axis=1)
    return max(among, key=lambda k: means[k])


def strategies(results: Sequence[Result], settings: Params) -> dict[str, list[int]]:
    """What each way of choosing takes on each set; what is learned is learned from the others."""
    others = {id(one): [other for other in results if other is not one] for one in results}
    strangers = {
        id(one): [other for other in results if other.one.family != one.one.family] for one in results
    }
    everything = range(len(TECHNIQUES))
    return {
        "first advice of `evenly advise`": [first_advice(one, settings)[0] for one in results],
        "`none`, best rule": [0 for _ in results],
        "fixed order, other sets": [learned_order(others[id(one)])[0] for one in results],
        "fixed order, other families": [learned_order(strangers[id(one)])[0] for one in results],
        "one threshold, other sets": [learned_split(others[id(one)])(one) for one in results],
        "one threshold, other families": [learned_split(strangers[id(one)])(one) for one in results],
        "three pieces of advice, best on validation rows": [
            by_validation(one, first_advice(one, settings)) for one in results
        ],
        "first three of the fixed order, other sets, likewise": [
            by_validation(one, learned_order(others[id(one)])[:3]) for one in results
        ],
        "all techniques, best on validation rows": [by_validation(one, everything) for one in results],
    }


def report(results: Sequence[Result], settings: Params) -> str:
    """The tables of docs/results/advice.md."""
    lines = [
        "| choice | within one SE of the best | in pairs | mean regret | largest | on other seeds |",
        "|---|---|---|---|---|---|",
    ]

    def line(name: str, taken: Sequence[int]) -> str:
        near = np.mean([one.near[k] for one, k in zip(results, taken, strict=True)])
        pairs = np.mean([one.near_in_pairs[k] for one, k in zip(results, taken, strict=True)])
        regret = np.array([one.regret[k] for one, k in zip(results, taken, strict=True)])
        others = np.mean([one.regret_on_others[k] for one, k in zip(results, taken, strict=True)])
        return (
            f"| {name} | {near:.0%} | {pairs:.0%} | {regret.mean():.4f} | {regret.max():.3f} | {others:.4f} |"
        )

    lines += [line(name, taken) for name, taken in strategies(results, settings).items()]
    plain = [one.test.mean(axis=1).max() - one.argmax[0].mean() for one in results]
    lines += ["", f"`none` by argmax alone: mean regret {np.mean(plain):.4f}.", ""]
    lines += [
        "| technique | within one SE | in pairs | mean regret | largest | on other seeds | first |",
        "|---|---|---|---|---|---|---|",
    ]
    for k in learned_order(results):
        firsts = sum(one.regret.argmin() == k for one in results)
        lines.append(f"{line(f'`{TECHNIQUES[k]}`', [k] * len(results))} {firsts} |")
    lines += [
        "",
        "| set | smallest class | " + " | ".join(TECHNIQUES) + " |",
        "|---" * (len(TECHNIQUES) + 2) + "|",
    ]
    for one in results:
        cells = [
            f"**{mean:.3f}**" if near else f"{mean:.3f}"
            for mean, near in zip(one.test.mean(axis=1), one.near, strict=True)
        ]
        lines.append(f"| {one.one.name} | {one.shape.smallest} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def gathered(
    rows: Sequence[Mapping[str, Any]], settings: Params, seeds: Sequence[int] = SEEDS
) -> list[Result]:
    """Put the scores of each set together; sets with a run missing are left out."""
    found = {(row["set"], int(row["seed"]), row["technique"]): row for row in rows}
    results = []
    for one in SETS:
        keys = [[(one.name, seed, technique) for seed in seeds] for technique in TECHNIQUES]
        if not all(key in found for of_technique in keys for key in of_technique):
            continue
        scores = [
            np.array([[float(found[key][field]) for key in of_technique] for of_technique in keys])
            for field in ("validation", "test", "argmax")
        ]
        train, validation, _ = split_rows(one, seeds[0], seeds)
        shape = data_shape(train, validation, settings)
        results.append(Result(one, *scores, shape))
    return results


def main() -> None:
    """Run what is not in the file of scores yet, and print the tables."""
    from joblib import Parallel, delayed

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, help="CSV of scores: what it has is not run again")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many; rows are drawn for so many")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--model", default="auto", help="as `model` of params.yaml; auto: by the rows")
    parser.add_argument("--report", action="store_true", help="run nothing")
    options = parser.parse_args()
    seeds = range(1, options.seeds + 1)
    settings = read_params().model_copy(update={"model": options.model})
    rows: list[dict[str, Any]] = []
    if options.scores and options.scores.exists():
        with options.scores.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    known = {(row["set"], int(row["seed"])) for row in rows}
    left = [(one, seed) for one in SETS for seed in seeds if (one.name, seed) not in known]
    left = [] if options.report else left
    runs = Parallel(n_jobs=options.jobs, return_as="generator_unordered")(
        delayed(run)(one, seed, settings, seeds) for one, seed in left
    )
    for done, new in enumerate(runs, start=1):
        rows += new
        if options.scores:
            with options.scores.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, FIELDS)
                writer.writeheader()
                writer.writerows(rows)
        print(f"{done} of {len(left)}: {new[0]['set']}, seed {new[0]['seed']}", flush=True)
    results = gathered(rows, settings, seeds)
    cpu = sum(float(row["cpu_s"]) for row in rows) / 60
    print(
        f"\n{len(results)} of {len(SETS)} sets, {len(TECHNIQUES)} techniques, {len(seeds)} seeds; "
        f"{cpu:.1f} CPU minutes\n"
    )
    if results:
        print(report(results, settings))


if __name__ == "__main__":
    main()
