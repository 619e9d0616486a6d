"""How many tokens a text has, without a tokeniser: a guess by script, and a bound above any tokeniser."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from evenly.llm.chat import Message, Usage

#: Characters per token of common byte-pair vocabularies: Latin text near 4 (English), Han, kana and Hangul
#: near 1.5, other scripts (Cyrillic, Greek, Arabic, Devanagari, …) near 2.5.
LATIN_CHARACTERS = 4.0
WIDE_CHARACTERS = 1.5
OTHER_CHARACTERS = 2.5
#: What the chat format adds: role and separators around each message, and the opening of the answer.
MESSAGE_TOKENS = 4

_WIDE = re.compile(
    r"[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)
_OTHER = re.compile(r"[\u0370-\u10ff\u1200-\u1dff]")


def guessed_tokens(text: str) -> float:
    """Tokens of a text, guessed from its scripts; within about 15 % on running text of one script."""
    if text.isascii():
        return len(text) / LATIN_CHARACTERS
    wide, other = len(_WIDE.findall(text)), len(_OTHER.findall(text))
    latin = len(text) - wide - other
    return latin / LATIN_CHARACTERS + wide / WIDE_CHARACTERS + other / OTHER_CHARACTERS


def guessed_prompt_tokens(messages: Sequence[Message]) -> float:
    """Tokens of a whole conversation, guessed."""
    return sum(guessed_tokens(message["content"]) + MESSAGE_TOKENS for message in messages)


def worst_usage(content: Mapping[str, Any], canonical: str) -> Usage:
    """More tokens than the request can cost, whatever the tokeniser.

    Byte-level vocabularies make at most one token of a byte, so the canonical JSON, which holds every message
    and the schema besides, bounds the prompt; chat templates add a little per message.
    """
    templates = 64 + 32 * len(content["messages"])
    return Usage(len(canonical) + templates, int(content["max_tokens"]), exact=False)
