"""What screening is worth: a model's score with added rows that are genuine, wrong, copied or garbage.

A few rows of a scarce class are known; genuine rows that were held back are added, or worse ones in their
place, unscreened, which is the rival, or screened. `python -m bench.screened` prints a table, `--output FILE`
keeps the scores, and `--before FILE` puts those of another version of `evenly` beside them (its src/ on
PYTHONPATH).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from evenly.features.featurizer import fit_featurizer
from evenly.params.features import FeatureSettings
from evenly.params.screening import FilterSettings
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns
from evenly.screening.calibration import calibrate
from evenly.screening.screen import screen

#: What is added: the share of the rows that is not genuine, and what stands there instead.
MIXTURES = {
    "clean": (0.0, "wrong"),
    "10% wrong": (0.1, "wrong"),
    "30% wrong": (0.3, "wrong"),
    "30% copies": (0.3, "copies"),
    "30% garbage": (0.3, "garbage"),
}


@dataclass(frozen=True)
class Data:
    """Rows of a data set: `payload` (numbers, texts or images), labels, and what garbage looks like."""

    modality: str
    payload: Any
    labels: np.ndarray
    garbage: Callable[[np.random.Generator, int], Any]
    scarce: tuple[str, ...]
    few: int  # known rows of a scarce class
    many: int  # of each other class
    added: int  # rows added to each scarce class

    def table(self, payload: Any, labels: Any, prefix: str, origin: str = "real") -> SampleTable:
        """These payloads as a sample table."""
        n = len(labels)
        columns = {
            "id": [f"{prefix}{k:05d}" for k in range(n)],
            "label": list(labels),
            "origin": [origin] * n,
        }
        classes = tuple(sorted(set(self.labels)))
        if self.modality == "table":
            width = self.payload.shape[1]
            features = tuple(Feature(f"x{j}", "number") for j in range(width))
            values = np.asarray(payload).reshape(n, width)
            columns |= {f"x{j}": values[:, j].tolist() for j in range(width)}
            return samples_from_columns(columns, Schema("table", classes, features))
        schema = Schema("text" if self.modality == "text" else "image", classes)
        return samples_from_columns(columns | {self.modality: list(payload)}, schema)


def numbers(x: np.ndarray, y: np.ndarray, few: int, many: int) -> Data:
    """A table of two classes, "1" being scarce."""
    low, high = x.min(axis=0), x.max(axis=0)

    def garbage(rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.uniform(low - (high - low) / 2, high + (high - low) / 2, size=(n, x.shape[1]))

    return Data("table", x, y.astype(int).astype(str), garbage, ("1",), few, many, many - few)


def banking() -> Iterator[tuple[str, Data]]:
    """Ten of the intents of Banking77, three of them scarce, where the folder is there."""
    path = Path(os.environ.get("EVENLY_SHARED_DATA", "../shared/data")) / "banking77" / "train.csv"
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["category"] for row in rows})[::8][:10]
    chosen = [row for row in rows if row["category"] in names]
    words = [word for row in rows[:2000] for word in row["text"].split()]
    labels = np.array([row["category"] for row in chosen], dtype=object)
    yield (
        "banking77, 10 intents",
        texts([row["text"] for row in chosen], labels, tuple(names[:3]), words, (10, 40)),
    )


def texts(
    given: list[str], labels: np.ndarray, scarce: tuple[str, ...], words: list[str], sizes: tuple[int, int]
) -> Data:
    """Texts; garbage is made of letters by lot or of any words."""

    def garbage(rng: np.random.Generator, n: int) -> np.ndarray:
        noise = [
            " ".join("".join(rng.choice(list("bcdfghklmnprstvaeiou"), 6)) for _ in range(8))
            if k % 2
            else " ".join(rng.choice(words, 10))
            for k in range(n)
        ]
        return np.array(noise, dtype=object)

    few, many = sizes
    return Data("text", np.array(given, dtype=object), labels, garbage, scarce, few, many, many - few)


def topics() -> Data:
    """Sentences of five topics that share most of their words."""
    rng = random.Random(4)
    letters = "etaoinshrdlucmfw"
    words = ["".join(rng.choices(letters, k=rng.randint(3, 8))) for _ in range(600)]
    own = {f"topic {k}": rng.sample(words, 40) for k in range(5)}
    rows = [
        (
            name,
            " ".join(rng.choices(own[name], k=rng.randint(2, 4)) + rng.choices(words, k=rng.randint(5, 9))),
        )
        for name in own
        for _ in range(400)
    ]
    labels = np.array([name for name, _ in rows], dtype=object)
    return texts([text for _, text in rows], labels, ("topic 0", "topic 1"), words, (12, 60))


def digits() -> Data:
    """Handwritten digits, three of them scarce; garbage is noise and digits torn in two."""
    from sklearn.datasets import load_digits

    from evenly.features.images import encode_images

    found = load_digits()
    pixels = (found.images * 15.9).astype(np.uint8)[:, :, :, None]
    encoded = np.array(encode_images(pixels), dtype=object)

    def garbage(rng: np.random.Generator, n: int) -> np.ndarray:
        noise = rng.integers(0, 255, (n, 8, 8, 1)).astype(np.uint8)
        torn = np.concatenate([pixels[rng.integers(len(pixels), size=n)][:, 4:], pixels[:n, :4]], axis=1)
        mixed = np.where((np.arange(n) % 2 == 0)[:, None, None, None], noise, torn)
        return np.array(encode_images(mixed), dtype=object)

    return Data(
        "image", encoded, found.target.astype(str).astype(object), garbage, ("3", "8", "9"), 10, 40, 30
    )


def data_sets() -> Iterator[tuple[str, Data]]:
    """All data sets by name."""
    from sklearn.datasets import load_breast_cancer, load_wine, make_classification

    cancer, wine = load_breast_cancer(), load_wine()
    yield "breast cancer", numbers(cancer.data, 1 - cancer.target, 15, 60)
    yield "wine", numbers(wine.data, wine.target == 2, 10, 40)
    shared = {"n_samples": 3000, "weights": [0.7]}
    x, y = make_classification(
        n_features=10, n_informative=5, class_sep=0.7, flip_y=0.05, random_state=0, **shared
    )
    yield "overlapping classes", numbers(x, y, 15, 60)
    x, y = make_classification(
        n_features=6,
        n_informative=4,
        n_redundant=0,
        n_clusters_per_class=3,
        flip_y=0.02,
        random_state=1,
        **shared,
    )
    yield "classes in clusters", numbers(x, y, 15, 60)
    rng = np.random.default_rng(5)
    y = rng.random(3000) < 0.3
    x = np.exp(rng.normal(size=(3000, 6)) + 0.8 * y[:, None] * (np.arange(6) < 3))
    yield "skewed columns", numbers(x, y, 15, 60)
    yield "scripted topics", topics()
    yield from banking()
    yield "digits", digits()


def macro_f1(data: Data, featurizer: Any, train: SampleTable, test: SampleTable, seed: int) -> float:
    """Of a random forest on tables, of a logistic regression on texts and images; classes weigh the same."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.utils.class_weight import compute_sample_weight

    if data.modality == "table":
        model: Any = RandomForestClassifier(100, random_state=seed)
    else:
        model = LogisticRegression(C=10, max_iter=300, tol=1e-3)
    labels = train.labels.astype(str)
    model.fit(featurizer.transform(train), labels, compute_sample_weight("balanced", labels))
    return float(
        f1_score(test.labels.astype(str), model.predict(featurizer.transform(test)), average="macro")
    )


def scores(data: Data, seed: int) -> Iterator[tuple[str, str, float]]:
    """What was added, in what way, and the score."""
    from evenly.samples import concatenate

    rng = np.random.default_rng([seed, 3])
    by_class = {
        name: rng.permutation(np.flatnonzero(data.labels == name)) for name in sorted(set(data.labels))
    }
    known, held, rest = [], {}, []
    for name, rows in by_class.items():
        n = data.few if name in data.scarce else data.many
        known.append(rows[:n])
        held[name] = rows[n : n + min(data.added, (len(rows) - n) // 2)]
        rest.append(rows[n + len(held[name]) :][:300])
    tables = {}
    parts = {"train": known, "val": [rows[::4] for rows in rest]}
    parts["test"] = [np.delete(rows, np.s_[::4]) for rows in rest]
    for part, rows in parts.items():
        chosen = np.concatenate(rows)
        tables[part] = data.table(data.payload[chosen], data.labels[chosen], f"{part}-")
    featurizer = fit_featurizer(tables["train"], FeatureSettings(), 0)
    yield "", "nothing added", macro_f1(data, featurizer, tables["train"], tables["test"], seed)
    others = np.concatenate([rows for name, rows in held.items() if name not in data.scarce])
    # Limits come of the training rows: they are the same for all mixtures.
    known_limits: list[Any] = []

    def calibrated(*given: Any) -> Any:
        known_limits.extend([] if known_limits else [calibrate(*given)])
        return known_limits[0]

    for mixture, (share, kind) in MIXTURES.items():
        payload, labels = [], []
        for name in data.scarce:
            values = data.payload[held[name]].copy()
            bad = rng.choice(len(values), round(share * len(values)), replace=False)
            if kind == "garbage":
                values[bad] = data.garbage(rng, len(bad))
            else:
                source = others if kind == "wrong" else by_class[name][: data.few]
                values[bad] = data.payload[rng.choice(source, len(bad))]
            payload.append(values)
            labels += [name] * len(values)
        made = data.table(np.concatenate(payload), labels, "new-", "llm")
        yield (
            mixture,
            "unscreened",
            macro_f1(data, featurizer, concatenate([tables["train"], made]), tables["test"], seed),
        )
        with patch.object(sys.modules[screen.__module__], "calibrate", calibrated):
            screening = screen(
                made,
                train=tables["train"],
                validation=tables["val"],
                test=tables["test"],
                settings=FilterSettings(),
                featurizer=featurizer,
                seed=seed,
            )
        kept = SampleTable(screening.kept.table.drop_columns(["details"]), made.schema)
        train = concatenate([tables["train"], kept])
        yield mixture, "screened", macro_f1(data, featurizer, train, tables["test"], seed)
        genuine = screening.report.get("genuine", {}).get("passing")
        yield mixture, "kept", screening.report["kept"] / len(made)
        if mixture == "clean":
            for name in data.scarce:
                yield "kept of genuine rows", name, screening.kept.counts[name] / made.counts[name]
            if genuine is not None:
                yield mixture, "said to pass", genuine


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", default="", help="data sets whose names hold this")
    parser.add_argument("--output", type=Path, help="file for the scores, JSON")
    parser.add_argument("--before", type=Path, help="scores of another version")
    given = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = {}
    before = json.loads(given.before.read_text(encoding="utf-8")) if given.before else {}
    print(
        "| data | added | unscreened | before | now | kept before | kept now |\n"
        "|---|---|---:|---:|---:|---:|---:|"
    )
    for name, data in data_sets():
        if given.only not in name:
            continue
        seeds = given.seeds if data.modality == "table" else (given.seeds + 1) // 2
        own = found[name] = defaultdict(list)
        for seed in range(seeds):
            for mixture, way, value in scores(data, seed):
                own[f"{mixture}, {way}" if mixture else way].append(value)
        print(f"| {name} | nothing | {_cell(own, 'nothing added')} | | | | |")
        for mixture in MIXTURES:
            cells = [_cell(own, f"{mixture}, unscreened")]
            for way in ("screened", "kept"):
                cells += [_cell(source, f"{mixture}, {way}") for source in (before.get(name, {}), own)]
            print(f"| | {mixture} | " + " | ".join(cells) + " |", flush=True)
        passing = [f"{name} {_cell(own, f'kept of genuine rows, {name}')}" for name in data.scarce]
        print(f"| | genuine rows kept | {', '.join(passing)}; said {_cell(own, 'clean, said to pass')} |||||")
        if given.output:
            given.output.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _cell(scores: dict[str, list[float]], key: str) -> str:
    values = scores.get(key)
    return f"{np.mean(values):.3f}"[1:] if values and np.mean(values) < 1 else "1.000" if values else "–"


if __name__ == "__main__":
    main()
