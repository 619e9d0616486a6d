"""What one training run minimises: the loss of the plan with its numbers filled in from the training rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from evenly.classifiers import losses, weights
from evenly.params.losses import LossName, LossSettings, SmoothedSettings
from evenly.params.training import SamplerName


@dataclass(frozen=True)
class Objective:
    """The loss of a run, which may change once between epochs.

    Attributes
    ----------
    loss, settings
        The loss by name, and the settings of all losses.
    counts
        Training rows per class, or the sum of their weights, float64 (k,).
    shown
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
    shown: np.ndarray
    constant_weights: np.ndarray
    reweighted_from: int | None = None

    @property
    def settled_from(self) -> int:
        """The first epoch from which the loss stays the same: until then no epoch counts as the best one."""
        return self.reweighted_from or 0

    def class_weights(self, epoch: int) -> np.ndarray:
        """Weight of a row by its class in this epoch, float64 (k,), with a mean of 1 over the rows shown."""
        if self.reweighted_from is not None and epoch >= self.reweighted_from:
            return weights.effective_number_weights(self.shown, self.settings.ldam.beta)
        return self.constant_weights

    def effective_prior(self, epoch: int) -> np.ndarray:
        """Give the class prior that scores carry after this epoch, float64 (k,), positive, sums to 1."""
        if self.loss in ("balanced_softmax", "logit_adjusted"):
            tau = 1.0 if self.loss == "balanced_softmax" else self.settings.logit_adjusted.tau
            return weights.normalised_prior(weights.smoothed_prior(self.shown) ** (1.0 - tau))
        return weights.reweighted_prior(self.shown, self.class_weights(epoch))

    def row_losses(self, logits: Tensor, targets: Tensor, epoch: int) -> Tensor:
        """One loss a row, float32 (n,), for logits (n, k) and targets (n,)."""
        logits = logits.float()
        by_class = self._tensor(self.class_weights(epoch), logits)
        if self.loss == "focal":
            return losses.focal(logits, targets, self.settings.focal.gamma, by_class)
        if self.loss == "ldam":
            margins = losses.ldam_margins(self._tensor(self.counts, logits), self.settings.ldam.max_margin)
            return losses.ldam(logits, targets, margins, self.settings.ldam.scale, by_class)
        own = getattr(self.settings, self.loss)
        smoothing = own.label_smoothing if isinstance(own, SmoothedSettings) else 0.0
        if self.loss == "balanced_softmax":
            filled = self._tensor(weights.smoothed_prior(self.shown), logits)
            return losses.balanced_softmax(logits, targets, filled, smoothing)
        if self.loss == "logit_adjusted":
            prior = self._tensor(weights.smoothed_prior(self.shown), logits)
            tau = self.settings.logit_adjusted.tau
            return losses.logit_adjusted(logits, targets, prior, tau, smoothing)
        return losses.cross_entropy(logits, targets, by_class, smoothing)

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
    shown: np.ndarray | None = None,
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
    shown
        `counts` as the batches show them, where it is not the sampler that decides on it.
    """
    if shown is None:
        shown = weights.sampled_counts(counts, sampler)
    after = round(settings.ldam.reweight_after * epochs)
    reweighted_from = after if loss == "ldam" and after < epochs else None
    constant = weights.class_weights(loss, settings, classes, shown)
    return Objective(loss, settings, counts, shown, constant, reweighted_from)
