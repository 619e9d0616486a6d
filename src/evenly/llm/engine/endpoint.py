"""An endpoint as the engine sees it: address, key, and the body of a request in the dialect it speaks.

No request is sent here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from evenly.errors import ParameterError
from evenly.llm.engine.messages import ChatRequest
from evenly.params.llm import EndpointSettings, EngineSettings, is_loopback

Structure = Literal["json_schema", "json_object", "none"]
_STRUCTURES: tuple[Structure, ...] = ("json_schema", "json_object", "none")
_TOKENS_FIELDS = ("max_tokens", "max_completion_tokens")
#: Words of a complaint about the length of what was asked: nothing that another dialect would mend.
_LENGTH = re.compile(
    r"context.?(length|window|size|limit)|max_model_len|maximum (input|prompt|number of)|too (long|large)"
    r"|string_above_max|上下文|超长|过长|長すぎ"
)
#: Coprime to any sensible number of ordinals, so that asking again never meets the seed of another ordinal.
_ASK_STRIDE = 1_000_003
_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def keys_from(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables by name; those of `.env` where the environment (`os.environ`) has none."""
    from dotenv import dotenv_values

    file = _workspace(environment) / ".env"
    written = dotenv_values(file, interpolate=False) if file.is_file() else {}
    return {name: value for name, value in written.items() if value is not None} | dict(environment)


def journal_folder(environment: Mapping[str, str]) -> Path:
    """Where the journals lie: below the original workspace, so that all experiments share them."""
    return _workspace(environment) / ".cache" / "llm"


def _workspace(environment: Mapping[str, str]) -> Path:
    # DVC names the original workspace so in the temporary checkouts of queued experiments, which lack `.env`.
    return Path(environment.get("DVC_ROOT") or ".")


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server was found to understand: hopeful at first, lowered by a 400 that says otherwise."""

    structure: Structure = "json_schema"
    stream_usage: bool = True
    tokens_field: str = "max_tokens"
    temperature: bool = True
    logprobs: bool = True

    def lowered(self, complaint: str, body: Mapping[str, Any], own: bool) -> tuple[Dialect, bool] | None:
        """The next dialect to try after a 400 or 422 to `body`, and whether the complaint names what to drop.

        None: the request is at fault. `own` says that `body` has a temperature that nobody set for `llm`.
        """
        text = complaint.lower()
        if _LENGTH.search(text):
            return None
        if "max_completion_tokens" in text and self.tokens_field == "max_tokens":
            return replace(self, tokens_field="max_completion_tokens"), True
        if "stream_options" in body and "stream_options" in text:
            return replace(self, stream_usage=False), True
        if "logprobs" in body and "logprobs" in text:
            return replace(self, logprobs=False), True
        if own and self.temperature and ("temperature" in text or "top_p" in text):
            return replace(self, temperature=False), True
        if "response_format" in body:
            named = any(word in text for word in ("response_format", "schema", "json_object", "structured"))
            # A server that names nothing may still mean it: going without costs one request and tells.
            lower: Structure = "json_object" if self.structure == "json_schema" and named else "none"
            others = body.keys() - {"model", "messages", "stream"}
            if named or not any(name in text for name in others):
                return replace(self, structure=lower), named
        return None

    def below(self, other: Dialect) -> Dialect:
        """What both understand."""
        return Dialect(
            max(self.structure, other.structure, key=_STRUCTURES.index),
            self.stream_usage and other.stream_usage,
            max(self.tokens_field, other.tokens_field, key=_TOKENS_FIELDS.index),
            self.temperature and other.temperature,
            self.logprobs and other.logprobs,
        )

    def as_text(self) -> str:
        """For the journal, so that the next run starts where this one has got to."""
        flags = (int(self.stream_usage), self.tokens_field, int(self.temperature), int(self.logprobs))
        return " ".join(map(str, (self.structure, *flags)))

    @classmethod
    def from_text(cls, text: str | None) -> Dialect:
        """From what `as_text` wrote; the hopeful start where there is nothing, or nothing readable."""
        words = (text or "").split()
        if len(words) not in (4, 5) or words[0] not in _STRUCTURES or words[2] not in _TOKENS_FIELDS:
            return cls()
        return cls(words[0], words[1] == "1", words[2], words[3] == "1", words[4:] != ["0"])


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go. The key appears in no representation, body, journal or message."""

    base_url: str
    model: str
    defaults: EngineSettings
    extra_body: Mapping[str, Any]
    key: str | None = field(repr=False)

    def content(self, request: ChatRequest) -> dict[str, Any]:
        """Everything that decides what may come back, in canonical form; ordinal and ask stand beside it."""
        s = self.defaults
        return {
            "endpoint": self.base_url,
            "model": self.model,
            "messages": [dict(message) for message in request.messages],
            "temperature": s.temperature if request.temperature is None else request.temperature,
            "top_p": s.top_p if request.top_p is None else request.top_p,
            "max_tokens": s.max_tokens if request.max_tokens is None else request.max_tokens,
            "seed": s.seed if request.seed is None else request.seed,
            "schema": request.schema,
            "extra_body": self.extra_body,
            # Only where asked for, so that answers of before keep their key.
            **({"logprobs": request.logprobs} if request.logprobs else {}),
        }

    def own(self, content: Mapping[str, Any]) -> list[str]:
        """Sampling parameters that the request brings along, other than those set for `llm`."""
        values = ((name, content[name]) for name in ("temperature", "top_p"))
        return [name for name, value in values if value not in (None, getattr(self.defaults, name))]

    def body(self, content: Mapping[str, Any], ordinal: int, ask: int, dialect: Dialect) -> dict[str, Any]:
        """The JSON body of `/chat/completions` in the server's dialect."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": content["messages"],
            dialect.tokens_field: content["max_tokens"],
        }
        for name in ("temperature", "top_p"):
            if content[name] is not None and (dialect.temperature or name not in self.own(content)):
                body[name] = content[name]
        if content["seed"] is not None:
            body["seed"] = content["seed"] + ordinal + ask * _ASK_STRIDE
        if content["schema"] is not None and dialect.structure == "json_schema":
            schema = {"name": "answer", "strict": True, "schema": content["schema"]}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif content["schema"] is not None and dialect.structure == "json_object":
            body["response_format"] = {"type": "json_object"}
        if content.get("logprobs") and dialect.logprobs:
            body |= {"logprobs": True, "top_logprobs": content["logprobs"]}
        if self.defaults.stream:
            body["stream"] = True
            if dialect.stream_usage:
                body["stream_options"] = {"include_usage": True}
        body.update(self.extra_body)
        return body


def content_key(content: Mapping[str, Any]) -> tuple[str, str]:
    """The sha256 of a request's content (hexadecimal), and the canonical JSON that was hashed."""
    text = _CANONICAL.encode(content)
    return hashlib.sha256(text.encode("ascii")).hexdigest(), text


def endpoints_from(settings: EngineSettings, keys: Mapping[str, str]) -> list[Endpoint]:
    """The endpoint and its fallbacks with their keys (environment variables by name).

    Raises
    ------
    ParameterError
        When the variable that an endpoint elsewhere than on this machine names is not set.
    """
    return [_endpoint(one, settings, keys) for one in settings.endpoints]


def _endpoint(one: EndpointSettings, settings: EngineSettings, keys: Mapping[str, str]) -> Endpoint:
    key = (keys.get(one.key_variable) or None) if one.key_variable else None
    if key is None and one.key_variable and not is_loopback(one.base_url):
        raise ParameterError(
            f"The key for {one.base_url} is not set: put it into the environment or .env as "
            f"{one.key_variable}, or name another variable as llm.key_variable (null: no key)."
        )
    return Endpoint(one.base_url, one.model, settings, dict(one.extra_body), key.strip() if key else None)
