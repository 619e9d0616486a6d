"""Digits split in four, and what all producers of them score."""

from __future__ import annotations

import numpy as np
import pytest

from evenly.features import fit_featurizer
from evenly.params.features import FeatureSettings
from evenly.quality.compare import Quality
from tests.quality.quality_digits import Digits, image_table


@pytest.fixture(scope="session")
def digits() -> Digits:
    """Producers: `good` rows are real ones that no split holds, the others go wrong in one way each."""
    from sklearn.datasets import load_digits

    data = load_digits()
    rng = np.random.default_rng(0)
    order = rng.permutation(len(data.target))
    images, codes = data.images[order] * 15.9, data.target[order]
    parts = {"train": (0, 500), "held": (500, 900), "unseen": (900, 1200), "good": (1200, 1797)}
    real = {
        name: image_table(
            images[slice(*rows)], codes[slice(*rows)], f"{name}-", "good" if name == "good" else "real"
        )
        for name, rows in parts.items()
    }
    made, wanted = images[1200:1797], codes[1200:1797]
    train, train_codes = images[:500], codes[:500]
    firsts = np.array([np.flatnonzero(train_codes == code)[0] for code in range(10)])
    copied = rng.integers(500, size=400)
    wrong = {
        "noisy": (made + rng.normal(0, 80, made.shape), wanted),
        "collapsed": (train[firsts[wanted]] + rng.normal(0, 10, made.shape), wanted),
        "copied": (train[copied] + rng.normal(0, 3, (400, 8, 8)), train_codes[copied]),
        "mislabelled": (made, (wanted + 3) % 10),
        "averaged": (
            0.5 * made + 0.5 * np.stack([train[train_codes == c].mean(axis=0) for c in wanted]),
            wanted,
        ),
    }
    producers = {"good": real["good"]}
    producers |= {name: image_table(*rows, f"{name}-", name) for name, rows in wrong.items()}
    featurizer = fit_featurizer(real["train"], FeatureSettings(), 0)
    return Digits(real["train"], real["held"], real["unseen"], featurizer, producers)


@pytest.fixture(scope="session")
def quality(digits: Digits) -> Quality:
    """Of all producers."""
    return digits.quality()
