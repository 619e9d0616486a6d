"""Bodies of image networks: which one a model has, and those of our own.

The small CNN trains in seconds on 8×8 images and works up to photographs; ShuffleNetV2 is that of Ma et al.,
Practical Guidelines for Efficient CNN Design, ECCV 2018 (1807.11164).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from evenly.classifiers.networks.library_bodies import Body, library_body
from evenly.features.lite0 import TOP_CHANNELS, Lite0, pretrained_lite0
from evenly.params.models import (
    ImageNetworkSettings,
    LibraryImageSettings,
    Lite0Settings,
    ShuffleNetV2Settings,
    SmallCnnSettings,
)

#: Larger images are halved by strided convolutions until their longer side is at most this.
WORKING_SIDE = 32
#: Initial weights are those of torch times this. Batch normalisation takes their scale out of the output, so
#: it only sets how far a step of Adam turns them: at 1 the default learning rate stays close to the initial
#: features (digits with a tail of 50: macro F1 .87, at 1/8 .89; with the logit-adjusted loss .93 and .95).
INITIAL_SCALE = 1 / 8
#: Table 5 of the ShuffleNetV2 paper: output channels of stages 2, 3 and 4.
CHANNELS = {"0.5x": (48, 96, 192), "1.0x": (116, 232, 464)}
REPEATS = (4, 8, 4)
STEM = 24
SHUFFLENET_DIMENSION = 1024
#: Up to this side the stem keeps the resolution, which it otherwise divides by four.
SMALL_SIDE = 64
#: From this side on the small CNN is faster in bfloat16 on a CPU that has it: 2.3 times at 32 pixels, not
#: at all at 8. The depthwise convolutions of ShuffleNetV2 are slower in it at any size.
BF16_SIDE = 16


def image_body(
    settings: ImageNetworkSettings, shape: tuple[int, int, int], config: dict[str, Any] | None = None
) -> Body:
    """Build the body that the settings of a model name.

    Parameters
    ----------
    settings
        Of the model.
    shape
        (height, width, channels) of the images.
    config
        That of a body that is now to be built again, without pretrained weights.
    """
    side, channels = max(shape[:2]), shape[2]
    pays = side >= BF16_SIDE
    if isinstance(settings, SmallCnnSettings):
        return Body(*small_cnn_body(channels, side, settings.width), bf16_pays=pays)
    if isinstance(settings, ShuffleNetV2Settings):
        return Body(*shufflenet_v2_body(channels, side, settings.width))
    if isinstance(settings, Lite0Settings):
        starts = settings.pretrained and config is None
        return Body(pretrained_lite0(f"the model {settings.kind}") if starts else Lite0(), TOP_CHANNELS)
    if isinstance(settings, LibraryImageSettings):
        return library_body(settings, shape, config, pays)
    raise TypeError(f"{settings.kind} is no network for images")


def small_cnn_body(channels: int, longer_side: int, width: int) -> tuple[nn.Module, int]:
    """Build three stages of two 3×3 convolutions, `width` channels in the first, and a global pooling.

    Returns the body, images (n, channels, h, w) to features (n, d), and d = 4·`width`.
    """
    halvings = max(0, math.ceil(math.log2(longer_side / WORKING_SIDE)))
    layers: list[nn.Module] = []
    inputs = channels
    for _ in range(halvings):
        layers += _convolution(inputs, width, stride=2)
        inputs = width
    for stage in range(3):
        outputs = width * 2**stage
        layers += _convolution(inputs, outputs)
        layers += _convolution(outputs, outputs)
        if stage < 2:
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        inputs = outputs
    return nn.Sequential(*layers, GlobalPool()), inputs


class GlobalPool(nn.Module):
    """Mean over all positions: (n, d, h, w) to (n, d)."""

    def forward(self, maps: Tensor) -> Tensor:
        """Features (n, d)."""
        return maps.mean(dim=(2, 3))


def _convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    normalisation = nn.BatchNorm2d(outputs)
    with torch.no_grad():
        convolution.weight.mul_(INITIAL_SCALE)
        # The running variance starts at the right scale too: the first epochs are judged by it.
        normalisation.get_buffer("running_var").fill_(INITIAL_SCALE**2)
    return [convolution, normalisation, nn.ReLU(inplace=True)]


def shufflenet_v2_body(channels: int, longer_side: int, width: str) -> tuple[nn.Module, int]:
    """Build the network of table 5 up to its global pooling, and give its dimension with it."""
    layers: list[nn.Module]
    if longer_side <= SMALL_SIDE:
        layers = _unit(channels, STEM, 3)
    else:
        layers = [*_unit(channels, STEM, 3, stride=2), nn.MaxPool2d(3, stride=2, padding=1)]
    inputs = STEM
    for outputs, repeats in zip(CHANNELS[width], REPEATS, strict=True):
        layers.append(DownUnit(inputs, outputs))
        layers += [BasicUnit(outputs) for _ in range(repeats - 1)]
        inputs = outputs
    layers += [*_unit(inputs, SHUFFLENET_DIMENSION, 1), GlobalPool()]
    return nn.Sequential(*layers), SHUFFLENET_DIMENSION


def channel_shuffle(maps: Tensor) -> Tensor:
    """Interleave the two halves of the channels: (a₁…a_m, b₁…b_m) to (a₁, b₁, a₂, b₂, …)."""
    n, c, h, w = maps.shape
    return maps.reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class BasicUnit(nn.Module):
    """Figure 3 (c): half of the channels pass through, the others are transformed, then all are shuffled."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(*_unit(half, half, 1), *_depthwise(half), *_unit(half, half, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Give maps of the same shape."""
        kept, changed = maps.chunk(2, dim=1)
        return channel_shuffle(torch.cat([kept, self.branch(changed)], dim=1))


class DownUnit(nn.Module):
    """Figure 3 (d): both branches see all channels and halve the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.shortcut = nn.Sequential(*_depthwise(inputs, stride=2), *_unit(inputs, half, 1))
        self.branch = nn.Sequential(
            *_unit(inputs, half, 1), *_depthwise(half, stride=2), *_unit(half, half, 1)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Give maps (n, outputs, ⌈h/2⌉, ⌈w/2⌉)."""
        return channel_shuffle(torch.cat([self.shortcut(maps), self.branch(maps)], dim=1))


def _unit(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
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
