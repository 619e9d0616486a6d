"""Small sample tables of each modality."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evenly.features.images import encode_images
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns

FEATURES = (
    Feature("size", "number"),
    Feature("count", "integer"),
    Feature("open", "boolean"),
    Feature("colour", "category", ("blue", "green", "red")),
)


def image_samples(pixels: Sequence[np.ndarray]) -> SampleTable:
    """One row an image (h, w, c); labels alternate."""
    images = [encode_images(image[None])[0] for image in pixels]
    ids = [f"i{k:03}" for k in range(len(images))]
    labels = ["ab"[k % 2] for k in range(len(images))]
    return samples_from_columns({"id": ids, "label": labels, "image": images}, Schema("image", ("a", "b")))


def text_samples(texts: Sequence[str]) -> SampleTable:
    """One row a text; labels alternate."""
    ids = [f"t{k:03}" for k in range(len(texts))]
    labels = ["ab"[k % 2] for k in range(len(texts))]
    return samples_from_columns({"id": ids, "label": labels, "text": texts}, Schema("text", ("a", "b")))


def table_samples(
    size: Sequence[float | None],
    count: Sequence[int | None],
    open_: Sequence[bool | None],
    colour: Sequence[str | None],
) -> SampleTable:
    """One row each, with a feature of every kind."""
    columns = {"size": size, "count": count, "open": open_, "colour": colour}
    ids = [f"r{k:03}" for k in range(len(size))]
    return samples_from_columns(
        {"id": ids, "label": ["ab"[k % 2] for k in range(len(size))], **columns},
        Schema("table", ("a", "b"), FEATURES),
    )


def folder_bytes(folder: Path) -> dict[str, bytes]:
    """Content of every file in a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
