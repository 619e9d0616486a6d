"""Encoders of texts as classifiers: tokens once, the network that the plan names, fitting, saving."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PreTrainedModel

from evenly.classifiers.fitting import fit_network
from evenly.classifiers.networkfiles import WEIGHTS, load_weights, save_weights
from evenly.classifiers.networks.text_transformer import Pooling, TextNetwork
from evenly.classifiers.protocol import FitSummary, Log, no_log
from evenly.classifiers.sampling import Mixture
from evenly.classifiers.storage import Manifest, library_versions, write_manifest
from evenly.classifiers.threads import pinned_threads
from evenly.classifiers.training import Rows, deterministic, place, predict_logits
from evenly.classifiers.vocabulary import PAD, small_config, trained_tokenizer
from evenly.classifiers.weights import check_rows
from evenly.errors import ModelError
from evenly.features.pretrained import (
    config_values,
    load_network,
    load_tokenizer,
    network_from_config,
    pretrained_folder,
    sentence_pooling,
    token_limit,
)
from evenly.features.tokens import Tokens, tokenised
from evenly.files import atomic_folder, read_json, write_json
from evenly.params.models import TransformerSettings
from evenly.plans import TrainPlan
from evenly.samples import SampleTable, Schema

CONFIG = "encoder.json"
TOKENIZER = "tokenizer.json"
KEY = "models.transformer.pretrained"


@dataclass(frozen=True, eq=False)
class TextInputs:
    """Tokenised texts that a network takes by position."""

    tokens: Tokens

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text, int64 (n,)."""
        return self.tokens.lengths

    def batch(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """Tokens of these rows on a device, int64 (m, longest of them), negative where padded."""
        return torch.from_numpy(self.tokens.padded(rows)).to(device)


@dataclass(frozen=True, eq=False)
class Reader:
    """How texts become tokens.

    Attributes
    ----------
    tokenizer
        Of the encoder.
    pad
        The token that stands for nothing.
    max_length
        The most tokens of a text.
    """

    tokenizer: Tokenizer
    pad: int
    max_length: int

    def inputs(self, samples: SampleTable) -> TextInputs:
        """Tokens of all texts."""
        return TextInputs(tokenised(_texts(samples), self.tokenizer, self.max_length))


class TextClassifier:
    """An encoder with a head on texts, as an `evenly.classifiers.protocol.Classifier`.

    Parameters
    ----------
    plan
        With the model `transformer`.
    schema
        Of the samples.
    """

    def __init__(self, plan: TrainPlan, schema: Schema) -> None:
        self.plan = plan
        self.schema = schema
        self._reader: Reader | None = None
        self._network: TextNetwork | None = None
        self._prior: np.ndarray | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in order."""
        return self.schema.classes

    @property
    def effective_prior(self) -> np.ndarray:
        """The class prior that the scores carry, float64 (k,)."""
        if self._prior is None:
            raise RuntimeError("the classifier has not been fitted")
        return self._prior

    @property
    def network(self) -> TextNetwork:
        """The fitted network."""
        if self._network is None:
            raise RuntimeError("the classifier has not been fitted")
        return self._network

    @property
    def reader(self) -> Reader:
        """How its texts become tokens."""
        if self._reader is None:
            raise RuntimeError("the classifier has not been fitted")
        return self._reader

    def fit(
        self,
        train: SampleTable,
        validation: SampleTable,
        log: Log = no_log,
        sample_weight: np.ndarray | None = None,
        checkpoints: Path | None = None,
    ) -> FitSummary:
        """Fine-tune the encoder and train the head; see `Classifier.fit`."""
        check_rows(train)
        texts = _texts(train)
        with pinned_threads(self.plan.threads):
            with deterministic(self.plan.seed):
                network, self._reader = build_network(self.plan, len(self.classes), texts)
            place(network)
            return self._train(network, train, validation, log, sample_weight, checkpoints)

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
        """Train the fitted network on; see `FurtherTrainable.fit_further`."""
        self.plan = plan
        with pinned_threads(plan.threads):
            return self._train(self.network, train, validation, log, sample_weight, checkpoints, mixture)

    def predict_proba(self, samples: SampleTable) -> np.ndarray:
        """Class probabilities, float64 (n, k)."""
        if not len(samples):
            return np.zeros((0, len(self.classes)))
        with pinned_threads(self.plan.threads):
            logits = predict_logits(self.network, self.reader.inputs(samples))
        return torch.softmax(logits.double(), dim=1).numpy()

    def save(self, folder: str | Path) -> None:
        """Write `model.json`, the encoder's config, the tokenizer and all weights, atomically."""
        details = {"pad": self.reader.pad, "max_length": self.reader.max_length}
        manifest = Manifest(
            self.plan,
            self.schema,
            self.effective_prior,
            library_versions("torch", "transformers", "tokenizers"),
            details | {"pooling": self.network.pooling},
        )
        with atomic_folder(folder) as temporary:
            write_manifest(manifest, temporary)
            write_json(config_values(self.network.encoder.config), temporary / CONFIG)
            (temporary / TOKENIZER).write_text(_bare(self.reader.tokenizer), encoding="utf-8")
            save_weights(self.network, temporary)

    @classmethod
    def load(cls, manifest: Manifest, folder: Path) -> TextClassifier:
        """Read what `save` wrote, without a network.

        Raises
        ------
        ModelError
            When a part is missing or does not belong to this model.
        """
        classifier = cls(manifest.plan, manifest.schema)
        details = manifest.details
        try:
            tokenizer = Tokenizer.from_str((folder / TOKENIZER).read_text(encoding="utf-8"))
            encoder = network_from_config(read_json(folder / CONFIG))
        except FileNotFoundError as error:
            raise ModelError(f"{error.filename} does not exist; train the model again.") from None
        except Exception as error:  # of the tokenizer, or of a config
            raise ModelError(f"{folder} is damaged ({error}); train the model again.") from error
        network = _with_head(
            manifest.plan, encoder, details["pad"], details["pooling"], len(manifest.schema.classes)
        )
        load_weights(network, folder / WEIGHTS)
        place(network)
        classifier._network = network.eval()
        classifier._reader = Reader(tokenizer, details["pad"], details["max_length"])
        classifier._prior = manifest.effective_prior
        return classifier

    def _train(
        self,
        network: TextNetwork,
        train: SampleTable,
        validation: SampleTable,
        log: Log,
        sample_weight: np.ndarray | None,
        checkpoints: Path | None,
        mixture: Mixture | None = None,
    ) -> FitSummary:
        inputs = self.reader.inputs(train)
        fit = fit_network(
            network,
            self.plan,
            self.classes,
            Rows(inputs, train.codes, sample_weight),
            Rows(self.reader.inputs(validation), validation.codes),
            log,
            attributes=train.column("attribute"),
            mixture=mixture,
            checkpoints=checkpoints,
        )
        self._network, self._prior = network, fit.prior
        return dataclasses.replace(fit.summary, notes=(*fit.summary.notes, *self._cut_note(inputs)))

    def _cut_note(self, inputs: TextInputs) -> tuple[str, ...]:
        cut = int(inputs.tokens.cut.sum())
        if not cut:
            return ()
        read = self.reader.max_length
        raised = " (models.transformer.max_length)" if read == _settings(self.plan).max_length else ""
        return (f"{cut:,} of {len(inputs):,} training texts are cut after {read} tokens{raised}.",)


def build_network(plan: TrainPlan, classes: int, texts: list[str]) -> tuple[TextNetwork, Reader]:
    """Build the network of a plan before its training, and what reads its texts.

    Parameters
    ----------
    plan
        Model, its settings, and the loss, which decides on the head.
    classes
        k.
    texts
        Of the training rows: what a network from scratch gets its vocabulary from.

    Raises
    ------
    ModelError
        When pretrained weights cannot be had, saying what to do.
    """
    settings = _settings(plan)
    if settings.pretrained is None:
        tokenizer = trained_tokenizer(texts, settings.scratch.vocabulary)
        config = small_config(settings.scratch, tokenizer.get_vocab_size(), settings.max_length)
        encoder, pad, limit = network_from_config(config), PAD, settings.max_length
        pooling: Pooling = "first" if settings.pooling == "first" else "mean"
    else:
        folder = pretrained_folder(settings.pretrained, KEY)
        tokenizer, pad, longest = load_tokenizer(folder, KEY)
        encoder = load_network(folder, KEY)
        limits = (settings.max_length, longest, token_limit(encoder))
        limit = min(n for n in limits if n is not None)
        pooling = sentence_pooling(folder) if settings.pooling == "auto" else settings.pooling
    network = _with_head(plan, encoder, pad, pooling, classes)
    return network, Reader(tokenizer, pad, limit)


def _with_head(
    plan: TrainPlan, encoder: PreTrainedModel, pad: int, pooling: Pooling, classes: int
) -> TextNetwork:
    settings = _settings(plan)
    scale = plan.losses.ldam.scale if plan.loss == "ldam" else None
    return TextNetwork(encoder, pad, pooling, settings.head, classes, settings.dropout, scale)


def _settings(plan: TrainPlan) -> TransformerSettings:
    if not isinstance(plan.settings, TransformerSettings):
        raise TypeError(f"{plan.settings.kind} is no network for texts")
    return plan.settings


def _texts(samples: SampleTable) -> list[str]:
    texts: list[Any] = samples.texts
    missing = next((row for row, text in enumerate(texts) if text is None), None)
    if missing is not None:
        raise ModelError(
            f"Row {samples.ids[missing]!r} ({samples.origins[missing]}) has a vector but no text, which "
            "transformer cannot read; use a recipe that makes texts, or a vector model such as "
            "logistic_regression."
        )
    return texts


def _bare(tokenizer: Tokenizer) -> str:
    """Give a tokenizer as JSON, without the cutting and padding that it was last asked for."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return str(tokenizer.to_str(pretty=False))
