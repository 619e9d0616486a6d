"""ShuffleNetV2, from Ma et al., Practical Guidelines for Efficient CNN Design, ECCV 2018 (1807.11164)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from evenly.classifiers.networks.small_cnn import GlobalPool

#: Table 5 of the paper: output channels of stages 2, 3 and 4.
CHANNELS = {"0.5x": (48, 96, 192), "1.0x": (116, 232, 464)}
REPEATS = (4, 8, 4)
STEM = 24
DIMENSION = 1024
#: Up to this side the stem keeps the resolution, which it otherwise divides by four.
SMALL_SIDE = 64


def shufflenet_v2_body(channels: int, longer_side: int, width: str) -> tuple[nn.Module, int]:
    """Build the network of table 5 up to its global pooling.

    Parameters
    ----------
    channels
        1 or 3.
    longer_side
        The longer side of the images in pixels.
    width
        `0.5x` or `1.0x`.

    Returns
    -------
    body : torch.nn.Module
        Images (n, channels, h, w) to features (n, d).
    dimension : int
        d = 1024.
    """
    layers: list[nn.Module]
    if longer_side <= SMALL_SIDE:
        layers = _convolution(channels, STEM, 3)
    else:
        layers = [*_convolution(channels, STEM, 3, stride=2), nn.MaxPool2d(3, stride=2, padding=1)]
    inputs = STEM
    for outputs, repeats in zip(CHANNELS[width], REPEATS, strict=True):
        layers.append(DownUnit(inputs, outputs))
        layers += [BasicUnit(outputs) for _ in range(repeats - 1)]
        inputs = outputs
    layers += [*_convolution(inputs, DIMENSION, 1), GlobalPool()]
    return nn.Sequential(*layers), DIMENSION


def channel_shuffle(maps: Tensor) -> Tensor:
    """Interleave the two halves of the channels: (a₁…a_m, b₁…b_m) to (a₁, b₁, a₂, b₂, …)."""
    n, c, h, w = maps.shape
    return maps.reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class BasicUnit(nn.Module):
    """Figure 3 (c): half of the channels pass through, the others are transformed, then all are shuffled."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(
            *_convolution(half, half, 1), *_depthwise(half), *_convolution(half, half, 1)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Give maps of the same shape."""
        kept, changed = maps.chunk(2, dim=1)
        return channel_shuffle(torch.cat([kept, self.branch(changed)], dim=1))


class DownUnit(nn.Module):
    """Figure 3 (d): both branches see all channels and halve the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.shortcut = nn.Sequential(*_depthwise(inputs, stride=2), *_convolution(inputs, half, 1))
        self.branch = nn.Sequential(
            *_convolution(inputs, half, 1), *_depthwise(half, stride=2), *_convolution(half, half, 1)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Give maps (n, outputs, ⌈h/2⌉, ⌈w/2⌉)."""
        return channel_shuffle(torch.cat([self.shortcut(maps), self.branch(maps)], dim=1))


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


def _depthwise(channels: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
    ]
