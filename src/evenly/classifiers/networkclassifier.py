"""What the networks have in common as classifiers: fitting, going on, scoring, saving and reading back.

How samples become inputs, and where the network comes from, is said by the classifiers of images and of
texts.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from evenly.classifiers.classifier import REMEDY, Classifier, FitSummary, Log, no_log
from evenly.classifiers.devices import pinned_threads, place
from evenly.classifiers.networks.network import Inputs, Network
from evenly.classifiers.training.fitting import fit_network, pair_numbers, start_at_class_means
from evenly.classifiers.training.sampling import Mixture
from evenly.classifiers.training.steps import Rows, predict_logits
from evenly.classifiers.weights import check_rows, families
from evenly.errors import ModelError
from evenly.plans import TrainPlan
from evenly.samples import SampleTable, Schema

WEIGHTS = "weights.safetensors"


class NetworkClassifier(Classifier):
    """A network, which can also be trained on.

    Parameters
    ----------
    plan
        With a network as its model.
    schema
        Of the samples.
    """

    def __init__(self, plan: TrainPlan, schema: Schema) -> None:
        super().__init__(plan, schema)
        self._network: Network | None = None

    @abstractmethod
    def _started(self, train: SampleTable) -> tuple[Network, Inputs]:
        """Build the network before its training, and give the training rows as it takes them."""

    @abstractmethod
    def _inputs(self, samples: SampleTable, training: bool = False) -> Inputs:
        """Samples as the network takes them; under the plan's transforms where they are trained on."""

    @abstractmethod
    def _rebuilt(self, details: Mapping[str, Any], folder: Path) -> Network:
        """Build the network of a saved model, without its weights."""

    def _notes(self, inputs: Inputs) -> tuple[str, ...]:
        """Say what was done otherwise than asked, given the training rows."""
        return ()

    @property
    def network(self) -> Network:
        """The fitted network."""
        if self._network is None:
            raise RuntimeError("the classifier has not been fitted")
        return self._network

    def fit(
        self,
        train: SampleTable,
        validation: SampleTable,
        log: Log = no_log,
        sample_weight: np.ndarray | None = None,
        checkpoints: Path | None = None,
    ) -> FitSummary:
        """Train the network; see `Classifier.fit`."""
        check_rows(train)
        with pinned_threads(self.plan.threads):
            network, inputs = self._started(train)
            place(network)
            if self.plan.training.head == "class_means":
                start_at_class_means(network, inputs, train.codes)
            return self._train(network, inputs, train, validation, log, sample_weight, checkpoints)

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
        self.plan = plan
        with pinned_threads(plan.threads):
            inputs = self._inputs(train, training=True)
            return self._train(
                self.network, inputs, train, validation, log, sample_weight, checkpoints, mixture
            )

    def _train(
        self,
        network: Network,
        inputs: Inputs,
        train: SampleTable,
        validation: SampleTable,
        log: Log,
        sample_weight: np.ndarray | None,
        checkpoints: Path | None,
        mixture: Mixture | None = None,
    ) -> FitSummary:
        fit = fit_network(
            network,
            self.plan,
            self.classes,
            Rows(inputs, train.codes, sample_weight),
            Rows(self._inputs(validation), validation.codes, validation.weights),
            log,
            attributes=train.column("attribute"),
            families=families(train),
            groups=pair_numbers(validation.codes, validation.column("attribute")),
            mixture=mixture,
            checkpoints=checkpoints,
        )
        self._network, self._prior = network, fit.prior
        return dataclasses.replace(fit.summary, notes=fit.summary.notes + self._notes(inputs))

    def predict_proba(self, samples: SampleTable) -> np.ndarray:
        """Class probabilities, float64 (n, k)."""
        if not len(samples):
            return np.zeros((0, len(self.classes)))
        with pinned_threads(self.plan.threads):
            logits = self._logits(samples)
        return torch.softmax(logits.double(), dim=1).numpy()

    def _logits(self, samples: SampleTable) -> torch.Tensor:
        """Scores of samples, at least one, float32 (n, k)."""
        return predict_logits(self.network, self._inputs(samples))

    def _saved_parts(self, folder: Path) -> dict[str, Any]:
        state = {name: value.cpu().contiguous() for name, value in self.network.state_dict().items()}
        save_file(state, folder / WEIGHTS)
        return {}

    def _restore(self, details: Mapping[str, Any], folder: Path) -> None:
        network, path = self._rebuilt(details, folder), folder / WEIGHTS
        try:
            network.load_state_dict(load_file(path))
        except FileNotFoundError:
            raise ModelError(f"{path} does not exist; {REMEDY}.") from None
        except (SafetensorError, OSError, RuntimeError) as error:
            first = str(error).strip().splitlines()[-1].strip()
            raise ModelError(
                f"{path} does not hold the weights of this model ({first}); train it again."
            ) from error
        place(network)
        self._network = network.eval()
