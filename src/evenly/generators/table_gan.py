"""The table GAN: conditional on the class and on one column at a time, Wasserstein with gradient penalty."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evenly.generators.conditions import Conditions
from evenly.generators.fitting import Judgement
from evenly.generators.image_networks import trainable_device
from evenly.generators.judging import Judge
from evenly.generators.table_transform import Choice, TableTransform
from evenly.generators.tables import TableVectors
from evenly.params.generative import TableGanSettings


class TableGan:
    """A GAN in training, and afterwards a generator to be sampled.

    Parameters
    ----------
    matrix
        Training rows through `transform`, float32 (n, d).
    codes
        Their classes, int64 (n,).
    classes
        Number of classes.
    transform
        What the columns of the matrix mean.
    vectors
        Turns matrices into the vectors that `judge` compares.
    judge
        Compares rows with held-out ones.
    settings
        Of the networks and the training.
    seed
        Of everything drawn. The networks' initial weights come from torch's generator.

    References
    ----------
    Xu et al., Modeling Tabular Data using Conditional GAN, NeurIPS 2019 (1907.00503), sections 4.3 and 4.4,
    with the class as a condition of every row; Gulrajani et al., NeurIPS 2017 (1704.00028), for the penalty.
    """

    criterion = "mmd"

    def __init__(
        self,
        matrix: np.ndarray,
        codes: np.ndarray,
        classes: int,
        transform: TableTransform,
        vectors: TableVectors,
        judge: Judge,
        settings: TableGanSettings,
        seed: int,
    ) -> None:
        self.settings, self.latent, self._judge, self._seed = settings, settings.latent, judge, seed
        self._matrix, self._codes, self._vectors, self._transform = matrix, codes, vectors, transform
        self._classes = classes
        self._device = trainable_device()
        self._conditions = Conditions(
            matrix, codes, transform.choices, settings.balance, np.random.default_rng([seed, 2])
        )
        condition = classes + self._conditions.width
        self._generator = _Generator(self.latent + condition, settings.hidden, transform.dimension)
        self._critic = _critic(transform.dimension + condition, settings.hidden)
        self._generator.to(self._device)
        self._critic.to(self._device)
        rate, betas = settings.learning_rate, (0.5, 0.9)
        self._generator_steps = torch.optim.Adam(self._generator.parameters(), rate, betas, weight_decay=1e-6)
        self._critic_steps = torch.optim.Adam(self._critic.parameters(), rate, betas)

    def step(self) -> Mapping[str, Tensor]:
        """Steps of the critic, then one of the generator."""
        settings = self.settings
        self._generator.train()
        for _ in range(settings.critic_steps):
            drawn = self._conditions.training(settings.batch_size)
            condition = self._condition(drawn.codes, drawn.vectors)
            with torch.no_grad():
                fake = self._made(condition)
            real = torch.from_numpy(self._matrix[drawn.rows]).to(self._device)
            distance = self._scores(real, condition).mean() - self._scores(fake, condition).mean()
            penalty = self._penalty(real, fake, condition)
            self._critic_steps.zero_grad(set_to_none=True)
            (settings.gradient_penalty * penalty - distance).backward()  # type: ignore[no-untyped-call]
            self._critic_steps.step()
        drawn = self._conditions.training(settings.batch_size)
        condition = self._condition(drawn.codes, drawn.vectors)
        raw = self._raw(condition)
        fake = _activated(raw, self._transform, settings.temperature)
        loss = -self._scores(fake, condition).mean()
        mismatch = self._mismatch(raw, drawn.vectors)
        self._generator_steps.zero_grad(set_to_none=True)
        (loss + mismatch).backward()  # type: ignore[no-untyped-call]
        self._generator_steps.step()
        return {"distance": distance, "generator_loss": loss, "condition_loss": mismatch}

    def judge(self) -> Judgement:
        """Judge rows of the generator."""
        rng = np.random.default_rng([self._seed, 3])

        def make(codes: np.ndarray) -> np.ndarray:
            latent = rng.standard_normal((len(codes), self.latent), dtype=np.float32)
            return self._vectors(self.decode(latent, codes, rng), codes)

        return self._judge(make)

    def state(self) -> dict[str, Tensor]:
        """Weights of the generator."""
        return {name: value.clone() for name, value in self._generator.state_dict().items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take weights of the generator."""
        self._generator.load_state_dict(state)

    def decode(self, latent: np.ndarray, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Matrix float32 (n, d) of latent vectors (n, latent) and classes (n,).

        The condition on a column is drawn from the rows of the class, as often as they have it.
        """
        self._generator.eval()
        condition = self._condition(codes, self._conditions.sampling(codes, rng))
        with torch.inference_mode():
            raw = self._generator(torch.cat([torch.from_numpy(latent).to(self._device), condition], dim=1))
        return drawn_choices(raw.cpu().numpy(), self._transform.choices, rng)

    def _condition(self, codes: np.ndarray, vectors: np.ndarray) -> Tensor:
        label = functional.one_hot(torch.from_numpy(codes), self._classes).float()
        return torch.cat([label, torch.from_numpy(vectors)], dim=1).to(self._device)

    def _raw(self, condition: Tensor) -> Tensor:
        latent = torch.randn(len(condition), self.latent).to(self._device)
        out: Tensor = self._generator(torch.cat([latent, condition], dim=1))
        return out

    def _made(self, condition: Tensor) -> Tensor:
        return _activated(self._raw(condition), self._transform, self.settings.temperature)

    def _scores(self, rows: Tensor, condition: Tensor) -> Tensor:
        out: Tensor = self._critic(torch.cat([rows, condition], dim=1))
        return out

    def _penalty(self, real: Tensor, fake: Tensor, condition: Tensor) -> Tensor:
        """(‖gradient‖ − 1)² between real and generated rows, equation 3 of Gulrajani et al."""
        share = torch.rand(len(real), 1).to(self._device)
        between = (share * real + (1 - share) * fake).requires_grad_(True)
        scores = self._scores(between, condition).sum()
        (gradient,) = torch.autograd.grad(scores, between, create_graph=True)
        # The root's slope is infinite at 0.
        return ((gradient.square().sum(dim=1) + 1e-12).sqrt() - 1).square().mean()

    def _mismatch(self, raw: Tensor, vectors: np.ndarray) -> Tensor:
        """Cross entropy between the column that was asked for and what was made of it."""
        total = torch.zeros((), device=self._device)
        asked = torch.from_numpy(vectors).to(self._device)
        for choice, (start, end) in self._conditions.blocks:
            wanted = asked[:, start:end]
            losses = -(wanted * functional.log_softmax(raw[:, choice.start : choice.end], dim=1)).sum(dim=1)
            total = total + losses.sum()
        return total / len(raw)


class _Generator(nn.Module):
    """Two residual layers whose output is appended to their input, as in the paper."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU())
        self.second = nn.Sequential(nn.Linear(inputs + hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU())
        self.last = nn.Linear(inputs + 2 * hidden, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        inputs = torch.cat([inputs, self.first(inputs)], dim=1)
        inputs = torch.cat([inputs, self.second(inputs)], dim=1)
        out: Tensor = self.last(inputs)
        return out


def _critic(inputs: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, 1),
    )


def _activated(raw: Tensor, transform: TableTransform, temperature: float) -> Tensor:
    """What the critic sees: numbers as they are, a Gumbel-softmax over each choice.

    References
    ----------
    Jang et al., Categorical Reparameterization with Gumbel-Softmax, ICLR 2017 (1611.01144), equation 2.
    """
    out = raw.clone()
    for choice in transform.choices:
        logits = raw[:, choice.start : choice.end]
        uniform = torch.rand(logits.shape).clamp(1e-10, 1 - 1e-7).to(raw.device)
        gumbel = -torch.log(-torch.log(uniform))
        out[:, choice.start : choice.end] = functional.softmax((logits + gumbel) / temperature, dim=1)
    return out


def drawn_choices(raw: np.ndarray, choices: tuple[Choice, ...], rng: np.random.Generator) -> np.ndarray:
    """Draw one of k from the softmax of each choice's logits (the Gumbel-max trick); numbers stay."""
    out = raw.copy()
    for choice in choices:
        logits = raw[:, choice.start : choice.end]
        places = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
        out[:, choice.start : choice.end] = 0
        out[np.arange(len(out)), choice.start + places] = 1
    return out
