"""The image VAE: conditional, an MLP for small images and convolutions for larger ones."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evenly.generators.image_networks import Upsampler, downsampling, mlp, trainable_device
from evenly.generators.judging import Judge
from evenly.generators.pixels import as_pixels, as_signal, as_vectors
from evenly.generators.variational import Encoded, Variational, negative_elbo, sampled
from evenly.params.generative import ImageVaeSettings

#: Up to this side the networks are MLPs.
MLP_SIDE = 16
#: Rows encoded at once outside training.
CHUNK = 256


class ImageVae(Variational):
    """A VAE in training, and afterwards a generator to be sampled.

    p(x | z, y) is normal about the decoder's image with the fixed deviation `sigma`; samples are its mean.

    Parameters
    ----------
    pixels, codes, classes, judge, settings, seed
        As for `ImageGan`.
    held_out, held_out_codes
        Images and classes whose evidence lower bound judges; may be empty.

    References
    ----------
    Kingma & Welling, ICLR 2014 (1312.6114); Sohn et al., NeurIPS 2015 (the conditional form).
    """

    def __init__(
        self,
        pixels: np.ndarray,
        codes: np.ndarray,
        classes: int,
        held_out: np.ndarray,
        held_out_codes: np.ndarray,
        judge: Judge,
        settings: ImageVaeSettings,
        seed: int,
    ) -> None:
        self.settings = settings
        self._device = trainable_device()
        shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
        kind = _MlpNetworks if max(shape[:2]) <= MLP_SIDE else _ConvolutionNetworks
        self._networks = kind(shape, classes, settings.latent, settings.hidden).to(self._device)
        super().__init__(self._networks, pixels, codes, held_out, held_out_codes, judge, settings, seed)

    def drawn(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Vectors, float32 (n, d), of rows of these classes from the prior."""
        latent = rng.standard_normal((len(codes), self.latent), dtype=np.float32)
        return as_vectors(self.decode(latent, codes, rng))

    def encode(self, pixels: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of q(z | x, y), float32 (n, latent) each."""
        self._networks.eval()
        means, deviations = [], []
        with torch.inference_mode():
            for start in range(0, len(pixels), CHUNK):
                part = slice(start, start + CHUNK)
                encoded = self._encoded(as_signal(pixels[part], self._device), self._tensor(codes[part]))
                means.append(encoded.mean.cpu().numpy())
                deviations.append((0.5 * encoded.log_variance).exp().cpu().numpy())
        return np.concatenate(means), np.concatenate(deviations)

    def decode(self, latent: np.ndarray, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Images, uint8 (n, h, w, channels), of latent vectors (n, latent) and classes (n,)."""
        self._networks.eval()
        with torch.inference_mode():
            images = self._networks.decode(torch.from_numpy(latent).to(self._device), self._tensor(codes))
        return as_pixels(images)

    def _encoded(self, images: Tensor, codes: Tensor) -> Encoded:
        mean, log_variance = self._networks.encode(images, codes).chunk(2, dim=1)
        return Encoded(mean, log_variance)

    def losses(self, pixels: np.ndarray, codes: np.ndarray, generator: torch.Generator | None) -> Tensor:
        """Negative evidence lower bound of each image, (n,)."""
        images, labels = as_signal(pixels, self._device), self._tensor(codes)
        encoded = self._encoded(images, labels)
        decoded = self._networks.decode(sampled(encoded, generator), labels)
        squared = (decoded - images).square().flatten(1).sum(dim=1)
        sigma = self.settings.sigma
        constant = images[0].numel() * (math.log(sigma) + 0.5 * math.log(2 * math.pi))
        return negative_elbo(encoded, -squared / (2 * sigma**2) - constant)

    def _tensor(self, codes: np.ndarray) -> Tensor:
        return torch.from_numpy(codes).to(self._device)


class _MlpNetworks(nn.Module):
    """Encoder and decoder as MLPs that take the class as one of k."""

    def __init__(self, shape: tuple[int, int, int], classes: int, latent: int, hidden: int) -> None:
        super().__init__()
        self.shape, self.classes = shape, classes
        size = shape[0] * shape[1] * shape[2]
        self.encoder = mlp(size + classes, hidden, 2 * latent)
        self.decoder = mlp(latent + classes, hidden, size)

    def encode(self, images: Tensor, codes: Tensor) -> Tensor:
        out: Tensor = self.encoder(torch.cat([images.flatten(1), self._one_hot(codes)], dim=1))
        return out

    def decode(self, latent: Tensor, codes: Tensor) -> Tensor:
        height, width, channels = self.shape
        flat = torch.tanh(self.decoder(torch.cat([latent, self._one_hot(codes)], dim=1)))
        return flat.reshape(-1, channels, height, width)

    def _one_hot(self, codes: Tensor) -> Tensor:
        return functional.one_hot(codes, self.classes).float()


class _ConvolutionNetworks(nn.Module):
    """Encoder and decoder of convolutions; the encoder is told the class beside its features."""

    def __init__(self, shape: tuple[int, int, int], classes: int, latent: int, hidden: int) -> None:
        super().__init__()
        self.features, channels = downsampling(shape, hidden, normed=False)
        with torch.no_grad():
            size = self.features(torch.zeros(1, shape[2], shape[0], shape[1])).numel()
        self.label = nn.Embedding(classes, channels)
        self.encoder = nn.Linear(size + channels, 2 * latent)
        self.decoder = Upsampler(latent, classes, shape, hidden)

    def encode(self, images: Tensor, codes: Tensor) -> Tensor:
        out: Tensor = self.encoder(torch.cat([self.features(images).flatten(1), self.label(codes)], dim=1))
        return out

    def decode(self, latent: Tensor, codes: Tensor) -> Tensor:
        out: Tensor = self.decoder(latent, codes)
        return out
