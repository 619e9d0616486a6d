"""The state of a training after every epoch, from which one that was killed goes on.

A checkpoint is a folder of safetensors and JSON. It gets its name when it is complete, and only then does the
one before it go: whenever a training is killed, the last complete epoch is there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenly.files import atomic_folder
from evenly.params.base import Settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

logger = logging.getLogger(__name__)

_NAME = "epoch-"
_PROGRESS = "progress.json"
_LAST = "last.safetensors"
_BEST = "best.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """Where a training stands after an epoch: all metrics, the best epoch so far, and the states."""

    history: list[dict[str, float]]
    best: int | None
    network: Mapping[str, Tensor]
    best_network: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]


class Checkpoints:
    """The checkpoints of one training in a folder, of which there is one at a time."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def load(self) -> Checkpoint | None:
        """Read the last checkpoint; None where there is none, or where it is damaged."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        for left in self.folder.glob(".*.tmp"):
            shutil.rmtree(left, ignore_errors=True)
        for path in reversed(self._complete()):
            try:
                progress = json.loads((path / _PROGRESS).read_text(encoding="utf-8"))
                last = load_file(path / _LAST)
                best = load_file(path / _BEST) if progress["best"] is not None else {}
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                logger.warning("%s is damaged (%s) and passed over.", path, error)
                shutil.rmtree(path, ignore_errors=True)
                continue
            return Checkpoint(
                progress["history"], progress["best"], _part(last, "network"), best, _part(last, "optimizer")
            )
        return None

    def write(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint and remove the one before it."""
        from safetensors.torch import save_file

        epoch = len(checkpoint.history) - 1
        earlier = self._complete()
        target = self.folder / f"{_NAME}{epoch:06d}"
        with atomic_folder(target) as folder:
            tensors = {f"network.{name}": value for name, value in checkpoint.network.items()}
            tensors |= {f"optimizer.{name}": value for name, value in checkpoint.optimizer.items()}
            save_file(_written(tensors), folder / _LAST)
            if checkpoint.best == epoch or (checkpoint.best is not None and not earlier):
                save_file(_written(checkpoint.best_network), folder / _BEST)
            elif checkpoint.best is not None:
                _link(earlier[-1] / _BEST, folder / _BEST)
            progress = {"history": checkpoint.history, "best": checkpoint.best}
            (folder / _PROGRESS).write_text(json.dumps(progress), encoding="utf-8")
        for path in earlier:
            if path != target:
                shutil.rmtree(path, ignore_errors=True)

    def _complete(self) -> list[Path]:
        return sorted(self.folder.glob(f"{_NAME}*"))


@contextmanager
def checkpoints_in(folder: Path | None) -> Iterator[Checkpoints | None]:
    """Open a folder for the checkpoints of this process alone.

    None inside the block where there is no folder, or where another process is at work in it: two runs that
    train the same model at the same time both do, and the second keeps no checkpoints.
    """
    if folder is None:
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        if not _locked(file.fileno()):
            logger.warning("Another process keeps the checkpoints in %s; this one keeps none.", folder)
            yield None
            return
        yield Checkpoints(folder)


def training_key(plan: Settings, files: Iterable[str | Path]) -> str:
    """Name what a training depends on: its plan, its inputs, this code and the version of torch.

    Of folders among the inputs, the files count by name and content. The key has 32 hexadecimal digits.
    """
    from importlib.metadata import version

    digest = hashlib.sha256(json.dumps([plan.model_dump(mode="json"), version("torch")]).encode())
    for given in (*map(Path, files), Path(__file__).parents[1]):
        for path in [given] if given.is_file() else sorted(given.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{path.relative_to(given)} {content}\n".encode())
    return digest.hexdigest()[:32]


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of an optimiser as tensors, by `number.name`."""
    return {
        f"{number}.{name}": value
        for number, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser the state of `optimizer_tensors`; its settings stay as they are."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        parameter = parameters[int(number)]
        if value.shape == parameter.shape:
            # In the memory layout that it had, because the last bit of a sum may depend on it.
            value = parameter.detach().clone().copy_(value)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _part(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")
    }


def _written(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as safetensors takes them: contiguous, and none sharing memory with another."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


def _locked(descriptor: int) -> bool:
    """Take the lock of a file, which ends with the process; True where the system has no such locks."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
