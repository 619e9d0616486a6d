"""Images as vectors: the pixels at one size, scaled to 0..1 and flattened row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from evenly.errors import DataError
from evenly.features.description import DESCRIPTION
from evenly.features.images import decode_images, encode_images, image_shape
from evenly.features.vectors import with_given_vectors
from evenly.files import atomic_folder, write_json
from evenly.params.features import ImageFeatures
from evenly.samples import SampleTable

#: Longer side in pixels above which training images are shrunk, unless a size is set: 64×64×3 is 12,288
#: numbers.
LARGEST_SIDE = 64


@dataclass(frozen=True)
class Pixels:
    """Featurizer of images, fitted by `fit_pixels`."""

    height: int
    width: int
    channels: int

    @property
    def dimension(self) -> int:
        """Height × width × channels."""
        return self.height * self.width * self.channels

    def transform(self, samples: SampleTable) -> np.ndarray:
        """Pixels in 0..1, float32 (n, height × width × channels)."""
        return with_given_vectors(samples, self.dimension, self._pixels)

    def _pixels(self, samples: SampleTable) -> np.ndarray:
        images = _encoded(samples)
        decoded = decode_images(images, (self.height, self.width), self.channels)
        return decoded.reshape(len(images), self.dimension).astype(np.float32) / np.float32(255)

    def payload(self, vectors: np.ndarray) -> Mapping[str, pa.Array]:
        """PNG images of vectors (n, dimension), clipped to 0..1 and rounded to 8 bits."""
        levels = np.rint(np.clip(vectors, 0, 1) * np.float32(255)).astype(np.uint8)
        images = encode_images(levels.reshape(len(vectors), self.height, self.width, self.channels))
        return {"image": pa.array(images, type=pa.binary())}

    def save(self, folder: str | Path) -> None:
        """Write the shape to `featurizer.json`."""
        description = {
            "kind": "pixels",
            "height": self.height,
            "width": self.width,
            "channels": self.channels,
        }
        with atomic_folder(folder) as temporary:
            write_json(description, temporary / DESCRIPTION)

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Pixels:
        """Rebuild what `save` wrote."""
        return cls(description["height"], description["width"], description["channels"])


def fit_pixels(train: SampleTable, settings: ImageFeatures) -> Pixels:
    """Choose the shape that images are brought to, from the training images and the settings."""
    height, width, channels = image_shape(_encoded(train))
    if settings.size is not None:
        height = width = settings.size
    elif max(height, width) > LARGEST_SIDE:
        scale = LARGEST_SIDE / max(height, width)
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
    if settings.channels != "auto":
        channels = 1 if settings.channels == "grey" else 3
    return Pixels(height, width, channels)


def _encoded(samples: SampleTable) -> list[bytes]:
    images = samples.images
    missing = next((row for row, image in enumerate(images) if image is None), None)
    if missing is not None:
        raise DataError(f"Row {samples.ids[missing]!r} has neither an image nor a vector.")
    return images  # type: ignore[return-value]
