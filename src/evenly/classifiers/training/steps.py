"""What a network computes: scores of a batch, which may be mixed, their loss, and scores without training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evenly.classifiers.devices import Processes
from evenly.classifiers.networks.network import Inputs, Network, ParameterGroup
from evenly.classifiers.training.losses import Objective, mean_loss
from evenly.classifiers.training.sampling import Mixing

#: Rows scored at once outside training. It changes no result beyond rounding.
SCORING_BATCH = 256


@dataclass(frozen=True)
class Rows:
    """Samples with their classes, codes int64 (n,), and a weight each, float (n,), or None for one each."""

    inputs: Inputs
    codes: np.ndarray
    weight: np.ndarray | None = None


class FeatureInputs(Inputs):
    """Features of samples, float32 (n, d), as what a `FrozenBody` takes."""

    def __init__(self, features: Tensor) -> None:
        self.features = features

    def __len__(self) -> int:
        return len(self.features)

    def batch(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """Features of these rows on a device."""
        return self.features[torch.as_tensor(rows, device=self.features.device)].to(device)


class FrozenBody(Network):
    """What is left of a network to compute once the features of all samples are known."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def features(self, features: Tensor) -> Tensor:
        """Give the features themselves."""
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Scores (n, k)."""
        return self.network.classify(features)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Give those of the head."""
        return [group for group in self.network.parameter_groups() if group.role == "head"]


class Scores(nn.Module):
    """Scores of a training batch: the part of training that processes average their gradients over."""

    def __init__(self, network: Network, device_type: str, bf16: bool) -> None:
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
            return network.from_mixable(mixing.mixed(network.mixable(batch)))


def batch_loss(
    scores: Tensor,
    targets: Tensor,
    weight: Tensor | None,
    mixing: Mixing | None,
    objective: Objective,
    epoch: int,
    processes: Processes,
) -> Tensor:
    """Weighted mean of the losses of a batch, of which this process has the share that is given.

    A mixed row has the losses of both its classes, with their shares as weights. The mean of what the
    processes get is the loss of the batch, and the mean of their gradients its gradient.
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


def predict_logits(network: nn.Module, inputs: Inputs) -> Tensor:
    """Scores of all samples, float32 (n, k), on the CPU, computed in float32."""
    network.eval()
    device = next(network.parameters()).device
    return _batchwise(network, inputs, np.arange(len(inputs)), device)


def shared_logits(network: nn.Module, inputs: Inputs, processes: Processes) -> Tensor:
    """Do what `predict_logits` does, each process taking a part of the samples."""
    if processes.count == 1:
        return predict_logits(network, inputs)
    network.eval()
    return _shared(network, inputs, processes).cpu()


def shared_features(network: Network, inputs: Inputs, processes: Processes) -> Tensor:
    """Features of all samples, float32 (n, d), on the device of this process."""
    network.eval()
    if processes.count == 1:
        rows = np.arange(len(inputs))
        return _batchwise(network.features, inputs, rows, processes.device).to(processes.device)
    return _shared(network.features, inputs, processes)


def _shared(score: Callable[..., Tensor], inputs: Inputs, processes: Processes) -> Tensor:
    part = -(-len(inputs) // processes.count)
    # The last part is filled up with the last row, so that all are of equal length.
    rows = np.minimum(np.arange(part) + processes.number * part, len(inputs) - 1)
    own = _batchwise(score, inputs, rows, processes.device)
    return processes.joined(own.to(processes.device), len(inputs))


def _batchwise(
    score: Callable[..., Tensor], inputs: Inputs, rows: np.ndarray, device: torch.device
) -> Tensor:
    lengths = inputs.lengths
    order = np.arange(len(rows)) if lengths is None else np.argsort(-lengths[rows], kind="stable")
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), SCORING_BATCH):
            batch = rows[order[start : start + SCORING_BATCH]]
            parts.append(score(inputs.batch(batch, device)).float().cpu())
    scores = torch.cat(parts)
    if lengths is None:
        return scores
    out = torch.empty_like(scores)
    out[torch.from_numpy(order)] = scores
    return out
