"""From a network and rows to a fitted network: all of it trained, and then its head anew where that is asked.

Either way the loss is filled in from the training rows, as the batches show them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from evenly.classifiers.classifier import FitSummary, Log
from evenly.classifiers.devices import Processes
from evenly.classifiers.networks.modalities import CosineHead
from evenly.classifiers.networks.network import Inputs, Network
from evenly.classifiers.training.loop import Training, train_network
from evenly.classifiers.training.losses import build_objective
from evenly.classifiers.training.sampling import Batches, Mixture, epoch_batches
from evenly.classifiers.training.schedule import freeze
from evenly.classifiers.training.steps import FeatureInputs, FrozenBody, Rows, shared_features
from evenly.classifiers.weights import rows_per_class
from evenly.errors import ModelError
from evenly.params.training import UnfreezeSettings
from evenly.plans import TrainPlan


@dataclass(frozen=True)
class Fit:
    """What a fit came to: the class prior that the scores now carry, float64 (k,), and a summary."""

    prior: np.ndarray
    summary: FitSummary


def fit_network(
    network: Network,
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
    network, plan, classes
        Inputs to scores (n, k); loss, sampler, optimisation and seed; class names in order.
    train, validation, log
        As for `train_network`.
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
    weight = train.weight
    if mixture is not None:
        shares = mixture.shares(len(train.codes))
        weight = shares if weight is None else shares * weight
    counts = rows_per_class(train.codes, len(classes), weight)
    objective = build_objective(plan.loss, plan.losses, classes, counts, plan.sampler, plan.training.epochs)
    batches = _planned_batches(train, mixture, plan)
    training = train_network(
        network, objective, train, validation, plan.training, plan.seed, log, batches, checkpoints
    )
    first = Fit(objective.effective_prior(training.best), _summary(training))
    if strata is None:
        return first
    return _retrained_head(network, plan, classes, train, validation, log, strata, first.summary.steps)


def start_at_class_means(network: Network, inputs: Inputs, codes: np.ndarray) -> None:
    """Let the vectors of a cosine head be the mean features of the classes, as far as these have rows.

    References
    ----------
    Shi et al., Long-Tail Learning with Foundation Model, ICML 2024 (2309.10019), section 4.3.
    """
    *before, last = network.head if isinstance(network.head, nn.Sequential) else [network.head]
    if not isinstance(last, CosineHead):
        raise TypeError("the head gives no cosines")
    features = shared_features(network, inputs, Processes())
    with torch.no_grad():
        for layer in before:
            features = layer(features)
        unit = functional.normalize(features.float())
        rows = torch.as_tensor(codes, device=unit.device)
        for code in np.unique(codes):
            last.weight[code] = functional.normalize(unit[rows == code].mean(dim=0), dim=0)


def balanced_strata(plan: TrainPlan, codes: np.ndarray, attributes: np.ndarray | None) -> np.ndarray | None:
    """What the batches for the head show equally often, int64 (n,); None where it is not trained anew.

    `retrain_head: class` balances classes, `group` pairs of class and spurious attribute, of which unknown is
    a value like others.

    Raises
    ------
    ModelError
        When groups shall be balanced and no row says which it belongs to.
    """
    if plan.training.retrain_head == "none":
        return None
    if plan.training.retrain_head == "class":
        return codes
    if attributes is None or all(value is None for value in attributes):
        raise ModelError(
            "train.retrain_head is group, but no training row has a spurious attribute; name its column "
            "in datasets.yaml (columns: attribute), or use retrain_head: class."
        )
    pairs = list(zip(codes.tolist(), attributes.tolist(), strict=True))
    numbers = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
    return np.array([numbers[pair] for pair in pairs], dtype=np.int64)


def _retrained_head(
    network: Network,
    plan: TrainPlan,
    classes: tuple[str, ...],
    train: Rows,
    validation: Rows,
    log: Log,
    strata: np.ndarray,
    epochs: int,
) -> Fit:
    """Train the head of a fitted network on, on balanced batches, after so many epochs of the whole.

    Everything before the head stays as it is, so that the features of all rows are computed once. The head
    starts from what it is; the loss and the optimisation are those of the plan.

    References
    ----------
    Kirichenko et al., Last Layer Re-Training is Sufficient for Robustness to Spurious Correlations, ICLR 2023
    (2204.02937); Kang et al., Decoupling Representation and Classifier, ICLR 2020 (1910.09217).
    """
    settings = plan.training.model_copy(update={"unfreeze": UnfreezeSettings(method="all"), "warmup": 0.0})
    counts = rows_per_class(train.codes, len(classes), train.weight)
    objective = build_objective(
        plan.loss,
        plan.losses,
        classes,
        counts,
        plan.sampler,
        settings.epochs,
        batch_counts=_balanced_counts(strata, train.codes, counts),
    )
    seed = int(np.random.SeedSequence([plan.seed, 1]).generate_state(1)[0])
    batches = partial(
        epoch_batches, strata, "class_balanced", settings.batch_size, settings.min_steps_per_epoch, seed
    )
    groups = network.parameter_groups()
    freeze(network, groups, sum(group.role == "body" for group in groups))
    processes = Processes()
    features = FeatureInputs(shared_features(network, train.inputs, processes))
    held_out = validation.inputs
    if len(held_out):
        held_out = FeatureInputs(shared_features(network, held_out, processes))

    def later(step: int, metrics: Mapping[str, float]) -> None:
        log(epochs + step, metrics)

    training = train_network(
        FrozenBody(network),
        objective,
        Rows(features, train.codes, train.weight),
        Rows(held_out, validation.codes),
        settings,
        seed,
        later,
        batches,
    )
    freeze(network, groups, 0)
    network.eval()
    return Fit(objective.effective_prior(training.best), _summary(training, epochs))


def _summary(training: Training, earlier: int = 0) -> FitSummary:
    """Summary of a training that came after so many epochs of another."""
    steps = earlier + len(training.history)
    return FitSummary(earlier + training.best, steps, training.history[training.best])


def _balanced_counts(strata: np.ndarray, codes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Rows of each class that batches show when all strata are drawn alike; the sum is that of `counts`."""
    _, first = np.unique(strata, return_index=True)
    shares = np.bincount(codes[first], minlength=len(counts))
    balanced: np.ndarray = counts.sum() * shares / shares.sum()
    return balanced


def _planned_batches(train: Rows, mixture: Mixture | None, plan: TrainPlan) -> Batches:
    """Batches of the rows that the sampler, or a mixture, shows in each epoch."""
    lengths, training = train.inputs.lengths, plan.training

    def batches(epoch: int) -> list[np.ndarray]:
        total = len(train.codes)
        rows = np.arange(total) if mixture is None else mixture.rows(total, plan.seed, epoch)
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
