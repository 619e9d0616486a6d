"""Networks of the image generators, and the distortions that keep a GAN from learning images by heart.

Images are float (n, channels, h, w) in −1..1 here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from evenly.params.generative import Distortion

#: Fewest channels at any grid.
THINNEST = 16


def doublings(height: int, width: int) -> int:
    """How often a grid of about 4×4 is doubled to reach an image of this size; at least once."""
    return max(1, math.floor(math.log2(min(height, width) / 4)))


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation whose scale and shift depend on the class."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm2d(channels, affine=False)
        self.scale = nn.Embedding(classes, channels)
        self.shift = nn.Embedding(classes, channels)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, maps: Tensor, codes: Tensor) -> Tensor:
        """Maps (n, channels, h, w), scaled and shifted by class (n,)."""
        scale, shift = self.scale(codes)[:, :, None, None], self.shift(codes)[:, :, None, None]
        out: Tensor = self.normalise(maps) * scale + shift
        return out


class Upsampler(nn.Module):
    """Class and latent vector to image: a coarse grid, doubled to the size, then cropped."""

    def __init__(self, latent: int, classes: int, shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.height, self.width, channels = shape
        times = doublings(self.height, self.width)
        self.grid = (math.ceil(self.height / 2**times), math.ceil(self.width / 2**times))
        self.label = nn.Embedding(classes, latent)
        self.start = nn.Linear(2 * latent, width * self.grid[0] * self.grid[1])
        sizes = [max(THINNEST, width // 2**k) for k in range(times + 1)]
        self.first = ConditionalBatchNorm(width, classes)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairwise(sizes)
        )
        self.norms = nn.ModuleList(ConditionalBatchNorm(size, classes) for size in sizes[1:])
        self.last = nn.Conv2d(sizes[-1], channels, 3, padding=1)

    def forward(self, latent: Tensor, codes: Tensor) -> Tensor:
        """Images of latent vectors (n, latent) and classes (n,)."""
        start = self.start(torch.cat([latent, self.label(codes)], dim=1))
        maps = start.reshape(len(latent), -1, *self.grid)
        maps = functional.relu(self.first(maps, codes))
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            maps = functional.interpolate(maps, scale_factor=2.0, mode="nearest")
            maps = functional.relu(norm(convolution(maps), codes))
        image = torch.tanh(self.last(maps))
        top, left = (image.shape[2] - self.height) // 2, (image.shape[3] - self.width) // 2
        return image[:, :, top : top + self.height, left : left + self.width]


def downsampling(shape: tuple[int, int, int], width: int, normed: bool) -> tuple[nn.Sequential, int]:
    """Build the convolutions from an image down to a grid of about 4×4, leaky ReLU between them."""
    times = doublings(shape[0], shape[1])
    sizes = [max(THINNEST, width // 2**k) for k in range(times, -1, -1)]

    def convolution(a: int, b: int, kernel: int, stride: int) -> nn.Module:
        layer = nn.Conv2d(a, b, kernel, stride=stride, padding=1)
        return spectral_norm(layer) if normed else layer

    layers: list[nn.Module] = [convolution(shape[2], sizes[0], 3, 1), nn.LeakyReLU(0.2)]
    for a, b in pairwise(sizes):
        layers += [convolution(a, b, 4, 2), nn.LeakyReLU(0.2)]
    layers += [convolution(sizes[-1], sizes[-1], 3, 1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers), sizes[-1]


class ProjectionDiscriminator(nn.Module):
    """How real an image of a class looks: ψ(φ(x)) + ⟨embedding of the class, φ(x)⟩."""

    def __init__(self, classes: int, shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.features, size = downsampling(shape, width, normed=True)
        self.score = spectral_norm(nn.Linear(size, 1))
        self.label = spectral_norm(nn.Embedding(classes, size))

    def forward(self, images: Tensor, codes: Tensor) -> Tensor:
        """Scores (n,) of images and their classes (n,)."""
        features = self.features(images).sum(dim=(2, 3))
        out: Tensor = self.score(features)[:, 0] + (self.label(codes) * features).sum(dim=1)
        return out


def mlp(
    inputs: int, hidden: int, outputs: int, activation: Callable[[], nn.Module] = nn.ReLU
) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        activation(),
        nn.Linear(hidden, hidden),
        activation(),
        nn.Linear(hidden, outputs),
    )


def one_hot(codes: Tensor, classes: int) -> Tensor:
    """Classes (n,) as one of k, float (n, classes)."""
    return functional.one_hot(codes, classes).float()


def trainable_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


#: Largest shift and side of the hole, as shares of the image's sides.
SHIFT, HOLE = 1 / 8, 1 / 2


def distorted(images: Tensor, kinds: Sequence[Distortion]) -> Tensor:
    """Distort every image by its own draw of each kind, in the order given."""
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
