"""Image bodies of other libraries: transformers, and torchvision and timm where they are installed.

Each turns standardised images (n, c, h, w) into features (n, d); the head is always our own.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from evenly.errors import ModelError
from evenly.features.lite0 import DEVIATION, MEAN
from evenly.features.pretrained import (
    config_values,
    load_network,
    network_from_config,
    pretrained_folder,
)
from evenly.files import read_json
from evenly.params.models import (
    ImageNetworkSettings,
    ImageTransformerSettings,
    LibraryImageSettings,
    Lite0Settings,
    TimmSettings,
    TorchvisionSettings,
)
from evenly.wording import first_line, near_names

#: Mean and deviation of channels with values 0 to 1.
Channels = tuple[tuple[float, ...], tuple[float, ...]]

IMAGENET: Channels = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF: Channels = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
#: Side in pixels that most weights were trained with.
USUAL_SIDE = 224
#: Families that are faster in bfloat16 on a CPU with matrix units; depthwise convolutions are slower in it.
BF16_FAMILIES = ("resnet", "bit", "swin", "vit", "deit", "beit", "dinov2")


@dataclass(frozen=True)
class Wanted:
    """What a body wants to be fed; None takes any side and channels, and normalises by the training rows."""

    side: int | None = None
    channels: int | None = None
    normalisation: Channels | None = None


@dataclass(frozen=True)
class Body:
    """A body, standardised images (n, c, h, w) to features (n, dimension).

    `config` is what it is built again from where settings and shape do not say it, JSON-ready; `bf16_pays` is
    whether bfloat16 is faster than float32 on a CPU with matrix units.
    """

    network: nn.Module
    dimension: int
    config: dict[str, Any] = field(default_factory=dict)
    bf16_pays: bool = False


def wanted_input(settings: ImageNetworkSettings) -> Wanted:
    """What the images of a model have to be like, before there is one."""
    if isinstance(settings, Lite0Settings):
        return Wanted(settings.image_size, 3, ((MEAN / 255,) * 3, (DEVIATION / 255,) * 3))
    if not isinstance(settings, LibraryImageSettings):
        return Wanted(settings.image_size)
    side, channels, given = None, None, None
    if isinstance(settings, ImageTransformerSettings):
        if settings.pretrained is not None:
            side, given = _trained_with(pretrained_folder(settings.pretrained, _key(settings)))
            channels = 3
    elif settings.is_pretrained:
        side, channels, given = USUAL_SIDE, 3, IMAGENET
        if isinstance(settings, TimmSettings):
            trained = _library("timm").get_pretrained_cfg(settings.name)
            side, given = int(trained.input_size[-1]), (tuple(trained.mean), tuple(trained.std))
    elif isinstance(settings, TorchvisionSettings):
        channels = 3
    fixed = {"auto": given, "training": None, "imagenet": IMAGENET, "half": HALF}[settings.normalisation]
    return Wanted(settings.image_size or side, channels, fixed)


def library_body(
    settings: LibraryImageSettings,
    shape: tuple[int, int, int],
    config: dict[str, Any] | None,
    bf16_pays: bool,
) -> Body:
    """Build a body from another library, or refuse, saying why; see `bodies.image_body`."""
    height, width, channels = shape
    network: nn.Module
    made: dict[str, Any] = {}
    if isinstance(settings, ImageTransformerSettings):
        network = TransformersBody(_transformers_network(settings, shape, config))
        made = config_values(network.network.config)
    elif isinstance(settings, TorchvisionSettings):
        network = _torchvision_body(settings, settings.pretrained and config is None)
    elif isinstance(settings, TimmSettings):
        network = _timm_body(settings, channels, settings.pretrained and config is None)
    else:
        raise TypeError(f"{settings.kind} is of no library known here")
    family = settings.architecture if isinstance(settings, ImageTransformerSettings) else settings.name
    network.eval()
    try:
        with torch.no_grad():
            dimension = int(network(torch.zeros(1, channels, height, width)).shape[1])
    except Exception as error:  # whatever the code of an architecture raises
        raise ModelError(
            f"models.{settings.kind}: this network cannot take images of {height}×{width} pixels with "
            f"{channels} channels ({first_line(error)}); set models.{settings.kind}.image_size to another "
            "side, or features.image.channels to colour."
        ) from error
    return Body(network, dimension, made, bf16_pays and family.startswith(BF16_FAMILIES))


class TransformersBody(nn.Module):
    """An image network of transformers, its output pooled to one vector an image."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, images: Tensor) -> Tensor:
        """Features (n, d)."""
        out = self.network(images)
        pooled: Tensor | None = getattr(out, "pooler_output", None)
        if pooled is not None:
            return pooled.flatten(1)
        states: Tensor = out.last_hidden_state
        if states.ndim == 4:
            return states.mean(dim=(2, 3))
        has_first = hasattr(getattr(self.network, "embeddings", None), "cls_token")
        return states[:, 0] if has_first else states.mean(dim=1)


class FirstOutput(nn.Module):
    """A network that may give more than one output while training, of which the first counts."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Features (n, d)."""
        out = self.network(images)
        first: Tensor = out if isinstance(out, Tensor) else out[0]
        return first.flatten(1)


def _transformers_network(
    settings: ImageTransformerSettings, shape: tuple[int, int, int], config: dict[str, Any] | None
) -> nn.Module:
    key = _key(settings)
    if config is not None:
        return network_from_config(config)
    if settings.pretrained is not None:
        network: nn.Module = load_network(pretrained_folder(settings.pretrained, key), key)
        return network
    height, width, channels = shape
    chosen = {"model_type": settings.architecture, "num_channels": channels}
    try:
        from transformers import AutoConfig

        sized = hasattr(AutoConfig.for_model(settings.architecture), "image_size")
        side = {"image_size": max(height, width)} if sized else {}
        return network_from_config(chosen | side | settings.options)
    except Exception as error:  # whatever the code of an architecture raises
        raise ModelError(
            f"models.image_transformer: {settings.architecture} with options {settings.options} cannot be "
            f"built ({first_line(error)}); architectures are model types of transformers such as resnet, "
            "convnext, mobilenet_v2, regnet, vit, swin."
        ) from error


def _trained_with(folder: Path) -> tuple[int | None, Channels]:
    """Side and normalisation that pretrained weights were trained with, as their folder says."""
    processor = folder / "preprocessor_config.json"
    described = read_json(processor) if processor.exists() else {}
    size = (
        described.get("crop_size")
        or described.get("size")
        or read_json(folder / "config.json").get("image_size")
    )
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge")
    if isinstance(size, list):
        size = size[0]
    mean, deviation = described.get("image_mean"), described.get("image_std")
    given = (tuple(mean), tuple(deviation)) if mean and deviation else IMAGENET
    return (int(size) if size else USUAL_SIDE), given


def _torchvision_body(settings: TorchvisionSettings, pretrained: bool) -> nn.Module:
    models = _library("torchvision").models
    names = models.list_models(module=models)
    if settings.name not in names:
        raise ModelError(_unknown(settings.name, names, "models.torchvision.name"))
    try:
        network: nn.Module = models.get_model(settings.name, weights="DEFAULT" if pretrained else None)
    except Exception as error:
        raise ModelError(_no_weights("torchvision", settings.name, error)) from error
    linear = [name for name, part in network.named_modules() if isinstance(part, nn.Linear)]
    if linear:
        parent, _, last = linear[-1].rpartition(".")
        setattr(network.get_submodule(parent), last, nn.Identity())
    return FirstOutput(network)


def _timm_body(settings: TimmSettings, channels: int, pretrained: bool) -> nn.Module:
    timm = _library("timm")
    if not timm.is_model(settings.name):
        raise ModelError(_unknown(settings.name, timm.list_models(), "models.timm.name"))
    try:
        network: nn.Module = timm.create_model(
            settings.name, pretrained=pretrained, num_classes=0, in_chans=channels
        )
    except Exception as error:
        raise ModelError(_no_weights("timm", settings.name, error)) from error
    return FirstOutput(network)


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # built for another torch, torchvision raises RuntimeError
        missing = isinstance(error, ModuleNotFoundError) and error.name == name
        why = "is not installed" if missing else f"does not import here ({first_line(error)})"
        raise ModelError(
            f"models.{name}: {name} {why}; run `pip install 'evenly[vision]'`, for the build "
            f"that belongs to torch {torch.__version__}, or choose the model image_transformer or small_cnn."
        ) from error


def _unknown(name: str, names: list[str], key: str) -> str:
    near = near_names(name, names, most=3)
    hint = f"; did you mean {', '.join(near)}?" if near else f"; there are {len(names)}, such as {names[0]}."
    return f"{key}: there is no {name!r}{hint}"


def _no_weights(library: str, name: str, error: Exception) -> str:
    return (
        f"models.{library}: {name} cannot be built ({first_line(error)}); where its weights cannot be "
        f"downloaded, set models.{library}.pretrained to false."
    )


def _key(settings: ImageTransformerSettings) -> str:
    return f"models.{settings.kind}.pretrained"
