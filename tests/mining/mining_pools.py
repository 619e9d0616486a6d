"""Pools with planted wrong labels, and plans to mine them with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits

from evenly.features import Featurizer, fit_featurizer
from evenly.features.images import encode_images
from evenly.params.features import FeatureSettings
from evenly.params.losses import LossSettings
from evenly.params.models import LogisticRegressionSettings
from evenly.params.training import TrainingSettings
from evenly.plans import MinePlan, TrainPlan
from evenly.samples import SampleTable, Schema, samples_from_columns


@dataclass(frozen=True)
class Planted:
    """A pool some of whose labels were changed, and which."""

    pool: SampleTable
    wrong: np.ndarray
    featurizer: Featurizer


def planted(pool: SampleTable, share: float = 0.1, seed: int = 0) -> Planted:
    """Give a share of the rows another class, drawn evenly."""
    rng = np.random.default_rng(seed)
    k = len(pool.classes)
    wrong = np.zeros(len(pool), dtype=bool)
    wrong[rng.permutation(len(pool))[: round(share * len(pool))]] = True
    codes = pool.codes.copy()
    codes[wrong] = (codes[wrong] + rng.integers(1, k, wrong.sum())) % k
    changed = pool.with_column("label", [pool.classes[code] for code in codes])
    return Planted(changed, wrong, fit_featurizer(changed, FeatureSettings(), seed))


def digits_pool(ratio: float = 1.0) -> SampleTable:
    """Digits, with class c thinned to 170 · ratio^(−c/9) rows."""
    pixels, labels = load_digits(return_X_y=True)
    images = np.rint(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    keep = np.sort(
        np.concatenate([np.flatnonzero(labels == c)[: round(170 * ratio ** (-c / 9))] for c in range(10)])
    )
    return samples_from_columns(
        {
            "id": [f"digit-{k:04}" for k in keep],
            "label": [str(label) for label in labels[keep]],
            "image": encode_images(images[keep]),
        },
        Schema("image", tuple(str(c) for c in range(10))),
    )


def text_pool(each: int = 60, seed: int = 0) -> SampleTable:
    """Short texts of six topics: two words of the topic, one of another, among words that all share."""
    rng = np.random.default_rng(seed)
    topics = {
        f"topic{t}": [f"{stem}{t}" for stem in ("lamo", "rive", "stol", "queb", "dran", "mipu")]
        for t in range(6)
    }
    common = [f"word{k}" for k in range(40)]
    texts, labels = [], []
    for label, own in topics.items():
        for _ in range(each):
            other = topics[f"topic{rng.integers(6)}"]
            words = [*rng.choice(own, 2, replace=False), rng.choice(other), *rng.choice(common, 7)]
            texts.append(" ".join(rng.permutation(words)))
            labels.append(label)
    return samples_from_columns(
        {"id": [f"t{k:04}" for k in range(len(texts))], "label": labels, "text": texts},
        Schema("text", tuple(topics)),
    )


def regression_plan() -> TrainPlan:
    """Logistic regression on vectors."""
    return TrainPlan(
        model="logistic_regression",
        settings=LogisticRegressionSettings(),
        loss="cross_entropy",
        losses=LossSettings(),
        sampler="uniform",
        training=TrainingSettings(),
        seed=0,
        threads=1,
    )


def mine_plan(guard: dict[str, object] | None = None, **settings: object) -> MinePlan:
    """Plan with seed 0 on one thread."""
    return MinePlan.model_validate({"seed": 0, "threads": 1, "guard": guard or {}} | settings)
