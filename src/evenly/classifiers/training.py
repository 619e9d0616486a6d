"""The one training loop of all networks: batches in, the state of the best epoch out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from evenly.classifiers.losses import mean_loss
from evenly.classifiers.monitoring import balanced_accuracy, macro_f1
from evenly.classifiers.objective import Objective
from evenly.classifiers.optimisation import best_epoch, learning_rate_factor, make_optimizer, should_stop
from evenly.classifiers.protocol import Log
from evenly.classifiers.sampling import epoch_batches
from evenly.errors import ModelError
from evenly.params.training import SamplerName, TrainingSettings

#: Rows scored at once outside training. It changes no result beyond rounding.
SCORING_BATCH = 256


class Inputs(Protocol):
    """Samples in the form that a network takes, any part of which can be had by position."""

    def __len__(self) -> int:
        """Give the number of samples."""

    def batch(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """Give what the network's `forward` takes, for the rows at these positions, on a device."""


@dataclass(frozen=True)
class Rows:
    """Samples with their classes, codes int64 (n,), and a weight each, float (n,), or None for one each."""

    inputs: Inputs
    codes: np.ndarray
    weight: np.ndarray | None = None


@dataclass(frozen=True)
class Training:
    """What a training came to: the metrics of every epoch, and which epoch's state the network now has."""

    history: tuple[dict[str, float], ...]
    best: int


def place(network: nn.Module) -> None:
    """Move a network to the GPU where there is one, its filters in the order that convolutions like."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def uses_bf16(settings: TrainingSettings, network: nn.Module, device: torch.device) -> bool:
    """Whether to compute in bfloat16: when asked for, or with `auto` where it is faster for this network and
    device.

    On a CPU that is where the processor has matrix units for it (`amx_bf16`, or `avx512_bf16`) and the
    network says that it pays; on a GPU where it is native.
    """
    if settings.precision != "auto":
        return settings.precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capable: bool = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return bool(getattr(network, "bf16_pays", False)) and capable


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Seed torch and choose deterministic kernels inside the block; the generator outside stays as it was."""
    with (
        torch.random.fork_rng(),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        torch.manual_seed(seed)
        yield


def train_network(
    network: nn.Module,
    objective: Objective,
    train: Rows,
    validation: Rows,
    settings: TrainingSettings,
    sampler: SamplerName,
    seed: int,
    log: Log,
) -> Training:
    """Train a network in place and leave it with the state of its best epoch.

    The best epoch is the first with the best `settings.monitor` on the validation rows; without validation
    rows it is the last. Every epoch is a function of the state before it, `seed`, and its number: its order
    of rows and its dropout do not depend on what was drawn earlier.

    Parameters
    ----------
    network
        Inputs to scores (n, k), on the device that it shall be trained on.
    objective
        The loss.
    train, validation
        Rows with their classes. `validation` is never trained on.
    settings, sampler, seed
        From the plan.
    log
        Receives the metrics of every epoch.

    Returns
    -------
    Training
        Metrics: `train/loss` (mean over the epoch's batches), `val/loss` (the same loss), `val/macro_f1`,
        `val/balanced_accuracy`, `learning_rate`.
    """
    device = next(network.parameters()).device
    bf16 = uses_bf16(settings, network, device)
    optimizer = make_optimizer(network, settings)
    history: list[dict[str, float]] = []
    monitored: list[float] = []
    best: int | None = None
    best_state: dict[str, Tensor] = {}
    for epoch in range(settings.epochs):
        rate = settings.learning_rate * learning_rate_factor(settings, epoch, monitored)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batches = epoch_batches(
            train.codes, sampler, settings.batch_size, settings.min_steps_per_epoch, seed, epoch
        )
        with deterministic(_epoch_seed(seed, epoch)):
            train_loss = _train_epoch(network, objective, train, batches, optimizer, settings, epoch, bf16)
        if not math.isfinite(train_loss):
            raise ModelError(
                f"Training diverged in epoch {epoch} (the loss is {train_loss}); lower train.learning_rate "
                f"(now {settings.learning_rate:g}), or set train.gradient_clip, for instance to 1."
            )
        scores = _validate(network, objective, validation, epoch)
        history.append({"train/loss": train_loss, **scores, "learning_rate": rate})
        log(epoch, history[-1])
        if not scores:
            continue
        monitored.append(scores[f"val/{settings.monitor}"])
        now = best_epoch(monitored, settings, objective.settled_from)
        if now == epoch and now != best:
            best, best_state = epoch, {name: value.clone() for name, value in network.state_dict().items()}
        if should_stop(monitored, settings, objective.settled_from):
            break
    if best is None:
        best = len(history) - 1
    else:
        network.load_state_dict(best_state)
    network.eval()
    return Training(tuple(history), best)


def predict_logits(network: nn.Module, inputs: Inputs) -> Tensor:
    """Scores of all samples, float32 (n, k), on the CPU, computed in float32."""
    device = next(network.parameters()).device
    network.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(inputs), SCORING_BATCH):
            rows = np.arange(start, min(start + SCORING_BATCH, len(inputs)))
            parts.append(network(inputs.batch(rows, device)).cpu())
    return torch.cat(parts)


def _train_epoch(
    network: nn.Module,
    objective: Objective,
    train: Rows,
    batches: list[np.ndarray],
    optimizer: torch.optim.Optimizer,
    settings: TrainingSettings,
    epoch: int,
    bf16: bool,
) -> float:
    device = next(network.parameters()).device
    network.train()
    losses = torch.zeros(len(batches), device=device)
    for step, rows in enumerate(batches):
        targets = torch.as_tensor(train.codes[rows], device=device)
        weight = None
        if train.weight is not None:
            weight = torch.as_tensor(train.weight[rows], dtype=torch.float32, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            logits = network(train.inputs.batch(rows, device))
        loss = mean_loss(objective.row_losses(logits, targets, epoch), weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.gradient_clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip)
        optimizer.step()
        losses[step] = loss.detach()
    return float(losses.mean())


def _validate(network: nn.Module, objective: Objective, validation: Rows, epoch: int) -> dict[str, float]:
    if not len(validation.codes):
        return {}
    logits = predict_logits(network, validation.inputs)
    predicted = logits.argmax(dim=1).numpy()
    losses = objective.row_losses(logits, torch.as_tensor(validation.codes), epoch)
    classes = logits.shape[1]
    return {
        "val/loss": float(mean_loss(losses)),
        "val/macro_f1": macro_f1(validation.codes, predicted, classes),
        "val/balanced_accuracy": balanced_accuracy(validation.codes, predicted, classes),
    }


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)
