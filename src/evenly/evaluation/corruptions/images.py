"""The common corruptions of images: Gaussian noise, blur, brightness and JPEG compression.

Their strengths are severities 1, 3 and 5 of Hendrycks & Dietterich 2019 (arXiv 1903.12261), who give one set
for pictures of 32 pixels (CIFAR-10-C) and one for 224 (ImageNet-C). Between the two sizes a strength lies
between the two, on the scale of the logarithm of the shorter side; below and above it is that of the nearer.
Blur, in pixels, weighs all the more on a picture of eight.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

_SMALL, _LARGE = 32, 224
#: By strength, at 32 and at 224 pixels: standard deviation and brightness as shares of the full range,
#: blur in pixels, JPEG quality.
_SEVERITIES: dict[str, tuple[tuple[float, float], ...]] = {
    "gaussian noise": ((0.04, 0.08), (0.08, 0.18), (0.10, 0.38)),
    "blur": ((0.4, 1.0), (0.7, 3.0), (1.0, 6.0)),
    "brightness": ((0.05, 0.1), (0.15, 0.3), (0.3, 0.5)),
    "jpeg": ((80, 25), (58, 15), (40, 7)),
}


def severity(name: str, strength: int, side: int) -> float:
    """Size of a corruption for pictures whose shorter side has so many pixels."""
    small, large = _SEVERITIES[name][strength - 1]
    place = math.log(min(max(side, _SMALL), _LARGE) / _SMALL) / math.log(_LARGE / _SMALL)
    return small + place * (large - small)


def worsened(pixels: np.ndarray, name: str, strength: int, rng: np.random.Generator) -> bytes:
    """Corrupt a picture and encode it: as JPEG for `jpeg`, else as PNG.

    Parameters
    ----------
    pixels
        uint8 (height, width, 1 or 3), RGB.
    name, strength
        Which corruption, and 1, 2 or 3.
    rng
        The stream of this picture. One set of numbers serves all strengths.
    """
    from evenly.features.images import encode_images

    size = severity(name, strength, min(pixels.shape[:2]))
    if name == "jpeg":
        return _jpeg(pixels, round(size))
    if name == "gaussian noise":
        # Drawn for every channel by numpy: OpenCV's randn, given single numbers, fills the first of three
        # alone.
        noise = rng.standard_normal(pixels.shape, dtype=np.float32)
        changed = pixels + noise * np.float32(255 * size)
    elif name == "blur":
        # A blurred single channel comes back without its axis.
        blurred = cv2.GaussianBlur(pixels, (0, 0), size, borderType=cv2.BORDER_REFLECT_101)
        changed = blurred.reshape(pixels.shape)
    else:
        changed = _brighter(pixels.astype(np.float32), 255 * size)
    return encode_images(np.rint(np.clip(changed, 0, 255)).astype(np.uint8)[None])[0]


def _brighter(pixels: np.ndarray, offset: float) -> np.ndarray:
    """Raise the value of hue, saturation and value, up to the top of the range; hue and saturation stay."""
    value = pixels.max(axis=2, keepdims=True)
    raised = np.minimum(value + offset, 255)
    return np.asarray(np.where(value > 0, pixels * raised / np.maximum(value, 1), raised))


def _jpeg(pixels: np.ndarray, quality: int) -> bytes:
    stored = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels[:, :, ::-1]
    ok, buffer = cv2.imencode(".jpg", np.ascontiguousarray(stored), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise RuntimeError(f"OpenCV could not encode an image of shape {pixels.shape}")
    return buffer.tobytes()
