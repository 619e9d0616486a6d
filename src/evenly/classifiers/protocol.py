"""What every classifier can do, whatever it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from evenly.samples import SampleTable, Schema

if TYPE_CHECKING:
    import numpy as np

    from evenly.classifiers.sampling import Mixture
    from evenly.plans import TrainPlan


class Log(Protocol):
    """Receives the numbers of a fit: once an epoch for networks, once at the end for other models."""

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take the metrics of a step, counted from 0. Names have the form `train/loss`, `val/macro_f1`."""


def no_log(step: int, metrics: Mapping[str, float]) -> None:
    """Forget the metrics."""


@dataclass(frozen=True)
class FitSummary:
    """What a fit came to.

    Attributes
    ----------
    best_step
        The epoch (networks, from 0) or boosting round whose state was kept; None where a model has no steps.
    steps
        Epochs or boosting rounds that were run; 0 where a model has no steps.
    metrics
        Train and validation metrics of what was kept: `train/loss`, `val/loss`, `val/macro_f1`,
        `val/balanced_accuracy` and so on. Without validation rows there are none of the latter.
    notes
        What was done otherwise than asked, and why, each one sentence.
    """

    best_step: int | None
    steps: int
    metrics: dict[str, float]
    notes: tuple[str, ...] = field(default=())


class Classifier(Protocol):
    """Fits sample tables and gives class probabilities.

    `save` writes a folder that stands alone (the featurizer is in it), and
    `evenly.classifiers.load_classifier` reads it back.
    """

    @property
    def schema(self) -> Schema:
        """Of the samples that it takes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; column j of every probability matrix is class j, also if training saw no row of it."""

    @property
    def effective_prior(self) -> np.ndarray:
        """The class prior that the scores carry, float64 (k,), positive, sums to 1.

        The class shares of the training table, changed by the sampler and by a loss that weighs or adjusts:
        what a score is to be divided by when the model is used under another prior. A class without a
        training row counts as half a row.
        """

    def fit(
        self,
        train: SampleTable,
        validation: SampleTable,
        log: Log = no_log,
        sample_weight: np.ndarray | None = None,
        checkpoints: Path | None = None,
    ) -> FitSummary:
        """Fit on the training rows; the validation rows choose when to stop and nothing else.

        Parameters
        ----------
        train
            Rows of at least two classes.
        validation
            May be empty: then all epochs or rounds are run and the last is kept.
        log
            Receives metrics while fitting.
        sample_weight
            Non-negative weight of each training row, float (n,), or None for one each.
        checkpoints
            Folder for the state after every epoch, from which a fit that was killed goes on; the caller
            removes it when it has the model. Models that are not trained in epochs leave it alone.

        Raises
        ------
        ModelError
            When the rows cannot train the model, naming what is missing.
        """

    def predict_proba(self, samples: SampleTable) -> np.ndarray:
        """Class probabilities, float64 (n, k); rows sum to 1."""

    def save(self, folder: str | Path) -> None:
        """Write the model as a folder, atomically; the same fit gives the same bytes."""


@runtime_checkable
class FurtherTrainable(Protocol):
    """A classifier whose fitted network can be trained on."""

    def fit_further(
        self,
        plan: TrainPlan,
        train: SampleTable,
        validation: SampleTable,
        mixture: Mixture,
        log: Log = no_log,
        sample_weight: np.ndarray | None = None,
        checkpoints: Path | None = None,
    ) -> FitSummary:
        """Train the fitted network on as another plan asks; from here on that is the classifier's plan.

        Parameters
        ----------
        plan
            With the same model and head; other rates, batches, epochs.
        train
            Original rows, then hard ones.
        mixture
            Which of them an epoch shows.
        validation, log, sample_weight, checkpoints
            As for `Classifier.fit`.
        """
