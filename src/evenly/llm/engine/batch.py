"""Batch mode: many requests handed over as one file, answered within a day at a lower price, and collected
later.

The journal knows every batch before it is submitted, so that no kill can lose or repeat one.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from evenly.errors import DataError, EvenlyError
from evenly.llm.engine.budget import Budget
from evenly.llm.engine.endpoint import Dialect, Endpoint, content_key, endpoints_from
from evenly.llm.engine.journal import Entry, Journal, Slot, journal_path
from evenly.llm.engine.messages import NO_USAGE, ChatRequest, guessed_prompt_tokens, worst_usage
from evenly.llm.engine.transport import Transport, failure_of, read_completion
from evenly.params.llm import EngineSettings

#: What OpenAI takes in one file; others take as much.
LARGEST_BATCH = 50_000
_OVER = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What batch mode did: journalled before, submitted, collected, and lines without an answer."""

    known: int
    submitted: int
    collected: int
    failed: int
    open_batches: int


async def run_batches(
    settings: EngineSettings,
    keys: Mapping[str, str],
    folder: Path,
    requests: Sequence[ChatRequest],
    wait: bool = True,
    poll_seconds: float = 30.0,
    progress: Callable[[str], None] | None = None,
) -> BatchReport:
    """Bring the answers to `requests` into the journal by the Batch API of the first endpoint.

    Open batches of an earlier run are collected first, and what they hold is not submitted again. Afterwards
    an engine over the same folder finds the answers in the journal, and asks itself what a batch left
    unanswered.

    Parameters
    ----------
    wait
        Poll until every batch is over; otherwise submit, look once, and return.
    progress
        Called with a line for people whenever the state of a batch changes.

    Raises
    ------
    EvenlyError
        When the endpoint has no Batch API, refuses, cannot be reached, or a spending cap is too low.
    """
    endpoint = endpoints_from(settings, keys)[0]
    path = journal_path(folder, endpoint.base_url, endpoint.model)
    with Journal(path, endpoint.base_url, endpoint.model) as journal:
        async with Transport(endpoint, keys) as transport:
            desk = _Desk(endpoint, journal, transport, requests, progress or (lambda line: None))
            return await desk.run(settings, wait, poll_seconds)


class _Desk:
    """The dealings of one run with the Batch API."""

    def __init__(
        self,
        endpoint: Endpoint,
        journal: Journal,
        transport: Transport,
        requests: Sequence[ChatRequest],
        progress: Callable[[str], None],
    ) -> None:
        self._endpoint = endpoint
        self._journal = journal
        self._transport = transport
        self._progress = progress
        self._dialect = Dialect.from_text(journal.fact("dialect"))
        self._questions: dict[Slot, tuple[ChatRequest, dict[str, Any], str]] = {}
        for request in requests:
            content = endpoint.content(request)
            key, canonical = content_key(content)
            self._questions[Slot(key, request.ordinal, 0)] = (request, content, canonical)
        self._collected = 0
        self._failed = 0

    async def run(self, settings: EngineSettings, wait: bool, poll_seconds: float) -> BatchReport:
        await self._find_lost()
        await self._collect()
        known = sum(1 for slot in self._questions if self._journal.find(slot) is not None)
        under_way = {
            Slot(*slot) for _, _, slots in self._journal.open_batches() for slot in json.loads(slots)
        }
        missing = [s for s in self._questions if s not in under_way and self._journal.find(s) is None]
        self._check_caps(settings, missing)
        for start in range(0, len(missing), LARGEST_BATCH):
            await self._submit(missing[start : start + LARGEST_BATCH])
        await self._collect()
        while wait and self._journal.open_batches():
            await asyncio.sleep(poll_seconds)
            await self._collect()
        return BatchReport(
            known, len(missing), self._collected, self._failed, len(self._journal.open_batches())
        )

    def _check_caps(self, settings: EngineSettings, missing: Sequence[Slot]) -> None:
        budget = Budget(settings)
        for slot in missing:
            _, content, canonical = self._questions[slot]
            if budget.reserve(self._endpoint.model, worst_usage(content, canonical)) is None:
                raise EvenlyError(
                    f"A batch of {len(missing)} requests could cost more at its worst than the cap allows; "
                    f"raise the cap or send without batch mode. {budget.refusal()}"
                )

    async def _submit(self, slots: Sequence[Slot]) -> None:
        import aiohttp

        name = uuid.uuid4().hex
        lines = []
        for slot in slots:
            _, content, _ = self._questions[slot]
            body = self._endpoint.body(content, slot.ordinal, slot.ask, self._dialect)
            body.pop("stream", None)
            body.pop("stream_options", None)
            line = {
                "custom_id": _custom_id(slot),
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": body,
            }
            lines.append(json.dumps(line, separators=(",", ":")))
        self._journal.save_batch(name, None, "submitting", json.dumps(slots))
        await self._journal.durable()
        form = aiohttp.FormData()
        form.add_field("purpose", "batch")
        form.add_field("file", "\n".join(lines), filename=f"{name}.jsonl", content_type="application/jsonl")
        uploaded = await self._call("POST", "/files", form, "take a file for a batch")
        wanted = {
            "input_file_id": uploaded["id"],
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {"evenly": name},
        }
        batch = await self._call("POST", "/batches", wanted, "start a batch")
        self._journal.save_batch(name, str(batch["id"]), "submitted", json.dumps(slots))
        await self._journal.durable()
        self._progress(f"batch {batch['id']}: {len(slots)} requests submitted")

    async def _find_lost(self) -> None:
        """Find batches whose submission was killed half-way by the name they carry; the rest never began."""
        lost = {name: slots for name, batch, slots in self._journal.open_batches() if batch is None}
        if not lost:
            return
        after = ""
        while lost:
            page = await self._call("GET", f"/batches?limit=100{after}", None, "list batches")
            for batch in page.get("data", ()):
                name = (batch.get("metadata") or {}).get("evenly")
                if name in lost:
                    self._journal.save_batch(name, str(batch["id"]), "submitted", lost.pop(name))
            if not page.get("has_more") or not page.get("data"):
                break
            after = f"&after={page['data'][-1]['id']}"
        for name, slots in lost.items():
            self._journal.save_batch(name, None, "collected", slots)

    async def _collect(self) -> None:
        for name, batch_id, slots in self._journal.open_batches():
            if batch_id is None:
                continue
            batch = await self._call("GET", f"/batches/{batch_id}", None, "tell the state of a batch")
            if batch.get("status") not in _OVER:
                continue
            for kind in ("output_file_id", "error_file_id"):
                if batch.get(kind):
                    await self._take_in(str(batch[kind]))
            self._journal.save_batch(name, batch_id, "collected", slots)
            await self._journal.durable()
            self._progress(f"batch {batch_id}: {batch['status']}")

    async def _take_in(self, file_id: str) -> None:
        content = await self._bytes(
            "GET", f"/files/{file_id}/content", None, "give out the result of a batch"
        )
        for line in content.splitlines():
            if not line.strip():
                continue
            result = json.loads(line)
            slot = _slot(str(result.get("custom_id", "")))
            response = result.get("response") or {}
            status = int(response.get("status_code") or 0)
            reply = read_completion(status, {}, json.dumps(response.get("body")).encode())
            if slot is None or status != 200 or reply.broken is not None:
                self._failed += 1
                continue
            request, canonical = self._asked(slot)
            entry = Entry(
                reply.text,
                reply.finish_reason,
                failure_of(reply),
                reply.usage or NO_USAGE,
                request.tag if request else "",
                0.0,
                guessed_prompt_tokens(request.messages) if request else 0.0,
            )
            if self._journal.find(slot) is None:
                self._journal.record(slot, canonical, entry)
                self._collected += 1

    def _asked(self, slot: Slot) -> tuple[ChatRequest | None, str]:
        """The request of a slot; a batch of an earlier run may hold some that this run does not ask."""
        question = self._questions.get(slot)
        return (question[0], question[2]) if question else (None, "null")

    async def _call(self, method: str, path: str, body: Any, purpose: str) -> dict[str, Any]:
        content = await self._bytes(method, path, body, purpose)
        try:
            return cast(dict[str, Any], json.loads(content))
        except ValueError as error:
            raise DataError(
                f"{self._endpoint.base_url} answers {path} with something that is no JSON."
            ) from error

    async def _bytes(self, method: str, path: str, body: Any, purpose: str) -> bytes:
        from tenacity import (
            AsyncRetrying,
            retry_if_exception_type,
            stop_after_attempt,
            wait_random_exponential,
        )

        # A form can be read once, and a batch must not be started twice: those are not tried again.
        tries = 1 if method == "POST" else self._endpoint.defaults.attempts
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(ConnectionError),
                wait=wait_random_exponential(multiplier=0.5, max=30),
                stop=stop_after_attempt(tries),
                reraise=True,
            ):
                with attempt:
                    status, content = await self._transport.call(method, path, body)
                    if status in (408, 429) or status >= 500:
                        raise ConnectionError(f"status {status}")
        except ConnectionError as error:
            raise EvenlyError(
                f"{self._endpoint.base_url} does not {purpose} ({error}); start again later: nothing is lost."
            ) from None
        if status != 200:
            said = " ".join(content[:300].decode("utf-8", "replace").split())
            raise EvenlyError(
                f"{self._endpoint.base_url} does not {purpose} ({status}: {said}); without a Batch API, "
                "leave batch mode off."
            )
        return content


def _custom_id(slot: Slot) -> str:
    return f"{slot.key}:{slot.ordinal}:{slot.ask}"


def _slot(custom_id: str) -> Slot | None:
    parts = custom_id.split(":")
    if len(parts) != 3 or not (parts[1].isdigit() and parts[2].isdigit()):
        return None
    return Slot(parts[0], int(parts[1]), int(parts[2]))
