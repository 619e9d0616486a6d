"""A text classifier as a network: an encoder, pooling, head. Where encoders come from is no matter here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from evenly.classifiers.network import ParameterGroup
from evenly.classifiers.networks.image_network import CosineHead
from evenly.classifiers.networks.layers import body_groups

Pooling = Literal["mean", "first"]

#: Tokens at once where nothing is trained: a large batch of long texts is computed in parts.
SCORED_TOKENS = 2**14


class TextNetwork(nn.Module):
    """`classify(features(tokens))`: scores (n, k) of token numbers int64 (n, length), negative where a row is
    padded.

    Parameters
    ----------
    encoder
        Gives a vector for every token.
    pad
        The token that stands in for padding.
    pooling
        A text's vector: the mean of those of its tokens, or the first.
    hidden
        Widths of the head's hidden layers.
    classes
        k.
    dropout
        Share of features dropped before every layer of the head while training.
    cosine_scale
        s of a `CosineHead` as the last layer; None makes it linear.
    """

    #: Fine-tuning MiniLM on a CPU with matrix units: 1.3 to 1.7 times as many texts a second.
    bf16_pays = True

    def __init__(
        self,
        encoder: PreTrainedModel,
        pad: int,
        pooling: Pooling,
        hidden: Sequence[int],
        classes: int,
        dropout: float,
        cosine_scale: float | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pad = pad
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        width = int(encoder.config.hidden_size)
        layers: list[nn.Module] = []
        for outputs in hidden:
            layers += [nn.Linear(width, outputs), nn.GELU(), nn.Dropout(dropout)]
            width = outputs
        last = nn.Linear(width, classes) if cosine_scale is None else CosineHead(width, classes, cosine_scale)
        self.head = nn.Sequential(*layers, last)

    def features(self, tokens: Tensor) -> Tensor:
        """Give what the head scores: a vector a text, float32 (n, d)."""
        if torch.is_grad_enabled():
            return self._pooled(tokens)
        rows = max(1, SCORED_TOKENS // tokens.shape[1])
        return torch.cat([self._pooled(_trimmed(part)) for part in torch.split(tokens, rows)])

    def classify(self, features: Tensor) -> Tensor:
        """Scores (n, k) of features (n, d)."""
        out: Tensor = self.head(self.dropout(features))
        return out

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores (n, k)."""
        return self.classify(self.features(tokens))

    def parameter_groups(self) -> list[ParameterGroup]:
        """Give the embeddings, each layer of the encoder, and the head."""
        return [*body_groups(self.encoder), ParameterGroup("head", tuple(self.head.parameters()), "head")]

    def _pooled(self, tokens: Tensor) -> Tensor:
        there = tokens >= 0
        states = self.encoder(
            input_ids=tokens.where(there, self.pad), attention_mask=there.long()
        ).last_hidden_state.float()
        if self.pooling == "first":
            first: Tensor = states[:, 0]
            return first
        mean: Tensor = (states * there[..., None]).sum(dim=1) / there.sum(dim=1, keepdim=True)
        return mean


def _trimmed(tokens: Tensor) -> Tensor:
    """Leave out the columns that are padding in every row."""
    return tokens[:, : int((tokens >= 0).sum(dim=1).max())]
