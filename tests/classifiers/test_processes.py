from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from loops import made_rows, new_network, trained
from safetensors.numpy import load_file
from torch import nn

from evenly.params.training import TrainingSettings

SETTINGS = {
    "epochs": 4,
    "batch_size": 13,
    "min_steps_per_epoch": 1,
    "learning_rate": 0.01,
    "unfreeze": {"method": "gradual", "every": 1},
    "gradient_clip": 1.0,
}


def train_in_two_processes(folder: Path) -> None:
    """Start two processes with the variables that `accelerate launch` and `torchrun` set."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, str(Path(__file__).with_name("loops.py")), str(folder), json.dumps(SETTINGS)]
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    children = []
    for rank in ("0", "1"):
        variables = {**os.environ, **world, "RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"}
        children.append(
            subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        )
    for child in children:
        _, errors = child.communicate(timeout=1800)
        assert child.returncode == 0, errors.decode()[-2000:]


def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    # Batches of 13 rows are shared unevenly and rows weigh unequally; without batch statistics and dropout
    # only rounding differs.
    network = new_network(dropout=0.0)
    network.first[1] = nn.Identity()
    alone = trained(network, TrainingSettings(**SETTINGS), weight=made_rows(200, 1)[0][:, 0] ** 2)  # type: ignore[arg-type]
    train_in_two_processes(tmp_path)
    together = json.loads((tmp_path / "training.json").read_text())
    assert together["processes"] == 2
    assert together["best"] == alone.best
    for one, two in zip(alone.history, together["history"], strict=True):
        assert two == pytest.approx(one, rel=1e-4)
    shared = load_file(tmp_path / "weights.safetensors")
    for name, value in network.state_dict().items():
        np.testing.assert_allclose(shared[name], value.numpy(), rtol=1e-3, atol=1e-5)
