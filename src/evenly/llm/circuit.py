"""When an endpoint is given up for the rest of the run, and the one sentence that says why."""

from __future__ import annotations

import asyncio

from evenly.llm.chat import FailureKind
from evenly.llm.transport import Reply

#: So many authentication or quota errors in a row, and nothing more is sent.
DENIALS = 3
#: So many requests that spent all their attempts without an answer to anyone in between.
GIVEN_UP = 3


class Circuit:
    """Open once the endpoint is hopeless: a key refused, an account empty, a server gone. It stays open."""

    def __init__(self, base_url: str, model: str) -> None:
        self.reason: str | None = None
        self.kind: FailureKind = "server"
        self._base_url = base_url
        self._model = model
        self._denials = 0
        self._given_up = 0
        self.successes = 0
        self._opened = asyncio.Event()

    def succeeded(self) -> None:
        """The endpoint answered."""
        self._denials = self._given_up = 0
        self.successes += 1

    def denied(self, kind: FailureKind, reply: Reply) -> None:
        """The endpoint refused the key, or the account is empty."""
        self._denials += 1
        if self._denials >= DENIALS:
            self._open(kind, reply)

    def gave_up(self, kind: FailureKind, reply: Reply, successes_before: int) -> None:
        """A request has spent its attempts; where nothing at all was answered meanwhile, nothing will be.

        One request may be poison to a working server; a server that cannot be reached says it with the first.
        """
        if self.successes > successes_before:
            return
        self._given_up += 1
        if reply.broken == "connect" or self._given_up >= GIVEN_UP:
            self._open(kind, reply)

    def _open(self, kind: FailureKind, reply: Reply) -> None:
        if self.reason is None:
            self.kind = kind
            self.reason = self.sentence(kind, reply)
            self._opened.set()

    def close(self) -> None:
        """Wake those who wait to try again: the engine is closing."""
        self._opened.set()

    async def sleep(self, seconds: float) -> None:
        """Sleep, but not past the opening of the circuit or the closing of the engine."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._opened.wait()
        except TimeoutError:
            pass

    def sentence(self, kind: FailureKind, reply: Reply) -> str:
        """What happened at this endpoint and what to do about it."""
        said = " ".join(reply.complaint.split())[:300]
        told = f" It said: {said}" if said else ""
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
        return f"{self._base_url} ({self._model}) {what}{told}"
