"""What resuming a training costs: the seconds until a killed training goes on, as a share of one epoch.

Also what keeping checkpoints costs. The rival, in the same process: `torch.save` and `torch.load` of network
and optimizer, as in a plain loop.
Run as `python -m bench resume`; CPU seconds on one thread.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from evenly.classifiers.devices import deterministic
from evenly.classifiers.images import ImageInputs
from evenly.classifiers.networks.bodies import small_cnn_body
from evenly.classifiers.networks.modalities import ImageNetwork
from evenly.classifiers.training.loop import train_network
from evenly.classifiers.training.losses import build_objective
from evenly.classifiers.training.sampling import epoch_batches
from evenly.classifiers.training.steps import Rows
from evenly.params.losses import LossSettings
from evenly.params.training import TrainingSettings

EPOCHS = 5


def seconds(checkpoints: Path | None, stop_after: int | None = None) -> list[float]:
    """CPU seconds at the start, and after every epoch that is logged."""
    generator = np.random.default_rng(0)
    codes = generator.integers(10, size=1000)
    pixels = generator.integers(256, size=(1200, 8, 8, 1), dtype=np.uint8)
    training = TrainingSettings(epochs=EPOCHS, patience=None, precision="off")
    with deterministic(0):
        body, dimension = small_cnn_body(1, 8, 32)
        network = ImageNetwork(body, dimension, 1, 10)
    objective = build_objective(
        "cross_entropy",
        LossSettings(),
        tuple("0123456789"),
        np.bincount(codes).astype(float),
        "uniform",
        EPOCHS,
    )
    times = [time.process_time()]

    def log(step: int, metrics: Mapping[str, float]) -> None:
        times.append(time.process_time())
        if step == stop_after:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        train_network(
            network,
            objective,
            Rows(ImageInputs(pixels[:1000]), codes),
            Rows(ImageInputs(pixels[1000:]), codes[:200]),
            training,
            0,
            log,
            partial(epoch_batches, codes, "uniform", training.batch_size, training.min_steps_per_epoch, 0),
            checkpoints,
        )
    return times


def plain_checkpoint(folder: Path) -> tuple[float, float]:
    """CPU seconds of a plain `torch.save`, and of a network and an optimizer that go on from it."""
    network = ImageNetwork(*small_cnn_body(1, 8, 32), 1, 10)
    adam = torch.optim.Adam(network.parameters())
    network(torch.zeros(8, 8, 8, 1, dtype=torch.uint8)).sum().backward()
    adam.step()
    start = time.process_time()
    torch.save({"network": network.state_dict(), "optimizer": adam.state_dict()}, folder / "plain.pt")
    saved = time.process_time()
    again = ImageNetwork(*small_cnn_body(1, 8, 32), 1, 10)
    states = torch.load(folder / "plain.pt", weights_only=True)
    again.load_state_dict(states["network"])
    torch.optim.Adam(again.parameters()).load_state_dict(states["optimizer"])
    return saved - start, time.process_time() - saved


def main() -> None:
    """Print the shares."""
    torch.set_num_threads(1)
    seconds(None)
    plain = np.diff(seconds(None))
    epoch = float(np.median(plain[1:]))
    with tempfile.TemporaryDirectory() as folder:
        kept = np.diff(seconds(Path(folder) / "whole"))
        cut = Path(folder) / "cut"
        seconds(cut, stop_after=EPOCHS - 2)
        resumed = seconds(cut)
        plain_checkpoint(Path(folder))
        saving, loading = plain_checkpoint(Path(folder))
    # Epochs that the checkpoint remembers are logged as soon as it is read.
    going_on, keeping = (resumed[1] - resumed[0]) / epoch, (np.median(kept[1:]) - epoch) / epoch
    print(f"an epoch                      {epoch:.3f} s")
    print(f"until a training goes on      {going_on:.2f} of an epoch; plain torch.load {loading / epoch:.2f}")
    print(f"keeping checkpoints costs     {keeping:+.2f} of an epoch; plain torch.save {saving / epoch:+.2f}")


if __name__ == "__main__":
    main()
