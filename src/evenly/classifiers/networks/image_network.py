"""An image classifier as a network: normalisation, body, head. The bodies are in the modules beside it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from evenly.classifiers.network import ParameterGroup
from evenly.classifiers.networks.layers import body_groups


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
        # Integer histograms give exact sums whatever the number of pixels, and need no float copy of the
        # images.
        levels = torch.arange(256, dtype=torch.float64)
        for channel in range(flat.shape[1]):
            share = torch.bincount(flat[:, channel].int(), minlength=256).double() / max(1, len(flat))
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


class ImageNetwork(nn.Module):
    """`head(features(pixels))`: scores (n, k) of images uint8 (n, h, w, c).

    Parameters
    ----------
    body
        Standardised images (n, c, h, w) to features (n, d).
    dimension
        d.
    channels
        c, 1 or 3.
    classes
        k.
    dropout
        Share of features dropped before the head while training.
    cosine_scale
        s of a `CosineHead`; None gives a linear head.
    bf16_pays
        Whether bfloat16 is faster than float32 for this body on a CPU that computes with it.
    """

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
        self.head: nn.Module
        if cosine_scale is None:
            self.head = nn.Linear(dimension, classes)
        else:
            self.head = CosineHead(dimension, classes, cosine_scale)
        self.bf16_pays = bf16_pays

    def features(self, pixels: Tensor) -> Tensor:
        """Give what the head scores: the penultimate representation, float (n, d)."""
        out: Tensor = self.body(self.normalise(pixels))
        return out

    def classify(self, features: Tensor) -> Tensor:
        """Scores (n, k) of features (n, d)."""
        out: Tensor = self.head(self.dropout(features))
        return out

    def forward(self, pixels: Tensor) -> Tensor:
        """Scores (n, k)."""
        return self.classify(self.features(pixels))

    def mixable(self, pixels: Tensor) -> Tensor:
        """Give standardised images (n, c, h, w), of which weighted means make sense."""
        out: Tensor = self.normalise(pixels)
        return out

    def from_mixable(self, images: Tensor) -> Tensor:
        """Scores (n, k) of standardised images."""
        return self.classify(self.body(images))

    def parameter_groups(self) -> list[ParameterGroup]:
        """One group for each layer or unit of the body, with the normalisation behind it, and the head."""
        return [*body_groups(self.body), ParameterGroup("head", tuple(self.head.parameters()), "head")]
