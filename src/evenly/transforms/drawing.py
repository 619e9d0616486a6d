"""Drawing the parameters of image transforms from a policy; what they do to pixels is told in `images`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from evenly.params.augmentation import Elastic, Flip, Policy, Scale

if TYPE_CHECKING:
    import numpy as np

#: One image takes `DRAWS` uniform numbers, and each transform has its own among them: the first decides
#: whether it is drawn, the others how strongly. The places are fixed, so that switching one transform on or
#: off, or changing its strength, leaves the draws of all others as they are. A new transform goes to the end.
_PLACES = {
    "flip": (0, 3),
    "rotate": (3, 5),
    "shift": (5, 8),
    "scale": (8, 10),
    "shear": (10, 12),
    "crop": (12, 16),
    "elastic": (16, 19),
    "brightness": (19, 21),
    "contrast": (21, 23),
    "hue": (23, 25),
    "saturation": (25, 27),
    "blur": (27, 29),
    "noise": (29, 32),
    "cutout": (32, 37),
}
DRAWS = 37

GEOMETRY = ("flip", "rotate", "shift", "scale", "shear", "crop", "elastic")
COLOUR = ("brightness", "contrast", "hue", "saturation")

#: A narrower Gaussian moves no 8-bit value: its weight one pixel away, exp(−1 / 2σ²), is below 1/512.
_SMALLEST_BLUR = 0.28


def draw_parameters(policy: Policy, shape: Sequence[int], rng: np.random.Generator) -> dict[str, Any]:
    """Parameters for one image of this (height, width, channels), ready for JSON; what is not drawn has none.

    Angles are in degrees, lengths shares of the picture's sides, values shares of the full range. What would
    not change such an image (the hue of a grey one, a blur far below one pixel) is left out. `DRAWS` uniform
    numbers are taken from `rng`, whatever the policy.
    """
    return parameters_from(policy, shape, rng.random(DRAWS).tolist())


def parameters_from(policy: Policy, shape: Sequence[int], uniform: Sequence[float]) -> dict[str, Any]:
    """Parameters of one image from its `DRAWS` numbers, uniform in [0, 1); see `draw_parameters`."""
    drawn: dict[str, Any] = {}
    for name, (first, end) in _PLACES.items():
        settings = getattr(policy, name)
        if settings is None:
            continue
        gate, *rest = uniform[first:end]
        if gate < getattr(settings, "probability", 1.0):
            drawn[name] = _DRAW[name](settings, rest)
    if shape[2] != 3:
        drawn.pop("hue", None)
        drawn.pop("saturation", None)
    if drawn.get("flip") == "":
        del drawn["flip"]
    if drawn.get("blur", 1.0) * min(shape[:2]) < _SMALLEST_BLUR:
        drawn.pop("blur", None)
    if policy.border == "constant" and "cutout" in drawn:
        drawn["cutout"]["value"] = policy.border_value
    if any(name in drawn for name in GEOMETRY):
        drawn["border"] = policy.border
        if policy.border == "constant":
            drawn["border_value"] = policy.border_value
    return drawn


def _flip(settings: Flip, u: Sequence[float]) -> str:
    across, down = u[0] < settings.horizontal, u[1] < settings.vertical
    return "both" if across and down else "horizontal" if across else "vertical" if down else ""


def _scale(settings: Scale, u: Sequence[float]) -> float:
    return _rounded(settings.low * (settings.high / settings.low) ** u[0])


def _crop(settings: Any, u: Sequence[float]) -> list[float]:
    left_out = settings.share * u[0]
    return [_rounded(left_out * u[1]), _rounded(left_out * u[2]), _rounded(1 - left_out)]


def _elastic(settings: Elastic, u: Sequence[float]) -> dict[str, Any]:
    return {"cells": settings.cells, "share": _rounded(settings.share * u[0]), "seed": _seed(u[1])}


def _cutout(settings: Any, u: Sequence[float]) -> dict[str, Any]:
    return {"box": [_rounded(v) for v in (u[0], u[1], settings.share * u[2], settings.share * u[3])]}


def _around(centre: float, spread: float, uniform: float) -> float:
    return _rounded(centre + spread * (2 * uniform - 1))


def _rounded(value: float) -> float:
    """Short in JSON: a ten-thousandth of a degree or of the picture's side is no visible difference."""
    return round(value, 4)


def _seed(uniform: float) -> int:
    return int(uniform * 2**31)


_DRAW: dict[str, Callable[[Any, Sequence[float]], Any]] = {
    "flip": _flip,
    "rotate": lambda settings, u: _around(0, settings.degrees, u[0]),
    "shift": lambda settings, u: [_around(0, settings.share, u[0]), _around(0, settings.share, u[1])],
    "scale": _scale,
    "shear": lambda settings, u: _around(0, settings.degrees, u[0]),
    "crop": _crop,
    "elastic": _elastic,
    "brightness": lambda settings, u: _around(0, settings.strength, u[0]),
    "contrast": lambda settings, u: _around(1, settings.strength, u[0]),
    "hue": lambda settings, u: _around(0, settings.degrees, u[0]),
    "saturation": lambda settings, u: _around(1, settings.strength, u[0]),
    "blur": lambda settings, u: _rounded(settings.share * u[0]),
    "noise": lambda settings, u: {"strength": _rounded(settings.strength * u[0]), "seed": _seed(u[1])},
    "cutout": _cutout,
}
