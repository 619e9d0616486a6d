"""Small data sets to screen against."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenly.features.featurizer import fit_featurizer
from evenly.params.features import FeatureSettings
from evenly.params.screening import FilterSettings
from evenly.samples import Feature, SampleTable, Schema, concatenate, samples_from_columns
from evenly.screening.screen import Screening, screen

TOPICS = {
    "card": "my bank card was lost stolen broken swallowed by the machine and I need a new plastic one",
    "loan": "the mortgage interest rate on my home credit went up how can I repay the loan early",
    "rain": "heavy clouds storm wind and snow are forecast for the weekend bring an umbrella tomorrow",
}
FILLERS = (
    "please",
    "today",
    "again",
    "really",
    "why",
    "when",
    "how",
    "maybe",
    "still",
    "now",
    "often",
    "never",
)


def sentence(topic: str, rng: random.Random) -> str:
    """A sentence of a topic's words, with some words of none."""
    words = rng.sample(TOPICS[topic].split(), 7) + rng.sample(FILLERS, 3)
    rng.shuffle(words)
    return " ".join(words)


def text_table(rows: list[tuple[str, str]], prefix: str, origin: str = "real", **columns: Any) -> SampleTable:
    """Texts with their labels as a sample table."""
    return samples_from_columns(
        {
            "id": [f"{prefix}{k:05d}" for k in range(len(rows))],
            "label": [label for label, _ in rows],
            "text": [text for _, text in rows],
            "origin": [origin] * len(rows),
            **columns,
        },
        Schema("text", tuple(TOPICS)),
    )


def make_texts(seed: int, counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """(label, text) pairs."""
    rng = random.Random(seed)
    return [(topic, sentence(topic, rng)) for topic, n in counts.items() for _ in range(n)]


class Splits:
    """Three splits and the featurizer of the first; `screen` runs the screening against them."""

    def __init__(self, train: SampleTable, validation: SampleTable, test: SampleTable) -> None:
        self.train, self.validation, self.test = train, validation, test
        self.featurizer = fit_featurizer(train, FeatureSettings(), 0)

    def screen(self, *candidates: SampleTable, **options: Any) -> Screening:
        """Screen candidates; `settings` are the filter's, as in params.yaml."""
        settings = FilterSettings.model_validate(options.pop("settings", {}))
        return screen(
            concatenate(candidates),
            train=self.train,
            validation=self.validation,
            test=self.test,
            settings=settings,
            featurizer=self.featurizer,
            seed=0,
            **options,
        )


@pytest.fixture(scope="session")
def texts() -> Splits:
    """Three topics, 40, 30 and 6 training texts."""
    return Splits(
        text_table(make_texts(1, {"card": 40, "loan": 30, "rain": 6}), "train-"),
        text_table(make_texts(2, dict.fromkeys(TOPICS, 8)), "val-"),
        text_table(make_texts(3, dict.fromkeys(TOPICS, 8)), "test-"),
    )


@pytest.fixture(scope="session")
def images() -> tuple[Splits, SampleTable]:
    """Handwritten digits, and 300 more that no split holds."""
    from sklearn.datasets import load_digits

    from evenly.features.images import encode_images

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.data))
    encoded = encode_images((digits.images * 15.9).astype(np.uint8)[:, :, :, None])
    schema = Schema("image", tuple(str(k) for k in range(10)))

    def table(rows: np.ndarray, prefix: str, origin: str) -> SampleTable:
        return samples_from_columns(
            {
                "id": [f"{prefix}{k:05d}" for k in range(len(rows))],
                "label": [str(digits.target[row]) for row in rows],
                "image": [encoded[row] for row in rows],
                "origin": [origin] * len(rows),
            },
            schema,
        )

    splits = Splits(
        table(order[:900], "train-", "real"),
        table(order[900:1100], "val-", "real"),
        table(order[1100:1400], "test-", "real"),
    )
    return splits, table(order[1400:], "new-", "vae")


TABLE = Schema(
    "table",
    ("low", "high"),
    (
        Feature("size", "number"),
        Feature("count", "integer"),
        Feature("member", "boolean"),
        Feature("colour of it", "category", ("blue", "green", "red")),
    ),
)


def number_table(n: int, seed: int, prefix: str, origin: str = "real") -> SampleTable:
    """Rows with `count` between 0 and 9 and below `size`; `size` is above 50 where the label is high."""
    rng = np.random.default_rng(seed)
    high = rng.random(n) < 0.3
    size = np.where(high, rng.uniform(55, 90, n), rng.uniform(10, 45, n))
    return samples_from_columns(
        {
            "id": [f"{prefix}{k:05d}" for k in range(n)],
            "label": np.where(high, "high", "low").tolist(),
            "size": size.tolist(),
            "count": rng.integers(0, 10, n).tolist(),
            "member": (rng.random(n) < 0.5).tolist(),
            "colour of it": rng.choice(["blue", "red"], n).tolist(),
            "origin": [origin] * n,
        },
        TABLE,
    )


@pytest.fixture(scope="session")
def tables() -> Splits:
    """Numbers, counts, truth values and categories."""
    return Splits(number_table(300, 1, "train-"), number_table(80, 2, "val-"), number_table(80, 3, "test-"))


@pytest.fixture(scope="session")
def banking77() -> Callable[[str], list[tuple[str, str]]]:
    """Reads (label, text) pairs of a split of Banking77, where the folder of shared data has it."""
    import csv

    folder = Path(os.environ.get("EVENLY_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (folder / "banking77" / "train.csv").exists():
        pytest.skip(f"{folder}/banking77 is not there; set EVENLY_SHARED_DATA to the folder that has it")

    def read(split: str) -> list[tuple[str, str]]:
        with (folder / "banking77" / f"{split}.csv").open(encoding="utf-8", newline="") as file:
            return [(row["category"], row["text"]) for row in csv.DictReader(file)]

    return read
