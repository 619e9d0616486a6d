"""What the training loop asks of samples and of networks, beyond the `forward` of torch.

Only `Inputs` is required. A network that has the methods of `FeatureNetwork` can be probed, mixed and have
its head trained anew; one that has `parameter_groups` can be unfrozen layer by layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

Role = Literal["body", "head"]


class Inputs(Protocol):
    """Samples in the form that a network takes, any part of which can be had by position.

    Samples of uneven length say so in an attribute `lengths`, int64 (n,) (tokens of a text), and batches then
    hold rows of similar length; without the attribute, or where it is None, they are drawn from all rows.
    """

    def __len__(self) -> int:
        """Give the number of samples."""

    def batch(self, rows: np.ndarray, device: torch.device) -> Any:
        """Give what the network's `forward` takes, for the rows at these positions, on a device."""


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that are frozen and unfrozen together.

    Attributes
    ----------
    name
        For the log: `embeddings`, `layer 3`, `head`.
    parameters
        The parameters themselves.
    role
        What their learning rate is: that of the body, or that of the head.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    role: Role


@runtime_checkable
class AugmentingInputs(Protocol):
    """Inputs that can also be had under label-preserving transforms, for training."""

    def augmented_batch(self, rows: np.ndarray, device: torch.device, generator: np.random.Generator) -> Any:
        """Give what `batch` gives, transformed as drawn from a generator."""


@runtime_checkable
class GroupedNetwork(Protocol):
    """A network that tells its layers apart."""

    def parameter_groups(self) -> list[ParameterGroup]:
        """Give all parameters, each once, in groups from the input side to the head."""


@runtime_checkable
class FeatureNetwork(Protocol):
    """A network in two parts: `forward(batch)` is `classify(features(batch))`.

    The parameters behind `classify` are those of the groups with the role `head`.
    """

    def features(self, batch: Any) -> Tensor:
        """Give the penultimate representation, float (n, d): what the head scores."""

    def classify(self, features: Tensor) -> Tensor:
        """Scores (n, k) of features (n, d): dropout, then the head."""


@runtime_checkable
class MixableNetwork(Protocol):
    """A network whose inputs can be mixed: `forward(batch)` is `from_mixable(mixable(batch))`.

    Networks without these mix in the features of a `FeatureNetwork`.
    """

    def mixable(self, batch: Any) -> Tensor:
        """Give the inputs as numbers of which weighted means make sense, float (n, …)."""

    def from_mixable(self, inputs: Tensor) -> Tensor:
        """Scores (n, k) of what `mixable` gives."""


def parameter_groups(network: nn.Module) -> list[ParameterGroup]:
    """Groups of a network's parameters, from the input side to the head.

    A network that does not tell them apart is one body and one head; without a part called `head` all of it
    is the head.
    """
    if isinstance(network, GroupedNetwork):
        return network.parameter_groups()
    head = getattr(network, "head", network)
    of_head = tuple(head.parameters())
    known = {id(parameter) for parameter in of_head}
    body = tuple(p for p in network.parameters() if id(p) not in known)
    groups: Sequence[ParameterGroup] = (
        ParameterGroup("body", body, "body"),
        ParameterGroup("head", of_head, "head"),
    )
    return [group for group in groups if group.parameters]
