"""The VAEs of images and tables: posterior, bound, networks, and how they are trained."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evenly.generators.fitting import Judgement
from evenly.generators.image_networks import Upsampler, downsampling, mlp, trainable_device
from evenly.generators.judging import Judge, TableVectors
from evenly.generators.report import as_pixels, as_signal, as_vectors
from evenly.generators.sampling import Batches
from evenly.generators.table_gan import drawn_choices
from evenly.generators.table_transform import TableTransform
from evenly.params.generative import ImageVaeSettings, TableVaeSettings


class Encoded(NamedTuple):
    """q(z | x, y) as a normal with diagonal covariance: mean and log variance, (n, latent) each."""

    mean: Tensor
    log_variance: Tensor


def sampled(encoded: Encoded, generator: torch.Generator | None = None) -> Tensor:
    """Draw z = mean + deviation · ε (the reparametrisation), by torch's generator where none is given."""
    noise = torch.randn(encoded.mean.shape, generator=generator).to(encoded.mean.device)
    return encoded.mean + (0.5 * encoded.log_variance).exp() * noise


def negative_elbo(encoded: Encoded, log_likelihood: Tensor) -> Tensor:
    """KL(q(z | x, y) ‖ N(0, 1)) − log p(x | z, y) of each row, (n,)."""
    mean, log_variance = encoded
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
    return divergence - log_likelihood


class Variational(ABC):
    """A variational autoencoder in training: how it takes a step, is judged, and is brought back."""

    criterion = ImageVaeSettings.criterion

    def __init__(
        self,
        networks: nn.Module,
        rows: np.ndarray,
        codes: np.ndarray,
        held_out: np.ndarray,
        held_out_codes: np.ndarray,
        judge: Judge,
        settings: ImageVaeSettings | TableVaeSettings,
        seed: int,
    ) -> None:
        self.latent = settings.latent
        self._modules, self._rows, self._codes = networks, rows, codes
        self._held_out, self._held_out_codes = held_out, held_out_codes
        self._judge, self._seed, self._batch_size = judge, seed, settings.batch_size
        self._steps = torch.optim.Adam(networks.parameters(), settings.learning_rate)
        self._batches = Batches(codes, settings.balance, np.random.default_rng([seed, 2]))

    @abstractmethod
    def losses(self, rows: np.ndarray, codes: np.ndarray, generator: torch.Generator | None) -> Tensor:
        """Negative evidence lower bound of each row, nats, (n,)."""

    @abstractmethod
    def drawn(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Vectors, float32 (n, d), of rows of these classes from the prior."""

    def step(self) -> Mapping[str, Tensor]:
        """One step on the negative evidence lower bound."""
        self._modules.train()
        rows = self._batches.rows(self._batch_size)
        loss = self.losses(self._rows[rows], self._codes[rows], None).mean()
        self._steps.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._steps.step()
        return {"negative_elbo": loss}

    def judge(self) -> Judgement:
        """Evidence lower bound of the held-out rows, nats a row, and the spread of the prior's."""
        rng = np.random.default_rng([self._seed, 3])
        spread = self._judge(lambda codes: self.drawn(codes, rng)).spread
        if not len(self._held_out):
            return Judgement(None, spread)
        self._modules.eval()
        generator = torch.Generator().manual_seed(self._seed)
        with torch.inference_mode():
            losses = self.losses(self._held_out, self._held_out_codes, generator)
        return Judgement(float(losses.mean()), spread)

    def state(self) -> dict[str, Tensor]:
        """Weights of the networks."""
        return {name: value.clone() for name, value in self._modules.state_dict().items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take weights of the networks."""
        self._modules.load_state_dict(state)


#: Up to this side the networks are MLPs.
MLP_SIDE = 16
#: Rows encoded at once outside training.
CHUNK = 256


class ImageVae(Variational):
    """A VAE in training, and afterwards a generator to be sampled.

    p(x | z, y) is normal about the decoder's image with the fixed deviation `sigma`; samples are its mean.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        codes: np.ndarray,
        classes: int,
        held_out: np.ndarray,
        held_out_codes: np.ndarray,
        judge: Judge,
        settings: ImageVaeSettings,
        seed: int,
    ) -> None:
        self.settings = settings
        self._device = trainable_device()
        shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
        kind = _MlpNetworks if max(shape[:2]) <= MLP_SIDE else _ConvolutionNetworks
        self._networks = kind(shape, classes, settings.latent, settings.hidden).to(self._device)
        super().__init__(self._networks, pixels, codes, held_out, held_out_codes, judge, settings, seed)

    def drawn(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Vectors, float32 (n, d), of rows of these classes from the prior."""
        latent = rng.standard_normal((len(codes), self.latent), dtype=np.float32)
        return as_vectors(self.decode(latent, codes, rng))

    def encode(self, pixels: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of q(z | x, y), float32 (n, latent) each."""
        self._networks.eval()
        means, deviations = [], []
        with torch.inference_mode():
            for start in range(0, len(pixels), CHUNK):
                part = slice(start, start + CHUNK)
                encoded = self._encoded(as_signal(pixels[part], self._device), self._tensor(codes[part]))
                means.append(encoded.mean.cpu().numpy())
                deviations.append((0.5 * encoded.log_variance).exp().cpu().numpy())
        return np.concatenate(means), np.concatenate(deviations)

    def decode(self, latent: np.ndarray, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Images, uint8 (n, h, w, channels), of latent vectors (n, latent) and classes (n,)."""
        self._networks.eval()
        with torch.inference_mode():
            images = self._networks.decode(torch.from_numpy(latent).to(self._device), self._tensor(codes))
        return as_pixels(images)

    def _encoded(self, images: Tensor, codes: Tensor) -> Encoded:
        mean, log_variance = self._networks.encode(images, codes).chunk(2, dim=1)
        return Encoded(mean, log_variance)

    def losses(self, pixels: np.ndarray, codes: np.ndarray, generator: torch.Generator | None) -> Tensor:
        """Negative evidence lower bound of each image, (n,)."""
        images, labels = as_signal(pixels, self._device), self._tensor(codes)
        encoded = self._encoded(images, labels)
        decoded = self._networks.decode(sampled(encoded, generator), labels)
        squared = (decoded - images).square().flatten(1).sum(dim=1)
        sigma = self.settings.sigma
        constant = images[0].numel() * (math.log(sigma) + 0.5 * math.log(2 * math.pi))
        return negative_elbo(encoded, -squared / (2 * sigma**2) - constant)

    def _tensor(self, codes: np.ndarray) -> Tensor:
        return torch.from_numpy(codes).to(self._device)


class _MlpNetworks(nn.Module):
    """Encoder and decoder as MLPs that take the class as one of k."""

    def __init__(self, shape: tuple[int, int, int], classes: int, latent: int, hidden: int) -> None:
        super().__init__()
        self.shape, self.classes = shape, classes
        size = shape[0] * shape[1] * shape[2]
        self.encoder = mlp(size + classes, hidden, 2 * latent)
        self.decoder = mlp(latent + classes, hidden, size)

    def encode(self, images: Tensor, codes: Tensor) -> Tensor:
        out: Tensor = self.encoder(torch.cat([images.flatten(1), self._one_hot(codes)], dim=1))
        return out

    def decode(self, latent: Tensor, codes: Tensor) -> Tensor:
        height, width, channels = self.shape
        flat = torch.tanh(self.decoder(torch.cat([latent, self._one_hot(codes)], dim=1)))
        return flat.reshape(-1, channels, height, width)

    def _one_hot(self, codes: Tensor) -> Tensor:
        return functional.one_hot(codes, self.classes).float()


class _ConvolutionNetworks(nn.Module):
    """Encoder and decoder of convolutions; the encoder is told the class beside its features."""

    def __init__(self, shape: tuple[int, int, int], classes: int, latent: int, hidden: int) -> None:
        super().__init__()
        self.features, channels = downsampling(shape, hidden, normed=False)
        with torch.no_grad():
            size = self.features(torch.zeros(1, shape[2], shape[0], shape[1])).numel()
        self.label = nn.Embedding(classes, channels)
        self.encoder = nn.Linear(size + channels, 2 * latent)
        self.decoder = Upsampler(latent, classes, shape, hidden)

    def encode(self, images: Tensor, codes: Tensor) -> Tensor:
        out: Tensor = self.encoder(torch.cat([self.features(images).flatten(1), self.label(codes)], dim=1))
        return out

    def decode(self, latent: Tensor, codes: Tensor) -> Tensor:
        out: Tensor = self.decoder(latent, codes)
        return out


#: Bounds of a learned log deviation: a constant column would otherwise drive it to minus infinity.
_LOG_DEVIATION = (-5.0, 1.0)


class TableVae(Variational):
    """A VAE in training, and afterwards a generator to be sampled.

    Numbers are normal about the decoder's output with a learned deviation each, choices follow its softmax;
    samples are drawn from both.
    """

    def __init__(
        self,
        matrix: np.ndarray,
        codes: np.ndarray,
        classes: int,
        held_out: np.ndarray,
        held_out_codes: np.ndarray,
        transform: TableTransform,
        vectors: TableVectors,
        judge: Judge,
        settings: TableVaeSettings,
        seed: int,
    ) -> None:
        self.settings, self._classes = settings, classes
        self._vectors, self._transform = vectors, transform
        self._device = trainable_device()
        self._scalars = torch.from_numpy(transform.scalars).to(self._device)
        self._networks = _Networks(
            transform.dimension, len(transform.scalars), classes, settings.latent, settings.hidden
        ).to(self._device)
        super().__init__(self._networks, matrix, codes, held_out, held_out_codes, judge, settings, seed)

    def drawn(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Vectors, float32 (n, d), of rows of these classes from the prior."""
        latent = rng.standard_normal((len(codes), self.latent), dtype=np.float32)
        return self._vectors(self.decode(latent, codes, rng), codes)

    def encode(self, rows: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of q(z | x, y), float32 (n, latent) each, of matrix rows."""
        self._networks.eval()
        with torch.inference_mode():
            encoded = self._encoded(torch.from_numpy(rows).to(self._device), self._one_hot(codes))
        return encoded.mean.cpu().numpy(), (0.5 * encoded.log_variance).exp().cpu().numpy()

    def decode(self, latent: np.ndarray, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Matrix float32 (n, d) of latent vectors (n, latent) and classes (n,)."""
        self._networks.eval()
        with torch.inference_mode():
            raw = self._decoded(torch.from_numpy(latent).to(self._device), self._one_hot(codes)).cpu().numpy()
            deviations = self._networks.log_deviations.clamp(*_LOG_DEVIATION).exp().cpu().numpy()
        scalars = self._transform.scalars
        noise = rng.standard_normal((len(raw), len(scalars)), dtype=np.float32)
        raw[:, scalars] += deviations * noise
        return drawn_choices(raw, self._transform.choices, rng)

    def _encoded(self, rows: Tensor, labels: Tensor) -> Encoded:
        mean, log_variance = self._networks.encoder(torch.cat([rows, labels], dim=1)).chunk(2, dim=1)
        return Encoded(mean, log_variance)

    def _decoded(self, latent: Tensor, labels: Tensor) -> Tensor:
        out: Tensor = self._networks.decoder(torch.cat([latent, labels], dim=1))
        return out

    def losses(self, matrix: np.ndarray, codes: np.ndarray, generator: torch.Generator | None) -> Tensor:
        """Negative evidence lower bound of each row, (n,)."""
        rows, labels = torch.from_numpy(matrix).to(self._device), self._one_hot(codes)
        encoded = self._encoded(rows, labels)
        raw = self._decoded(sampled(encoded, generator), labels)
        log_deviation = self._networks.log_deviations.clamp(*_LOG_DEVIATION)
        standardised = (rows[:, self._scalars] - raw[:, self._scalars]) / log_deviation.exp()
        constant = log_deviation + 0.5 * math.log(2 * math.pi)
        likelihood = -(0.5 * standardised.square() + constant).sum(dim=1)
        for choice in self._transform.choices:
            logits = functional.log_softmax(raw[:, choice.start : choice.end], dim=1)
            likelihood = likelihood + (rows[:, choice.start : choice.end] * logits).sum(dim=1)
        return negative_elbo(encoded, likelihood)

    def _one_hot(self, codes: np.ndarray) -> Tensor:
        return functional.one_hot(torch.from_numpy(codes), self._classes).float().to(self._device)


class _Networks(nn.Module):
    """Encoder, decoder, and a log deviation for each number."""

    def __init__(self, dimension: int, numbers: int, classes: int, latent: int, hidden: int) -> None:
        super().__init__()
        self.encoder = mlp(dimension + classes, hidden, 2 * latent)
        self.decoder = mlp(latent + classes, hidden, dimension)
        self.log_deviations = nn.Parameter(torch.full((numbers,), math.log(0.5)))
