"""Scores and features of many samples, batch by batch, without training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from evenly.classifiers.network import FeatureNetwork, Inputs
from evenly.classifiers.processes import Processes

#: Rows scored at once outside training. It changes no result beyond rounding.
SCORING_BATCH = 256


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


def shared_features(network: FeatureNetwork, inputs: Inputs, processes: Processes) -> Tensor:
    """Features of all samples, float32 (n, d), on the device of this process."""
    assert isinstance(network, nn.Module)
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
    lengths: np.ndarray | None = getattr(inputs, "lengths", None)
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
