"""Photographs drawn for tests and benchmarks: leaves on a cluttered ground, healthy or with one of three
diseases, under changing light, colour, noise and JPEG compression. The same seed gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from evenly.samples import SampleTable, Schema, samples_from_columns

#: From what is common to what is rare: a plain leaf, small spots, large blotches, pale powder.
CLASSES = ("healthy", "spots", "blotches", "powder")
#: Of the colour (blue, green, red) of what is drawn on a leaf.
_MARKS = {"spots": (40, 70, 130), "blotches": (45, 75, 110), "powder": (200, 215, 210)}


def drawn_photograph(name: str, rng: np.random.Generator, side: int = 96, trouble: float = 1.0) -> bytes:
    """A JPEG of a leaf of a class; `trouble` is how much there is of noise, clutter and change of colour."""
    canvas = _ground(rng, side, trouble)
    leaf = np.zeros((side, side), dtype=np.uint8)
    centre = tuple(int(v) for v in side * rng.uniform(0.42, 0.58, 2))
    axes = tuple(int(v) for v in side * np.array([rng.uniform(0.3, 0.42), rng.uniform(0.18, 0.3)]))
    angle = float(rng.uniform(0, 180))
    cv2.ellipse(leaf, centre, axes, angle, 0, 360, 255, -1, cv2.LINE_AA)
    skin = np.empty((side, side, 3), dtype=np.float32)
    skin[:] = np.array([60, 130, 80]) + rng.normal(0, 14 * trouble, 3)
    mottle = rng.normal(0, 60 * trouble, (side, side)).astype(np.float32)
    skin += cv2.GaussianBlur(mottle, (0, 0), 4)[..., None]
    _veins(skin, centre, axes, angle, rng)
    if name != "healthy":
        _mark(skin, name, leaf, rng, trouble)
    share = leaf[..., None].astype(np.float32) / 255
    picture = skin * share + canvas * (1 - share)
    for _ in range(rng.poisson(2 * trouble)):  # stalks and shadows across the leaf
        ends = [tuple(int(v) for v in rng.uniform(0, side, 2)) for _ in range(2)]
        cv2.line(picture, *ends, rng.uniform(20, 160, 3).tolist(), int(rng.integers(1, 3)), cv2.LINE_AA)
    picture = picture * rng.uniform(1 - 0.35 * trouble, 1 + 0.25 * trouble) + rng.normal(0, 8 * trouble, 3)
    picture += rng.normal(0, 9 * trouble, picture.shape)
    quality = int(rng.integers(55, 92))
    stored = np.clip(picture, 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def drawn_samples(
    counts: Mapping[str, int] | Sequence[int], seed: int = 0, side: int = 96, trouble: float = 1.0
) -> SampleTable:
    """A sample table of so many photographs of each class."""
    wanted = dict(counts) if isinstance(counts, Mapping) else dict(zip(CLASSES, counts, strict=False))
    labels = [name for name, count in wanted.items() for _ in range(count)]
    images = [
        drawn_photograph(name, np.random.default_rng([seed, CLASSES.index(name), k]), side, trouble)
        for name, count in wanted.items()
        for k in range(count)
    ]
    ids = [f"{seed}-{row:05}" for row in range(len(labels))]
    return samples_from_columns({"id": ids, "label": labels, "image": images}, Schema("image", tuple(wanted)))


def write_photographs(folder: Path, counts: Mapping[str, int], seed: int = 0, trouble: float = 1.0) -> None:
    """Write photographs as `class/number.jpg`."""
    samples = drawn_samples(counts, seed, trouble=trouble)
    for row, (label, image) in enumerate(zip(samples.labels, samples.images, strict=True)):
        path = folder / label / f"{row:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image or b"")


def _ground(rng: np.random.Generator, side: int, trouble: float) -> np.ndarray:
    """Soil or table with pebbles and other leaves on it, float32 (side, side, 3)."""
    ground = np.empty((side, side, 3), dtype=np.float32)
    ground[:] = rng.uniform(50, 190) + rng.normal(0, 18, 3)
    ground += cv2.GaussianBlur(rng.normal(0, 90, (side, side, 3)).astype(np.float32), (0, 0), 3)
    for _ in range(rng.poisson(14 * trouble)):
        at = tuple(int(v) for v in rng.uniform(0, side, 2))
        size = tuple(int(v) for v in rng.uniform(1, 0.09 * side, 2))
        colour = (rng.uniform(30, 210) + rng.normal(0, 25, 3)).tolist()
        cv2.ellipse(ground, at, size, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    return ground


def _veins(
    skin: np.ndarray, centre: Sequence[int], axes: Sequence[int], angle: float, rng: np.random.Generator
) -> None:
    along = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    across = np.array([-along[1], along[0]])
    middle, colour = np.array(centre), (skin.mean(axis=(0, 1)) + rng.uniform(12, 30)).tolist()
    ends = [middle + along * axes[0], middle - along * axes[0]]
    cv2.line(skin, *(tuple(int(v) for v in end) for end in ends), colour, 1, cv2.LINE_AA)
    for place in np.linspace(-0.7, 0.7, 6):
        root = middle + along * axes[0] * place
        for way in (-1, 1):
            tip = root + way * across * axes[1] * 0.8 + along * axes[0] * 0.15
            cv2.line(skin, *(tuple(int(v) for v in end) for end in (root, tip)), colour, 1, cv2.LINE_AA)


def _mark(skin: np.ndarray, name: str, leaf: np.ndarray, rng: np.random.Generator, trouble: float) -> None:
    """Draw what a disease leaves on a leaf, more or less of it, more or less clearly."""
    side = len(skin)
    inside = np.argwhere(leaf > 128)
    number = {"spots": 4 + rng.poisson(9), "blotches": 1 + rng.poisson(1), "powder": 3 + rng.poisson(3)}[name]
    mask = np.zeros((side, side), dtype=np.float32)
    for row, column in inside[rng.integers(len(inside), size=number)]:
        low, high = {"spots": (0.008, 0.026), "blotches": (0.05, 0.13), "powder": (0.03, 0.09)}[name]
        size = tuple(max(1, round(side * v)) for v in rng.uniform(low, high, 2))
        cv2.ellipse(mask, (int(column), int(row)), size, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
    soft = {"spots": 0.6, "blotches": 1.2, "powder": 3.0}[name]
    mask = cv2.GaussianBlur(mask, (0, 0), soft) * rng.uniform(1 - 0.65 * trouble, 1)
    if name == "powder":
        mask *= rng.uniform(0.3, 1, mask.shape).astype(np.float32)
    colour = np.array(_MARKS[name]) + rng.normal(0, 18 * trouble, 3)
    skin += mask[..., None] * (colour.astype(np.float32) - skin)
