"""From a network and rows to a fitted network: what image and text classifiers have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from torch import nn

from evenly.classifiers.head import balanced_strata, retrain_head
from evenly.classifiers.objective import build_objective
from evenly.classifiers.protocol import FitSummary, Log
from evenly.classifiers.sampling import Mixture, epoch_batches
from evenly.classifiers.training import Batches, Rows, train_network
from evenly.classifiers.weights import rows_per_class
from evenly.plans import TrainPlan


@dataclass(frozen=True)
class Fit:
    """What a fit came to: the class prior that the scores now carry, float64 (k,), and a summary."""

    prior: np.ndarray
    summary: FitSummary


def fit_network(
    network: nn.Module,
    plan: TrainPlan,
    classes: tuple[str, ...],
    train: Rows,
    validation: Rows,
    log: Log,
    attributes: np.ndarray | None = None,
    mixture: Mixture | None = None,
    checkpoints: Path | None = None,
) -> Fit:
    """Train a network in place as a plan asks, and leave it with the state of its best epoch.

    Parameters
    ----------
    network
        Inputs to scores (n, k); see `evenly.classifiers.network` for what else it may offer.
    plan
        Loss, sampler, optimisation and seed.
    classes
        Class names in order.
    train, validation
        Rows with their classes.
    log
        Receives the metrics of every epoch.
    attributes
        Spurious attribute of each training row, object (n,), None where unknown: what `retrain_head: group`
        balances.
    mixture
        Which of the training rows an epoch shows, drawn uniformly; None leaves it to the sampler.
    checkpoints
        Folder for the state after every epoch, from which a training that was killed goes on; None keeps
        none.
    """
    strata = balanced_strata(plan, train.codes, attributes)
    weight, batches = train.weight, None
    if mixture is not None:
        shares = mixture.shares(len(train.codes))
        weight = shares if weight is None else shares * weight
        batches = _mixed_batches(train, mixture, plan)
    counts = rows_per_class(train.codes, len(classes), weight)
    objective = build_objective(plan.loss, plan.losses, classes, counts, plan.sampler, plan.training.epochs)
    trained = train_network(
        network,
        objective,
        train,
        validation,
        plan.training,
        plan.sampler,
        plan.seed,
        log,
        batches=batches,
        checkpoints=checkpoints,
    )
    prior = objective.effective_prior(trained.best)
    summary = FitSummary(trained.best, len(trained.history), trained.history[trained.best])
    if strata is None:
        return Fit(prior, summary)
    shifted = partial(_shifted, log, summary.steps)
    head = retrain_head(network, plan, classes, train, validation, shifted, strata)
    best = summary.steps + head.trained.best
    steps = summary.steps + len(head.trained.history)
    return Fit(head.prior, FitSummary(best, steps, head.trained.history[head.trained.best]))


def _shifted(log: Log, by: int, step: int, metrics: Mapping[str, float]) -> None:
    log(step + by, metrics)


def _mixed_batches(train: Rows, mixture: Mixture, plan: TrainPlan) -> Batches:
    """Batches of the rows that a mixture shows in each epoch."""
    lengths: np.ndarray | None = getattr(train.inputs, "lengths", None)
    training = plan.training

    def batches(epoch: int) -> list[np.ndarray]:
        rows = mixture.rows(len(train.codes), plan.seed, epoch)
        positions = epoch_batches(
            train.codes[rows],
            plan.sampler,
            training.batch_size,
            training.min_steps_per_epoch,
            plan.seed,
            epoch,
            None if lengths is None else lengths[rows],
        )
        return [rows[batch] for batch in positions]

    return batches
