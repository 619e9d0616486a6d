"""One HTTP request and its reply, over aiohttp: the openai package's client costs nine times the CPU.

What a reply means for the next request is decided in `lane`. Nothing here raises for what a server or network
does: every ending is a `Reply`, so that no traceback ever carries the headers with the key.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp

from evenly.llm.engine.endpoint import Endpoint
from evenly.llm.engine.messages import FailureKind, Usage
from evenly.params.llm import is_loopback

_QUOTA_WORDS = (
    "insufficient_quota",
    "exceeded your current quota",
    "billing_hard_limit",
    "insufficient balance",
)
#: More than this of one reply is not read: something is wrong on the other side.
LARGEST_REPLY = 256 * 2**20

_COMPACT = json.JSONEncoder(separators=(",", ":"))
_JSON = {"Content-Type": "application/json"}

Broken = Literal["connect", "cut", "timeout", "malformed"]


@dataclass(slots=True)
class Reply:
    """How a request ended: an HTTP status with what was in the body, or how it broke.

    `broken` is `connect` when nothing was sent, `cut` and `timeout` when the server may have worked for
    nothing, and `malformed` for a 200 that is no chat completion. `usage` is what the server said it cost,
    whatever the status.
    """

    status: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    finish_reason: str = ""
    refusal: bool = False
    usage: Usage | None = None
    broken: Broken | None = None
    complaint: str = ""

    @property
    def maybe_paid(self) -> bool:
        """Whether the server may have billed this without telling us."""
        return self.usage is None and (
            self.broken in ("cut", "timeout", "malformed") or (self.status == 200 and self.broken is None)
        )


class Transport:
    """The connections to one endpoint."""

    def __init__(self, endpoint: Endpoint, environment: Mapping[str, str]) -> None:
        s = endpoint.defaults
        self._key = endpoint.key
        self.base_url = endpoint.base_url
        self._proxy = proxy_for(endpoint.base_url, environment)
        timeout = aiohttp.ClientTimeout(
            total=s.total_seconds, connect=None, sock_connect=s.connect_seconds, sock_read=s.silence_seconds
        )
        headers = {"Accept-Encoding": "gzip, deflate"}
        if endpoint.key:
            headers["Authorization"] = f"Bearer {endpoint.key}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30.0),
            timeout=timeout,
            headers=headers,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
        )

    async def __aenter__(self) -> Transport:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()

    async def chat(self, body: Mapping[str, Any]) -> Reply:
        """Send one chat request and read what comes, as a stream where the body asks for one."""
        data = _COMPACT.encode(body).encode("ascii")
        got = bytearray()
        status: int | None = None
        headers: Mapping[str, str] = {}
        try:
            async with self._session.post(
                f"{self.base_url}/chat/completions",
                data=data,
                headers=_JSON,
                proxy=self._proxy,
                allow_redirects=False,
            ) as response:
                status, headers = response.status, response.headers
                streaming = bool(body.get("stream")) and "event-stream" in headers.get("Content-Type", "")
                if status == 200 and streaming:
                    return await self._read_stream(response)
                async for chunk in response.content.iter_any():
                    got += chunk
                    if len(got) > LARGEST_REPLY:
                        return Reply(status, headers, broken="malformed", complaint="The reply has no end.")
        except (TimeoutError, aiohttp.ServerTimeoutError) as error:
            connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
            kind: Broken = "connect" if connecting else "timeout"
            return Reply(None, headers, usage=_usage_within(got), broken=kind, complaint="No answer in time.")
        except (aiohttp.ClientError, OSError, ValueError, asyncio.IncompleteReadError) as error:
            connecting = isinstance(error, aiohttp.ClientConnectorError | aiohttp.InvalidURL)
            kind = "connect" if connecting else "cut"
            return Reply(
                None, headers, usage=_usage_within(got), broken=kind, complaint=hidden(str(error), self._key)
            )
        return read_completion(status, headers, bytes(got), self._key)

    async def _read_stream(self, response: aiohttp.ClientResponse) -> Reply:
        """Server-sent events, put together; a stream that ends before it says so is `cut`."""
        parts: list[str] = []
        finish: str | None = None
        refusal = ""
        usage: Usage | None = None
        done = False
        broken: Broken | None = None
        pending = b""
        size = 0
        try:
            async for chunk in response.content.iter_any():
                size += len(chunk)
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    if not line.startswith(b"data:"):
                        continue
                    data = line[5:].strip()
                    if data == b"[DONE]":
                        done = True
                        continue
                    event = json.loads(data)
                    usage = _usage(event) or usage
                    for choice in event.get("choices") or ():
                        delta = choice.get("delta") or {}
                        parts.append(_text_of(delta.get("content")))
                        refusal += delta.get("refusal") or ""
                        finish = choice.get("finish_reason") or finish
                if size > LARGEST_REPLY:
                    broken = "malformed"
                    break
        except (TimeoutError, aiohttp.ServerTimeoutError):
            broken = "timeout"
        except (aiohttp.ClientError, OSError):
            broken = "cut"
        except (ValueError, AttributeError, TypeError):
            broken = "malformed"
        if broken is None and not done and finish is None:
            broken = "cut"
        if broken is not None:
            return Reply(
                None, response.headers, usage=usage, broken=broken, complaint="The stream broke off."
            )
        return _completed(response.status, response.headers, "".join(parts), finish, refusal, usage)


def read_completion(status: int, headers: Mapping[str, str], got: bytes, key: str | None = None) -> Reply:
    """The reply that a status and a body make; the key is taken out of what is quoted."""
    try:
        content = json.loads(got)
    except (ValueError, RecursionError):
        content = None
    usage = _usage(content) if isinstance(content, dict) else _usage_within(got)
    if status != 200:
        return Reply(
            status, headers, usage=usage, complaint=hidden(got[:4000].decode("utf-8", "replace"), key)
        )
    try:
        choice = content["choices"][0]
        message = choice["message"]
        text, finish, refusal = message.get("content"), choice.get("finish_reason"), message.get("refusal")
    except (TypeError, KeyError, IndexError, AttributeError):
        short = hidden(got[:200].decode("utf-8", "replace"), key)
        return Reply(
            status, headers, usage=usage, broken="malformed", complaint=f"No chat completion: {short}"
        )
    return _completed(status, headers, _text_of(text), finish, refusal, usage)


def failure_of(reply: Reply) -> FailureKind | None:
    """What is the matter with an answer that the model gave and was paid for; None where nothing is."""
    if reply.refusal:
        return "refusal"
    if reply.finish_reason == "length":
        return "truncated"
    return None if reply.text.strip() else "empty"


def failure_kind(reply: Reply) -> FailureKind:
    """What a reply that is no answer means."""
    if reply.broken is not None:
        return reply.broken if reply.broken in ("timeout", "malformed") else "connection"
    status, complaint = reply.status or 0, reply.complaint.lower()
    if status == 402 or (status in (403, 429) and any(word in complaint for word in _QUOTA_WORDS)):
        return "quota"
    if status in (401, 403):
        return "auth"
    if status == 429:
        return "rate_limited"
    if (status >= 500 and status != 501) or status in (408, 409, 425):
        return "server"
    return "bad_request"


def failure_sentence(endpoint: Endpoint, kind: FailureKind, reply: Reply) -> str:
    """What happened at this endpoint and what to do about it."""
    complaint = " ".join(reply.complaint.split())[:300]
    quoted = f" It said: {complaint}" if complaint else ""
    status = f" ({reply.status})" if reply.status else ""
    what = {
        "auth": f"refuses the key{status}; check the variable that llm.key_variable names.",
        "quota": f"says that the account has no quota left{status}; top it up or set llm.fallbacks.",
        "rate_limited": f"turns requests away{status}; lower llm.concurrency or requests_per_minute.",
        "server": f"keeps failing{status}; look at the server, or set llm.fallbacks.",
        "timeout": "does not answer in time; raise llm.silence_seconds, or look at the server.",
        "connection": "cannot be reached or breaks off; is the server running, is llm.base_url right?",
        "malformed": "answers with something that is no chat completion; is llm.base_url right?",
        "bad_request": f"refuses the request{status}; check llm.model, llm.extra_body and the prompt.",
    }[kind]
    return f"{endpoint.base_url} ({endpoint.model}) {what}{quoted}"


def _completed(
    status: int, headers: Mapping[str, str], text: str, finish: object, refusal: object, usage: Usage | None
) -> Reply:
    refused = bool(refusal) or finish == "content_filter"
    if refused and not text:
        text = str(refusal or "")
    # A lone surrogate is legal JSON but no text: it could neither be stored nor printed.
    clean = text.encode("utf-8", "replace").decode("utf-8")
    return Reply(status, headers, clean, str(finish or ""), refused, usage)


def _text_of(content: object) -> str:
    """The text of a message: a string, or a list of parts as some servers send it."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return ""


def _usage(content: Mapping[str, Any]) -> Usage | None:
    usage = content.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens", 0)
    if not isinstance(prompt, int) or not isinstance(completion, int):
        return None
    return Usage(max(prompt, 0), max(completion, 0))


def _usage_within(got: bytes | bytearray) -> Usage | None:
    """The usage object in the remains of a reply that broke off."""
    match = re.search(rb'"usage"\s*:\s*(\{[^{}]*)', bytes(got))
    if match is None:
        return None
    prompt = re.search(rb'"prompt_tokens"\s*:\s*(\d+)\s*[,}]', match[1] + b"\n")
    completion = re.search(rb'"completion_tokens"\s*:\s*(\d+)\s*[,}]', match[1] + b"\n")
    return Usage(int(prompt[1]), int(completion[1])) if prompt and completion else None


def hidden(text: str, key: str | None) -> str:
    """The text without the key: some servers repeat it in their complaint."""
    return text.replace(key, "***") if key else text


def proxy_for(url: str, environment: Mapping[str, str]) -> str | None:
    """The proxy that the environment names for a URL; None for this machine's own addresses."""
    from urllib.parse import urlsplit
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

    if is_loopback(url):
        return None
    lower = {name.lower(): value for name, value in environment.items()}
    parts = urlsplit(url)
    if proxy_bypass_environment(parts.netloc, {"no": lower.get("no_proxy", "")}):
        return None
    return lower.get(f"{parts.scheme}_proxy") or lower.get("all_proxy") or None
