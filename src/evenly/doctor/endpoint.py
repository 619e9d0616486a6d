"""Whether the language model's endpoint is set, has its key, answers, and knows the model."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evenly.doctor import Finding, broken, ok, warning
from evenly.errors import EvenlyError
from evenly.llm.engine.endpoint import Endpoint, endpoints_from, keys_from
from evenly.params.generation import read_engine_settings, require_endpoint
from evenly.params.llm import is_loopback
from evenly.params.project import PARAMS_FILE

_AREA = "language model"
#: Longest wait for a list of models, in seconds.
_SECONDS = 5.0
_NAMED = 5


def endpoint_findings(root: Path, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Ask every endpoint for its list of models; no tokens are used."""
    keys = keys_from(environment)
    try:
        settings = read_engine_settings(root / PARAMS_FILE)
        if settings is None:
            says = "no endpoint: llm.base_url and llm.model in params.yaml are null"
            yield broken(_AREA, says, "set both, or start a local server; docs/llm.md has the recipes")
            return
        require_endpoint(settings, keys, "llm", ())
        endpoints = endpoints_from(settings, keys)
    except EvenlyError as error:
        yield broken(_AREA, error)
        return
    yield from map(_answer, endpoints)


class _StayHere(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer: the key goes to no other place."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _answer(endpoint: Endpoint) -> Finding:
    request = urllib.request.Request(f"{endpoint.base_url}/models")
    if endpoint.key:
        request.add_header("Authorization", f"Bearer {endpoint.key}")
    handlers: list[urllib.request.BaseHandler] = [_StayHere()]
    if is_loopback(endpoint.base_url):
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=_SECONDS) as response:
            content = response.read(2**22)
    except urllib.error.HTTPError as error:
        return _refusal(endpoint, error.code)
    except (OSError, ValueError) as error:
        why = str(getattr(error, "reason", error)) or type(error).__name__
        says = f"nothing answers at {endpoint.base_url} ({why})"
        return broken(_AREA, says, "start the server, or mend llm.base_url")
    return _known(endpoint, content)


def _refusal(endpoint: Endpoint, code: int) -> Finding:
    if code in (401, 403):
        says = f"{endpoint.base_url} refuses the key ({code})"
        return broken(_AREA, says, f"put a valid one into .env as {endpoint.defaults.key_variable}")
    says = f"{endpoint.base_url} answers, but not with a list of models ({code})"
    return warning(_AREA, says, "`evenly llm estimate --show 1` shows what would be asked of it")


def _known(endpoint: Endpoint, content: bytes) -> Finding:
    """Look for the model in what the server lists."""
    try:
        names = [str(one["id"]) for one in json.loads(content)["data"]]
    except (ValueError, KeyError, TypeError):
        return _refusal(endpoint, 200)
    if endpoint.model in names:
        return ok(_AREA, f"{endpoint.base_url} answers and has {endpoint.model}")
    first = ", ".join(names[:_NAMED]) or "none"
    return warning(
        _AREA,
        f"{endpoint.base_url} answers, but does not list {endpoint.model}",
        f"set llm.model to one that it has ({first}, …)" if len(names) > _NAMED else f"it has {first}",
    )
