"""The image GAN: a conditional DCGAN with projection discriminator, hinge loss, spectral normalisation and
differentiable augmentation, of whose generator a moving average is sampled.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evenly.generators.fitting import Judgement
from evenly.generators.image_networks import ProjectionDiscriminator, Upsampler, distorted, trainable_device
from evenly.generators.judging import Judge
from evenly.generators.report import as_pixels, as_signal, as_vectors
from evenly.generators.sampling import Batches
from evenly.params.generative import ImageGanSettings


class ImageGan:
    """A GAN in training, and afterwards a generator to be sampled."""

    criterion = ImageGanSettings.criterion

    def __init__(
        self,
        pixels: np.ndarray,
        codes: np.ndarray,
        classes: int,
        judge: Judge,
        settings: ImageGanSettings,
        seed: int,
    ) -> None:
        self.settings, self.latent, self._judge, self._seed = settings, settings.latent, judge, seed
        self._pixels, self._codes = pixels, codes
        self._device = trainable_device()
        shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
        self._generator = Upsampler(self.latent, classes, shape, settings.width).to(self._device)
        self._critic = ProjectionDiscriminator(classes, shape, settings.width).to(self._device)
        for network in (self._generator, self._critic):  # a tenth faster
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._average = copy.deepcopy(self._generator).requires_grad_(False)
        betas = (0.0, 0.9)  # no momentum, as usual with a spectrally normalised discriminator
        self._generator_steps = torch.optim.Adam(self._generator.parameters(), settings.learning_rate, betas)
        self._critic_steps = torch.optim.Adam(self._critic.parameters(), settings.learning_rate, betas)
        self._batches = Batches(codes, settings.balance, np.random.default_rng([seed, 2]))
        self._done = 0

    def step(self) -> Mapping[str, Tensor]:
        """One step of the discriminator, one of the generator, both on the hinge loss."""
        n = 2 * math.ceil(self.settings.batch_size / 2)
        self._generator.train()
        rows = self._batches.rows(n)
        real, real_codes = as_signal(self._pixels[rows], self._device), self._tensor(self._codes[rows])
        fake, fake_codes = self._made(n)
        both = self._scores(torch.cat([real, fake.detach()]), torch.cat([real_codes, fake_codes]))
        critic_loss = functional.relu(1 - both[:n]).mean() + functional.relu(1 + both[n:]).mean()
        _descend(self._critic_steps, critic_loss)
        self._critic.requires_grad_(False)
        generator_loss = -self._scores(fake, fake_codes).mean()
        # The batch is made of pairs of one class. Without this term every class shrinks towards one image.
        difference = (fake[0::2] - fake[1::2]).abs().mean()
        _descend(self._generator_steps, generator_loss - self.settings.diversity * difference)
        self._critic.requires_grad_(True)
        self._follow()
        return {"critic_loss": critic_loss, "generator_loss": generator_loss, "difference": difference}

    def judge(self) -> Judgement:
        """Judge images of the averaged generator."""
        rng = np.random.default_rng([self._seed, 3])

        def make(codes: np.ndarray) -> np.ndarray:
            latent = rng.standard_normal((len(codes), self.latent), dtype=np.float32)
            return as_vectors(self.decode(latent, codes, rng))

        return self._judge(make)

    def state(self) -> dict[str, Tensor]:
        """Weights of the averaged generator."""
        return {name: value.clone() for name, value in self._average.state_dict().items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take weights of the averaged generator."""
        self._average.load_state_dict(state)

    def decode(self, latent: np.ndarray, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Images, uint8 (n, h, w, channels), of latent vectors (n, latent) and classes (n,)."""
        self._average.eval()
        with torch.inference_mode():
            images = self._average(torch.from_numpy(latent).to(self._device), self._tensor(codes))
        return as_pixels(images)

    def _made(self, n: int) -> tuple[Tensor, Tensor]:
        codes = self._tensor(np.repeat(self._batches.classes(n // 2), 2))
        latent = torch.randn(n, self.latent).to(self._device)
        return self._generator(latent, codes), codes

    def _scores(self, images: Tensor, codes: Tensor) -> Tensor:
        scores: Tensor = self._critic(distorted(images, self.settings.distortions), codes)
        return scores

    def _follow(self) -> None:
        """Move the average; early on it follows faster, so that it does not carry the initial weights."""
        self._done += 1
        keep = min(self.settings.average, (1 + self._done) / (10 + self._done))
        with torch.no_grad():
            for mean, value in zip(_floats(self._average), _floats(self._generator), strict=True):
                mean.lerp_(value, 1 - keep)

    def _tensor(self, codes: np.ndarray) -> Tensor:
        return torch.from_numpy(codes).to(self._device)


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _floats(network: nn.Module) -> list[Tensor]:
    """Weights and running statistics."""
    return [value for value in network.state_dict().values() if value.is_floating_point()]
