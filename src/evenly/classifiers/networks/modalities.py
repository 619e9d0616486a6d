"""The two networks there are, of images and of texts, wherever bodies and encoders come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from evenly.classifiers.networks.network import Network, ParameterGroup, body_groups

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Pooling = Literal["mean", "first"]

#: Tokens at once where nothing is trained: a large batch of long texts is computed in parts.
SCORED_TOKENS = 2**14
_PIXELS = 2**22  # counted at once


class Normalise(nn.Module):
    """Pixels 0 to 255 (n, h, w, c), uint8, to standardised channels (n, c, h, w), float32.

    Mean and standard deviation are those of the training rows and are saved with the weights.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    def fit(self, pixels: Tensor) -> None:
        """Take mean and deviation from training pixels, uint8 (n, h, w, c)."""
        flat = pixels.reshape(-1, pixels.shape[-1])
        # Integer histograms give exact sums, and need no float copy of the images.
        levels = torch.arange(256, dtype=torch.float64)
        for channel in range(flat.shape[1]):
            parts = torch.split(flat[:, channel], _PIXELS)
            counts = torch.stack([torch.bincount(part.int(), minlength=256) for part in parts]).sum(dim=0)
            share = counts.double() / max(1, len(flat))
            mean = (share * levels).sum()
            variance = (share * (levels - mean) ** 2).sum()
            self.mean[channel] = mean
            self.deviation[channel] = variance.sqrt().clamp_min(1.0)

    def set(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        """Take mean and deviation of three channels with values 0 to 1; one channel takes their means."""
        for buffer, values in ((self.mean, mean), (self.deviation, deviation)):
            given = torch.tensor(values) * 255
            buffer.copy_(given if len(buffer) == len(given) else given.mean())

    def forward(self, pixels: Tensor) -> Tensor:
        """Standardised channels."""
        return ((pixels.float() - self.mean) / self.deviation).permute(0, 3, 1, 2)


class CosineHead(nn.Module):
    """Logits s · cos θ between features and the weight vector of each class.

    References
    ----------
    Wang et al., CosFace, CVPR 2018 (1801.09414), equation 2; used by LDAM (1906.07413).
    """

    def __init__(self, features: int, classes: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, features))
        nn.init.xavier_uniform_(self.weight)
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """Logits (n, k) of features (n, d)."""
        return self.scale * functional.linear(
            functional.normalize(features), functional.normalize(self.weight)
        )


def _last_layer(features: int, classes: int, cosine_scale: float | None) -> nn.Module:
    """Give a linear layer, or with a scale s a `CosineHead`."""
    if cosine_scale is None:
        return nn.Linear(features, classes)
    return CosineHead(features, classes, cosine_scale)


class ImageNetwork(Network):
    """`head(body(normalised pixels))`: scores (n, k) of images uint8 (n, h, w, c).

    Parameters
    ----------
    body
        Standardised images (n, c, h, w) to features (n, dimension).
    dimension, channels, classes
        d; c, 1 or 3; k.
    dropout
        Share of features dropped before the head while training.
    cosine_scale
        s of a `CosineHead`; None gives a linear head.
    bf16_pays
        See `Network`.
    """

    mixes_inputs = True

    def __init__(
        self,
        body: nn.Module,
        dimension: int,
        channels: int,
        classes: int,
        dropout: float = 0.0,
        cosine_scale: float | None = None,
        bf16_pays: bool = False,
    ) -> None:
        super().__init__()
        self.normalise = Normalise(channels)
        self.body = body
        self.dropout = nn.Dropout(dropout)
        self.head = _last_layer(dimension, classes, cosine_scale)
        self.bf16_pays = bf16_pays

    def features(self, pixels: Tensor) -> Tensor:
        """Give a vector an image, float (n, d)."""
        out: Tensor = self.body(self.normalise(pixels))
        return out

    def mixable(self, pixels: Tensor) -> Tensor:
        """Give standardised images (n, c, h, w)."""
        out: Tensor = self.normalise(pixels)
        return out

    def from_mixable(self, images: Tensor) -> Tensor:
        """Scores (n, k) of standardised images."""
        return self.classify(self.body(images))

    def parameter_groups(self) -> list[ParameterGroup]:
        """One group for each layer or unit of the body, with the normalisation behind it, and the head."""
        return [*body_groups(self.body), self.head_group()]


class TextNetwork(Network):
    """Scores (n, k) of token numbers int64 (n, length), negative where a row is padded.

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
        self.head = nn.Sequential(*layers, _last_layer(width, classes, cosine_scale))

    def features(self, tokens: Tensor) -> Tensor:
        """Give a vector a text, float32 (n, d)."""
        if torch.is_grad_enabled():
            return self._pooled(tokens)
        rows = max(1, SCORED_TOKENS // tokens.shape[1])
        return torch.cat([self._pooled(_trimmed(part)) for part in torch.split(tokens, rows)])

    def parameter_groups(self) -> list[ParameterGroup]:
        """Give the embeddings, each layer of the encoder, and the head."""
        return [*body_groups(self.encoder), self.head_group()]

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
