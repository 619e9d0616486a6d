"""Differentiable augmentation: the same kinds of random distortion for real and generated images, so that a
discriminator cannot learn a small data set by heart and the generator does not learn the distortions.

References
----------
Zhao et al., Differentiable Augmentation for Data-Efficient GAN Training, NeurIPS 2020 (2006.10738).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from evenly.params.generative import Distortion

#: Largest shift and side of the hole, as shares of the image's sides.
SHIFT, HOLE = 1 / 8, 1 / 2


def distorted(images: Tensor, kinds: Sequence[Distortion]) -> Tensor:
    """Distort every image by its own draw of each kind, in the order given.

    Parameters
    ----------
    images
        float (n, channels, h, w) in −1..1.
    kinds
        `colour` (brightness, saturation of colour images, contrast), `translation` (by up to an eighth of
        each side, black comes in), `cutout` (a grey square of half the sides).
    """
    for kind in kinds:
        images = _KINDS[kind](images)
    return images


def _uniform(images: Tensor) -> Tensor:
    return torch.rand(len(images), 1, 1, 1).to(images.device)


def _coloured(images: Tensor) -> Tensor:
    images = images + (_uniform(images) - 0.5)
    if images.shape[1] == 3:
        grey = images.mean(dim=1, keepdim=True)
        images = (images - grey) * (2 * _uniform(images)) + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * (_uniform(images) + 0.5) + mean


def _translated(images: Tensor) -> Tensor:
    n, _, height, width = images.shape
    down, across = max(1, round(SHIFT * height)), max(1, round(SHIFT * width))
    y = torch.arange(height) + torch.randint(0, 2 * down + 1, (n, 1))
    x = torch.arange(width) + torch.randint(0, 2 * across + 1, (n, 1))
    padded = functional.pad(images, (across, across, down, down), value=-1.0)
    rows = torch.arange(n)[:, None, None].to(images.device)
    # Indexing puts the channels last.
    shifted = padded.permute(0, 2, 3, 1)[
        rows, y[:, :, None].to(images.device), x[:, None, :].to(images.device)
    ]
    return shifted.permute(0, 3, 1, 2)


def _with_hole(images: Tensor) -> Tensor:
    n, _, height, width = images.shape
    rows = _covered(n, height)[:, None, :, None]
    columns = _covered(n, width)[:, None, None, :]
    kept = ~(rows & columns)
    return images * kept.to(images.device)


def _covered(n: int, side: int) -> Tensor:
    """Places along one side that each hole covers, bool (n, side); a hole may hang over the edge."""
    length = max(1, round(HOLE * side))
    first = torch.randint(-(length // 2), side - length // 2, (n, 1))
    place = torch.arange(side)[None]
    return (place >= first) & (place < first + length)


_KINDS: dict[Distortion, Callable[[Tensor], Tensor]] = {
    "colour": _coloured,
    "translation": _translated,
    "cutout": _with_hole,
}
