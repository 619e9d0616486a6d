"""What training asks of samples and of networks, and the layers of a network that somebody else wrote."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

Role = Literal["body", "head"]


class Inputs:
    """Samples in the form that a network takes, any part of which can be had by position.

    Attributes
    ----------
    lengths
        Size of each sample, int64 (n,), such as tokens of a text: batches then hold rows of similar length;
        None draws them from all rows.
    augments
        Whether training sees the samples under transforms, drawn anew for every batch.
    """

    lengths: np.ndarray | None = None
    augments: bool = False

    def __len__(self) -> int:
        """Give the number of samples."""
        raise NotImplementedError

    def batch(self, rows: np.ndarray, device: torch.device) -> Any:
        """Give what the network's `forward` takes, for the rows at these positions, on a device."""
        raise NotImplementedError

    def augmented_batch(self, rows: np.ndarray, device: torch.device, generator: np.random.Generator) -> Any:
        """Give what `batch` gives, transformed as drawn from a generator."""
        return self.batch(rows, device)


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


class Network(nn.Module):
    """A network in two parts: `forward(batch)` is `classify(features(batch))`.

    Attributes
    ----------
    dropout, head
        What `classify` goes through: all parameters behind it are those of the head.
    bf16_pays
        Whether bfloat16 is faster than float32 on a CPU that computes with it.
    mixes_inputs
        Whether rows are mixed as inputs; else in their features.
    """

    dropout: nn.Module
    head: nn.Module
    bf16_pays: bool = False
    mixes_inputs: bool = False

    def features(self, batch: Any) -> Tensor:
        """Give the penultimate representation, float (n, d): what the head scores."""
        raise NotImplementedError

    def classify(self, features: Tensor) -> Tensor:
        """Scores (n, k) of features (n, d): dropout, then the head."""
        out: Tensor = self.head(self.dropout(features))
        return out

    def forward(self, batch: Any) -> Tensor:
        """Scores (n, k)."""
        return self.classify(self.features(batch))

    def mixable(self, batch: Any) -> Tensor:
        """Give numbers of which weighted means make sense, float (n, …)."""
        return self.features(batch)

    def from_mixable(self, inputs: Tensor) -> Tensor:
        """Scores (n, k) of what `mixable` gives."""
        return self.classify(inputs)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Give all parameters, each once, in groups from the input side to the head."""
        raise NotImplementedError

    def head_group(self) -> ParameterGroup:
        """Give those of the head."""
        return ParameterGroup("head", tuple(self.head.parameters()), "head")


def body_groups(body: nn.Module) -> list[ParameterGroup]:
    """All parameters of a body, one group a layer; a normalisation belongs to what it follows.

    `layer 1` is next to the input, called `embeddings` where it is a table of tokens.
    """
    layers: list[tuple[str, list[nn.Parameter]]] = []
    for layer in layers_of(body):
        parameters = list(layer.parameters())
        if layers and all(parameter.ndim == 1 for parameter in parameters):
            layers[-1][1].extend(parameters)
        elif parameters:
            is_table = not layers and any(isinstance(part, nn.Embedding) for part in layer.modules())
            layers.append(("embeddings" if is_table else f"layer {len(layers) + 1}", parameters))
    known = {id(parameter) for _, parameters in layers for parameter in parameters}
    loose = [parameter for parameter in body.parameters() if id(parameter) not in known]
    if loose:
        name, parameters = layers[0] if layers else ("layer 1", [])
        layers[:1] = [(name, [*loose, *parameters])]
    return [ParameterGroup(name, tuple(parameters), "body") for name, parameters in layers]


def layers_of(body: nn.Module) -> Iterator[nn.Module]:
    """Parts of a body from the input side on, the entries of its outermost list of layers one by one."""
    stack = _outermost_list(body)
    if stack is not None:
        yield from _unrolled(body, stack)
        return
    parts = [child for child in body.children() if any(True for _ in child.parameters())]
    if len(parts) == 1 and any(True for _ in parts[0].children()):
        yield from layers_of(parts[0])
    else:
        yield from parts


def _outermost_list(body: nn.Module) -> nn.ModuleList | None:
    """Find the `ModuleList` of at least two entries that is nested least deeply; of several, the longest."""
    level: deque[nn.Module] = deque([body])
    while level:
        children = [child for module in level for child in module.children()]
        lists = [child for child in children if isinstance(child, nn.ModuleList) and len(child) > 1]
        if lists:
            return max(lists, key=len)
        level = deque(children)
    return None


def _unrolled(module: nn.Module, stack: nn.ModuleList) -> Iterator[nn.Module]:
    for child in module.children():
        if child is stack:
            yield from stack
        elif any(part is stack for part in child.modules()):
            yield from _unrolled(child, stack)
        else:
            yield child
