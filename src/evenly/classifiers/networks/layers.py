"""The layers of a network that somebody else wrote, as groups from the input side on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from torch import nn

from evenly.classifiers.network import ParameterGroup


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
