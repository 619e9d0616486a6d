"""Small sample tables of each modality, and the shipped policies."""

import numpy as np
import pytest

from evenly.features.images import encode_images
from evenly.params.augmentation import Policy
from evenly.params.base import read_yaml
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns


@pytest.fixture(scope="session")
def policies() -> dict[str, Policy]:
    return {
        name: Policy.model_validate(value) for name, value in read_yaml("params.yaml")["policies"].items()
    }


def picture(seed: int, height: int = 24, width: int = 20, channels: int = 3) -> np.ndarray:
    """A smooth picture: uint8 (height, width, channels)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [
        127
        + 60 * np.sin(x * rng.uniform(0.1, 0.6) + rng.uniform(0, 6))
        + 60 * np.cos(y * rng.uniform(0.1, 0.6))
        for _ in range(channels)
    ]
    return np.stack(waves, axis=-1).astype(np.uint8)


@pytest.fixture(scope="session")
def image_table() -> SampleTable:
    """Class `few` of 3 colour pictures in three sizes, class `many` of 5 grey ones."""
    pictures = [picture(k, 16 + 4 * k, 20) for k in range(3)] + [picture(k, 12, 12, 1) for k in range(5)]
    return samples_from_columns(
        {
            "id": [f"f{k}" for k in range(3)] + [f"m{k}" for k in range(5)],
            "label": ["few"] * 3 + ["many"] * 5,
            "group": [f"g{k % 4}" for k in range(8)],
            "image": [encode_images(p[None])[0] for p in pictures],
        },
        Schema("image", ("few", "many")),
    )


@pytest.fixture(scope="session")
def text_table() -> SampleTable:
    texts = [
        "My card arrived 3 days late, see https://a.example/x?id=7 please",
        "Where is the money that @bob_1 sent me on 12/05?",
        "I was charged 9.99 twice for one single coffee",
        "the transfer still has not reached my other account",
        "我昨天买了3个苹果，花了5.5元，请看https://a.example/c",
        "今天天气很好我们一起去公园散步吧",
        "why was my payment declined at the station",
    ]
    return samples_from_columns(
        {
            "id": [f"t{k}" for k in range(7)],
            "label": ["en", "en", "en", "en", "zh", "zh", "en"],
            "text": texts,
        },
        Schema("text", ("en", "zh")),
    )


@pytest.fixture(scope="session")
def mixed_table() -> SampleTable:
    """40 rows with every kind of feature and some missing values; class `rare` has 3."""
    rng = np.random.default_rng(0)
    n = 40
    height = [None if k % 9 == 4 else float(v) for k, v in enumerate(rng.normal(170, 8, n))]
    children = [None if k % 11 == 5 else int(v) for k, v in enumerate(rng.integers(0, 60, n))]
    smokes = [None if k % 13 == 6 else bool(v) for k, v in enumerate(rng.integers(0, 2, n))]
    town = [None if k % 7 == 3 else str(v) for k, v in enumerate(rng.choice(["x", "y", "z"], n))]
    town = ["only_rare" if k < 3 else v for k, v in enumerate(town)]
    return samples_from_columns(
        {
            "id": [f"r{k:02}" for k in range(n)],
            "label": ["rare"] * 3 + ["common"] * (n - 3),
            "height": height,
            "children": children,
            "smokes": smokes,
            "town": town,
        },
        Schema(
            "table",
            ("rare", "common"),
            (
                Feature("height", "number"),
                Feature("children", "integer"),
                Feature("smokes", "boolean"),
                Feature("town", "category", ("only_rare", "x", "y", "z")),
            ),
        ),
    )
