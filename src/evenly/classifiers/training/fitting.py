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
from evenly.classifiers.training.loop import Training, train_network, validation_metrics
from evenly.classifiers.training.losses import Objective, build_objective
from evenly.classifiers.training.reweighting import refit_by_doubt, unseen_rows
from evenly.classifiers.training.sampling import Batches, Mixture, epoch_batches
from evenly.classifiers.training.schedule import freeze
from evenly.classifiers.training.steps import FeatureInputs, FrozenBody, Rows, predict_logits, shared_features
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
    families: np.ndarray | None = None,
    groups: np.ndarray | None = None,
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
    families
        Numbers of the training rows, int64 (n,), the same for copies and offspring of a row, which
        `retrain_head: afr` never parts; None where there are none.
    groups
        Numbers of the groups of the validation rows, int64 (n,), which settle `afr`; None where unknown.
    mixture
        Which of the training rows an epoch shows, drawn uniformly; None leaves it to the sampler.
    checkpoints
        Folder for the state after every epoch, from which a training that was killed goes on; None keeps
        none.
    """
    strata = balanced_strata(plan, train.codes, attributes)
    kept = np.arange(len(train.codes))
    held = kept[:0]
    if plan.training.retrain_head == "afr":
        unseen = unseen_rows(train.codes, kept if families is None else families, plan.seed)
        held, kept = kept[unseen], kept[~unseen]
    weight = train.weight
    if mixture is not None:
        shares = mixture.shares(len(train.codes))
        weight = shares if weight is None else shares * weight
    counts = rows_per_class(train.codes[kept], len(classes), None if weight is None else weight[kept])
    objective = build_objective(plan.loss, plan.losses, classes, counts, plan.sampler, plan.training.epochs)
    batches = _planned_batches(train, kept, mixture, plan)
    training = train_network(
        network, objective, train, validation, plan.training, plan.seed, log, batches, checkpoints
    )
    first = Fit(objective.effective_prior(training.best), _summary(training))
    if strata is None and not len(held):
        return first
    stage = _HeadStage(network, plan, classes, log, first.summary.steps)
    return (
        stage.balanced(train, validation, strata)
        if strata is not None
        else stage.afr(train, validation, held, groups)
    )


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
    if plan.training.retrain_head in ("none", "afr"):
        return None
    if plan.training.retrain_head == "class":
        return codes
    pairs = pair_numbers(codes, attributes)
    if pairs is None:
        raise ModelError(
            "train.retrain_head is group, but no training row has a spurious attribute; name its column "
            "in datasets.yaml (columns: attribute), or use retrain_head: class."
        )
    return pairs


def pair_numbers(codes: np.ndarray, attributes: np.ndarray | None) -> np.ndarray | None:
    """Numbers of the pairs of class and spurious attribute, int64 (n,); None where no row has one."""
    if attributes is None or all(value is None for value in attributes):
        return None
    pairs = list(zip(codes.tolist(), attributes.tolist(), strict=True))
    numbers = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
    return np.array([numbers[pair] for pair in pairs], dtype=np.int64)


@dataclass(frozen=True)
class _HeadStage:
    """The head of a fitted network is trained on, after so many `epochs` of the whole.

    Everything before the head stays as it is, so that the features of all rows are computed once. The head
    starts from what it is; the loss and the optimisation are those of the plan.
    """

    network: Network
    plan: TrainPlan
    classes: tuple[str, ...]
    log: Log
    epochs: int

    def balanced(self, train: Rows, validation: Rows, strata: np.ndarray) -> Fit:
        """Train on batches that show all strata, int64 (n,), equally often.

        References
        ----------
        Kirichenko et al., Last Layer Re-Training is Sufficient for Robustness to Spurious Correlations, ICLR
        2023 (2204.02937); Kang et al., Decoupling Representation and Classifier, ICLR 2020 (1910.09217).
        """
        counts = rows_per_class(train.codes, len(self.classes), train.weight)
        shown = _balanced_counts(strata, train.codes, counts)
        return self._fit(
            self._featured(train), self._featured(validation), self._objective(counts, shown), strata
        )

    def afr(self, train: Rows, validation: Rows, held: np.ndarray, groups: np.ndarray | None) -> Fit:
        """Fit to the rows `held` out of the training, by doubt; validation groups, int64 (n,), choose."""
        features, watched = self._featured(train), self._featured(validation)
        own = None if train.weight is None else train.weight[held]
        rows = Rows(FeatureInputs(features.inputs.batch(held, Processes().device)), train.codes[held], own)
        head = FrozenBody(self.network)
        found = refit_by_doubt(head, self.plan, self.classes, rows, watched, groups)
        epoch = self.plan.training.epochs - 1
        metrics = {"train/loss": found.loss}
        if len(watched.codes):
            logits = predict_logits(head, watched.inputs)
            metrics |= validation_metrics(logits, watched, found.objective, epoch)
        self.log(self.epochs, metrics)
        by = "the worst group of the validation rows" if groups is not None else "validation rows in doubt"
        notes = (f"The head was fitted again with {found.choice}, by {by}.",)
        summary = FitSummary(self.epochs, self.epochs + 1, metrics, notes)
        return Fit(found.objective.effective_prior(epoch), summary)

    def _featured(self, rows: Rows) -> Rows:
        groups = self.network.parameter_groups()
        freeze(self.network, groups, sum(group.role == "body" for group in groups))
        if not len(rows.inputs):
            return rows
        return Rows(
            FeatureInputs(shared_features(self.network, rows.inputs, Processes())), rows.codes, rows.weight
        )

    def _objective(self, counts: np.ndarray, shown: np.ndarray | None = None) -> Objective:
        plan = self.plan
        return build_objective(
            plan.loss,
            plan.losses,
            self.classes,
            counts,
            plan.sampler,
            plan.training.epochs,
            batch_counts=shown,
        )

    def _fit(
        self,
        train: Rows,
        validation: Rows,
        objective: Objective,
        strata: np.ndarray | None,
    ) -> Fit:
        """Train the head on features; batches show all strata alike, or all rows."""
        update = {"unfreeze": UnfreezeSettings(method="all"), "warmup": 0.0}
        settings = self.plan.training.model_copy(update=update)
        seed = int(np.random.SeedSequence([self.plan.seed, 1]).generate_state(1)[0])
        batches = partial(
            epoch_batches,
            train.codes if strata is None else strata,
            self.plan.sampler if strata is None else "class_balanced",
            settings.batch_size,
            settings.min_steps_per_epoch,
            seed,
        )

        def later(step: int, metrics: Mapping[str, float]) -> None:
            self.log(self.epochs + step, metrics)

        training = train_network(
            FrozenBody(self.network), objective, train, validation, settings, seed, later, batches
        )
        freeze(self.network, self.network.parameter_groups(), 0)
        self.network.eval()
        return Fit(objective.effective_prior(training.best), _summary(training, self.epochs))


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


def _planned_batches(train: Rows, kept: np.ndarray, mixture: Mixture | None, plan: TrainPlan) -> Batches:
    """Batches of those of the rows `kept` that the sampler, or a mixture, shows in each epoch."""
    lengths, training = train.inputs.lengths, plan.training

    def batches(epoch: int) -> list[np.ndarray]:
        total = len(train.codes)
        rows = kept
        if mixture is not None:
            rows = mixture.rows(total, plan.seed, epoch)
            rows = rows[np.isin(rows, kept)]
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
