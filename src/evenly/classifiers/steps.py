"""What one step of training computes: the scores of a batch, which may be mixed, and their loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evenly.classifiers.losses import mean_loss
from evenly.classifiers.mixing import Mixing
from evenly.classifiers.network import (
    FeatureNetwork,
    Inputs,
    MixableNetwork,
    ParameterGroup,
    parameter_groups,
)
from evenly.classifiers.objective import Objective
from evenly.classifiers.processes import Processes


@dataclass(frozen=True)
class Rows:
    """Samples with their classes, codes int64 (n,), and a weight each, float (n,), or None for one each."""

    inputs: Inputs
    codes: np.ndarray
    weight: np.ndarray | None = None


class FeatureInputs:
    """Features of samples, float32 (n, d), as what a `FrozenBody` takes."""

    def __init__(self, features: Tensor) -> None:
        self.features = features

    def __len__(self) -> int:
        return len(self.features)

    def batch(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """Features of these rows on a device."""
        return self.features[torch.as_tensor(rows, device=self.features.device)].to(device)


class FrozenBody(nn.Module):
    """What is left of a network to compute once the features of all samples are known."""

    def __init__(self, network: FeatureNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        """Scores (n, k)."""
        return self.network.classify(features)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Give those of the head."""
        assert isinstance(self.network, nn.Module)
        return [group for group in parameter_groups(self.network) if group.role == "head"]

    def mixable(self, features: Tensor) -> Tensor:
        """Give the features themselves."""
        return features

    def from_mixable(self, features: Tensor) -> Tensor:
        """Scores (n, k)."""
        return self.network.classify(features)


class Scores(nn.Module):
    """Scores of a training batch: the part of training that processes average their gradients over.

    Parameters
    ----------
    network
        Inputs to scores.
    device_type, bf16
        Where it is computed, and whether in bfloat16.
    """

    def __init__(self, network: nn.Module, device_type: str, bf16: bool) -> None:
        super().__init__()
        self.network = network
        self.device_type = device_type
        self.bf16 = bf16

    def forward(self, batch: Any, mixing: Mixing | None) -> Tensor:
        """Scores (n, k) of a batch, or of its rows mixed with each other."""
        network = self.network
        with torch.autocast(self.device_type, dtype=torch.bfloat16, enabled=self.bf16):
            if mixing is None:
                scores: Tensor = network(batch)
                return scores
            if isinstance(network, MixableNetwork):
                return network.from_mixable(mixing.mixed(network.mixable(batch)))
            if isinstance(network, FeatureNetwork):
                return network.classify(mixing.mixed(network.features(batch)))
        raise TypeError(f"{type(network).__name__} has nothing to mix: neither mixable inputs nor features")


def batch_loss(
    scores: Tensor,
    targets: Tensor,
    weight: Tensor | None,
    mixing: Mixing | None,
    objective: Objective,
    epoch: int,
    processes: Processes,
) -> Tensor:
    """Weighted mean of the losses of a batch, of which this process has a share.

    Parameters
    ----------
    scores, targets, weight
        Of the share, (n, k), (n,) and (n,).
    mixing
        A mixed row has the losses of both its classes, with their shares as weights.
    objective, epoch
        Loss of a row.
    processes
        The mean of what they get is the loss of the batch, and the mean of their gradients its gradient.
    """
    losses = objective.row_losses(scores, targets, epoch)
    if mixing is not None:
        other = objective.row_losses(scores, targets[mixing.partner], epoch)
        own = torch.ones_like(losses) if weight is None else weight
        losses = torch.cat([losses, other])
        weight = torch.cat([mixing.label_share * own, (1 - mixing.label_share) * own[mixing.partner]])
    if processes.count == 1:
        return mean_loss(losses, weight)
    if weight is None:
        weight = torch.ones_like(losses)
    whole = processes.total(weight.sum()).clamp_min(torch.finfo(losses.dtype).tiny)
    return processes.count * (weight * losses).sum() / whole
