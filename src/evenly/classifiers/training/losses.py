"""Losses for imbalanced classes, each the equation of its paper, and the objective of a training.

Every loss takes logits (n, k) and targets (n,) and gives one loss a row, float (n,); `mean_loss` reduces
them. An `Objective` is the loss of a plan with its numbers filled in from the training rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from evenly.classifiers import weights
from evenly.params.losses import LossName, LossSettings, SmoothedSettings
from evenly.params.training import SamplerName


def mean_loss(losses: Tensor, sample_weight: Tensor | None = None) -> Tensor:
    """Mean over rows, weighted by row: Σ w_i l_i / Σ w_i; 0 where all weights are 0.

    Parameters
    ----------
    losses
        One loss a row, float (n,).
    sample_weight
        Non-negative weight of each row, float (n,), or None for one each.
    """
    if sample_weight is None:
        return losses.mean()
    return (sample_weight * losses).sum() / sample_weight.sum().clamp_min(torch.finfo(losses.dtype).tiny)


def cross_entropy(
    logits: Tensor, targets: Tensor, class_weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """w_y · −Σ_c q_c log softmax(z)_c with q = (1 − ε)·one-hot(y) + ε/k.

    Parameters
    ----------
    logits
        Scores z, float (n, k).
    targets
        Classes y, int64 (n,).
    class_weights
        Weight of a row by its class, float (k,). It multiplies the whole row, smoothed part included.
    label_smoothing
        ε in [0, 1).

    References
    ----------
    Szegedy et al., Rethinking the Inception Architecture, CVPR 2016 (1512.00567), section 7.
    """
    losses = functional.cross_entropy(logits, targets, reduction="none", label_smoothing=label_smoothing)
    return losses if class_weights is None else class_weights[targets] * losses


def focal(logits: Tensor, targets: Tensor, gamma: float, alpha: Tensor | None = None) -> Tensor:
    """−α_y (1 − p_y)^γ log p_y with p = softmax(z); γ = 0 is weighted cross-entropy.

    Parameters
    ----------
    logits, targets
        As for `cross_entropy`.
    gamma
        Focusing parameter γ >= 0: how fast rows that are already right fade.
    alpha
        Class weights α, float (k,).

    References
    ----------
    Lin et al., Focal Loss for Dense Object Detection, ICCV 2017 (1708.02002), equation 5.
    """
    log_p = functional.log_softmax(logits, dim=1).gather(1, targets[:, None]).squeeze(1)
    # 1 − p = −expm1(log p) keeps its digits near p = 1; the floor keeps the gradient at 0 finite for γ < 1.
    miss = (-torch.expm1(log_p)).clamp_min(torch.finfo(logits.dtype).eps)
    losses = -(miss**gamma) * log_p
    return losses if alpha is None else alpha[targets] * losses


def ldam_margins(counts: Tensor, max_margin: float = 0.5) -> Tensor:
    """Margins Δ_c = C / n_c^¼ with C such that the rarest class has `max_margin`; float (k,).

    References
    ----------
    Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, NeurIPS 2019
    (1906.07413), equation 13.
    """
    margins = counts.clamp_min(1.0) ** -0.25
    return margins * (max_margin / margins.max())


def ldam(
    logits: Tensor, targets: Tensor, margins: Tensor, scale: float, class_weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy after the margin of its class was taken off the true logit: z_y − s Δ_y.

    Parameters
    ----------
    logits
        Scaled cosines s · cos θ, float (n, k), as a `CosineHead` gives them.
    targets
        Classes, int64 (n,).
    margins
        Δ in units of the cosine, float (k,); see `ldam_margins`.
    scale
        s, the same as in the head.
    class_weights
        Weights of the deferred re-weighting, float (k,).

    References
    ----------
    Cao et al. 2019 (1906.07413), equations 11 and 12, and algorithm 1.
    """
    taken = functional.one_hot(targets, logits.shape[1]) * (scale * margins)
    return cross_entropy(logits - taken, targets, class_weights)


def logit_adjusted(
    logits: Tensor, targets: Tensor, prior: Tensor, tau: float = 1.0, label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy on z + τ log π: the scores z come out as if classes were balanced.

    Parameters
    ----------
    logits, targets
        As for `cross_entropy`.
    prior
        Class shares π of the training batches, positive, float (k,).
    tau
        τ; 1 is consistent for the balanced error.
    label_smoothing
        ε in [0, 1).

    References
    ----------
    Menon et al., Long-Tail Learning via Logit Adjustment, ICLR 2021 (2007.07314), equation 10.
    """
    return cross_entropy(logits + tau * prior.log(), targets, label_smoothing=label_smoothing)


def balanced_softmax(logits: Tensor, targets: Tensor, counts: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """−log( n_y e^{z_y} / Σ_c n_c e^{z_c} ).

    Parameters
    ----------
    logits, targets
        As for `cross_entropy`.
    counts
        Training rows per class n, positive, float (k,); only their ratios matter.
    label_smoothing
        ε in [0, 1).

    References
    ----------
    Ren et al., Balanced Meta-Softmax for Long-Tailed Visual Recognition, NeurIPS 2020 (2007.10740), equations
    3 and 4.
    """
    return logit_adjusted(logits, targets, counts / counts.sum(), 1.0, label_smoothing)


@dataclass(frozen=True)
class Objective:
    """The loss of a run, which may change once between epochs.

    Attributes
    ----------
    loss, settings
        The loss by name, and the settings of all
    counts
        Training rows per class, or the sum of their weights, float64 (k,).
    batch_counts
        The same as the batches show it, after the sampler: what priors and weights are computed from, so that
        a sampler and a loss do not correct the same imbalance twice.
    constant_weights
        Class weights of the losses that weigh, float64 (k,).
    reweighted_from
        The epoch in which the deferred re-weighting of LDAM begins; None where there is none.
    """

    loss: LossName
    settings: LossSettings
    counts: np.ndarray
    batch_counts: np.ndarray
    constant_weights: np.ndarray
    reweighted_from: int | None = None

    @property
    def settled_from(self) -> int:
        """The first epoch from which the loss stays the same: until then no epoch counts as the best one."""
        return self.reweighted_from or 0

    def weights_in(self, epoch: int) -> np.ndarray:
        """Weight of a row by its class in this epoch, float64 (k,), with a mean of 1 over the batches."""
        if self.reweighted_from is not None and epoch >= self.reweighted_from:
            return weights.effective_number_weights(self.batch_counts, self.settings.ldam.beta)
        return self.constant_weights

    def effective_prior(self, epoch: int) -> np.ndarray:
        """Give the class prior that scores carry after this epoch, float64 (k,), positive, sums to 1."""
        if self.loss in ("balanced_softmax", "logit_adjusted"):
            tau = 1.0 if self.loss == "balanced_softmax" else self.settings.logit_adjusted.tau
            return weights.normalised_prior(weights.smoothed_prior(self.batch_counts) ** (1.0 - tau))
        return weights.reweighted_prior(self.batch_counts, self.weights_in(epoch))

    def row_losses(self, logits: Tensor, targets: Tensor, epoch: int) -> Tensor:
        """One loss a row, float32 (n,), for logits (n, k) and targets (n,)."""
        logits = logits.float()
        by_class = self._tensor(self.weights_in(epoch), logits)
        if self.loss == "focal":
            return focal(logits, targets, self.settings.focal.gamma, by_class)
        if self.loss == "ldam":
            margins = ldam_margins(self._tensor(self.counts, logits), self.settings.ldam.max_margin)
            return ldam(logits, targets, margins, self.settings.ldam.scale, by_class)
        own = getattr(self.settings, self.loss)
        smoothing = own.label_smoothing if isinstance(own, SmoothedSettings) else 0.0
        prior = self._tensor(weights.smoothed_prior(self.batch_counts), logits)
        if self.loss == "balanced_softmax":
            return balanced_softmax(logits, targets, prior, smoothing)
        if self.loss == "logit_adjusted":
            return logit_adjusted(logits, targets, prior, self.settings.logit_adjusted.tau, smoothing)
        return cross_entropy(logits, targets, by_class, smoothing)

    @staticmethod
    def _tensor(values: np.ndarray, like: Tensor) -> Tensor:
        return torch.as_tensor(values, dtype=like.dtype, device=like.device)


def build_objective(
    loss: LossName,
    settings: LossSettings,
    classes: tuple[str, ...],
    counts: np.ndarray,
    sampler: SamplerName,
    epochs: int,
    batch_counts: np.ndarray | None = None,
) -> Objective:
    """Fill in the numbers of a loss from the training counts.

    Parameters
    ----------
    loss, settings
        From the plan.
    classes
        Class names in order.
    counts
        Training rows per class, or the sum of their weights, float64 (k,).
    sampler
        How batches are drawn.
    epochs
        The most epochs there will be, which the deferred re-weighting of LDAM is a share of.
    batch_counts
        `counts` as the batches show them, where it is not the sampler that decides on it.
    """
    if batch_counts is None:
        batch_counts = weights.sampled_counts(counts, sampler)
    after = round(settings.ldam.reweight_after * epochs)
    reweighted_from = after if loss == "ldam" and after < epochs else None
    constant = weights.loss_weights(loss, settings, classes, batch_counts)
    return Objective(loss, settings, counts, batch_counts, constant, reweighted_from)
