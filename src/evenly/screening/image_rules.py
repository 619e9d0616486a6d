"""The check on an image by itself: can it be read, has it the right size, is anything on it."""

from __future__ import annotations

import numpy as np

from evenly.errors import DataError
from evenly.screening.context import Context, Outcome, verdict


def badly_drawn(context: Context, rows: np.ndarray) -> Outcome:
    """Images that cannot be decoded, have another size than all real ones, or show one colour only."""
    from evenly.features.images import decode_images

    shapes: list[tuple[int, ...] | None] = []
    blank = np.zeros(len(rows), dtype=bool)
    for k, image in enumerate(context.shown(rows).samples.images):
        try:
            pixels = decode_images([image])[0] if image else None
        except DataError:
            pixels = None
        shapes.append(None if pixels is None else pixels.shape[:2])
        blank[k] = pixels is not None and pixels.min() == pixels.max()
    unreadable = np.array([shape is None for shape in shapes], dtype=bool)
    verdicts = [
        verdict("format", unreadable, detail="unreadable"),
        verdict("format", blank, detail="one colour"),
    ]
    real = {decode_images([image])[0].shape[:2] for image in context.train.samples.images if image}
    if len(real) == 1:
        other = np.array([shape is not None and shape not in real for shape in shapes], dtype=bool)
        verdicts.append(verdict("format", other, detail="another size than the real images"))
    return Outcome(tuple(verdicts))
