"""Sample grids: for each class a few real images and a few generated ones, as PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evenly.features.images import encode_images
from evenly.files import atomic_write
from evenly.generators.rows import evenly_spaced

#: Images of a class on a sheet, and classes at most.
REAL, MADE, MOST_CLASSES = 4, 12, 20
#: Images are magnified to about this side.
_SIDE = 40
_GROUND, _GAP = 112, 2


class Sheets:
    """Draws the same latent vectors at every checkpoint, so that one can watch them form.

    Parameters
    ----------
    folder
        Where `step_00150.png` and so on go.
    pixels, codes
        Real training images, uint8 (n, h, w, channels), and their classes.
    """

    def __init__(self, folder: str | Path, pixels: np.ndarray, codes: np.ndarray) -> None:
        self._folder = Path(folder)
        self._classes = np.unique(codes)[:MOST_CLASSES]
        shown = evenly_spaced(codes, REAL)
        self._real = {int(c): pixels[shown[codes[shown] == c]] for c in self._classes}

    @property
    def codes(self) -> np.ndarray:
        """Classes of the images that a sheet shows, int64 (n,)."""
        return np.repeat(self._classes, MADE)

    def write(self, step: int, images: np.ndarray) -> None:
        """Write the sheet of a step; `images` uint8 (n, h, w, channels) are of the classes `codes`."""
        rows = [
            _sheet_row(self._real[int(code)], images[self.codes == code], images.shape[1:])
            for code in self._classes
        ]
        sheet = np.concatenate([*rows, np.full_like(rows[0][:_GAP], _GROUND)])
        with atomic_write(self._folder / f"step_{step:05d}.png") as temporary:
            temporary.write_bytes(encode_images(sheet[None])[0])


def _sheet_row(real: np.ndarray, made: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Real images, a gap, generated images, on a grey ground."""
    times = max(1, round(_SIDE / max(shape[:2])))
    height, width = shape[0] * times, shape[1] * times
    across = (REAL + MADE) * (width + _GAP) + 4 * _GAP
    out = np.full((height + _GAP, across, shape[2]), _GROUND, dtype=np.uint8)
    for images, left in ((real, _GAP), (made, REAL * (width + _GAP) + 4 * _GAP)):
        for k, image in enumerate(images):
            start = left + k * (width + _GAP)
            out[_GAP:, start : start + width] = image.repeat(times, axis=0).repeat(times, axis=1)
    return out
