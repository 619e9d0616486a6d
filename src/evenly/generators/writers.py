"""Causal language models that write texts of a class: trained from scratch, or pretrained and fine-tuned.

Both see a text as a prompt that names the class, the text, and an end; `language_model` trains them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from evenly.errors import RecipeError
from evenly.params.generative import LanguageModelSettings
from evenly.wording import first_line

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Words with the space before them, in parts where no spaces are written; punctuation; space.
_PIECES = r" ?\w{1,16}| ?[^\w\s]{1,8}|\s+"


def byte_pairs(texts: Sequence[str], size: int) -> Tokenizer:
    """Learn a byte-pair vocabulary over characters (Sennrich et al. 2016, arXiv 1508.07909).

    Every one of the texts comes back as it was; of others, characters that these lack are left out. All
    characters are kept, beside at most `size` entries.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    alphabet = sorted(set("".join(texts)))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECES), "isolated")
    tokenizer.decoder = decoders.Fuse()
    trainer = trainers.BpeTrainer(
        vocab_size=max(size, len(alphabet)), min_frequency=2, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


class Writer(ABC):
    """A causal language model of the transformers library with its tokens; `end` follows every text."""

    _no_text: list[int] | None = None  # Tokens that no text has

    def __init__(self, network: Any, end: int, settings: LanguageModelSettings, device: torch.device) -> None:
        self.network = network.to(device)
        self._end, self._settings, self._device = end, settings, device

    @abstractmethod
    def _prompt(self, code: int) -> list[int]:
        """Tokens that name a class."""

    @abstractmethod
    def _encoded(self, text: str) -> list[int]: ...

    @abstractmethod
    def _decoded(self, tokens: list[int]) -> str: ...

    def sequence(self, text: str, code: int) -> tuple[list[int], int]:
        """Tokens of prompt, text and end, and how many of them are prompt."""
        prompt = self._prompt(code)
        return [*prompt, *self._encoded(text)[: self._settings.context], self._end], len(prompt)

    def scores(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Scores (n, t, tokens) of what follows each token; `present` masks padding, bool (n, t)."""
        out: Tensor = self.network(input_ids=tokens, attention_mask=present.long()).logits
        return out

    def write(self, code: int, n: int, rng: np.random.Generator) -> list[str]:
        """Draw texts of a class independently; one that reaches `context` ends there."""
        self.network.eval()
        prompt = torch.tensor([self._prompt(code)] * n, device=self._device)
        torch.manual_seed(int(rng.integers(2**62)))
        with torch.inference_mode():
            tokens = self.network.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=True,
                top_p=self._settings.top_p,
                top_k=0,
                temperature=self._settings.temperature,
                max_new_tokens=self._settings.context,
                pad_token_id=self._end,
                eos_token_id=self._end,
                suppress_tokens=self._no_text,
            )
        return [self._decoded(row) for row in tokens[:, prompt.shape[1] :].tolist()]


class ScratchWriter(Writer):
    """A small GPT-2 over byte pairs of the training texts: token 0 is the end, then classes, then pairs."""

    def __init__(
        self, texts: Sequence[str], classes: int, settings: LanguageModelSettings, device: torch.device
    ) -> None:
        from transformers import GPT2Config, GPT2LMHeadModel

        self._pairs, self._first = byte_pairs(texts, settings.vocabulary), 1 + classes
        self._no_text = list(range(1, self._first))
        config = GPT2Config(
            vocab_size=self._first + self._pairs.get_vocab_size(),
            n_positions=settings.context + 2,
            n_embd=settings.width,
            n_layer=settings.layers,
            n_head=settings.heads,
            resid_pdrop=settings.dropout,
            embd_pdrop=settings.dropout,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
        )
        super().__init__(GPT2LMHeadModel(config), 0, settings, device)

    def _prompt(self, code: int) -> list[int]:
        return [1 + code]

    def _encoded(self, text: str) -> list[int]:
        return [self._first + token for token in self._pairs.encode(text).ids]

    def _decoded(self, tokens: list[int]) -> str:
        text: str = self._pairs.decode([token - self._first for token in tokens if token >= self._first])
        return text


class PretrainedWriter(Writer):
    """A pretrained causal model; the prompt is `<class name>:`."""

    def __init__(
        self, model: str, labels: Sequence[str], settings: LanguageModelSettings, device: torch.device
    ) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(model)
            network: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        except (OSError, ValueError) as error:
            raise RecipeError(
                f"generate.language_model.model {model!r} cannot be loaded ({first_line(error)}); "
                "give the hub id or the folder of a causal language model."
            ) from error
        self._labels = labels
        end = self._tokenizer.eos_token_id
        if end is None:
            raise RecipeError(
                f"generate.language_model.model {model!r} has no end-of-text token; choose another model."
            )
        super().__init__(network, end, settings, device)

    def _prompt(self, code: int) -> list[int]:
        # Some tokenizers open every text with a token of their own, which the model knows as the beginning.
        return list(self._tokenizer(f"{self._labels[code]}:", add_special_tokens=True)["input_ids"])

    def _encoded(self, text: str) -> list[int]:
        return list(self._tokenizer(" " + text, add_special_tokens=False)["input_ids"])

    def _decoded(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text
