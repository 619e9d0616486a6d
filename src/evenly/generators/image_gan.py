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

from evenly.generators.fitting import descend
from evenly.generators.image_networks import ProjectionDiscriminator, Upsampler, distorted
from evenly.generators.judging import LatentModel, TrainingRows
from evenly.generators.report import as_pixels, as_signal
from evenly.params.generative import ImageGanSettings


class ImageGan(LatentModel):
    """A GAN in training, and afterwards a generator to be sampled."""

    criterion = ImageGanSettings.criterion

    def __init__(self, data: TrainingRows, settings: ImageGanSettings) -> None:
        super().__init__(data, settings.latent, settings.balance)
        self.settings = settings
        shape = data.image_shape
        self._generator = Upsampler(self.latent, data.classes, shape, settings.width).to(self._device)
        self._critic = ProjectionDiscriminator(data.classes, shape, settings.width).to(self._device)
        for network in (self._generator, self._critic):  # a tenth faster
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._average = self.network = copy.deepcopy(self._generator).requires_grad_(False)
        betas = (0.0, 0.9)  # no momentum, as usual with a spectrally normalised discriminator
        self._generator_steps = torch.optim.Adam(self._generator.parameters(), settings.learning_rate, betas)
        self._critic_steps = torch.optim.Adam(self._critic.parameters(), settings.learning_rate, betas)
        self._done = 0

    def step(self) -> Mapping[str, Tensor]:
        """One step of the discriminator, one of the generator, both on the hinge loss."""
        n = 2 * math.ceil(self.settings.batch_size / 2)
        self._generator.train()
        rows = self._batches.rows(n)
        real = as_signal(self._data.rows[rows], self._device)
        real_codes = self._tensor(self._data.codes[rows])
        fake_codes = self._tensor(np.repeat(self._batches.classes(n // 2), 2))
        fake = self._generator(torch.randn(n, self.latent).to(self._device), fake_codes)
        both = self._scores(torch.cat([real, fake.detach()]), torch.cat([real_codes, fake_codes]))
        critic_loss = functional.relu(1 - both[:n]).mean() + functional.relu(1 + both[n:]).mean()
        descend(self._critic_steps, critic_loss)
        self._critic.requires_grad_(False)
        generator_loss = -self._scores(fake, fake_codes).mean()
        # The batch is made of pairs of one class. Without this term every class shrinks towards one image.
        difference = (fake[0::2] - fake[1::2]).abs().mean()
        descend(self._generator_steps, generator_loss - self.settings.diversity * difference)
        self._critic.requires_grad_(True)
        self._follow()
        return {"critic_loss": critic_loss, "generator_loss": generator_loss, "difference": difference}

    def decode(self, latent: np.ndarray, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Images, uint8 (n, h, w, channels), of latent vectors (n, latent) and classes (n,)."""
        self._average.eval()
        with torch.inference_mode():
            images = self._average(self._tensor(latent), self._tensor(codes))
        return as_pixels(images)

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


def _floats(network: nn.Module) -> list[Tensor]:
    """Weights and running statistics."""
    return [value for value in network.state_dict().values() if value.is_floating_point()]
