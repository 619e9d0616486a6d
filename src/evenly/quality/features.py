"""The space in which samples are compared: what a small classifier of real training rows makes of them.

Public measures use the features of a network trained on ImageNet. So do these for photographs, where the
data set's features are such (extra `lite0`). Else the network is trained on the data set itself: digits,
spectra and texts are seen by what tells their classes apart, and nothing is downloaded.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evenly.features import Featurizer
from evenly.features.images import Pixels
from evenly.samples import SampleTable
from evenly.screening.checks.opinions import rows_within

#: Length of the features of the small classifier.
UNITS = 64
#: Images with more pixels than this are seen by a convolutional network, others by their pixels.
_FEW_PIXELS = 16 * 16
_FITTED = 10_000  # real rows that the classifier is fitted on at most; the largest classes give way
_STEPS, _MOST_PASSES = 400, 60
_NETWORK_STEPS = 200
_COMPACT = 256  # dimensions of the vectors that linear classifiers are fitted on, at most
_BASIS_ROWS = 2000
_BATCH = 256


@dataclass(frozen=True)
class Seen:
    """Samples in every form that measures are taken of."""

    codes: np.ndarray  # Classes, int64 (n,)
    vectors: np.ndarray  # The featurizer's, float32 (n, d)
    #: The same, or their principal components where there are very many dimensions, float32 (n, c).
    compact: np.ndarray
    features: np.ndarray  # Float32 (n, f)
    probabilities: np.ndarray  # The classifier's, float64 (n, k)

    def take(self, rows: np.ndarray) -> Seen:
        """Some of the samples, by position."""
        return Seen(*(values[rows] for values in vars(self).values()))


#: Features (n, f) and class probabilities (n, k) of samples, at least one, whose vectors are known.
_Network = Callable[[SampleTable, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Space:
    """A way to see samples, fitted on real training rows.

    `name` says what the features are; `scale`, their root mean square, is taken out.
    """

    name: str
    featurizer: Featurizer
    basis: np.ndarray | None
    network: _Network
    scale: float

    def see(self, samples: SampleTable) -> Seen:
        """Samples, at least one, in every form."""
        vectors = np.asarray(self.featurizer.transform(samples), dtype=np.float32)
        compact = vectors if self.basis is None else vectors @ self.basis
        features, probabilities = self.network(samples, vectors)
        return Seen(samples.codes, vectors, compact, features / np.float32(self.scale), probabilities)


def fit_space(real: SampleTable, featurizer: Featurizer, seed: int, threads: int = 1) -> Space:
    """Fit the space on real training rows, and only those."""
    real = real.sorted_by_id()
    real = real.take(rows_within(real.codes, _FITTED, seed))
    vectors = np.asarray(featurizer.transform(real), dtype=np.float32)
    basis = _principal_components(vectors, seed) if vectors.shape[1] > _COMPACT else None
    pretrained = real.modality == "image" and not isinstance(featurizer, Pixels)
    if pretrained:
        network = _compact(basis, _perceptron(vectors, real, seed))
        what = "components of a pretrained encoder's vectors"
    elif real.modality == "image" and vectors.shape[1] > _FEW_PIXELS:
        network, what = _convolutional(real, featurizer, seed, threads), "features of a small CNN"
    else:
        network, what = _perceptron(vectors, real, seed), "hidden units of a perceptron"
    some = rows_within(real.codes, _BASIS_ROWS, seed)
    features, _ = network(real.take(some), vectors[some])
    # What a network multiplies its features by means nothing; distances in them shall not depend on it.
    scale = float(np.sqrt((features.astype(np.float64) ** 2).mean())) or 1.0
    name = f"{features.shape[1]} {what} {'of' if pretrained else 'trained on'} {len(real)} real rows"
    return Space(name, featurizer, basis, network, scale)


def _compact(basis: np.ndarray | None, classifier: _Network) -> _Network:
    """The vectors themselves, or their principal components, as features; probabilities of a classifier."""

    def network(samples: SampleTable, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return vectors if basis is None else vectors @ basis, classifier(samples, vectors)[1]

    return network


def _perceptron(vectors: np.ndarray, real: SampleTable, seed: int) -> _Network:
    """One hidden layer on the vectors; every class weighs the same."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    codes, classes = real.codes, len(real.classes)
    centre, scale = vectors.mean(axis=0), float(vectors.std()) or 1.0
    batch = min(64, len(vectors))
    passes = min(_MOST_PASSES, max(3, math.ceil(_STEPS * batch / len(vectors))))
    model = MLPClassifier(
        (UNITS,),
        alpha=1e-3,
        batch_size=batch,
        learning_rate_init=3e-3,
        max_iter=passes,
        n_iter_no_change=passes,
        random_state=int(np.random.SeedSequence([seed, 11]).generate_state(1)[0]),
    )
    weights = len(codes) / np.bincount(codes, minlength=classes).clip(1)[codes]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((vectors - centre) / scale, codes, sample_weight=weights / weights.mean())
    hidden, bias = model.coefs_[0], model.intercepts_[0]

    def network(samples: SampleTable, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probabilities = np.zeros((len(vectors), classes))
        scaled = (vectors - centre) / scale
        probabilities[:, model.classes_] = model.predict_proba(scaled)
        return np.maximum(scaled @ hidden + bias, 0).astype(np.float32), probabilities

    return network


def _convolutional(real: SampleTable, featurizer: Featurizer, seed: int, threads: int) -> _Network:
    """The small CNN, trained for a few hundred steps on batches with every class alike."""
    import torch

    from evenly.classifiers.images import ImageClassifier
    from evenly.features.images import decode_images
    from evenly.params.losses import LossSettings
    from evenly.params.models import SmallCnnSettings
    from evenly.params.training import TrainingSettings
    from evenly.plans import TrainPlan

    epochs = 8
    settings = SmallCnnSettings(width=UNITS // 4)
    plan = TrainPlan(
        model="small_cnn",
        settings=settings,
        loss="cross_entropy",
        losses=LossSettings(),
        sampler="class_balanced",
        training=TrainingSettings(
            epochs=epochs,
            learning_rate=2e-3,
            min_steps_per_epoch=_NETWORK_STEPS // epochs,
            patience=None,
            schedule="cosine",
        ),
        seed=seed,
        threads=threads,
    )
    classifier = ImageClassifier(plan, real.schema, featurizer)
    classifier.fit(real, real.take([]))
    fitted = classifier.network.eval()
    height, width, channels = classifier.shape or (0, 0, 0)
    device = next(fitted.parameters()).device

    def network(samples: SampleTable, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        encoded = [image or b"" for image in samples.images]
        parts: list[tuple[np.ndarray, np.ndarray]] = []
        for start in range(0, len(encoded), _BATCH):
            pixels = decode_images(encoded[start : start + _BATCH], (height, width), channels)
            with torch.no_grad():
                features = fitted.features(torch.from_numpy(pixels).to(device)).float()
                probabilities = torch.softmax(fitted.head(features).double(), dim=1)
            parts.append((features.cpu().numpy(), probabilities.cpu().numpy()))
        return np.concatenate([f for f, _ in parts]), np.concatenate([p for _, p in parts])

    return network


def _principal_components(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Directions of the largest variance, float32 (d, c), of a sample of the rows."""
    from sklearn.utils.extmath import randomized_svd

    rng = np.random.default_rng([seed, 12])
    chosen = np.sort(rng.permutation(len(vectors))[:_BASIS_ROWS])
    centred = vectors[chosen] - vectors[chosen].mean(axis=0)
    c = min(_COMPACT, len(chosen))
    _, _, directions = randomized_svd(centred, c, n_iter=2, random_state=0)
    return np.ascontiguousarray(directions.T, dtype=np.float32)
