"""Image networks as classifiers: decoding once, building the network that the plan names, fitting, saving."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from evenly.classifiers.networks.image_network import ImageNetwork
from evenly.classifiers.networks.shufflenet import shufflenet_v2_body
from evenly.classifiers.networks.small_cnn import small_cnn_body
from evenly.classifiers.objective import build_objective
from evenly.classifiers.protocol import FitSummary, Log, no_log
from evenly.classifiers.storage import Manifest, library_versions, write_manifest
from evenly.classifiers.threads import pinned_threads
from evenly.classifiers.training import Rows, deterministic, place, predict_logits, train_network
from evenly.classifiers.weights import check_rows, rows_per_class
from evenly.errors import ModelError
from evenly.features import Featurizer
from evenly.features.images import decode_images
from evenly.features.pixels import Pixels, fit_pixels
from evenly.files import atomic_folder
from evenly.params.features import ImageFeatures
from evenly.params.training import ShuffleNetV2Settings, SmallCnnSettings
from evenly.plans import TrainPlan
from evenly.samples import SampleTable, Schema

WEIGHTS = "weights.safetensors"
#: From this side on the small CNN is faster in bfloat16 on a CPU that has it: 2.3 times at 32 pixels, not
#: at all at 8. The depthwise convolutions of ShuffleNetV2 are slower in it at any size.
BF16_SIDE = 16


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
    ) -> FitSummary:
        """Train the network from scratch; see `Classifier.fit`."""
        plan, k = self.plan, len(self.classes)
        check_rows(train)
        counts = rows_per_class(train.codes, k, sample_weight)
        objective = build_objective(
            plan.loss, plan.losses, self.classes, counts, plan.sampler, plan.training.epochs
        )
        self.shape = self._shape_for(train)
        with pinned_threads(plan.threads):
            inputs = self._pixels(train)
            with deterministic(plan.seed):
                network = build_network(plan, self.shape, k)
            network.normalise.fit(inputs.pixels)
            place(network)
            trained = train_network(
                network,
                objective,
                Rows(inputs, train.codes, sample_weight),
                Rows(self._pixels(validation), validation.codes),
                plan.training,
                plan.sampler,
                plan.seed,
                log,
            )
        self._network = network
        self._prior = objective.effective_prior(trained.best)
        return FitSummary(trained.best, len(trained.history), trained.history[trained.best])

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
            library_versions("torch"),
            {"shape": list(self.shape or ())},
        )
        with atomic_folder(folder) as temporary:
            write_manifest(manifest, temporary)
            state = {name: value.cpu().contiguous() for name, value in self.network.state_dict().items()}
            save_file(state, temporary / WEIGHTS)

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
        network = build_network(manifest.plan, classifier.shape, len(classifier.classes))
        load_weights(network, folder / WEIGHTS)
        place(network)
        classifier._network = network.eval()
        return classifier

    def _shape_for(self, train: SampleTable) -> tuple[int, int, int]:
        settings, pixels = self.plan.settings, self._featurizer
        if not isinstance(pixels, Pixels):
            real = train.take(train.is_real)
            pixels = fit_pixels(real if len(real) else train, ImageFeatures())
        if isinstance(settings, SmallCnnSettings | ShuffleNetV2Settings) and settings.image_size is not None:
            return settings.image_size, settings.image_size, pixels.channels
        return pixels.height, pixels.width, pixels.channels

    def _pixels(self, samples: SampleTable) -> ImageInputs:
        if self.shape is None:
            raise RuntimeError("the classifier has not been fitted")
        height, width, channels = self.shape
        return ImageInputs(decode_images(_encoded(samples), (height, width), channels))


def build_network(plan: TrainPlan, shape: tuple[int, int, int], classes: int) -> ImageNetwork:
    """Build the untrained network of a plan.

    Parameters
    ----------
    plan
        Model, its settings, and the loss, which decides on the head.
    shape
        (height, width, channels) of the images.
    classes
        k.
    """
    height, width, channels = shape
    settings = plan.settings
    if isinstance(settings, SmallCnnSettings):
        body, dimension = small_cnn_body(channels, max(height, width), settings.width)
    elif isinstance(settings, ShuffleNetV2Settings):
        body, dimension = shufflenet_v2_body(channels, max(height, width), settings.width)
    else:
        raise TypeError(f"{settings.kind} is no network for images")
    scale = plan.losses.ldam.scale if plan.loss == "ldam" else None
    pays = isinstance(settings, SmallCnnSettings) and max(height, width) >= BF16_SIDE
    return ImageNetwork(body, dimension, channels, classes, settings.dropout, scale, bf16_pays=pays)


def load_weights(network: nn.Module, path: Path) -> None:
    """Read the weights of a network from a safetensors file.

    Raises
    ------
    ModelError
        When there is no such file, or it does not hold exactly the weights of this network.
    """
    try:
        state: Mapping[str, Tensor] = load_file(path)
        network.load_state_dict(state)
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist; train the model again with `dvc repro train`.") from None
    except (SafetensorError, RuntimeError) as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise ModelError(
            f"{path} does not hold the weights of this model ({first}); train it again."
        ) from error


def _encoded(samples: SampleTable) -> list[bytes]:
    encoded = []
    for row, image in enumerate(samples.images):
        if image is None:
            raise ModelError(
                f"Row {samples.ids[row]!r} has no image; networks for images cannot use vectors."
            )
        encoded.append(image)
    return encoded
