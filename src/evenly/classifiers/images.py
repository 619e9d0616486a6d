"""Image networks as classifiers: images decoded once, and the network that the plan names."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evenly.classifiers.devices import deterministic
from evenly.classifiers.networkclassifier import NetworkClassifier
from evenly.classifiers.networks.bodies import image_body
from evenly.classifiers.networks.library_bodies import wanted_input
from evenly.classifiers.networks.modalities import ImageNetwork
from evenly.classifiers.networks.network import Inputs
from evenly.classifiers.training.steps import predict_logits
from evenly.errors import ModelError
from evenly.features import Featurizer
from evenly.features.images import Pixels, decode_images, fit_pixels
from evenly.features.lite0 import wanted_side
from evenly.params.augmentation import Policy
from evenly.params.features import ImageFeatures
from evenly.params.models import ImageNetworkSettings, Lite0Settings
from evenly.plans import TrainPlan
from evenly.samples import SampleTable, Schema

#: Of a side: what views from the middle and the corners of a larger image leave out.
RIM = 0.1


class ImageInputs(Inputs):
    """Decoded images, uint8 (n, h, w, c), which training may see under the transforms of a policy."""

    def __init__(self, pixels: np.ndarray, policy: Policy | None = None) -> None:
        self.pixels = torch.from_numpy(pixels)
        self.policy = policy
        self.augments = policy is not None

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """Pixels of these rows on a device, uint8 (m, h, w, c)."""
        return self.pixels[torch.from_numpy(rows)].to(device)

    def augmented_batch(
        self, rows: np.ndarray, device: torch.device, generator: np.random.Generator
    ) -> Tensor:
        """Transformed pixels of these rows on a device, uint8 (m, h, w, c)."""
        if self.policy is None:
            return self.batch(rows, device)
        from evenly.transforms.pixels import transform_images

        chosen = self.pixels[torch.from_numpy(rows)].numpy()
        return torch.from_numpy(transform_images(chosen, self.policy, generator)).to(device)


class ImageClassifier(NetworkClassifier):
    """A network on images.

    Parameters
    ----------
    plan
        With a network that takes images as its model.
    schema
        Of the samples.
    featurizer
        Of the images, whose shape is taken over where the plan sets no size; None takes the shape that it
        would get by default.
    """

    def __init__(self, plan: TrainPlan, schema: Schema, featurizer: Featurizer | None = None) -> None:
        super().__init__(plan, schema)
        self._featurizer = featurizer
        self.shape: tuple[int, int, int] | None = None
        self._body: dict[str, Any] = {}

    def _started(self, train: SampleTable) -> tuple[ImageNetwork, ImageInputs]:
        wanted = wanted_input(self._settings)
        real = train.take(train.is_real)
        real = real if len(real) else train
        pixels = getattr(self._featurizer, "pixels", self._featurizer)
        if not isinstance(pixels, Pixels):
            pixels = fit_pixels(real, ImageFeatures())
        if isinstance(self._settings, Lite0Settings) and wanted.side is None:
            wanted = dataclasses.replace(wanted, side=wanted_side(_encoded(real)))
        height, width = (pixels.height, pixels.width) if wanted.side is None else (wanted.side, wanted.side)
        self.shape = height, width, wanted.channels or pixels.channels
        inputs = self._inputs(train, training=True)
        with deterministic(self.plan.seed):
            network = self._built(self.shape)
        if wanted.normalisation is None:
            network.normalise.fit(inputs.pixels)
        else:
            network.normalise.set(*wanted.normalisation)
        return network, inputs

    def _inputs(self, samples: SampleTable, training: bool = False) -> ImageInputs:
        if self.shape is None:
            raise RuntimeError("the classifier has not been fitted")
        height, width, channels = self.shape
        pixels = decode_images(_encoded(samples), (height, width), channels)
        return ImageInputs(pixels, self.plan.augment if training else None)

    def _logits(self, samples: SampleTable) -> Tensor:
        """Scores of samples; the mean of five views of each where the plan averages views (2309.10019)."""
        if self.plan.training.views == 1 or self.shape is None:
            return super()._logits(samples)
        height, width, channels = self.shape
        rims = round(height * RIM), round(width * RIM)
        whole = decode_images(_encoded(samples), (height + rims[0], width + rims[1]), channels)
        places = [(rims[0] // 2, rims[1] // 2), *itertools.product((0, rims[0]), (0, rims[1]))]
        views = (whole[:, top : top + height, left : left + width] for top, left in places)
        scores = [predict_logits(self.network, ImageInputs(np.ascontiguousarray(v))) for v in views]
        return torch.stack(scores).mean(dim=0)

    def _saved_parts(self, folder: Path) -> dict[str, Any]:
        return super()._saved_parts(folder) | {"shape": list(self.shape or ()), "body": self._body}

    def _rebuilt(self, details: Mapping[str, Any], folder: Path) -> ImageNetwork:
        height, width, channels = details["shape"]
        self.shape = height, width, channels
        network = self._built(self.shape, details["body"])
        self._body = details["body"]
        return network

    def _built(self, shape: tuple[int, int, int], config: dict[str, Any] | None = None) -> ImageNetwork:
        """Build the network before its training, or with the body of a saved one without its weights."""
        body = image_body(self._settings, shape, config)
        self._body = body.config
        return ImageNetwork(
            body.network,
            body.dimension,
            shape[2],
            len(self.classes),
            self._settings.dropout,
            self.plan.cosine_scale,
            body.bf16_pays,
        )

    @property
    def _settings(self) -> ImageNetworkSettings:
        if not isinstance(self.plan.settings, ImageNetworkSettings):
            raise TypeError(f"{self.plan.settings.kind} is no network for images")
        return self.plan.settings


def _encoded(samples: SampleTable) -> list[bytes]:
    encoded = []
    for row, image in enumerate(samples.images):
        if image is None:
            raise ModelError(
                f"Row {samples.ids[row]!r} has no image; networks for images cannot use vectors."
            )
        encoded.append(image)
    return encoded
