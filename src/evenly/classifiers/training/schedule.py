"""How fast which layers are trained, and until when.

All of it is a function of the epoch and of the monitored values so far, without a state of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from evenly.classifiers.networks.network import ParameterGroup, Role
from evenly.params.training import TrainingSettings


def make_optimizer(groups: Sequence[ParameterGroup], settings: TrainingSettings) -> torch.optim.Optimizer:
    """Make the optimiser; weight decay leaves biases and the scales of normalisation alone.

    Parameters with the same learning rate in every step share a group of the optimiser, which costs less; its
    key `layer` is the number of one of their layers. Frozen parameters have no gradient and stay as they are.
    """
    staged = settings.warmup > 0 and settings.unfreeze.method not in ("auto", "all")
    parts: dict[tuple[bool, float, int], dict[str, Any]] = {}
    for layer, group in enumerate(groups):
        rate = base_learning_rate(group.role, settings)
        for parameter in group.parameters:
            decayed = parameter.ndim > 1
            part = parts.setdefault(
                (not decayed, rate, layer if staged else 0),
                {"params": [], "weight_decay": settings.weight_decay if decayed else 0.0, "layer": layer},
            )
            part["params"].append(parameter)
    ordered = [parts[key] for key in sorted(parts)]
    if settings.optimizer == "sgd":
        nesterov = settings.momentum > 0
        return torch.optim.SGD(ordered, settings.learning_rate, momentum=settings.momentum, nesterov=nesterov)
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(ordered, settings.learning_rate)


def base_learning_rate(role: Role, settings: TrainingSettings) -> float:
    """Learning rate of the body or of the head before schedule and warm-up."""
    if role == "head" and settings.head_learning_rate is not None:
        return settings.head_learning_rate
    return settings.learning_rate


def warmup_factor(settings: TrainingSettings, step: int, steps: int) -> float:
    """What the learning rate is multiplied by in a step, counted from 0, of a layer's training.

    It rises linearly over the first `warmup` × `steps` steps, `steps` being those of all epochs.
    """
    rising = round(settings.warmup * steps)
    return min(1.0, (step + 1) / rising) if rising else 1.0


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

    `step`: `decay` to the power of epochs ÷ `step_epochs`. `linear`: a line from 1 down towards 0 over
    `epochs`. `cosine`: half a cosine over them. `plateau`: once more × `decay` whenever `plateau_patience` of
    the `monitored` epochs before this one brought nothing better. `none`: 1.
    """
    if settings.schedule == "step":
        return float(settings.decay ** (epoch // settings.step_epochs))
    if settings.schedule == "linear":
        return 1 - epoch / settings.epochs
    if settings.schedule == "cosine":
        return (1 + math.cos(math.pi * epoch / settings.epochs)) / 2
    if settings.schedule == "none":
        return 1.0
    drops = stalls(monitored[:epoch], settings.plateau_patience, settings)
    return float(settings.decay**drops)


def stalls(monitored: Sequence[float], patience: int, settings: TrainingSettings) -> int:
    """Count how often `patience` epochs in a row brought nothing better than what was before them."""
    found, waited = 0, 0
    best: float | None = None
    for value in monitored:
        if not math.isnan(value) and (best is None or is_better(value, best, settings)):
            best, waited = value, 0
        else:
            waited += 1
        if waited == patience:
            found, waited = found + 1, 0
    return found


@dataclass(frozen=True)
class Unfreezing:
    """The layer groups of a network, from the input side to the head, and when each is trained."""

    groups: Sequence[ParameterGroup]
    settings: TrainingSettings

    @property
    def heads(self) -> int:
        """Groups that are trained from the start: those of the head, or the last one."""
        return max(1, sum(group.role == "head" for group in self.groups))

    def first_trained(self, epoch: int, monitored: Sequence[float]) -> int:
        """Give the first group that is trained in an epoch; all after it are too.

        Without validation rows nothing is `monitored`, and `every` counts although `by` is `metric`.
        """
        rule, total = self.settings.unfreeze, len(self.groups)
        if rule.method in ("auto", "all"):
            return 0
        if rule.method == "last":
            more = rule.layers
        elif rule.method == "probe_then_finetune":
            more = 0 if epoch < rule.probe_epochs else total
        elif rule.by == "epoch" or len(monitored) < epoch:
            more = epoch // rule.every
        else:
            more = stalls(monitored[:epoch], rule.patience, self.settings)
        return max(0, total - self.heads - more)

    def trained_since(self, epoch: int, monitored: Sequence[float]) -> list[int]:
        """Epoch from which each group has been trained; of frozen ones, `epoch` + 1."""
        since = [epoch + 1] * len(self.groups)
        for earlier in range(epoch, -1, -1):
            first = self.first_trained(earlier, monitored)
            since[first:] = [earlier] * (len(since) - first)
        return since

    def settled_from(self, epoch: int, monitored: Sequence[float]) -> int:
        """Give the epoch from which all is trained that ever is; `epoch` + 1 if that is still to come."""
        if self.settings.unfreeze.method == "last":
            return 0
        return max(self.trained_since(epoch, monitored))


def freeze(network: nn.Module, groups: Sequence[ParameterGroup], first: int) -> int:
    """Train the groups from `first` on and no others; give the number of parameters trained.

    Parts of the network without a trained parameter are put into evaluation mode, the others into training
    mode: frozen layers neither drop out nor update their statistics.
    """
    for number, group in enumerate(groups):
        for parameter in group.parameters:
            parameter.requires_grad_(number >= first)
    network.train()
    _still(network)
    return sum(p.numel() for group in groups[first:] for p in group.parameters)


def _still(module: nn.Module) -> None:
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        module.eval()
        return
    for child in module.children():
        _still(child)
