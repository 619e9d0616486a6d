"""The table VAE: conditional, a learned deviation for every number, a softmax for every choice."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evenly.generators.image_networks import mlp, trainable_device
from evenly.generators.judging import Judge
from evenly.generators.table_gan import drawn_choices
from evenly.generators.table_transform import TableTransform
from evenly.generators.tables import TableVectors
from evenly.generators.variational import Encoded, Variational, negative_elbo, sampled
from evenly.params.generative import TableVaeSettings

#: Bounds of a learned log deviation: a constant column would otherwise drive it to minus infinity.
_LOG_DEVIATION = (-5.0, 1.0)


class TableVae(Variational):
    """A VAE in training, and afterwards a generator to be sampled.

    Numbers are normal about the decoder's output with a learned deviation each, choices follow its softmax;
    samples are drawn from both.

    Parameters
    ----------
    matrix, codes, classes, transform, vectors, judge, settings, seed
        As for `TableGan`.
    held_out, held_out_codes
        Rows (m, d) and classes whose evidence lower bound judges; may be empty.

    References
    ----------
    Xu et al. 2019 (1907.00503), section 4.5 (TVAE), here conditional on the class.
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
