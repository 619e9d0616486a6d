"""One HTTP request and its reply, over aiohttp: the openai package's client costs nine times the CPU.

What a reply means for the next request is decided in `lane`. Nothing here raises for what a server or network
does: every ending is a `Reply`, so that no traceback ever carries the headers with the key.
"""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urljoin

import aiohttp

from evenly.llm.engine.endpoint import Endpoint
from evenly.llm.engine.messages import FailureKind, Token, Usage
from evenly.params.llm import is_loopback

#: An account without money or quota, in the words and codes of many servers; not where `_PACE` says 'later'.
_QUOTA = re.compile(
    r"quota|insufficient.{0,12}(balance|fund|credit)|(balance|credits?) (is |are )?(too low|insuffic|exhaust)"
    r"|(out of|not enough|no) (credit|fund|balance)|credit.?balance|billing|payment.?required|arrear|overdue"
    r"|配额|配額|额度|額度|(余额|餘額).{0,6}(不足|用尽|用盡|耗尽|为|為)|欠费|欠費|充值|儲值|残高|残額"
    r"|クレジット|利用枠|割り当て|잔액|잔고|할당량|크레딧|한도 초과|guthaben|kontingent|solde|cr[ée]dit(s|o) "
    r"|saldo|cuota|cota |fondos|недостаточно средств|баланс|квот|bakiye|kota|số dư|hạn mức|środk|رصيد|โควต้า",
    re.I,
)
_PACE = re.compile(
    r"per.?(minute|second)|rate.?limit|too.?many|\b[rt]pm\b|(retry|try again) in|每分|每秒|频率|频繁|頻繁"
    r"|速率|稍后|稍後|レート|毎分|분당|(pro|par|por|al|в) min|в минуту",
    re.I,
)
_REGION = re.compile(
    r"(country|region|territory|location).{0,40}(not|un)[ _-]?(be )?(supported|available|allowed|served)"
    r"|unsupported.{0,3}(country|region|location)|not (available|supported) in your"
    r"|(地区|地區|区域|區域|国家|國家).{0,12}不(支持|可用|提供)|不(支持|提供).{0,8}(地区|地區|区域|區域|国家|國家)",
    re.I,
)
_KEY = re.compile(r"(api|access).?key|unauthori[sz]ed|authenticat|密钥|密鑰|令牌", re.I)
_FAULTY = re.compile(r"(invalid|bad).?(request|param|arg)|context.?len|not.?(found|exist)|unsupported", re.I)
#: More than this of one reply is not read: something is wrong on the other side.
LARGEST_REPLY = 256 * 2**20

_COMPACT = json.JSONEncoder(separators=(",", ":"))
_JSON = {"Content-Type": "application/json"}

#: No request has cost more tokens: a larger number is no usage.
MOST_TOKENS = 10**8

Broken = Literal["connect", "cut", "timeout", "malformed", "encoding", "error"]


@dataclass(slots=True)
class Reply:
    """How a request ended: an HTTP status with what was in the body, or how it broke.

    `broken` is `connect` when nothing was sent, `cut` and `timeout` when the server may have worked for
    nothing, `malformed` for a 200 that is no chat completion, `encoding` for one that cannot be decoded, and
    `error` for one that holds an error instead. `usage` is what the server said it cost, whatever the status;
    `model` what it calls its model, `code` the codes of its error, and `tokens` what it says of each token.
    """

    status: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    finish_reason: str = ""
    refusal: bool = False
    usage: Usage | None = None
    broken: Broken | None = None
    complaint: str = ""
    model: str = ""
    code: str = ""
    tokens: tuple[Token, ...] = ()

    @property
    def maybe_paid(self) -> bool:
        """Whether the server may have billed this without telling us."""
        return self.usage is None and (
            self.broken in ("cut", "timeout", "malformed", "encoding")
            or (self.broken == "error" and bool(self.text))
            or (self.status == 200 and self.broken is None)
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
        headers = {"Accept-Encoding": "gzip"}
        if endpoint.key:
            headers["Authorization"] = f"Bearer {endpoint.key}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30.0),
            timeout=timeout,
            headers=headers,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
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
                encoding = headers.get("Content-Encoding", "").strip().lower()
                decode: Callable[[bytes], bytes] = bytes
                if encoding in ("gzip", "x-gzip", "deflate"):
                    decode = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress
                elif encoding not in ("", "identity"):
                    return Reply(
                        status, headers, broken="encoding" if status == 200 else None, complaint=encoding
                    )
                streaming = bool(body.get("stream")) and "event-stream" in headers.get("Content-Type", "")
                if status == 200 and streaming:
                    return await self._read_stream(response, decode)
                async for chunk in response.content.iter_any():
                    got += decode(chunk)
                    if len(got) > LARGEST_REPLY:
                        return Reply(status, headers, broken="malformed", complaint="The reply has no end.")
        except zlib.error:
            broken: Broken | None = "encoding" if status == 200 else None
            return Reply(status, headers, broken=broken, complaint=encoding)
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

    async def _read_stream(self, response: aiohttp.ClientResponse, decode: Callable[[bytes], bytes]) -> Reply:
        """Server-sent events, put together; a stream that ends before it says so is `cut`."""
        parts: list[str] = []
        tokens: list[Token] = []
        finish: str | None = None
        refusal = model = ""
        usage: Usage | None = None
        done = False
        broken: Broken | None = None
        pending = b""
        size = 0
        try:
            async for chunk in response.content.iter_any():
                data = decode(chunk)
                size += len(data)
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    if not line.startswith(b"data:"):
                        continue
                    data = line[5:].strip()
                    if data == b"[DONE]":
                        done = True
                        continue
                    event = json.loads(data)
                    if (fault := _fault(event)) is not None:
                        return _failed(200, response.headers, fault, usage, self._key, "".join(parts))
                    usage = _usage(event) or usage
                    model = event.get("model") or model
                    for choice in event.get("choices") or ():
                        delta = choice.get("delta") or {}
                        parts.append(_text_of(delta.get("content")))
                        refusal += delta.get("refusal") or ""
                        tokens += _tokens_of(choice)
                        finish = choice.get("finish_reason") or finish
                if size > LARGEST_REPLY:
                    broken = "malformed"
                    break
        except (TimeoutError, aiohttp.ServerTimeoutError):
            broken = "timeout"
        except (aiohttp.ClientError, OSError):
            broken = "cut"
        except zlib.error:
            broken = "encoding"
        except (ValueError, AttributeError, TypeError, RecursionError):
            broken = "malformed"
        if broken is None and not done and finish is None:
            broken = "cut"
        if broken is not None:
            return Reply(
                None, response.headers, usage=usage, broken=broken, complaint="The stream broke off."
            )
        text = "".join(parts)
        found = _completed(response.status, response.headers, text, finish, refusal, usage, model)
        found.tokens = tuple(tokens)
        return found


def read_completion(status: int, headers: Mapping[str, str], got: bytes, key: str | None = None) -> Reply:
    """The reply that a status and a body make; the key is taken out of what is quoted."""
    try:
        content = json.loads(got)
    except (ValueError, RecursionError):
        content = None
    usage = _usage(content) if isinstance(content, dict) else _usage_within(got)
    fault = _fault(content, status)
    if fault is not None:
        return _failed(status, headers, fault, usage, key)
    if status != 200:
        return Reply(status, headers, usage=usage, complaint=_prose(got, key))
    try:
        choice = content["choices"][0]
        message = choice["message"]
        text, finish, refusal = message.get("content"), choice.get("finish_reason"), message.get("refusal")
    except (TypeError, KeyError, IndexError, AttributeError):
        complaint = f"No chat completion: {_prose(got[:200], key)}"
        return Reply(status, headers, usage=usage, broken="malformed", complaint=complaint)
    reply = _completed(status, headers, _text_of(text), finish, refusal, usage, content.get("model"))
    reply.tokens = _tokens_of(choice)
    return reply


def _prose(got: bytes, key: str | None) -> str:
    """What stands in a body, without the tags of a page."""
    return hidden(re.sub(r"<[^<>]*>", " ", got[:4000].decode("utf-8", "replace")), key)


def _fault(content: Any, status: int = 200) -> Mapping[str, Any] | None:
    """The error object of a reply in the forms that servers give it; None where there is none."""
    if isinstance(content, list) and content:
        content = content[0]
    if not isinstance(content, dict):
        return None
    error, choices, status_object = content.get("error"), content.get("choices"), content.get("base_resp")
    if not error and isinstance(choices, list) and choices and isinstance(choices[0], dict):
        error = choices[0].get("error")
    if not error and isinstance(status_object, dict) and status_object.get("status_code"):
        error = status_object
    plain = content.get("code") and (content.get("message") or content.get("msg"))
    plain = plain or status != 200 or "error" in (content.get("object"), content.get("type"))
    if not error and not choices and plain:
        error = content
    return error if isinstance(error, dict) else {"message": error} if error else None


def _failed(
    status: int,
    headers: Mapping[str, str],
    error: Mapping[str, Any],
    usage: Usage | None,
    key: str | None,
    text: str = "",
) -> Reply:
    """The reply that an error object makes; one in a reply of status 200 may name another status."""
    values = [error.get(name) for name in ("message", "msg", "detail", "error_msg", "status_msg")]
    message = next((value for value in values if value), error)
    sentence = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
    codes = (error.get(name) for name in ("code", "type", "status", "status_code", "param"))
    code = " ".join(str(one)[:100] for one in codes if one and isinstance(one, str | int))
    number = error.get("code")
    broken: Broken | None = None
    if status == 200:
        broken, status = "error", 0
        if str(number).isascii() and str(number).isdigit() and 400 <= int(str(number)[:9]) < 600:
            status = int(number)  # type: ignore[arg-type]
    complaint = hidden(_storable(sentence[:4000]), key)
    return Reply(
        status or None, headers, text, usage=usage, broken=broken, complaint=complaint, code=hidden(code, key)
    )


def failure_of(reply: Reply) -> FailureKind | None:
    """What is the matter with an answer that the model gave and was paid for; None where nothing is."""
    if reply.refusal:
        return "refusal"
    if reply.finish_reason == "length":
        return "truncated"
    return None if reply.text.strip() else "empty"


def failure_kind(reply: Reply) -> FailureKind:
    """What a reply that is no answer means."""
    if reply.broken in ("timeout", "malformed"):
        return reply.broken
    if reply.broken in ("connect", "cut"):
        return "connection"
    if reply.broken == "encoding":
        return "bad_request"
    words = f"{reply.code} {reply.complaint}"
    status = reply.status or 0
    if status == 0:  # an error in a reply of status 200
        guesses = ((429, _PACE), (401, _KEY), (400, _FAULTY))
        status = next((number for number, pattern in guesses if pattern.search(words)), 500)
    broke = _QUOTA.search(reply.code) or (_QUOTA.search(words[:300]) and not _PACE.search(words))
    if status == 402 or (broke and status in (400, 401, 403, 429, 500)):
        return "quota"
    if status == 451 or (status in (400, 401, 403, 404) and _REGION.search(words)):
        return "region"
    if status in (401, 403) or (status == 400 and _KEY.search(words)):
        return "auth"
    if status == 429:
        return "rate_limited"
    if (status >= 500 and status != 501) or status in (408, 409, 425):
        return "server"
    return "bad_request"


def failure_sentence(endpoint: Endpoint, kind: FailureKind, reply: Reply) -> str:
    """What happened at this endpoint and what to do about it."""
    words = " ".join(f"{reply.complaint} {f'[{reply.code}]' if reply.code else ''}".split())[:300]
    lead = "It said in a reply of status 200:" if reply.broken == "error" else "It said:"
    quoted = f" {lead} {words}" if words else ""
    status = f" ({reply.status})" if reply.status else ""
    what = {
        "auth": f"refuses the key{status}; check the variable that llm.key_variable names.",
        "quota": f"says that the account has no quota left{status}; top it up or set llm.fallbacks.",
        "region": f"does not serve the place where this machine is{status}; use a proxy (HTTPS_PROXY), an "
        "endpoint of your region, or llm.fallbacks.",
        "rate_limited": f"turns requests away{status}; lower llm.concurrency or requests_per_minute.",
        "server": f"keeps failing{status}; look at the server, or set llm.fallbacks.",
        "timeout": "does not answer in time; raise llm.silence_seconds, or look at the server.",
        "connection": "cannot be reached or breaks off; is the server running, is llm.base_url right?",
        "malformed": "answers with something that is no chat completion; is llm.base_url right?",
        "bad_request": f"refuses the request{status}; check llm.model, llm.extra_body and the prompt.",
    }[kind]
    set_here = [
        name
        for name in ("temperature", "top_p", "seed", "max_tokens")
        if name in words and name in endpoint.defaults.model_fields_set
    ]
    location = reply.headers.get("Location", "") if 300 <= (reply.status or 0) < 400 else ""
    if reply.broken == "encoding":
        what = f"sends a reply in an encoding that was not asked for or is damaged ({words[:40]}); switch "
        what, quoted = what + "compression off at the server, or at the proxy before it.", ""
    elif location:
        with suppress(ValueError):  # what is no URL is quoted as it is
            location = urljoin(f"{endpoint.base_url}/", location)
        target = hidden(location, endpoint.key).removesuffix("/chat/completions")
        what, quoted = f"redirects{status} to {target[:300]}; set llm.base_url to where it should lead.", ""
    elif kind == "bad_request" and set_here:
        what = f"refuses the request{status}; change llm.{set_here[0]} in params.yaml, or leave it out."
    return _storable(f"{endpoint.base_url} ({endpoint.model}) {what}{quoted}")


def _completed(
    status: int,
    headers: Mapping[str, str],
    text: str,
    finish: object,
    refusal: object,
    usage: Usage | None,
    model: object,
) -> Reply:
    refused = bool(refusal) or finish == "content_filter"
    if refused and not text:
        text = str(refusal or "")
    ending, name = _storable(str(finish or "")[:100]), _storable(str(model or "")[:200])
    return Reply(status, headers, _storable(text), ending, refused, usage, model=name)


def _storable(text: str) -> str:
    """Text without lone surrogates: legal in JSON, but they can neither be stored nor printed."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _text_of(content: object) -> str:
    """The text of a message: a string, or a list of parts as some servers send it."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return ""


def _tokens_of(choice: Mapping[str, Any]) -> tuple[Token, ...]:
    """What a server says of the tokens of an answer; nothing where it says nothing that can be read."""
    given = choice.get("logprobs")
    tokens: list[Token] = []
    try:
        for one in (given or {}).get("content") or ():
            others = {_storable(o["token"]): float(o["logprob"]) for o in one.get("top_logprobs") or ()}
            tokens.append((_storable(one["token"]), float(one["logprob"]), others))
    except (KeyError, TypeError, ValueError, AttributeError):
        return ()
    return tuple(tokens)


def _usage(content: Mapping[str, Any]) -> Usage | None:
    """What the server says that a call cost; None where it says nothing that can be."""
    usage = content.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt, completion = _tokens(usage.get("prompt_tokens")), _tokens(usage.get("completion_tokens", 0))
    if prompt is None or completion is None:
        return None
    details = usage.get("prompt_tokens_details")
    cached = (
        details.get("cached_tokens") if isinstance(details, dict) else usage.get("prompt_cache_hit_tokens")
    )
    return Usage(prompt, completion, cached_tokens=min(_tokens(cached) or 0, prompt))


def _tokens(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_TOKENS:
        return None
    return int(value) if value == int(value) else None


def _usage_within(got: bytes | bytearray) -> Usage | None:
    """The usage object in the remains of a reply that broke off."""
    match = re.search(rb'"usage"\s*:\s*(\{[^{}]*)', bytes(got))
    if match is None:
        return None
    prompt = re.search(rb'"prompt_tokens"\s*:\s*(\d{1,8})\s*[,}]', match[1] + b"\n")
    completion = re.search(rb'"completion_tokens"\s*:\s*(\d{1,8})\s*[,}]', match[1] + b"\n")
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
