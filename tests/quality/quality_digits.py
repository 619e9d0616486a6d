"""Digits with a tail, and producers of which one knows how good they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evenly.features import Featurizer
from evenly.features.images import encode_images
from evenly.quality.compare import Quality, quality_of
from evenly.samples import SampleTable, Schema, samples_from_columns

CLASSES = tuple(str(k) for k in range(10))


def image_table(pixels: np.ndarray, codes: np.ndarray, prefix: str, origin: str = "real") -> SampleTable:
    """Images (n, 8, 8) of 0..255 as a sample table."""
    levels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)[..., None]
    columns = {
        "id": [f"{prefix}{k:05d}" for k in range(len(levels))],
        "label": [CLASSES[code] for code in codes],
        "origin": [origin] * len(levels),
        "image": encode_images(levels),
    }
    return samples_from_columns(columns, Schema("image", CLASSES))


@dataclass(frozen=True)
class Digits:
    """Splits, the featurizer of the first, and producers by name."""

    train: SampleTable
    held_out: SampleTable
    unseen: SampleTable
    featurizer: Featurizer
    producers: Mapping[str, SampleTable]

    def quality(self, producers: Mapping[str, SampleTable] | None = None, seed: int = 0) -> Quality:
        return quality_of(
            self.producers if producers is None else producers,
            train=self.train,
            held_out=self.held_out,
            featurizer=self.featurizer,
            seed=seed,
            unseen=self.unseen,
        )
