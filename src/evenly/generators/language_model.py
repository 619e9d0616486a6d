"""Texts by a causal language model: fine-tuned or trained from scratch on label-prefixed training texts, and
sampled class by class.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from evenly.features.ngramsets import folded_text
from evenly.generators.fitting import Judgement, Trainee, descend
from evenly.generators.image_networks import trainable_device
from evenly.generators.sampling import Batches
from evenly.generators.writers import PretrainedWriter, ScratchWriter, Writer
from evenly.params.generative import LanguageModelSettings
from evenly.samples import SampleTable

#: Learning rate where the settings give none.
FROM_SCRATCH, FINE_TUNING = 1e-3, 5e-5
#: Texts written at once.
CHUNK = 64
#: A class is given up after so many times the texts that it would take if every one were new.
ATTEMPTS = 6
_IGNORED = -100


@dataclass(frozen=True)
class Written:
    """Texts of one class."""

    #: As many as were asked for, or fewer where the model wrote nothing but empty texts.
    texts: tuple[str, ...]
    #: Whether each equals a training text or an earlier one, bool (n,): only where new ones ran out.
    copies: np.ndarray
    #: Texts that were written in all, and those that equal a training text.
    drawn: int
    memorised: int


class LanguageModel(Trainee):
    """A language model in training, and afterwards a writer."""

    criterion = LanguageModelSettings.criterion

    def __init__(
        self, train: SampleTable, held_out: SampleTable, settings: LanguageModelSettings, seed: int
    ) -> None:
        device = trainable_device()
        self.settings, self._device = settings, device
        self._writer: Writer
        if settings.model is None:
            texts = [text or "" for text in train.texts]
            self._writer = ScratchWriter(texts, len(train.classes), settings, device)
        else:
            self._writer = PretrainedWriter(settings.model, train.classes, settings, device)
        self.network = self._writer.network
        rate = settings.learning_rate or (FROM_SCRATCH if settings.model is None else FINE_TUNING)
        self._steps = torch.optim.AdamW(self.network.parameters(), rate, weight_decay=0.01)
        self._sequences = self._encoded(train)
        self._held_out = self._encoded(held_out)
        self._batches = Batches(train.codes, settings.balance, np.random.default_rng([seed, 2]))

    def step(self) -> Mapping[str, Tensor]:
        """One step on the mean negative log-likelihood of the texts' tokens."""
        self.network.train()
        rows = self._batches.rows(self.settings.batch_size)
        losses, tokens = self._losses([self._sequences[row] for row in rows])
        loss = losses / tokens
        descend(self._steps, loss, most=1.0)
        return {"nll": loss}

    def judge(self) -> Judgement:
        """Mean negative log-likelihood of the held-out texts, nats a token."""
        if not self._held_out:
            return Judgement(None)
        self.network.eval()
        total, tokens = 0.0, 0
        with torch.inference_mode():
            for start in range(0, len(self._held_out), CHUNK):
                losses, count = self._losses(self._held_out[start : start + CHUNK])
                total, tokens = total + float(losses), tokens + count
        return Judgement(total / tokens)

    def write(self, code: int, n: int, known: Collection[str], rng: np.random.Generator) -> Written:
        """Write texts of a class that are not empty, not training texts, and not the same twice.

        Where that cannot be had within `ATTEMPTS` times as many, copies fill up.
        """
        new: dict[str, str] = {}
        rest: list[str] = []
        drawn = memorised = 0
        while len(new) < n and drawn < ATTEMPTS * n + CHUNK:
            for text in self._writer.write(code, CHUNK, rng):
                text = " ".join(text.split())
                drawn += 1
                key = folded_text(text)
                memorised += key in known
                if key and key not in known and key not in new and len(new) < n:
                    new[key] = text
                elif key:
                    rest.append(text)
        copies = rest[: n - len(new)]
        flags = np.array([False] * len(new) + [True] * len(copies), dtype=bool)
        return Written((*new.values(), *copies), flags, drawn, memorised)

    def _encoded(self, samples: SampleTable) -> list[tuple[list[int], int]]:
        pairs = zip(samples.texts, samples.codes, strict=True)
        return [self._writer.sequence(text or "", int(code)) for text, code in pairs]

    def _losses(self, sequences: Sequence[tuple[list[int], int]]) -> tuple[Tensor, int]:
        """Summed negative log-likelihood of what follows the prompts, and how many tokens that is."""
        longest = max(len(tokens) for tokens, _ in sequences)
        tokens = torch.zeros(len(sequences), longest, dtype=torch.long)
        targets = torch.full((len(sequences), longest), _IGNORED)
        present = torch.zeros(len(sequences), longest, dtype=torch.bool)
        for row, (sequence, prompt) in enumerate(sequences):
            length = len(sequence)
            tokens[row, :length] = torch.tensor(sequence)
            targets[row, prompt:length] = tokens[row, prompt:length]
            present[row, :length] = True
        scores = self._writer.scores(tokens.to(self._device), present.to(self._device))
        following = targets[:, 1:].reshape(-1)
        losses = functional.cross_entropy(
            scores[:, :-1].reshape(len(following), -1).float(),
            following.to(self._device),
            ignore_index=_IGNORED,
            reduction="sum",
        )
        return losses, int((following != _IGNORED).sum())
