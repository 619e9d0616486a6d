"""Linear models of texts against ten lines of scikit-learn, on the same rows, in one run.

Banking77 as it is and made long-tailed, where `EVENLY_SHARED_DATA` or ../shared/data has it, and any `--csv
FILE` with the columns text and label. A quarter of each class are test rows.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.text import shared_rows
from evenly.classifiers import build_classifier
from evenly.confusion import macro_f1, outcomes
from evenly.features import Featurizer, fit_featurizer
from evenly.params.features import FeatureSettings, TextFeatures
from evenly.params.losses import LossSettings
from evenly.params.models import LogisticRegressionSettings
from evenly.params.training import TrainingSettings
from evenly.plans import TrainPlan
from evenly.samples import SampleTable, Schema, samples_from_columns

Rows = list[tuple[str, str]]
Split = tuple[SampleTable, SampleTable, SampleTable]
TAIL = 50  # rows of the largest class over those of the smallest, made long-tailed


def split(rows: Rows, seed: int, tail: bool = False) -> Split:
    """60, 15 and 25% of each class for training, validation and test; training rows thinned to a `tail`."""
    rng = np.random.default_rng(seed)
    names = sorted({label for _, label in rows})
    parts: list[list[int]] = [[], [], []]
    for rank, name in enumerate(rng.permutation(names)):
        own = rng.permutation([k for k, row in enumerate(rows) if row[1] == name])
        ends = [int(0.6 * len(own)), int(0.75 * len(own)), len(own)]
        kept = max(2, round(ends[0] * TAIL ** (-rank / (len(names) - 1)))) if tail else ends[0]
        for part, chosen in zip(parts, (own[:kept], own[ends[0] : ends[1]], own[ends[1] :]), strict=True):
            part.extend(int(k) for k in chosen)
    schema = Schema("text", tuple(names))

    def table(part: list[int]) -> SampleTable:
        columns = {"id": [f"row {k}" for k in part], "label": [rows[k][1] for k in part]}
        return samples_from_columns({**columns, "text": [rows[k][0] for k in part]}, schema)

    return table(parts[0]), table(parts[1]), table(parts[2])


def ours(
    settings: LogisticRegressionSettings, features: TextFeatures | None
) -> Callable[[Split], np.ndarray]:
    """Our logistic regression, on vectors of `features` where there are any."""

    def probabilities(tables: Split) -> np.ndarray:
        train, validation, test = tables
        featurizer: Featurizer | None = None
        if features is not None:
            cache = Path(".cache/vectors") if features.method == "encoder" else None
            featurizer = fit_featurizer(train, FeatureSettings(text=features), 0, cache)
        plan = TrainPlan(
            model="logistic_regression",
            settings=settings,
            loss="cross_entropy",
            losses=LossSettings(),
            sampler="uniform",
            training=TrainingSettings(),
            seed=0,
            threads=1,
        )
        classifier = build_classifier(plan, train.schema, featurizer)
        classifier.fit(train, validation)
        return classifier.predict_proba(test)

    return probabilities


def plain(tables: Split) -> np.ndarray:
    """Ten lines of scikit-learn: words and pairs of them, logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    train, _, test = tables
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10, max_iter=1000)
    )
    out = np.zeros((len(test), len(train.classes)))
    out[:, np.unique(train.codes)] = model.fit(train.texts, train.codes).predict_proba(test.texts)
    return out


SIDES: dict[str, Callable[[Split], np.ndarray]] = {
    "scikit-learn": plain,
    "before: 256 dimensions": ours(LogisticRegressionSettings(reads="vectors"), TextFeatures()),
    "now: terms": ours(LogisticRegressionSettings(reads="terms"), None),
    "minilm, vectors": ours(LogisticRegressionSettings(reads="vectors"), TextFeatures(method="encoder")),
    "minilm, now: both": ours(LogisticRegressionSettings(reads="both"), TextFeatures(method="encoder")),
}


def compare(title: str, rows: Rows, seeds: int, tail: bool) -> None:
    """Print accuracy, macro F1 and CPU seconds of every side, means over splits by seed."""
    print(f"\n{title}: {len(rows):,} rows, mean of {seeds} splits", flush=True)
    tables = [split(rows, seed, tail) for seed in range(seeds)]
    for name, run in SIDES.items():
        scores = []
        for each in tables:
            started, truth = time.process_time(), each[2].codes
            guesses = run(each).argmax(axis=1)
            f1 = float(macro_f1(outcomes(truth, guesses, len(each[2].classes))))
            scores.append((float((guesses == truth).mean()), f1, time.process_time() - started))
        accuracy, f1, seconds = np.mean(scores, axis=0)
        print(f"  {name:24} accuracy {accuracy:.3f}  macro F1 {f1:.3f}  {seconds:6.1f} CPU s", flush=True)


def main() -> None:
    """Print a table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, action="append", default=[], help="columns text and label")
    parser.add_argument("--seeds", type=int, default=2)
    chosen = parser.parse_args()
    for path in chosen.csv:
        with path.open(encoding="utf-8", newline="") as file:
            compare(path.stem, [(r["text"], r["label"]) for r in csv.DictReader(file)], chosen.seeds, False)
    if banking := shared_rows():
        compare(f"Banking77, long tail of ratio {TAIL}", banking, chosen.seeds, True)
        compare("Banking77", banking, chosen.seeds, False)


if __name__ == "__main__":
    main()
