"""Causal language models that write texts of a class: trained from scratch, or pretrained and fine-tuned.

Both see a text as a prompt that names the class, the text, and an end. Training them is told in
`language_model`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from evenly.errors import RecipeError
from evenly.generators.byte_pairs import learn_byte_pairs
from evenly.generators.transformer import CausalTransformer, nucleus_draw
from evenly.params.generative import LanguageModelSettings


class Writer(Protocol):
    """A causal language model with its tokens."""

    network: nn.Module

    def sequence(self, text: str, code: int) -> tuple[list[int], int]:
        """Tokens of prompt, text and end, and how many of them are prompt."""

    def scores(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Scores (n, t, tokens) of what follows each token; `present` masks padding, bool (n, t)."""

    def write(self, code: int, n: int, rng: np.random.Generator) -> list[str]:
        """Texts of a class, drawn independently."""


class ScratchWriter:
    """A small transformer over byte pairs of the training texts, in which each class is a token."""

    def __init__(
        self, texts: Sequence[str], classes: int, settings: LanguageModelSettings, device: torch.device
    ) -> None:
        self._pairs = learn_byte_pairs(texts, settings.vocabulary)
        self._settings, self._device = settings, device
        #: Token 0 is the end, then come the classes, then the byte pairs.
        self._first = 1 + classes
        self.network: nn.Module = CausalTransformer(
            self._first + len(self._pairs.entries),
            settings.context + 2,
            settings.layers,
            settings.width,
            settings.heads,
            settings.dropout,
        ).to(device)

    def sequence(self, text: str, code: int) -> tuple[list[int], int]:
        """Class, text, end."""
        body = [self._first + token for token in self._pairs.encode(text)[: self._settings.context]]
        return [1 + code, *body, 0], 1

    def scores(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Scores (n, t, tokens); padding is at the end, where a causal model cannot see it."""
        out: Tensor = self.network(tokens)
        return out

    def write(self, code: int, n: int, rng: np.random.Generator) -> list[str]:
        """Texts of a class; one that reaches `context` ends there."""
        self.network.eval()
        tokens = torch.full((n, 1), 1 + code, device=self._device)
        ended = torch.zeros(n, dtype=torch.bool, device=self._device)
        with torch.inference_mode():
            for _ in range(self._settings.context):
                logits = self.network(tokens)[:, -1] / self._settings.temperature
                logits[:, 1 : self._first] = -torch.inf  # a class is no text
                uniform = torch.from_numpy(rng.random(n)).to(self._device)
                drawn = nucleus_draw(logits, self._settings.top_p, uniform)
                drawn = drawn.masked_fill(ended, 0)
                ended |= drawn == 0
                tokens = torch.cat([tokens, drawn[:, None]], dim=1)
                if bool(ended.all()):
                    break
        return [
            self._pairs.decode([token - self._first for token in row if token >= self._first])
            for row in tokens[:, 1:].tolist()
        ]


class PretrainedWriter:
    """A pretrained causal model of the transformers library; the prompt is `<class name>: `."""

    def __init__(
        self, model: str, labels: Sequence[str], settings: LanguageModelSettings, device: torch.device
    ) -> None:
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except Exception as error:  # a broken installation raises all kinds of errors
            raise RecipeError(
                f"generate.language_model.model {model!r} needs the transformers library, which cannot be "
                f"imported ({error}); `pip install transformers`, or leave model out to train from scratch."
            ) from error
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(model)
            network: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        except (OSError, ValueError) as error:
            raise RecipeError(
                f"generate.language_model.model {model!r} cannot be loaded "
                f"({str(error).strip().splitlines()[0]}); "
                "give the hub id or the folder of a causal language model."
            ) from error
        self._settings, self._device, self._labels = settings, device, labels
        self._end = self._tokenizer.eos_token_id
        if self._end is None:
            raise RecipeError(
                f"generate.language_model.model {model!r} has no end-of-text token; choose another model."
            )
        self.network: nn.Module = network.to(device)

    def sequence(self, text: str, code: int) -> tuple[list[int], int]:
        """Prompt, text, end."""
        prompt = self._prompt(code)
        body = self._encoded(" " + text)[: self._settings.context]
        return [*prompt, *body, self._end], len(prompt)

    def scores(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Scores (n, t, tokens)."""
        out: Tensor = self.network(input_ids=tokens, attention_mask=present.long()).logits
        return out

    def write(self, code: int, n: int, rng: np.random.Generator) -> list[str]:
        """Texts of a class, by the model's own `generate`."""
        self.network.eval()
        prompt = torch.tensor([self._prompt(code)] * n, device=self._device)
        torch.manual_seed(int(rng.integers(2**62)))
        with torch.inference_mode():
            tokens = self.network.generate(  # type: ignore[operator]
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=True,
                top_p=self._settings.top_p,
                top_k=0,
                temperature=self._settings.temperature,
                max_new_tokens=self._settings.context,
                pad_token_id=self._end,
                eos_token_id=self._end,
            )
        written = tokens[:, prompt.shape[1] :].tolist()
        return [self._tokenizer.decode(row, skip_special_tokens=True) for row in written]

    def _prompt(self, code: int) -> list[int]:
        # Some tokenizers open every text with a token of their own, which the model knows as the beginning.
        return list(self._tokenizer(f"{self._labels[code]}:", add_special_tokens=True)["input_ids"])

    def _encoded(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])
