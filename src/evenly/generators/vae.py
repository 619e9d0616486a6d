"""The VAEs of images and tables: posterior, bound, networks, and how they are trained."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evenly.generators.fitting import Judgement, descend
from evenly.generators.image_networks import Upsampler, downsampling, mlp, one_hot
from evenly.generators.judging import LatentModel, TrainingRows
from evenly.generators.report import as_pixels, as_signal
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


class _MlpNetworks(nn.Module):
    """Encoder and decoder as MLPs that take the class as one of k, and a log deviation for each number."""

    def __init__(self, size: int, classes: int, latent: int, hidden: int, numbers: int = 0) -> None:
        super().__init__()
        self.log_deviations = nn.Parameter(torch.full((numbers,), math.log(0.5)))
        self.classes = classes
        self.encoder = mlp(size + classes, hidden, 2 * latent)
        self.decoder = mlp(latent + classes, hidden, size)

    def encode(self, rows: Tensor, codes: Tensor) -> Tensor:
        out: Tensor = self.encoder(torch.cat([rows.flatten(1), one_hot(codes, self.classes)], dim=1))
        return out

    def decode(self, latent: Tensor, codes: Tensor) -> Tensor:
        out: Tensor = self.decoder(torch.cat([latent, one_hot(codes, self.classes)], dim=1))
        return out


class _ImageMlpNetworks(_MlpNetworks):
    def __init__(self, shape: tuple[int, int, int], classes: int, latent: int, hidden: int) -> None:
        super().__init__(math.prod(shape), classes, latent, hidden)
        self.shape = shape

    def decode(self, latent: Tensor, codes: Tensor) -> Tensor:
        height, width, channels = self.shape
        return torch.tanh(super().decode(latent, codes)).reshape(-1, channels, height, width)


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


class Variational(LatentModel):
    """A variational autoencoder: how it takes a step, is judged, encodes and decodes."""

    criterion = ImageVaeSettings.criterion
    #: Rows encoded at once outside training.
    chunk = 256

    def __init__(
        self,
        networks: _MlpNetworks | _ConvolutionNetworks,
        data: TrainingRows,
        settings: ImageVaeSettings | TableVaeSettings,
    ) -> None:
        super().__init__(data, settings.latent, settings.balance)
        self._networks = self.network = networks.to(self._device)
        self._batch_size = settings.batch_size
        self._steps = torch.optim.Adam(networks.parameters(), settings.learning_rate)

    @abstractmethod
    def _signal(self, rows: np.ndarray) -> Tensor:
        """Rows as the networks take them."""

    @abstractmethod
    def _log_likelihood(self, rows: Tensor, decoded: Tensor) -> Tensor:
        """Log p(x | z, y) of each row, (n,)."""

    def step(self) -> Mapping[str, Tensor]:
        """One step on the negative evidence lower bound."""
        self._networks.train()
        rows = self._batches.rows(self._batch_size)
        loss = self._losses(self._data.rows[rows], self._data.codes[rows], None).mean()
        descend(self._steps, loss)
        return {"negative_elbo": loss}

    def judge(self) -> Judgement:
        """Evidence lower bound of the held-out rows, nats a row, and the spread of the prior's."""
        spread = super().judge().spread
        if not len(self._data.held_out):
            return Judgement(None, spread)
        self._networks.eval()
        generator = torch.Generator().manual_seed(self._data.seed)
        with torch.inference_mode():
            losses = self._losses(self._data.held_out, self._data.held_out_codes, generator)
        return Judgement(float(losses.mean()), spread)

    def encode(self, rows: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of q(z | x, y), float32 (n, latent) each."""
        self._networks.eval()
        means, deviations = [], []
        with torch.inference_mode():
            for start in range(0, len(rows), self.chunk):
                part = slice(start, start + self.chunk)
                encoded = self._encoded(self._signal(rows[part]), self._tensor(codes[part]))
                means.append(encoded.mean.cpu().numpy())
                deviations.append((0.5 * encoded.log_variance).exp().cpu().numpy())
        return np.concatenate(means), np.concatenate(deviations)

    def _decoded(self, latent: np.ndarray, codes: np.ndarray) -> Tensor:
        self._networks.eval()
        with torch.inference_mode():
            return self._networks.decode(self._tensor(latent), self._tensor(codes))

    def _encoded(self, rows: Tensor, codes: Tensor) -> Encoded:
        return Encoded(*self._networks.encode(rows, codes).chunk(2, dim=1))

    def _losses(self, rows: np.ndarray, codes: np.ndarray, generator: torch.Generator | None) -> Tensor:
        """Negative evidence lower bound of each row, nats, (n,)."""
        signal, labels = self._signal(rows), self._tensor(codes)
        encoded = self._encoded(signal, labels)
        decoded = self._networks.decode(sampled(encoded, generator), labels)
        return negative_elbo(encoded, self._log_likelihood(signal, decoded))


#: Up to this side the networks are MLPs.
MLP_SIDE = 16


class ImageVae(Variational):
    """p(x | z, y) is normal about the decoder's image with the deviation `sigma`; samples are its mean."""

    def __init__(self, data: TrainingRows, settings: ImageVaeSettings) -> None:
        shape = data.image_shape
        networks = _ImageMlpNetworks if max(shape[:2]) <= MLP_SIDE else _ConvolutionNetworks
        super().__init__(networks(shape, data.classes, settings.latent, settings.hidden), data, settings)
        self._sigma = settings.sigma

    def decode(self, latent: np.ndarray, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Images, uint8 (n, h, w, channels), of latent vectors (n, latent) and classes (n,)."""
        return as_pixels(self._decoded(latent, codes))

    def _signal(self, rows: np.ndarray) -> Tensor:
        return as_signal(rows, self._device)

    def _log_likelihood(self, rows: Tensor, decoded: Tensor) -> Tensor:
        squared = (decoded - rows).square().flatten(1).sum(dim=1)
        constant = rows[0].numel() * (math.log(self._sigma) + 0.5 * math.log(2 * math.pi))
        return -squared / (2 * self._sigma**2) - constant


#: Bounds of a learned log deviation: a constant column would otherwise drive it to minus infinity.
_LOG_DEVIATION = (-5.0, 1.0)


class TableVae(Variational):
    """Numbers are normal about the decoder's output, with learned deviations; choices follow its softmax."""

    chunk = 1_000_000

    def __init__(self, data: TrainingRows, transform: TableTransform, settings: TableVaeSettings) -> None:
        self._mlp_networks = _MlpNetworks(
            transform.dimension, data.classes, settings.latent, settings.hidden, len(transform.scalars)
        )
        super().__init__(self._mlp_networks, data, settings)
        self._transform = transform

    def decode(self, latent: np.ndarray, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Matrix float32 (n, d) of latent vectors (n, latent) and classes (n,)."""
        raw = self._decoded(latent, codes).cpu().numpy()
        scalars = self._transform.scalars
        noise = rng.standard_normal((len(raw), len(scalars)), dtype=np.float32)
        raw[:, scalars] += self._log_deviations().exp().detach().cpu().numpy() * noise
        return drawn_choices(raw, self._transform.choices, rng)

    def _signal(self, rows: np.ndarray) -> Tensor:
        return self._tensor(rows)

    def _log_deviations(self) -> Tensor:
        return self._mlp_networks.log_deviations.clamp(*_LOG_DEVIATION)

    def _log_likelihood(self, rows: Tensor, decoded: Tensor) -> Tensor:
        scalars = self._tensor(self._transform.scalars)
        log_deviation = self._log_deviations()
        standardised = (rows[:, scalars] - decoded[:, scalars]) / log_deviation.exp()
        constant = log_deviation + 0.5 * math.log(2 * math.pi)
        likelihood = -(0.5 * standardised.square() + constant).sum(dim=1)
        for choice in self._transform.choices:
            logits = functional.log_softmax(decoded[:, choice.start : choice.end], dim=1)
            likelihood = likelihood + (rows[:, choice.start : choice.end] * logits).sum(dim=1)
        return likelihood
