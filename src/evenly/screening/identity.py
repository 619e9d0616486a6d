"""When two samples are the same sample; when they are nearly the same is no question for this module."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable

from evenly.errors import DataError
from evenly.features.ngramsets import normalised_text
from evenly.samples import SampleTable


def identities(samples: SampleTable) -> list[Hashable]:
    """A key for each sample, equal for samples that are the same; None for one without a readable payload.

    Texts: `normalised_text`. Images: shape and pixels after decoding, so that the same picture saved
    twice is one. Tables: the values of all feature columns.
    """
    if samples.modality == "text":
        return [normalised_text(text) or None if text else None for text in samples.texts]
    if samples.modality == "image":
        return [_pixels_key(image) for image in samples.images]
    columns = [samples.table.column(feature.name).to_pylist() for feature in samples.schema.features]
    return [tuple(_value(value) for value in row) for row in zip(*columns, strict=True)]


def _pixels_key(image: bytes | None) -> Hashable:
    from evenly.features.images import decode_images

    if not image:
        return None
    try:
        pixels = decode_images([image])[0]
    except DataError:
        return None
    return pixels.shape, hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()


def _value(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value
