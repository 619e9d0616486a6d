"""The weights of a network as a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from evenly.errors import ModelError

WEIGHTS = "weights.safetensors"


def save_weights(network: nn.Module, folder: Path) -> None:
    """Write the weights of a network into a folder; the same weights give the same bytes."""
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    save_file(state, folder / WEIGHTS)


def load_weights(network: nn.Module, path: Path) -> None:
    """Read the weights of a network from a safetensors file.

    Raises
    ------
    ModelError
        When there is no such file, or it does not hold exactly the weights of this network.
    """
    try:
        state: Mapping[str, Tensor] = load_file(path)
        network.load_state_dict(state)
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist; train the model again with `dvc repro train`.") from None
    except (SafetensorError, RuntimeError) as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise ModelError(
            f"{path} does not hold the weights of this model ({first}); train it again."
        ) from error
