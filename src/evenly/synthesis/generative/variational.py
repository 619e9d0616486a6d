"""What the variational autoencoders of images and tables share: the latent posterior and the bound."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


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
