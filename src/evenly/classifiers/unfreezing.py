"""Which layers are trained in which epoch.

Like schedules and stopping, a function of the epoch and of the monitored values so far, without a state of
its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from evenly.classifiers.network import ParameterGroup
from evenly.classifiers.optimisation import stalls
from evenly.params.training import TrainingSettings


@dataclass(frozen=True)
class Unfreezing:
    """The layer groups of a network, and when each is trained.

    Attributes
    ----------
    groups
        From the input side to the head.
    settings
        Of the training.
    """

    groups: Sequence[ParameterGroup]
    settings: TrainingSettings

    @property
    def heads(self) -> int:
        """Groups that are trained from the start: those of the head, or the last one."""
        return max(1, sum(group.role == "head" for group in self.groups))

    def first_trained(self, epoch: int, monitored: Sequence[float]) -> int:
        """Give the first group that is trained in an epoch; all after it are too.

        Parameters
        ----------
        epoch
            From 0.
        monitored
            Monitored values of the epochs before this one. Without validation rows there are none, and
            `every` counts although `by` is `metric`.
        """
        rule, total = self.settings.unfreeze, len(self.groups)
        if rule.method in ("auto", "all"):
            return 0
        if rule.method == "probe_then_finetune":
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
        """Give the epoch from which everything has been trained; `epoch` + 1 if that is still to come."""
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
