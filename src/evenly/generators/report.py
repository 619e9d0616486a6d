"""Reports of a generation: metrics/generate.json, without timings, and sheets of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evenly.features.images import encode_images
from evenly.files import atomic_write
from evenly.generators.fitting import Fit
from evenly.generators.judging import ClassOutcome, outcome_sentences
from evenly.generators.language_model import Written
from evenly.generators.sampling import evenly_spaced
from evenly.plans import GeneratePlan
from evenly.samples import SampleTable


def as_signal(pixels: np.ndarray, device: torch.device) -> Tensor:
    """Pixels uint8 (n, h, w, c) as float32 (n, c, h, w) in −1..1."""
    return torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def as_pixels(signal: Tensor) -> np.ndarray:
    """Give the signal (n, c, h, w), clipped and rounded, as uint8 (n, h, w, c)."""
    levels = ((signal.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def as_vectors(pixels: np.ndarray) -> np.ndarray:
    """Pixels uint8 (n, h, w, c) as float32 (n, h × w × c) in 0..1."""
    return pixels.reshape(len(pixels), -1).astype(np.float32) / np.float32(255)


_STOPS = {
    "no_progress": "Training stopped early: the criterion got no better.",
    "collapsed": "Training stopped early: the generated rows had collapsed at several checkpoints in a row.",
}


def generation_metrics(
    plan: GeneratePlan,
    real: SampleTable,
    made: Mapping[str, int],
    fit: Fit | None,
    held_out: int,
    outcomes: Mapping[str, ClassOutcome],
) -> dict[str, Any]:
    """Counts, training and outcome."""
    planned = {name: count for name, count in plan.counts.items() if count}
    classes: dict[str, dict[str, Any]] = {}
    for name, count in planned.items():
        classes[name] = {"real": real.counts[name], "asked": count, "made": made.get(name, 0)}
        for key, value in asdict(outcomes[name]).items() if name in outcomes else ():
            classes[name][key] = round(value, 4) if isinstance(value, float) else value
    remarks = outcome_sentences(outcomes)
    if fit is not None and fit.stop in _STOPS:
        remarks.insert(0, _STOPS[fit.stop])
    return {
        "kind": plan.kind,
        "generator": plan.generator.name,
        "asked": sum(planned.values()),
        "made": sum(made.values()),
        "classes": classes,
        "fallbacks": dict(plan.fallbacks),
        "training": None if fit is None else _training(plan, fit, len(real) - held_out, held_out),
        "flagged": sorted(name for name, found in outcomes.items() if found.outcome != "ok"),
        "remarks": remarks,
    }


def text_metrics(written: Mapping[str, Written]) -> dict[str, Any]:
    """How much of what a language model wrote is copied.

    `memorised_share`: of all texts written, those equal to a training text, which are turned away; `copies`:
    rows that were kept all the same, because nothing new came.
    """
    drawn = sum(made.drawn for made in written.values())
    memorised = sum(made.memorised for made in written.values())
    return {
        "written": drawn,
        "memorised_share": round(memorised / drawn, 4) if drawn else None,
        "copies": int(sum(np.sum(made.copies) for made in written.values())),
    }


def _training(plan: GeneratePlan, fit: Fit, rows: int, held_out: int) -> dict[str, Any]:
    curve = [round(value, 6) for value in fit.curve]
    return {
        "rows": rows,
        "held_out": held_out,
        "steps": fit.steps,
        "best_step": fit.best_step,
        "stop": fit.stop,
        "criterion": plan.generator.criterion if fit.curve else None,
        "first": curve[0] if curve else None,
        "best": min(curve, default=None),
        "last": curve[-1] if curve else None,
    }


#: Images of a class on a sheet, and classes at most.
REAL, MADE, MOST_CLASSES = 4, 12, 20
#: Images are magnified to about this side.
_SIDE = 40
_GROUND, _GAP = 112, 2


class Sheets:
    """Draws the same latent vectors at every checkpoint, so that one can watch them form."""

    def __init__(self, folder: str | Path, pixels: np.ndarray, codes: np.ndarray) -> None:
        self._folder = Path(folder)
        self._classes = np.unique(codes)[:MOST_CLASSES]
        examples = evenly_spaced(codes, REAL)
        self._real = {int(c): pixels[examples[codes[examples] == c]] for c in self._classes}

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
