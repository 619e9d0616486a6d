"""Encoders of texts as classifiers: texts cut into tokens once, and the network that the plan names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import PreTrainedModel

from evenly.classifiers.classifier import REMEDY, texts_of
from evenly.classifiers.devices import deterministic
from evenly.classifiers.networkclassifier import NetworkClassifier
from evenly.classifiers.networks.modalities import Pooling, TextNetwork
from evenly.classifiers.networks.network import Inputs
from evenly.errors import ModelError
from evenly.features.pretrained import (
    Tokens,
    config_values,
    load_network,
    load_tokenizer,
    network_from_config,
    pretrained_folder,
    sentence_pooling,
    token_limit,
    tokenised,
)
from evenly.files import read_json, write_json
from evenly.params.models import ScratchSettings, TransformerSettings
from evenly.plans import TrainPlan
from evenly.samples import SampleTable, Schema

_NO_TEXT = (
    "has a vector but no text, which transformer cannot read; use a recipe that makes texts, or a vector "
    "model such as logistic_regression."
)

CONFIG = "encoder.json"
TOKENIZER = "tokenizer.json"
KEY = "models.transformer.pretrained"
#: Of a vocabulary of our own.
PAD, FIRST, LAST = 0, 1, 2
_MARKS = ("[PAD]", "[CLS]", "[SEP]")


class TextInputs(Inputs):
    """Tokenised texts."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.lengths = tokens.lengths

    def __len__(self) -> int:
        return len(self.tokens)

    def batch(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """Tokens of these rows on a device, int64 (m, longest of them), negative where padded."""
        return torch.from_numpy(self.tokens.padded(rows)).to(device)


@dataclass(frozen=True, eq=False)
class Reader:
    """How texts become tokens: the encoder's tokenizer, its padding token, and the most tokens of a text."""

    tokenizer: Tokenizer
    pad: int
    max_length: int


class TextClassifier(NetworkClassifier):
    """An encoder with a head on texts.

    Parameters
    ----------
    plan
        With the model `transformer`.
    schema
        Of the samples.
    """

    def __init__(self, plan: TrainPlan, schema: Schema) -> None:
        super().__init__(plan, schema)
        self._reader: Reader | None = None

    @property
    def reader(self) -> Reader:
        """How its texts become tokens."""
        if self._reader is None:
            raise RuntimeError("the classifier has not been fitted")
        return self._reader

    def _started(self, train: SampleTable) -> tuple[TextNetwork, TextInputs]:
        texts = texts_of(train, _NO_TEXT)
        with deterministic(self.plan.seed):
            settings = self._settings
            if settings.pretrained is None:
                tokenizer = trained_tokenizer(texts, settings.scratch.vocabulary)
                config = _small_config(settings.scratch, tokenizer.get_vocab_size(), settings.max_length)
                encoder, pad, limit = network_from_config(config), PAD, settings.max_length
                pooling: Pooling = "first" if settings.pooling == "first" else "mean"
            else:
                folder = pretrained_folder(settings.pretrained, KEY)
                tokenizer, pad, longest = load_tokenizer(folder, KEY)
                encoder = load_network(folder, KEY)
                limits = (settings.max_length, longest, token_limit(encoder))
                limit = min(n for n in limits if n is not None)
                pooling = sentence_pooling(folder) if settings.pooling == "auto" else settings.pooling
            self._reader = Reader(tokenizer, pad, limit)
            network = self._with_head(encoder, pooling)
        return network, self._inputs(train)

    def _inputs(self, samples: SampleTable, training: bool = False) -> TextInputs:
        return TextInputs(
            tokenised(texts_of(samples, _NO_TEXT), self.reader.tokenizer, self.reader.max_length)
        )

    def _notes(self, inputs: Inputs) -> tuple[str, ...]:
        assert isinstance(inputs, TextInputs)
        cut, read = int(inputs.tokens.cut.sum()), self.reader.max_length
        if not cut:
            return ()
        raised = " (models.transformer.max_length)" if read == self._settings.max_length else ""
        return (f"{cut:,} of {len(inputs):,} training texts are cut after {read} tokens{raised}.",)

    def _saved_parts(self, folder: Path) -> dict[str, Any]:
        reader, network = self.reader, self.network
        assert isinstance(network, TextNetwork)
        write_json(config_values(network.encoder.config), folder / CONFIG)
        # A tokenizer remembers the cutting and padding that it was last asked for.
        reader.tokenizer.no_truncation()
        reader.tokenizer.no_padding()
        (folder / TOKENIZER).write_text(str(reader.tokenizer.to_str(pretty=False)), encoding="utf-8")
        details = {"pad": reader.pad, "max_length": reader.max_length, "pooling": network.pooling}
        return super()._saved_parts(folder) | details

    def _rebuilt(self, details: Mapping[str, Any], folder: Path) -> TextNetwork:
        try:
            tokenizer = Tokenizer.from_str((folder / TOKENIZER).read_text(encoding="utf-8"))
            encoder = network_from_config(read_json(folder / CONFIG))
        except FileNotFoundError as error:
            raise ModelError(f"{error.filename} does not exist; {REMEDY}.") from None
        except Exception as error:  # of the tokenizer, or of a config
            raise ModelError(f"{folder} is damaged ({error}); {REMEDY}.") from error
        self._reader = Reader(tokenizer, details["pad"], details["max_length"])
        return self._with_head(encoder, details["pooling"])

    def _with_head(self, encoder: PreTrainedModel, pooling: Pooling) -> TextNetwork:
        settings, classes = self._settings, len(self.classes)
        pad = self.reader.pad
        return TextNetwork(
            encoder, pad, pooling, settings.head, classes, settings.dropout, self.plan.cosine_scale
        )

    @property
    def _settings(self) -> TransformerSettings:
        if not isinstance(self.plan.settings, TransformerSettings):
            raise TypeError(f"{self.plan.settings.kind} is no network for texts")
        return self.plan.settings


def trained_tokenizer(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Byte pairs merged by frequency in the texts, whose order does not matter.

    Every text of every language has tokens: what was never seen is spelt byte by byte, and 256 of the
    `vocabulary` tokens are the bytes.

    References
    ----------
    Sennrich et al., Neural Machine Translation of Rare Words with Subword Units, ACL 2016 (1508.07909); on
    bytes as in GPT-2.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=list(_MARKS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(texts), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", FIRST), ("[SEP]", LAST)]
    )
    return tokenizer


def _small_config(settings: ScratchSettings, vocabulary: int, longest: int) -> dict[str, Any]:
    """Config of a small BERT, as `evenly.features.pretrained.network_from_config` takes it."""
    return {
        "model_type": "bert",
        "vocab_size": vocabulary,
        "hidden_size": settings.width,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads,
        "intermediate_size": 4 * settings.width,
        "max_position_embeddings": longest,
        "type_vocab_size": 1,
        "pad_token_id": PAD,
    }
