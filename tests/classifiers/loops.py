"""Small networks and rows for tests of the training loop, also in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from evenly.classifiers.devices import Processes, deterministic
from evenly.classifiers.networks.network import Inputs, Network, ParameterGroup
from evenly.classifiers.training.loop import Training, train_network
from evenly.classifiers.training.losses import build_objective
from evenly.classifiers.training.sampling import epoch_batches
from evenly.classifiers.training.steps import Rows
from evenly.params.losses import LossSettings
from evenly.params.training import TrainingSettings


class Vectors(Inputs):
    """Vectors as inputs of a network."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = torch.tensor(x, dtype=torch.float32)

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, rows: np.ndarray, device: torch.device) -> Tensor:
        return self.x[rows].to(device)


class LayeredNetwork(Network):
    """Two hidden layers, dropout, and a head."""

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout))
        self.second = nn.Sequential(nn.Linear(16, 8), nn.ReLU())
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8, 3)
        self.passes = 0

    def features(self, x: Tensor) -> Tensor:
        self.passes += 1
        out: Tensor = self.second(self.first(x))
        return out

    def parameter_groups(self) -> list[ParameterGroup]:
        return [
            ParameterGroup("first", tuple(self.first.parameters()), "body"),
            ParameterGroup("second", tuple(self.second.parameters()), "body"),
            ParameterGroup("head", tuple(self.head.parameters()), "head"),
        ]


def made_rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (n, 6) of three overlapping classes, 6:3:1."""
    generator = np.random.default_rng(seed)
    codes = generator.choice(3, size=n, p=[0.6, 0.3, 0.1])
    centres = np.random.default_rng(99).normal(size=(3, 6))
    return centres[codes] + generator.normal(size=(n, 6)), codes.astype(np.int64)


def new_network(dropout: float = 0.2) -> LayeredNetwork:
    with deterministic(3):
        return LayeredNetwork(dropout)


def trained(
    network: Network,
    settings: TrainingSettings,
    *,
    weight: np.ndarray | None = None,
    checkpoints: Path | None = None,
    stop_after: int | None = None,
    killed_after: int | None = None,
    history: list[dict[str, float]] | None = None,
) -> Training:
    """Train on 200 rows; `stop_after` ends it with an exception when that epoch is logged, `killed_after` the
    process with it.
    """
    x, codes = made_rows(200, 1)
    held_out, held_out_codes = made_rows(90, 2)
    counts = np.bincount(codes, minlength=3).astype(float)
    objective = build_objective(
        "cross_entropy", LossSettings(), ("a", "b", "c"), counts, "uniform", settings.epochs
    )

    def log(step: int, metrics: Mapping[str, float]) -> None:
        if history is not None:
            history.append(dict(metrics))
        if step == stop_after:
            raise KeyboardInterrupt
        if step == killed_after:
            os.kill(os.getpid(), signal.SIGKILL)

    return train_network(
        network,
        objective,
        Rows(Vectors(x), codes, weight),
        Rows(Vectors(held_out), held_out_codes),
        settings,
        5,
        log,
        partial(epoch_batches, codes, "uniform", settings.batch_size, settings.min_steps_per_epoch, 5),
        checkpoints,
    )


if __name__ == "__main__":
    # Train in as many processes as were started; the main process writes what came out.
    target, steps = Path(sys.argv[1]), json.loads(sys.argv[2])
    network = new_network(dropout=0.0)
    network.first[1] = nn.Identity()  # batch statistics are those of a process's share
    training = trained(network, TrainingSettings(**steps), weight=made_rows(200, 1)[0][:, 0] ** 2)
    processes = Processes()
    if processes.is_main:
        save_file(network.state_dict(), target / "weights.safetensors")
        found = {"history": training.history, "best": training.best, "processes": processes.count}
        (target / "training.json").write_text(json.dumps(found))
