"""What the VAEs of images and tables share: the latent posterior, the bound, and how they are trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from evenly.generators.fitting import Judgement
from evenly.generators.judging import Judge
from evenly.generators.rows import Batches
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
    """KL(q(z | x, y) ‖ N(0, 1)) − log p(x | z, y) of each row, (n,).

    References
    ----------
    Kingma & Welling, Auto-Encoding Variational Bayes, ICLR 2014 (1312.6114), equation 10.
    """
    mean, log_variance = encoded
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
    return divergence - log_likelihood


class Variational(ABC):
    """A variational autoencoder in training: how it takes a step, is judged, and is brought back.

    Parameters
    ----------
    networks
        Encoder and decoder, on their device.
    rows, codes
        Training rows, (n, …), and their classes, int64 (n,).
    held_out, held_out_codes
        Those whose evidence lower bound judges; may be empty.
    judge, settings, seed
        As for the generators.
    """

    criterion = "negative_elbo"

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
