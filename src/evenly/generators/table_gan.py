"""The table GAN: conditional on the class and on one column at a time, Wasserstein with gradient penalty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evenly.generators.fitting import Judgement
from evenly.generators.image_networks import trainable_device
from evenly.generators.judging import Judge, TableVectors
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
        self,
        matrix: np.ndarray,
        codes: np.ndarray,
        choices: Sequence[Choice],
        balance: float,
        rng: np.random.Generator,
    ) -> None:
        self._rng = rng
        self._batches = Batches(codes, balance, rng)
        self.blocks: list[tuple[Choice, tuple[int, int]]] = []
        at = 0
        for choice in choices:
            if choice.conditions:
                self.blocks.append((choice, (at, at + choice.end - choice.start)))
                at += choice.end - choice.start
        self.width = at
        #: By class and block: the rows of each value, and the values' frequencies.
        self._rows: dict[tuple[int, int], list[np.ndarray]] = {}
        self._counts: dict[tuple[int, int], np.ndarray] = {}
        for code in np.unique(codes):
            members = np.flatnonzero(codes == code)
            for b, (choice, _) in enumerate(self.blocks):
                places = matrix[members, choice.start : choice.end].argmax(axis=1)
                by_value = [members[places == k] for k in range(choice.end - choice.start)]
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


class TableGan:
    """A GAN in training, and afterwards a generator to be sampled."""

    criterion = TableGanSettings.criterion

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
