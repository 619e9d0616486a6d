"""Sample tables to resample, one builder for each modality, and a shorthand for plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evenly.features import fit_featurizer
from evenly.features.images import encode_images
from evenly.params.features import FeatureSettings
from evenly.plans import ResamplePlan
from evenly.resampling.report import ResampleReport
from evenly.resampling.resample import resample
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns

WORDS = [
    "card",
    "rate",
    "money",
    "bank",
    "fee",
    "where",
    "when",
    "lost",
    "new",
    "old",
    "my",
    "the",
    "pay",
    "top",
    "refund",
]


def clouds(
    sizes: Sequence[int], dimension: int = 4, apart: float = 0.7, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Normal clouds, one a class, centres `apart`: float32 (n, dimension), int64 (n,), classes mingled."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    vectors = rng.standard_normal((len(labels), dimension)) + apart * labels[:, None]
    return vectors.astype(np.float32), labels


def _columns(labels: np.ndarray) -> tuple[dict[str, Any], tuple[str, ...]]:
    ids = [f"s{k:04}" for k in range(len(labels))]
    classes = tuple(f"c{k}" for k in range(int(labels.max()) + 1))
    return {"id": ids, "label": [f"c{k}" for k in labels]}, classes


def number_samples(vectors: np.ndarray, labels: np.ndarray) -> SampleTable:
    """A table of numbers alone."""
    columns, classes = _columns(labels)
    features = tuple(Feature(f"x{j}", "number") for j in range(vectors.shape[1]))
    values = {f"x{j}": vectors[:, j].astype(float) for j in range(vectors.shape[1])}
    return samples_from_columns(columns | values, Schema("table", classes, features))


def mixed_samples(vectors: np.ndarray, labels: np.ndarray) -> SampleTable:
    """A table with a number, an integer, a boolean and a category."""
    columns, classes = _columns(labels)
    features = (
        Feature("size", "number"),
        Feature("count", "integer"),
        Feature("open", "boolean"),
        Feature("colour", "category", ("blue", "green", "red")),
    )
    values = {
        "size": vectors[:, 0].astype(float),
        "count": np.rint(vectors[:, 1] * 10).astype(int).tolist(),
        "open": [bool(v > 0.3) for v in vectors[:, 2]],
        "colour": [("blue", "green", "red")[int(abs(v) * 2) % 3] for v in vectors[:, 3]],
    }
    return samples_from_columns(columns | values, Schema("table", classes, features))


def image_samples(vectors: np.ndarray, labels: np.ndarray) -> SampleTable:
    """Grey images of 2 × (dimension / 2) pixels."""
    columns, classes = _columns(labels)
    pixels = np.clip(vectors * 30 + 100, 0, 255).astype(np.uint8).reshape(len(vectors), 2, -1, 1)
    return samples_from_columns(columns | {"image": encode_images(pixels)}, Schema("image", classes))


def text_samples(vectors: np.ndarray, labels: np.ndarray) -> SampleTable:
    """A few words for each number."""
    columns, classes = _columns(labels)
    texts = [" ".join(WORDS[int(abs(v) * 7) % len(WORDS)] for v in row) for row in vectors]
    return samples_from_columns(columns | {"text": texts}, Schema("text", classes))


BUILDERS = {"number": number_samples, "mixed": mixed_samples, "image": image_samples, "text": text_samples}


def plan(method: str, targets: dict[str, int], **settings: Any) -> ResamplePlan:
    """A plan with the usual neighbours."""
    values = {"k_neighbors": 5, "clean_neighbors": 3, "clean": "not_minority", "seed": 7} | settings
    return ResamplePlan.model_validate({"method": method, "targets": targets, **values})


def resampled(samples: SampleTable, asked: ResamplePlan) -> tuple[SampleTable, ResampleReport]:
    """Resample with features fitted on the same rows."""
    return resample(samples, asked, fit_featurizer(samples, FeatureSettings(), 0))
