"""Image networks as classifiers: decoding once, building the network that the plan names, fitting, saving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evenly.classifiers.fitting import fit_network
from evenly.classifiers.networkfiles import WEIGHTS, load_weights, save_weights
from evenly.classifiers.networks.image_network import ImageNetwork
from evenly.classifiers.networks.library_bodies import (
    LibrarySettings,
    Wanted,
    bf16_pays,
    library_body,
    wanted_input,
)
from evenly.classifiers.networks.shufflenet import shufflenet_v2_body
from evenly.classifiers.networks.small_cnn import small_cnn_body
from evenly.classifiers.protocol import FitSummary, Log, no_log
from evenly.classifiers.sampling import Mixture
from evenly.classifiers.storage import Manifest, library_versions, write_manifest
from evenly.classifiers.threads import pinned_threads
from evenly.classifiers.training import Rows, deterministic, place, predict_logits
from evenly.classifiers.weights import check_rows
from evenly.errors import ModelError
from evenly.features import Featurizer
from evenly.features.images import decode_images
from evenly.features.pixels import Pixels, fit_pixels
from evenly.files import atomic_folder
from evenly.params.augmentation import Policy
from evenly.params.features import ImageFeatures
from evenly.params.models import ModelName, ShuffleNetV2Settings, SmallCnnSettings
from evenly.plans import TrainPlan
from evenly.samples import SampleTable, Schema

#: From this side on the small CNN is faster in bfloat16 on a CPU that has it: 2.3 times at 32 pixels, not
#: at all at 8. The depthwise convolutions of ShuffleNetV2 are slower in it at any size.
BF16_SIDE = 16
#: Whose versions a saved model tells, beside torch.
LIBRARIES: dict[ModelName, tuple[str, ...]] = {
    "image_transformer": ("transformers",),
    "torchvision": ("torchvision",),
    "timm": ("timm",),
}


class ImageInputs:
    """Decoded images that a network takes by position.

    Attributes
    ----------
    pixels
        uint8 (n, h, w, c).
    """

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = torch.from_numpy(pixels)

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """Pixels of these rows on a device, uint8 (m, h, w, c)."""
        return self.pixels[torch.from_numpy(rows)].to(device)


class AugmentedImageInputs(ImageInputs):
    """Decoded images that training sees under transforms of a policy, drawn anew for every batch."""

    def __init__(self, pixels: np.ndarray, policy: Policy) -> None:
        super().__init__(pixels)
        self.policy = policy

    def augmented_batch(
        self, rows: np.ndarray, device: torch.device, generator: np.random.Generator
    ) -> Tensor:
        """Transformed pixels of these rows on a device, uint8 (m, h, w, c)."""
        from evenly.transforms.pixels import transform_images

        chosen = self.pixels[torch.from_numpy(rows)].numpy()
        return torch.from_numpy(transform_images(chosen, self.policy, generator)).to(device)


class ImageClassifier:
    """A network on images, as an `evenly.classifiers.protocol.Classifier`.

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
        self.plan = plan
        self.schema = schema
        self._featurizer = featurizer
        self.shape: tuple[int, int, int] | None = None
        self._wanted = Wanted()
        self._body: dict[str, Any] = {}
        self._network: ImageNetwork | None = None
        self._prior: np.ndarray | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in order."""
        return self.schema.classes

    @property
    def effective_prior(self) -> np.ndarray:
        """The class prior that the scores carry, float64 (k,)."""
        if self._prior is None:
            raise RuntimeError("the classifier has not been fitted")
        return self._prior

    @property
    def network(self) -> ImageNetwork:
        """The fitted network."""
        if self._network is None:
            raise RuntimeError("the classifier has not been fitted")
        return self._network

    def fit(
        self,
        train: SampleTable,
        validation: SampleTable,
        log: Log = no_log,
        sample_weight: np.ndarray | None = None,
        checkpoints: Path | None = None,
    ) -> FitSummary:
        """Train the network from scratch; see `Classifier.fit`."""
        check_rows(train)
        self.shape = self._shape_for(train)
        with pinned_threads(self.plan.threads):
            inputs = self._pixels(train)
            with deterministic(self.plan.seed):
                network, self._body = build_network(self.plan, self.shape, len(self.classes))
            if self._wanted.normalisation is None:
                network.normalise.fit(inputs.pixels)
            else:
                network.normalise.set(*self._wanted.normalisation)
            place(network)
            return self._train(network, inputs, train, validation, log, sample_weight, checkpoints)

    def fit_further(
        self,
        plan: TrainPlan,
        train: SampleTable,
        validation: SampleTable,
        mixture: Mixture,
        log: Log = no_log,
        sample_weight: np.ndarray | None = None,
        checkpoints: Path | None = None,
    ) -> FitSummary:
        """Train the fitted network on; see `FurtherTrainable.fit_further`."""
        self.plan = plan
        with pinned_threads(plan.threads):
            inputs = self._pixels(train)
            return self._train(
                self.network, inputs, train, validation, log, sample_weight, checkpoints, mixture
            )

    def _train(
        self,
        network: ImageNetwork,
        inputs: ImageInputs,
        train: SampleTable,
        validation: SampleTable,
        log: Log,
        sample_weight: np.ndarray | None,
        checkpoints: Path | None,
        mixture: Mixture | None = None,
    ) -> FitSummary:
        if self.plan.augment is not None:
            inputs = AugmentedImageInputs(inputs.pixels.numpy(), self.plan.augment)
        fit = fit_network(
            network,
            self.plan,
            self.classes,
            Rows(inputs, train.codes, sample_weight),
            Rows(self._pixels(validation), validation.codes),
            log,
            attributes=train.column("attribute"),
            mixture=mixture,
            checkpoints=checkpoints,
        )
        self._network, self._prior = network, fit.prior
        return fit.summary

    def predict_proba(self, samples: SampleTable) -> np.ndarray:
        """Class probabilities, float64 (n, k)."""
        if not len(samples):
            return np.zeros((0, len(self.classes)))
        with pinned_threads(self.plan.threads):
            logits = predict_logits(self.network, self._pixels(samples))
        return torch.softmax(logits.double(), dim=1).numpy()

    def save(self, folder: str | Path) -> None:
        """Write `model.json` and `weights.safetensors`, atomically."""
        manifest = Manifest(
            self.plan,
            self.schema,
            self.effective_prior,
            library_versions("torch", *LIBRARIES.get(self.plan.model, ())),
            {"shape": list(self.shape or ()), "body": self._body},
        )
        with atomic_folder(folder) as temporary:
            write_manifest(manifest, temporary)
            save_weights(self.network, temporary)

    @classmethod
    def load(cls, manifest: Manifest, folder: Path) -> ImageClassifier:
        """Read what `save` wrote.

        Raises
        ------
        ModelError
            When the weights are missing or are not those of this network.
        """
        classifier = cls(manifest.plan, manifest.schema)
        height, width, channels = manifest.details["shape"]
        classifier.shape = (height, width, channels)
        classifier._prior = manifest.effective_prior
        classifier._body = manifest.details["body"]
        network, _ = build_network(manifest.plan, classifier.shape, len(classifier.classes), classifier._body)
        load_weights(network, folder / WEIGHTS)
        place(network)
        classifier._network = network.eval()
        return classifier

    def _shape_for(self, train: SampleTable) -> tuple[int, int, int]:
        settings, pixels = self.plan.settings, self._featurizer
        if not isinstance(pixels, Pixels):
            real = train.take(train.is_real)
            pixels = fit_pixels(real if len(real) else train, ImageFeatures())
        if isinstance(settings, LibrarySettings):
            self._wanted = wanted_input(settings)
        elif isinstance(settings, SmallCnnSettings | ShuffleNetV2Settings):
            self._wanted = Wanted(settings.image_size)
        channels = self._wanted.channels or pixels.channels
        if self._wanted.side is not None:
            return self._wanted.side, self._wanted.side, channels
        return pixels.height, pixels.width, channels

    def _pixels(self, samples: SampleTable) -> ImageInputs:
        if self.shape is None:
            raise RuntimeError("the classifier has not been fitted")
        height, width, channels = self.shape
        return ImageInputs(decode_images(_encoded(samples), (height, width), channels))


def build_network(
    plan: TrainPlan, shape: tuple[int, int, int], classes: int, body: dict[str, Any] | None = None
) -> tuple[ImageNetwork, dict[str, Any]]:
    """Build the network of a plan before its training.

    Parameters
    ----------
    plan
        Model, its settings, and the loss, which decides on the head.
    shape
        (height, width, channels) of the images.
    classes
        k.
    body
        What this function gave for a network that is now to be built again, without pretrained weights.

    Returns
    -------
    network : ImageNetwork
    body : dict
        What its body was built from, where the settings do not say it.
    """
    height, width, channels = shape
    settings = plan.settings
    pays = max(height, width) >= BF16_SIDE
    made: dict[str, Any] = {}
    if isinstance(settings, SmallCnnSettings):
        layers, dimension = small_cnn_body(channels, max(height, width), settings.width)
    elif isinstance(settings, ShuffleNetV2Settings):
        layers, dimension = shufflenet_v2_body(channels, max(height, width), settings.width)
        pays = False
    elif isinstance(settings, LibrarySettings):
        built = library_body(settings, shape, body)
        layers, dimension, made = built.network, built.dimension, built.config
        pays = pays and bf16_pays(settings)
    else:
        raise TypeError(f"{settings.kind} is no network for images")
    scale = plan.losses.ldam.scale if plan.loss == "ldam" else None
    network = ImageNetwork(layers, dimension, channels, classes, settings.dropout, scale, bf16_pays=pays)
    return network, made


def _encoded(samples: SampleTable) -> list[bytes]:
    encoded = []
    for row, image in enumerate(samples.images):
        if image is None:
            raise ModelError(
                f"Row {samples.ids[row]!r} has no image; networks for images cannot use vectors."
            )
        encoded.append(image)
    return encoded
