"""Small tables of each modality, and plans for quick generators."""

from __future__ import annotations

from typing import Any

import numpy as np

from evenly.features.images import encode_images
from evenly.params.generative import (
    ImageGanSettings,
    ImageVaeSettings,
    LanguageModelSettings,
    SamplingSettings,
    TableGanSettings,
    TableVaeSettings,
)
from evenly.plans import GeneratePlan
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns

QUICK: dict[str, Any] = {
    "image_gan": ImageGanSettings(steps=30, checkpoints=3, batch_size=24, width=16, latent=8),
    "image_vae": ImageVaeSettings(steps=250, checkpoints=3, batch_size=32, hidden=64, latent=8),
    "table_gan": TableGanSettings(
        steps=200,
        checkpoints=2,
        batch_size=64,
        hidden=64,
        latent=8,
        learning_rate=2e-3,
        critic_steps=1,
        max_modes=4,
    ),
    "table_vae": TableVaeSettings(
        steps=250, checkpoints=3, batch_size=64, hidden=32, latent=4, learning_rate=2e-3
    ),
    "language_model": LanguageModelSettings(
        steps=150,
        checkpoints=2,
        batch_size=16,
        vocabulary=300,
        layers=1,
        width=32,
        heads=2,
        context=24,
        learning_rate=5e-3,
    ),
}
KINDS = {"gan": "gan", "vae": "vae", "model": "language_model"}


def plan_for(generator: str, counts: dict[str, int], seed: int = 3, **wanted: Any) -> GeneratePlan:
    """A quick plan; what is not a field of the sampling is one of the generator."""
    sampling = {name: wanted.pop(name) for name in list(wanted) if name in SamplingSettings.model_fields}
    kind: Any = KINDS[generator.split("_")[1]]
    settings = QUICK[generator]
    return GeneratePlan(
        kind=kind,
        counts=counts,
        generator=type(settings)(**{**settings.model_dump(), **wanted}),
        sampling=SamplingSettings(**sampling),
        seed=seed,
        threads=1,
    )


def stripes(n: int, upright: bool, rng: np.random.Generator, side: int = 8, channels: int = 1) -> np.ndarray:
    """Images of two bright neighbours, columns on the left or rows at the bottom, with noise."""
    images = rng.normal(20, 8, (n, side, side, channels))
    for image, at in zip(images, rng.integers(0, 2, n) + (0 if upright else side - 3), strict=True):
        (image[:, at : at + 2] if upright else image[at : at + 2])[...] += rng.normal(190, 20)
    return np.clip(images, 0, 255).astype(np.uint8)


def stripe_table(columns: int = 60, rows: int = 30, side: int = 8, channels: int = 1) -> SampleTable:
    """Classes `columns` and `rows` of striped images."""
    rng = np.random.default_rng(0)
    images = np.concatenate(
        [stripes(columns, True, rng, side, channels), stripes(rows, False, rng, side, channels)]
    )
    return samples_from_columns(
        {
            "id": [f"i{k:03}" for k in range(len(images))],
            "label": ["columns"] * columns + ["rows"] * rows,
            "image": encode_images(images),
        },
        Schema("image", ("columns", "rows")),
    )


def people_table(n: int = 160) -> SampleTable:
    """Every kind of feature, missing values, a skewed and a bimodal number; class `old` differs in all."""
    rng = np.random.default_rng(1)
    old = np.arange(n) % 4 == 0
    income = np.exp(rng.normal(np.where(old, 4, 3), 0.4))
    height = np.where(rng.random(n) < 0.5, 150, 190) + rng.normal(0, 2, n)
    age = np.where(old, rng.integers(60, 90, n), rng.integers(18, 50, n))
    town = np.where(rng.random(n) < np.where(old, 0.9, 0.1), "spa", "city")

    def holed(values: np.ndarray, every: int) -> list[Any]:
        return [None if k % every == 0 else value for k, value in enumerate(values.tolist())]

    return samples_from_columns(
        {
            "id": [f"p{k:03}" for k in range(n)],
            "label": np.where(old, "old", "young").tolist(),
            "income": holed(income, 9),
            "height": height.tolist(),
            "age": age.tolist(),
            "retired": holed(old ^ (rng.random(n) < 0.05), 11),
            "town": holed(town, 13),
            "constant": [7.5] * n,
        },
        Schema(
            "table",
            ("young", "old"),
            (
                Feature("income", "number"),
                Feature("height", "number"),
                Feature("age", "integer"),
                Feature("retired", "boolean"),
                Feature("town", "category", ("city", "spa")),
                Feature("constant", "number"),
            ),
        ),
    )


def talk_table() -> SampleTable:
    """Texts of two classes with hardly a common word."""
    rng = np.random.default_rng(2)
    words = {
        "food": (["I ate", "we cooked", "she baked"], ["soup", "bread", "rice", "pie"], ["at noon", "hot"]),
        "trains": (["the train", "my tram"], ["left", "stopped", "waited"], ["in Bern", "too late", "again"]),
    }
    texts = {
        label: sorted({" ".join(rng.choice(part) for part in parts) for _ in range(60)})
        for label, parts in words.items()
    }
    labels = [label for label, listed in texts.items() for _ in listed]
    return samples_from_columns(
        {
            "id": [f"t{k:03}" for k in range(len(labels))],
            "label": labels,
            "text": [text for listed in texts.values() for text in listed],
        },
        Schema("text", ("food", "trains")),
    )
