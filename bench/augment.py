"""Images augmented per second on one core, by policy and size: pixels alone, and from PNG to PNG.

The rival, in the same process: the loop over Pillow images that one would write (flips, one turn, brightness,
contrast, saturation, with the probabilities of `image_standard`). CPU seconds are counted, the best of
several rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from evenly.augmentation import augment
from evenly.features.images import encode_images
from evenly.params.augmentation import Policy
from evenly.params.base import read_yaml
from evenly.plans import AugmentPlan
from evenly.samples import SampleTable, Schema, samples_from_columns
from evenly.transforms.pixels import transform_images

TARGET = 5_000
IMAGES = 1_000
ROUNDS = 5


def smooth_pictures(side: int, channels: int, n: int = IMAGES) -> np.ndarray:
    """Coloured blobs that compress about as well as photographs do: uint8 (n, side, side, channels)."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (n, 8, 8, channels), dtype=np.uint8)
    large = [cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC) for image in coarse]
    return np.stack(large).reshape(n, side, side, channels)


def rate(work: Callable[[], object], count: int) -> float:
    """Items per CPU second, best of `ROUNDS`."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return count / best


def image_table(images: np.ndarray) -> SampleTable:
    """Sample table of the images, all of one class."""
    columns = {"id": [str(k) for k in range(len(images))], "label": ["a"] * len(images)}
    return samples_from_columns({**columns, "image": encode_images(images)}, Schema("image", ("a",)))


def rates(policy: Policy, side: int, channels: int) -> tuple[float, float]:
    """Images a CPU second: transforming alone, and the whole of `augment` with decoding and encoding."""
    images = smooth_pictures(side, channels, IMAGES if side < 200 else IMAGES // 10)
    table = image_table(images)
    plan = AugmentPlan(policy=policy, counts={"a": len(images)}, seed=0)
    alone = rate(lambda: transform_images(images, policy, np.random.default_rng(0)), len(images))
    return alone, rate(lambda: augment(table, plan, workers=1), len(images))


def by_pillow(images: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """The rival: each image by itself."""
    changed = []
    for array in images:
        image = Image.fromarray(array.squeeze())
        if rng.random() < 0.5:
            image = ImageOps.mirror(image)
        if rng.random() < 0.5:
            image = ImageOps.flip(image)
        if rng.random() < 0.8:
            image = image.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR, translate=(1, 1))
        for enhancer, strength, probability in (
            (ImageEnhance.Brightness, 0.12, 0.7),
            (ImageEnhance.Contrast, 0.2, 0.7),
            (ImageEnhance.Color, 0.25, 0.4),
        ):
            if rng.random() < probability:
                image = enhancer(image).enhance(1 + rng.uniform(-strength, strength))
        changed.append(np.asarray(image))
    return changed


def main() -> None:
    """Print one line a policy and size, and whether the default policy reaches the target."""
    policies = {name: Policy.model_validate(p) for name, p in read_yaml("params.yaml")["policies"].items()}
    reached = 0.0
    sizes = ((8, 1), (32, 3), (64, 3), (224, 3))
    print(f"{'policy':16}{'size':>12}{'images/s':>12}{'with PNG':>12}{'x Pillow':>10}   on one core")
    plain = {}
    for side, channels in sizes:
        images = smooth_pictures(side, channels, IMAGES if side < 200 else IMAGES // 10)
        plain[side] = rate(lambda images=images: by_pillow(images, np.random.default_rng(0)), len(images))  # type: ignore[misc]
    for name in ("image_light", "image_standard", "image_strong", "digits"):
        for side, channels in sizes:
            alone, whole = rates(policies[name], side, channels)
            size = f"{side}x{side}x{channels}"
            print(f"{name:16}{size:>12}{alone:>12,.0f}{whole:>12,.0f}{alone / plain[side]:>10.1f}")
            if (name, side) == ("image_standard", 64):
                reached = alone
    print(f"image_standard at 64x64x3: {reached / TARGET:.1f} times the target of {TARGET:,} images/s")


if __name__ == "__main__":
    main()
