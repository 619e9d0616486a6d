"""The one training loop of all networks: batches in, the state of the best epoch out.

What an epoch does is in `run`, a step in `steps`, which rows it has in `sampling`, what is trained when in
`unfreezing`, and what survives a kill in `checkpoints`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from torch import nn

from evenly.classifiers.checkpoints import checkpoints_in
from evenly.classifiers.devices import deterministic, place, uses_bf16
from evenly.classifiers.network import Inputs
from evenly.classifiers.objective import Objective
from evenly.classifiers.protocol import Log
from evenly.classifiers.run import Batches, Run, Training
from evenly.classifiers.sampling import epoch_batches
from evenly.classifiers.scoring import predict_logits
from evenly.classifiers.steps import Rows
from evenly.params.training import SamplerName, TrainingSettings

__all__ = [
    "Batches",
    "Inputs",
    "Rows",
    "Training",
    "deterministic",
    "place",
    "predict_logits",
    "train_network",
    "uses_bf16",
]


def train_network(
    network: nn.Module,
    objective: Objective,
    train: Rows,
    validation: Rows,
    settings: TrainingSettings,
    sampler: SamplerName,
    seed: int,
    log: Log,
    *,
    batches: Batches | None = None,
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
    network
        Inputs to scores (n, k); see `evenly.classifiers.network` for what else it may offer.
    objective
        The loss.
    train, validation
        Rows with their classes. `validation` is never trained on.
    settings, sampler, seed
        From the plan.
    log
        Receives the metrics of every epoch, also of those that a checkpoint remembers.
    batches
        Gives the batches of an epoch; None draws them with the sampler.
    checkpoints
        Folder for the state after every epoch; None keeps none.

    Returns
    -------
    Training
        Metrics: `train/loss` (mean over the epoch's batches), `val/loss` (the same loss), `val/macro_f1`,
        `val/balanced_accuracy`, `learning_rate` and, where it is another, `head_learning_rate` (both before
        warm-up), `trainable_parameters`.
    """
    if batches is None:
        batches = partial(
            epoch_batches,
            train.codes,
            sampler,
            settings.batch_size,
            settings.min_steps_per_epoch,
            seed,
            lengths=getattr(train.inputs, "lengths", None),
        )
    run = Run(network, objective, train, validation, settings, batches, seed)
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
