"""Training on weighted means of two rows of a batch: mixup, and remix for imbalanced classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from evenly.params.training import MixSettings


@dataclass(frozen=True)
class Mixing:
    """Which rows of a batch are mixed, and how.

    Attributes
    ----------
    partner
        Position in the batch of the row that each row is mixed with, int64 (n,).
    share
        λ of the inputs: what of itself a row keeps.
    label_share
        λ of the labels, float32 (n,): what of the loss is that of its own class.
    """

    partner: Tensor
    share: float
    label_share: Tensor

    def mixed(self, inputs: Tensor) -> Tensor:
        """Give λ x + (1 − λ) x′ of inputs, float (n, …)."""
        return self.share * inputs + (1 - self.share) * inputs[self.partner]


def draw_mixing(
    codes: np.ndarray,
    counts: np.ndarray,
    settings: MixSettings,
    generator: np.random.Generator,
    device: torch.device,
) -> Mixing:
    """Draw how the rows of one batch are mixed.

    Parameters
    ----------
    codes
        Classes of the batch, int64 (n,).
    counts
        Training rows per class, which decide what is rare for remix, float (k,).
    settings
        Of mixup or remix.
    generator, device
        Where the draws come from, and where they are needed.

    References
    ----------
    Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018 (1710.09412), equations 1 and 2: one λ
    a batch, and partners of the same batch. Chou et al., Remix: Rebalanced Mixup, ECCV Workshops 2020
    (2007.03943), equation 8.
    """
    share = float(generator.beta(settings.alpha, settings.alpha))
    partner = generator.permutation(len(codes))
    label_share = np.full(len(codes), share)
    if settings.method == "remix":
        own, other = counts[codes], counts[codes[partner]]
        label_share[(own >= settings.kappa * other) & (share < settings.tau)] = 0.0
        label_share[(other >= settings.kappa * own) & (1 - share < settings.tau)] = 1.0
    return Mixing(
        torch.as_tensor(partner, device=device),
        share,
        torch.as_tensor(label_share, dtype=torch.float32, device=device),
    )
