"""Training the head of a network anew, on batches in which every class or group counts alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import nn

from evenly.classifiers.network import FeatureNetwork, parameter_groups
from evenly.classifiers.objective import build_objective
from evenly.classifiers.processes import Processes
from evenly.classifiers.protocol import Log
from evenly.classifiers.sampling import epoch_batches
from evenly.classifiers.scoring import shared_features
from evenly.classifiers.steps import FeatureInputs, FrozenBody
from evenly.classifiers.training import Rows, Training, train_network
from evenly.classifiers.unfreezing import freeze
from evenly.classifiers.weights import rows_per_class
from evenly.errors import ModelError
from evenly.params.training import UnfreezeSettings
from evenly.plans import TrainPlan


@dataclass(frozen=True)
class RetrainedHead:
    """How the head was trained, and the class prior that scores carry since, float64 (k,)."""

    trained: Training
    prior: np.ndarray


def balanced_strata(plan: TrainPlan, codes: np.ndarray, attributes: np.ndarray | None) -> np.ndarray | None:
    """What the batches for the head show equally often, int64 (n,); None where it is not trained anew.

    Parameters
    ----------
    plan
        `retrain_head: class` balances classes, `group` pairs of class and spurious attribute.
    codes
        Classes of the training rows, int64 (n,).
    attributes
        Spurious attribute of each training row, object (n,); None where unknown, which is a value like
        others.

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
    return _group_codes(codes, attributes)


def retrain_head(
    network: nn.Module,
    plan: TrainPlan,
    classes: tuple[str, ...],
    train: Rows,
    validation: Rows,
    log: Log,
    strata: np.ndarray,
) -> RetrainedHead:
    """Train the head of a fitted network on, on balanced batches, and leave everything before it as it is.

    The features of all rows are computed once, so that this costs little beside the training before it. The
    head starts from what it is. The loss and the optimisation are those of the plan.

    Parameters
    ----------
    network
        Fitted; a `FeatureNetwork`.
    plan
        Loss and optimisation.
    classes
        Class names in order.
    train, validation
        Rows with their classes.
    log
        Receives the metrics of every epoch.
    strata
        What is drawn equally often; see `balanced_strata`.

    References
    ----------
    Kirichenko et al., Last Layer Re-Training is Sufficient for Robustness to Spurious Correlations, ICLR 2023
    (2204.02937); Kang et al., Decoupling Representation and Classifier, ICLR 2020 (1910.09217).
    """
    if not isinstance(network, FeatureNetwork):
        raise TypeError(f"{type(network).__name__} does not tell its head from its features")
    settings = plan.training.model_copy(update={"unfreeze": UnfreezeSettings(method="all"), "warmup": 0.0})
    counts = rows_per_class(train.codes, len(classes), train.weight)
    shown = _shown(strata, train.codes, counts)
    objective = build_objective(
        plan.loss, plan.losses, classes, counts, plan.sampler, settings.epochs, shown=shown
    )
    seed = int(np.random.SeedSequence([plan.seed, 1]).generate_state(1)[0])
    batches = partial(
        epoch_batches, strata, "class_balanced", settings.batch_size, settings.min_steps_per_epoch, seed
    )
    groups = parameter_groups(network)
    freeze(network, groups, sum(group.role == "body" for group in groups))
    processes = Processes()
    features = FeatureInputs(shared_features(network, train.inputs, processes))
    held_out = validation.inputs
    if len(held_out):
        held_out = FeatureInputs(shared_features(network, held_out, processes))
    trained = train_network(
        FrozenBody(network),
        objective,
        Rows(features, train.codes, train.weight),
        Rows(held_out, validation.codes),
        settings,
        plan.sampler,
        seed,
        log,
        batches=batches,
    )
    freeze(network, groups, 0)
    network.eval()
    return RetrainedHead(trained, objective.effective_prior(trained.best))


def _group_codes(codes: np.ndarray, attributes: np.ndarray) -> np.ndarray:
    """Number the pairs of class and attribute that occur, int64 (n,)."""
    pairs = list(zip(codes.tolist(), attributes.tolist(), strict=True))
    numbers = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
    return np.array([numbers[pair] for pair in pairs], dtype=np.int64)


def _shown(strata: np.ndarray, codes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Rows of each class that batches show when all strata are drawn alike; the sum is that of `counts`."""
    _, first = np.unique(strata, return_index=True)
    shares = np.bincount(codes[first], minlength=len(counts))
    shown: np.ndarray = counts.sum() * shares / shares.sum()
    return shown
