"""Optimisers, learning-rate schedules and early stopping.

Schedules and stopping are functions of the epoch and of the monitored values so far, without a state of their
own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from evenly.params.training import TrainingSettings


def make_optimizer(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Make the optimiser; weight decay leaves biases and the scales of normalisation alone."""
    trained = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        nesterov = settings.momentum > 0
        return torch.optim.SGD(groups, settings.learning_rate, momentum=settings.momentum, nesterov=nesterov)
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, settings.learning_rate)


def is_better(value: float, than: float, settings: TrainingSettings) -> bool:
    """Whether a monitored value is strictly better than another: a loss when smaller, a score when larger."""
    return value < than if settings.monitor == "loss" else value > than


def best_epoch(monitored: Sequence[float], settings: TrainingSettings, settled_from: int = 0) -> int | None:
    """Find the first epoch with the best monitored value, from `settled_from` on; None where there is none.

    An epoch whose value is NaN is never the best.
    """
    best: int | None = None
    for epoch in range(settled_from, len(monitored)):
        if math.isnan(monitored[epoch]):
            continue
        if best is None or is_better(monitored[epoch], monitored[best], settings):
            best = epoch
    return best


def should_stop(monitored: Sequence[float], settings: TrainingSettings, settled_from: int = 0) -> bool:
    """Whether the last `patience` epochs brought nothing better than what was before them.

    Epochs before `settled_from` neither count as patience lost nor as something to beat.
    """
    if settings.patience is None or len(monitored) <= settled_from:
        return False
    best = best_epoch(monitored, settings, settled_from)
    since = len(monitored) - settled_from if best is None else len(monitored) - 1 - best
    return since >= settings.patience


def learning_rate_factor(settings: TrainingSettings, epoch: int, monitored: Sequence[float]) -> float:
    """Tell what the learning rate is multiplied by in an epoch.

    Parameters
    ----------
    settings
        `step`: `decay` to the power of epochs ÷ `step_epochs`. `cosine`: half a cosine from 1 down towards 0
        over `epochs`. `plateau`: once more × `decay` whenever `plateau_patience` epochs brought nothing
        better. `none`: 1.
    epoch
        From 0.
    monitored
        Monitored values of the epochs before this one, of length >= `epoch`.
    """
    if settings.schedule == "step":
        return float(settings.decay ** (epoch // settings.step_epochs))
    if settings.schedule == "cosine":
        return (1 + math.cos(math.pi * epoch / settings.epochs)) / 2
    if settings.schedule == "none":
        return 1.0
    drops, waited = 0, 0
    best: float | None = None
    for value in monitored[:epoch]:
        if not math.isnan(value) and (best is None or is_better(value, best, settings)):
            best, waited = value, 0
        else:
            waited += 1
        if waited == settings.plateau_patience:
            drops, waited = drops + 1, 0
    return float(settings.decay**drops)
