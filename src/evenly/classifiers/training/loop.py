"""The one training loop of all networks: batches in, the state of the best epoch out.

Nothing is remembered from epoch to epoch but the state of network and optimiser, the metrics, and the best
state: everything else is a function of these, the seed, and the number of the epoch.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from evenly.classifiers.classifier import Log
from evenly.classifiers.devices import Processes, deterministic, uses_bf16
from evenly.classifiers.networks.network import Inputs, Network
from evenly.classifiers.training.checkpoints import (
    Checkpoint,
    Checkpoints,
    checkpoints_in,
    optimizer_tensors,
    restore_optimizer,
)
from evenly.classifiers.training.losses import Objective, mean_loss
from evenly.classifiers.training.sampling import Batches, draw_mixing
from evenly.classifiers.training.schedule import (
    Unfreezing,
    base_learning_rate,
    best_epoch,
    freeze,
    learning_rate_factor,
    make_optimizer,
    should_stop,
    warmup_factor,
)
from evenly.classifiers.training.steps import (
    FeatureInputs,
    FrozenBody,
    Rows,
    Scores,
    batch_loss,
    shared_features,
    shared_logits,
)
from evenly.confusion import balanced_accuracy, macro_f1, outcomes
from evenly.errors import ModelError
from evenly.params.training import TrainingSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """What a training came to: the metrics of every epoch, and which epoch's state the network now has."""

    history: tuple[dict[str, float], ...]
    best: int


def train_network(
    network: Network,
    objective: Objective,
    train: Rows,
    validation: Rows,
    settings: TrainingSettings,
    seed: int,
    log: Log,
    batches: Batches,
    checkpoints: Path | None = None,
) -> Training:
    """Train a network in place and leave it with the state of its best epoch.

    The best epoch is the first with the best `settings.monitor` on the validation rows; without validation
    rows it is the last. Every epoch is a function of the state before it, `seed`, and its number: its order
    of rows, its dropout and its transforms do not depend on what was drawn earlier. So a training that goes
    on from a checkpoint ends as one that was never cut short.

    Several processes share every batch. The same batches are then trained on with the same loss; results
    differ by rounding, by dropout, and on CPUs by batch statistics, which are those of a process's share.

    Parameters
    ----------
    network, objective
        Inputs to scores (n, k), and the loss.
    train, validation
        Rows with their classes. `validation` is never trained on; its weights count in `val/loss`.
    settings, seed
        From the plan.
    log
        Receives the metrics of every epoch, also of those that a checkpoint remembers: `train/loss` (mean
        over the epoch's batches), `val/loss` (the same loss), `val/macro_f1`, `val/balanced_accuracy`,
        `learning_rate` and, where it is another, `head_learning_rate` (both before warm-up),
        `trainable_parameters`.
    batches
        Gives the batches of an epoch.
    checkpoints
        Folder for the state after every epoch; None keeps none.
    """
    run = _Run(network, objective, train, validation, settings, seed, batches)
    with checkpoints_in(checkpoints if run.processes.is_main else None) as store:
        run.resume(store)
        for epoch, metrics in enumerate(run.history):
            log(epoch, metrics)
        while not run.finished():
            run.train_epoch()
            log(len(run.history) - 1, run.history[-1])
            if store is not None:
                store.write(run.checkpoint())
    return run.result()


@dataclass
class _Run:
    """One training between its epochs; see `train_network`."""

    network: Network
    objective: Objective
    train: Rows
    validation: Rows
    settings: TrainingSettings
    seed: int
    batches: Batches

    def __post_init__(self) -> None:
        self.processes = Processes()
        self.network = self.network.to(self.processes.device)
        self.unfreezing = Unfreezing(self.network.parameter_groups(), self.settings)
        self.optimizer = make_optimizer(self.unfreezing.groups, self.settings)
        self.history: list[dict[str, float]] = []
        self.best: int | None = None
        self.best_state: dict[str, Tensor] = {}
        self._part: _Part | None = None

    @property
    def monitored(self) -> list[float]:
        """Values of what is monitored, of every epoch so far; none without validation rows."""
        name = f"val/{self.settings.monitor}"
        return [metrics[name] for metrics in self.history if name in metrics]

    def resume(self, store: Checkpoints | None) -> None:
        """Take over the last checkpoint, where there is one."""
        found = self.processes.from_main(None if store is None else store.load())
        if found is None:
            return
        self.history, self.best, self.best_state = list(found.history), found.best, dict(found.best_network)
        self.network.load_state_dict(found.network)
        restore_optimizer(self.optimizer, found.optimizer)
        if self.processes.is_main:
            logger.warning("Going on after epoch %d of a training that was cut short.", len(self.history) - 1)

    def checkpoint(self) -> Checkpoint:
        """Give the state after the last epoch."""
        return Checkpoint(
            self.history,
            self.best,
            self.network.state_dict(),
            self.best_state,
            optimizer_tensors(self.optimizer),
        )

    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        done, monitored = len(self.history), self.monitored
        if not done:
            return False
        settled = max(self.objective.settled_from, self.unfreezing.settled_from(done - 1, monitored))
        return done >= self.settings.epochs or should_stop(monitored, self.settings, settled)

    def result(self) -> Training:
        """Leave the network with the state of the best epoch."""
        if self.best is not None:
            self.network.load_state_dict(self.best_state)
        freeze(self.network, self.unfreezing.groups, 0)
        self.network.eval()
        return Training(tuple(self.history), len(self.history) - 1 if self.best is None else self.best)

    def train_epoch(self) -> None:
        """Train and validate one epoch more."""
        epoch, monitored = len(self.history), self.monitored
        first = self.unfreezing.first_trained(epoch, monitored)
        if self._part is None or self._part.first != first:
            self._part = self._trained_part(first)
        trainable = freeze(self.network, self.unfreezing.groups, first)
        with deterministic(_epoch_seed(self.seed, epoch, self.processes.number)):
            loss = self._pass(self._part, epoch, monitored)
        if not math.isfinite(loss):
            raise ModelError(
                f"Training diverged in epoch {epoch} (the loss is {loss}); lower train.learning_rate "
                f"(now {self.settings.learning_rate:g}), or set train.gradient_clip, for instance to 1."
            )
        rates = self._rates(epoch, monitored) | {"trainable_parameters": trainable}
        self.history.append({"train/loss": loss, **self._validate(self._part, epoch), **rates})
        now = best_epoch(self.monitored, self.settings, self.objective.settled_from)
        if now == epoch:
            self.best = epoch
            self.best_state = {name: value.clone() for name, value in self.network.state_dict().items()}

    def _pass(self, part: _Part, epoch: int, monitored: list[float]) -> float:
        """Train on the batches of an epoch and give the mean of their losses."""
        processes, batches = self.processes, self.batches(epoch)
        since = self.unfreezing.trained_since(epoch, monitored)
        factor = learning_rate_factor(self.settings, epoch, monitored)
        losses = torch.zeros(len(batches), device=processes.device)
        for step, rows in enumerate(batches):
            for group in self.optimizer.param_groups:
                layer = group["layer"]
                trained = (epoch - since[layer]) * len(batches) + step
                group["lr"] = (
                    base_learning_rate(self.unfreezing.groups[layer].role, self.settings)
                    * factor
                    * warmup_factor(self.settings, trained, self.settings.epochs * len(batches))
                )
            loss = self._loss(part, rows, epoch, step)
            self.optimizer.zero_grad(set_to_none=True)
            processes.accelerator.backward(loss)
            if self.settings.gradient_clip is not None:
                processes.accelerator.clip_grad_norm_(self.network.parameters(), self.settings.gradient_clip)
            self.optimizer.step()
            losses[step] = loss.detach()
        return float(processes.total(losses.mean())) / processes.count

    def _loss(self, part: _Part, rows: np.ndarray, epoch: int, step: int) -> Tensor:
        processes, train = self.processes, self.train
        device, own = processes.device, processes.share(rows)
        # The 2 keeps this stream apart from those of the order of rows: zeros at the end say nothing.
        generator = np.random.default_rng([self.seed, epoch, step, 2 + processes.number])
        weight = None if train.weight is None else train.weight[own]
        if not len(own):  # fewer rows than processes: take part with a row that weighs nothing
            own, weight = rows[:1], np.zeros(1)
        batch = part.train.augmented_batch(own, device, generator)
        mix = self.settings.mix
        counts = self.objective.counts
        mixing = None if mix is None else draw_mixing(train.codes[own], counts, mix, generator, device)
        scores = part.scores(batch, mixing)
        targets = torch.as_tensor(train.codes[own], device=device)
        weights = None if weight is None else torch.as_tensor(weight, dtype=torch.float32, device=device)
        return batch_loss(scores, targets, weights, mixing, self.objective, epoch, processes)

    def _validate(self, part: _Part, epoch: int) -> dict[str, float]:
        if not len(self.validation.codes):
            return {}
        logits = shared_logits(part.network, part.validation, self.processes)
        return validation_metrics(logits, self.validation, self.objective, epoch)

    def _rates(self, epoch: int, monitored: list[float]) -> dict[str, float]:
        factor = learning_rate_factor(self.settings, epoch, monitored)
        rates = {"learning_rate": self.settings.learning_rate * factor}
        if self.settings.head_learning_rate is not None:
            rates["head_learning_rate"] = self.settings.head_learning_rate * factor
        return rates

    def _trained_part(self, first: int) -> _Part:
        """Give what is computed in every step when the groups from `first` on are trained.

        While the body is frozen and always sees the same inputs, its features are computed once.
        """
        network, processes = self.network, self.processes
        bf16 = uses_bf16(self.settings, network, processes.device)
        train, validation = self.train.inputs, self.validation.inputs
        changing = train.augments or (self.settings.mix is not None and network.mixes_inputs)
        only_head = first > 0 and first == len(self.unfreezing.groups) - self.unfreezing.heads
        trained: Network = network
        if only_head and not changing:
            train = FeatureInputs(shared_features(network, train, processes))
            if len(validation):
                validation = FeatureInputs(shared_features(network, validation, processes))
            trained = FrozenBody(network)
        freeze(network, self.unfreezing.groups, first)
        scores = processes.wrapped(Scores(trained, processes.device.type, bf16))
        return _Part(first, trained, scores, train, validation)


def validation_metrics(logits: Tensor, rows: Rows, objective: Objective, epoch: int) -> dict[str, float]:
    """`val/loss`, `val/macro_f1` and `val/balanced_accuracy` of scores (n, k) of rows."""
    guesses = outcomes(rows.codes, logits.argmax(dim=1).numpy(), logits.shape[1], rows.weight)
    losses = objective.row_losses(logits, torch.as_tensor(rows.codes), epoch)
    return {
        "val/loss": float(mean_loss(losses, None if rows.weight is None else torch.as_tensor(rows.weight))),
        "val/macro_f1": float(macro_f1(guesses)),
        "val/balanced_accuracy": float(balanced_accuracy(guesses)),
    }


@dataclass(frozen=True)
class _Part:
    """The part of a network that is computed in every step from a layer group on, and what it is fed.

    `scores` is the network for training, averaging gradients over processes.
    """

    first: int
    network: Network
    scores: nn.Module
    train: Inputs
    validation: Inputs


def _epoch_seed(seed: int, epoch: int, process: int) -> int:
    """Seed of dropout in an epoch; another one in each process."""
    entropy = [seed, epoch] if process == 0 else [seed, epoch, process]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)
