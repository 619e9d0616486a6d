"""The table GAN: conditional on the class and on one column at a time, Wasserstein with gradient penalty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evenly.generators.fitting import descend
from evenly.generators.image_networks import mlp, one_hot
from evenly.generators.judging import LatentModel, TrainingRows
from evenly.generators.sampling import Batches
from evenly.generators.table_transform import Choice, TableTransform
from evenly.params.generative import TableGanSettings


class Drawn(NamedTuple):
    """A batch: classes (n,), real rows that fulfil the conditions (n,), and the conditions (n, width)."""

    codes: np.ndarray
    rows: np.ndarray
    vectors: np.ndarray


class Conditions:
    """Draws conditions on one column at a time, beside the class.

    A condition is one of k over all values of all columns that take one. In training a value is drawn by the
    logarithm of its frequency within the class, so that rare values are met; for sampling, by its frequency.
    """

    def __init__(
        self, matrix: np.ndarray, codes: np.ndarray, choices: Sequence[Choice], batches: Batches
    ) -> None:
        self._rng, self._batches = batches.rng, batches
        self.blocks: list[tuple[Choice, tuple[int, int]]] = []
        at = 0
        for choice in choices:
            if choice.conditions:
                self.blocks.append((choice, (at, at + choice.width)))
                at += choice.width
        self.width = at
        #: By class and block: the rows of each value, and the values' frequencies.
        self._rows: dict[tuple[int, int], list[np.ndarray]] = {}
        self._counts: dict[tuple[int, int], np.ndarray] = {}
        for code in np.unique(codes):
            members = np.flatnonzero(codes == code)
            for b, (choice, _) in enumerate(self.blocks):
                places = matrix[members, choice.start : choice.end].argmax(axis=1)
                by_value = [members[places == k] for k in range(choice.width)]
                self._rows[int(code), b] = by_value
                self._counts[int(code), b] = np.array([len(rows) for rows in by_value], dtype=np.float64)

    def training(self, n: int) -> Drawn:
        """Draw n conditions, and a real row for each."""
        if not self.blocks:
            rows = self._batches.rows(n)
            return Drawn(self._batches.codes[rows], rows, np.zeros((n, 0), dtype=np.float32))
        codes = self._batches.classes(n)
        blocks = self._rng.integers(len(self.blocks), size=n)
        vectors = np.zeros((n, self.width), dtype=np.float32)
        rows = np.empty(n, dtype=np.int64)
        for code, b, places in _groups(codes, blocks):
            weights = np.log1p(self._counts[code, b])
            values = self._rng.choice(len(weights), size=len(places), p=weights / weights.sum())
            vectors[places, self.blocks[b][1][0] + values] = 1
            by_value = self._rows[code, b]
            uniform = self._rng.random(len(places))
            for place, value, u in zip(places, values, uniform, strict=True):
                rows[place] = by_value[value][int(u * len(by_value[value]))]
        return Drawn(codes, rows, vectors)

    def sampling(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Conditions of rows to be made of these classes, float32 (n, width)."""
        vectors = np.zeros((len(codes), self.width), dtype=np.float32)
        if not self.blocks:
            return vectors
        blocks = rng.integers(len(self.blocks), size=len(codes))
        for code, b, places in _groups(codes, blocks):
            counts = self._counts[code, b]
            values = rng.choice(len(counts), size=len(places), p=counts / counts.sum())
            vectors[places, self.blocks[b][1][0] + values] = 1
        return vectors


def _groups(codes: np.ndarray, blocks: np.ndarray) -> list[tuple[int, int, np.ndarray]]:
    """Places that share class and block, in ascending order of both."""
    groups = []
    for code in np.unique(codes):
        for b in np.unique(blocks[codes == code]):
            groups.append((int(code), int(b), np.flatnonzero((codes == code) & (blocks == b))))
    return groups


class TableGan(LatentModel):
    """A GAN in training, and afterwards a generator to be sampled."""

    criterion = TableGanSettings.criterion

    def __init__(self, data: TrainingRows, transform: TableTransform, settings: TableGanSettings) -> None:
        super().__init__(data, settings.latent, settings.balance)
        self.settings, self._transform = settings, transform
        self._conditions = Conditions(data.rows, data.codes, transform.choices, self._batches)
        condition = data.classes + self._conditions.width
        self._generator = _Generator(self.latent + condition, settings.hidden, transform.dimension)
        self._critic = mlp(transform.dimension + condition, settings.hidden, 1, partial(nn.LeakyReLU, 0.2))
        self.network = self._generator.to(self._device)
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
                fake = _activated(self._raw(condition), self._transform, settings.temperature)
            real = self._tensor(self._data.rows[drawn.rows])
            distance = self._scores(real, condition).mean() - self._scores(fake, condition).mean()
            penalty = self._penalty(real, fake, condition)
            descend(self._critic_steps, settings.gradient_penalty * penalty - distance)
        drawn = self._conditions.training(settings.batch_size)
        condition = self._condition(drawn.codes, drawn.vectors)
        raw = self._raw(condition)
        fake = _activated(raw, self._transform, settings.temperature)
        loss = -self._scores(fake, condition).mean()
        mismatch = self._mismatch(raw, drawn.vectors)
        descend(self._generator_steps, loss + mismatch)
        return {"distance": distance, "generator_loss": loss, "condition_loss": mismatch}

    def decode(self, latent: np.ndarray, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Matrix float32 (n, d) of latent vectors (n, latent) and classes (n,).

        The condition on a column is drawn from the rows of the class, as often as they have it.
        """
        self._generator.eval()
        condition = self._condition(codes, self._conditions.sampling(codes, rng))
        with torch.inference_mode():
            raw = self._generator(torch.cat([self._tensor(latent), condition], dim=1))
        return drawn_choices(raw.cpu().numpy(), self._transform.choices, rng)

    def _condition(self, codes: np.ndarray, vectors: np.ndarray) -> Tensor:
        label = one_hot(self._tensor(codes), self._data.classes)
        return torch.cat([label, self._tensor(vectors)], dim=1)

    def _raw(self, condition: Tensor) -> Tensor:
        latent = torch.randn(len(condition), self.latent).to(self._device)
        out: Tensor = self._generator(torch.cat([latent, condition], dim=1))
        return out

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
        conditions = self._tensor(vectors)
        for choice, (start, end) in self._conditions.blocks:
            wanted = conditions[:, start:end]
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


def _activated(raw: Tensor, transform: TableTransform, temperature: float) -> Tensor:
    """What the critic sees: numbers as they are, a Gumbel-softmax over each choice."""
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
