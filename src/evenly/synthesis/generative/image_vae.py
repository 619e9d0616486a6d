"""The image VAE: conditional, an MLP for small images and convolutions for larger ones."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evenly.params.generative import ImageVaeSettings
from evenly.synthesis.generative.fitting import Judgement
from evenly.synthesis.generative.image_networks import Upsampler, downsampling, mlp, trainable_device
from evenly.synthesis.generative.judging import Judge
from evenly.synthesis.generative.pixels import as_pixels, as_signal, as_vectors
from evenly.synthesis.generative.rows import Batches
from evenly.synthesis.generative.variational import Encoded, negative_elbo, sampled

#: Up to this side the networks are MLPs.
MLP_SIDE = 16
#: Rows encoded at once outside training.
CHUNK = 256


class ImageVae:
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

    criterion = "negative_elbo"

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
        self.settings, self.latent, self._judge, self._seed = settings, settings.latent, judge, seed
        self._pixels, self._codes = pixels, codes
        self._held_out, self._held_out_codes = held_out, held_out_codes
        self._device = trainable_device()
        shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
        kind = _MlpNetworks if max(shape[:2]) <= MLP_SIDE else _ConvolutionNetworks
        self._networks = kind(shape, classes, settings.latent, settings.hidden).to(self._device)
        self._steps = torch.optim.Adam(self._networks.parameters(), settings.learning_rate)
        self._batches = Batches(codes, settings.balance, np.random.default_rng([seed, 2]))

    def step(self) -> Mapping[str, Tensor]:
        """One step on the negative evidence lower bound."""
        self._networks.train()
        rows = self._batches.rows(self.settings.batch_size)
        loss = self._losses(self._pixels[rows], self._codes[rows], None).mean()
        self._steps.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._steps.step()
        return {"negative_elbo": loss}

    def judge(self) -> Judgement:
        """Evidence lower bound of the held-out images, nats an image, and the spread of the prior's."""
        rng = np.random.default_rng([self._seed, 3])

        def make(codes: np.ndarray) -> np.ndarray:
            latent = rng.standard_normal((len(codes), self.latent), dtype=np.float32)
            return as_vectors(self.decode(latent, codes, rng))

        spread = self._judge(make).spread
        if not len(self._held_out):
            return Judgement(None, spread)
        self._networks.eval()
        generator = torch.Generator().manual_seed(self._seed)
        with torch.inference_mode():
            losses = self._losses(self._held_out, self._held_out_codes, generator)
        return Judgement(float(losses.mean()), spread)

    def state(self) -> dict[str, Tensor]:
        """Weights of both networks."""
        return {name: value.clone() for name, value in self._networks.state_dict().items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take weights of both networks."""
        self._networks.load_state_dict(state)

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

    def _losses(self, pixels: np.ndarray, codes: np.ndarray, generator: torch.Generator | None) -> Tensor:
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
