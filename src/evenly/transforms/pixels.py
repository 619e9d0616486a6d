"""Label-preserving transforms of pixels, for rows to be stored and for transforms on the fly.

Images are uint8 (height, width, channels), RGB where there are three channels. Which parameters are drawn is
decided in `drawing`, files are read and written by `evenly.features.images`. All geometry is one warp and all
colour one affine map of the channels, so that a picture is resampled once and its colours are rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from evenly.params.augmentation import Policy
from evenly.transforms.drawing import COLOUR, DRAWS, GEOMETRY, parameters_from

_BORDERS = {
    "reflect": cv2.BORDER_REFLECT_101,
    "replicate": cv2.BORDER_REPLICATE,
    "constant": cv2.BORDER_CONSTANT,
}


def transform_images(images: np.ndarray, policy: Policy, rng: np.random.Generator) -> np.ndarray:
    """Transform every image afresh: uint8 (n, height, width, channels), of the same shape and C-contiguous.

    Every image takes as many draws as `draw_parameters`, so that it does not matter how a stack of images is
    cut into calls.
    """
    cv2.setNumThreads(1)  # its threads cost more than they bring; processes scale
    shape = images.shape[1:]
    uniform = rng.random((len(images), DRAWS)).tolist()
    out = np.empty(images.shape, dtype=np.uint8)
    for k, image in enumerate(images):
        out[k] = apply(image, parameters_from(policy, shape, uniform[k]))
    return out


def apply(image: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
    """Image under parameters of `draw_parameters`, also after a round trip through JSON.

    The same image and parameters give the same pixels, and `image` itself where no parameter was drawn. Noise
    is drawn by OpenCV's generator, which is seeded from the parameters for it.
    """
    pixels = image if image.flags.c_contiguous else np.ascontiguousarray(image)
    if any(name in parameters for name in GEOMETRY):
        pixels = _warped(pixels, parameters)
    if "blur" in parameters:
        sigma = parameters["blur"] * min(image.shape[:2])
        pixels = cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    pixels = _recoloured(pixels, image.shape[2], parameters)
    if "noise" in parameters:
        cv2.setRNGSeed(parameters["noise"]["seed"])
        # One flat channel: given a single number, OpenCV would draw noise for the first of three alone.
        flat = pixels.reshape(image.shape[0], -1)
        noise = np.empty(flat.shape, dtype=np.float32)
        cv2.randn(noise, 0, 255 * parameters["noise"]["strength"])
        pixels = cv2.add(flat, noise, dtype=cv2.CV_8U).reshape(image.shape)
    if "cutout" in parameters:
        pixels = _with_rectangle(pixels, parameters["cutout"])
    return pixels.reshape(image.shape)


def _warped(pixels: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
    height, width = pixels.shape[:2]
    border = _BORDERS[parameters["border"]]
    value = (parameters.get("border_value", 0),) * 4
    source = _source_positions(parameters, height, width)
    if "elastic" not in parameters:
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(pixels, source, (width, height), None, flags, border, value)  # type: ignore[no-any-return]
    elastic = parameters["elastic"]
    nodes = np.random.default_rng(elastic["seed"]).standard_normal((elastic["cells"], elastic["cells"], 2))
    nodes = (nodes * elastic["share"] * (width, height)).astype(np.float32)
    moved = cv2.resize(nodes, (width, height), interpolation=cv2.INTER_CUBIC)
    column = np.arange(width, dtype=np.float32)[None, :]
    row = np.arange(height, dtype=np.float32)[:, None]
    (a, b, c), (d, e, f) = source.astype(np.float32)
    moved[..., 0] += a * column + (b * row + c)
    moved[..., 1] += d * column + (e * row + f)
    return cv2.remap(pixels, moved, None, cv2.INTER_LINEAR, None, border, value)  # type: ignore[no-any-return]


def _source_positions(parameters: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """Affine map (2, 3) from a pixel of the result to the place in the image that it shows.

    The image is flipped, scaled, sheared and rotated about its centre, then shifted; the crop is a window on
    that.
    """
    angle = math.radians(parameters.get("rotate", 0.0))
    cos, sin, slant = math.cos(angle), math.sin(angle), math.tan(math.radians(parameters.get("shear", 0.0)))
    flip, scale = parameters.get("flip"), parameters.get("scale", 1.0)
    across = 1 / (-scale if flip in ("horizontal", "both") else scale)
    down = 1 / (-scale if flip in ("vertical", "both") else scale)
    # Inverse of rotation · shear · scale, row by row.
    a, b = across * (cos - slant * sin), across * (-sin - slant * cos)
    c, d = down * sin, down * cos
    left, top, window = parameters.get("crop", (0.0, 0.0, 1.0))
    shift_x, shift_y = parameters.get("shift", (0.0, 0.0))
    # A pixel's centre is half a pixel inside; u and v are taken from the picture's centre, before the window.
    u0 = window * 0.5 + (left - 0.5 - shift_x) * width
    v0 = window * 0.5 + (top - 0.5 - shift_y) * height
    x0 = a * u0 + b * v0 + (width - 1) / 2
    y0 = c * u0 + d * v0 + (height - 1) / 2
    return np.array([[a * window, b * window, x0], [c * window, d * window, y0]])


def _recoloured(pixels: np.ndarray, channels: int, parameters: Mapping[str, Any]) -> np.ndarray:
    """Hue, saturation, contrast about the mean level, and brightness, as one affine map of the channels."""
    if not any(name in parameters for name in COLOUR):
        return pixels
    colour = np.eye(channels)
    if "hue" in parameters:
        colour = _turned_about_grey(math.radians(parameters["hue"]))
    if "saturation" in parameters:
        kept = parameters["saturation"]
        colour = kept * colour + (1 - kept) / channels
    contrast = parameters.get("contrast", 1.0)
    offset = 255 * parameters.get("brightness", 0.0)
    if contrast != 1.0:
        offset += (1 - contrast) * float(np.mean(cv2.mean(pixels)[:channels]))
    mapping = np.column_stack([contrast * colour, np.full(channels, offset)])
    return cv2.transform(pixels, mapping)  # type: ignore[no-any-return]


def _turned_about_grey(angle: float) -> np.ndarray:
    """Rotation (3, 3) about the axis red = green = blue (Rodrigues' formula), which keeps every grey."""
    cos, sin = math.cos(angle), math.sin(angle) / math.sqrt(3)
    mean = (1 - cos) / 3
    return np.array(
        [
            [cos + mean, mean - sin, mean + sin],
            [mean + sin, cos + mean, mean - sin],
            [mean - sin, mean + sin, cos + mean],
        ]
    )


def _with_rectangle(pixels: np.ndarray, cutout: Mapping[str, Any]) -> np.ndarray:
    height, width = pixels.shape[:2]
    x, y, w, h = cutout["box"]
    w, h = max(1, round(w * width)), max(1, round(h * height))
    left, top = round(x * (width - w)), round(y * (height - h))
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    value = cutout.get("value")
    fill = np.rint(cv2.mean(pixels)[:channels]) if value is None else value
    covered = pixels.copy()
    covered[top : top + h, left : left + w] = fill
    return covered
