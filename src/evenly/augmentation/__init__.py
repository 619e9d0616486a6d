"""Label-preserving transforms of real training rows: pixels warped, words moved, numbers jittered.

`augment` turns a plan into rows; `images.transform_images` serves training loops that transform on the fly.
"""

from evenly.augmentation.rows import augment

__all__ = ["augment"]
