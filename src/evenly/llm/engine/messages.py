"""What is asked of a language model, what comes back, and how many tokens that is; not how it travels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Message = Mapping[str, str]

FailureKind = Literal[
    "refusal",  # the model or its filter declined; paid and journalled
    "empty",  # an answer without text; paid and journalled
    "truncated",  # cut by max_tokens; paid and journalled, `text` holds what came
    "unusable",  # asked `asks` times, and `accept` took none of the answers
    "malformed",  # the body of the reply was no chat completion, again and again
    "bad_request",  # the server will not take this request
    "auth",  # wrong or missing key
    "quota",  # the account has nothing left
    "region",  # not served where this machine is
    "rate_limited",  # 429 to the end
    "server",  # 5xx to the end
    "timeout",
    "connection",
    "budget",  # a spending cap left no room for the worst case; nothing was sent
    "stopped",  # the engine was closed before this was sent
]

#: Failures of what the model said: it was paid for, is journalled, and the same question is not paid twice.
PAID: frozenset[str] = frozenset({"refusal", "empty", "truncated"})
#: Failures of the way there and back: a result must not depend on them.
OUTAGE: frozenset[str] = frozenset(
    {"auth", "quota", "region", "rate_limited", "server", "timeout", "connection", "malformed", "stopped"}
)
#: What a stage says after an outage.
GO_ON = "Answers so far are in the journal; once this is mended, the same command goes on from there."

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


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question. `None` takes the value of the settings; the model is the endpoint's.

    `ordinal` tells the n-th request with the same content apart from the others; `tag` (a class name, say) is
    for counting only and is no part of the journal's key. `logprobs` asks for so many alternatives to every
    token, where the server gives them.
    """

    messages: tuple[Message, ...]
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    schema: Mapping[str, Any] | None = None
    ordinal: int = 0
    tag: str = ""
    logprobs: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a call cost. `exact` is False where the server did not say and they were guessed.

    `cached_tokens` of the prompt were read from the server's cache; `batch` says that batch mode carried it.
    """

    prompt_tokens: int
    completion_tokens: int
    exact: bool = True
    cached_tokens: int = 0
    batch: bool = False

    @property
    def total(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


NO_USAGE = Usage(0, 0)


#: A token, its log probability, and those of what could have stood in its place.
Token = tuple[str, float, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `failure` is None for a good answer; `error` then says in a sentence what went wrong.

    `attempts` counts the HTTP requests this answer took in this run, 0 where it came from the journal;
    `served` is the model that the server itself names, empty where it names none. `tokens` are those of the
    text with their log probability and those of the alternatives, where these were asked for and given.
    """

    text: str
    finish_reason: str
    usage: Usage
    attempts: int
    model: str
    failure: FailureKind | None = None
    error: str | None = None
    from_journal: bool = False
    served: str = ""
    tokens: tuple[Token, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the model answered in full."""
        return self.failure is None


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
