"""Batch mode: many requests handed over as one file, answered within a day at a lower price, collected later.

The journal knows every batch before it is submitted, so that no kill can lose or repeat one. Here the openai
package carries the requests: its nine times higher CPU is nothing where one upload holds 50,000 of them.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from evenly.errors import DataError, EvenlyError
from evenly.llm.engine.budget import Budget
from evenly.llm.engine.endpoint import Dialect, Endpoint, endpoints_from
from evenly.llm.engine.journal import Entry, Journal, Slot, journal_path
from evenly.llm.engine.lane import BACKOFF, Question
from evenly.llm.engine.messages import NO_USAGE, ChatRequest
from evenly.llm.engine.transport import failure_of, hidden, proxy_for, read_completion
from evenly.params.llm import EngineSettings

if TYPE_CHECKING:
    from openai import AsyncOpenAI

#: What OpenAI takes in one file; others take as much.
LARGEST_BATCH = 50_000
_OVER = frozenset({"completed", "failed", "expired", "cancelled"})
T = TypeVar("T")


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
        async with _client(endpoint, keys) as client:
            desk = _Desk(endpoint, journal, client, requests, progress or (lambda line: None))
            return await desk.run(settings, wait, poll_seconds)


def _client(endpoint: Endpoint, environment: Mapping[str, str]) -> AsyncOpenAI:
    """Openai's client with our key, proxy and patience, and nothing that it finds in the environment."""
    import openai

    s = endpoint.defaults
    timeout = openai.Timeout(s.total_seconds, connect=s.connect_seconds)
    http = openai.DefaultAsyncHttpxClient(
        proxy=proxy_for(endpoint.base_url, environment), trust_env=False, follow_redirects=False
    )
    return openai.AsyncOpenAI(
        api_key=endpoint.key or "none",
        base_url=endpoint.base_url,
        timeout=timeout,
        http_client=http,
        max_retries=0,  # retries have one way: tenacity's
        default_headers={"OpenAI-Organization": openai.omit, "OpenAI-Project": openai.omit},  # type: ignore[dict-item]
    )


class _Desk:
    """The dealings of one run with the Batch API."""

    def __init__(
        self,
        endpoint: Endpoint,
        journal: Journal,
        client: AsyncOpenAI,
        requests: Sequence[ChatRequest],
        progress: Callable[[str], None],
    ) -> None:
        self._endpoint = endpoint
        self._journal = journal
        self._client = client
        self._progress = progress
        self._dialect = Dialect.from_text(journal.fact("dialect"))
        questions = (Question.of(request, 0, endpoint) for request in requests)
        self._questions = {question.slot: question for question in questions}
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
        still_open = len(self._journal.open_batches())
        return BatchReport(known, len(missing), self._collected, self._failed, still_open)

    def _check_caps(self, settings: EngineSettings, missing: Sequence[Slot]) -> None:
        budget = Budget(settings)
        for slot in missing:
            worst = replace(self._questions[slot].worst, batch=True)
            if budget.reserve(self._endpoint.model, worst) is None:
                raise EvenlyError(
                    f"A batch of {len(missing)} requests could cost more at its worst than the cap allows; "
                    f"raise the cap or send without batch mode. {budget.refusal()}"
                )

    async def _submit(self, slots: Sequence[Slot]) -> None:
        name = uuid.uuid4().hex
        content = "\n".join(self._line(slot) for slot in slots).encode()
        self._journal.save_batch(name, None, "submitting", json.dumps(slots))
        await self._journal.durable()
        uploaded = await self._call(
            "take a file for a batch",
            self._client.files.create,
            file=(f"{name}.jsonl", content, "application/jsonl"),
            purpose="batch",
        )
        batch = await self._call(
            "start a batch",
            self._client.batches.create,
            input_file_id=uploaded.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={"evenly": name},
        )
        self._journal.save_batch(name, batch.id, "submitted", json.dumps(slots))
        await self._journal.durable()
        self._progress(f"batch {batch.id}: {len(slots)} requests submitted")

    def _line(self, slot: Slot) -> str:
        body = self._endpoint.body(self._questions[slot].content, slot.ordinal, slot.ask, self._dialect)
        body.pop("stream", None)
        body.pop("stream_options", None)
        line = {"custom_id": ":".join(map(str, slot)), "method": "POST", "url": "/v1/chat/completions"}
        return json.dumps(line | {"body": body}, separators=(",", ":"))

    async def _find_lost(self) -> None:
        """Find batches whose submission was killed half-way by the name they carry; the rest never began."""
        lost = {name: slots for name, batch, slots in self._journal.open_batches() if batch is None}
        if not lost:
            return

        async def ids() -> dict[str, str]:
            found: dict[str, str] = {}
            async for batch in self._client.batches.list(limit=100):
                name = (batch.metadata or {}).get("evenly")
                if name in lost:
                    found[name] = batch.id
                if len(found) == len(lost):
                    break
            return found

        found = await self._call("list batches", ids, again=True)
        for name, slots in lost.items():
            state = "submitted" if name in found else "collected"
            self._journal.save_batch(name, found.get(name), state, slots)

    async def _collect(self) -> None:
        for name, batch_id, slots in self._journal.open_batches():
            if batch_id is None:
                continue
            retrieve, content = self._client.batches.retrieve, self._client.files.content
            batch = await self._call("tell the state of a batch", retrieve, batch_id, again=True)
            if batch.status not in _OVER:
                continue
            for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
                result = await self._call("give out the result of a batch", content, file_id, again=True)
                self._take_in(result.content)
            self._journal.save_batch(name, batch_id, "collected", slots)
            await self._journal.durable()
            self._progress(f"batch {batch_id}: {batch.status}")

    def _take_in(self, content: bytes) -> None:
        for line in content.splitlines():
            if not line.strip():
                continue
            try:
                result = json.loads(line)
                slot, response = _slot(str(result["custom_id"])), result["response"]
                status = int(response["status_code"])
            except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
                self._failed += 1
                continue
            reply = read_completion(status, {}, json.dumps(response.get("body")).encode())
            if reply.usage is not None:
                reply.usage = replace(reply.usage, batch=True)
            if slot is None or status != 200 or reply.broken is not None:
                self._failed += 1
            elif self._journal.find(slot) is None:
                question = self._questions.get(slot)
                if question is None:  # a batch of an earlier run may hold some that this run does not ask
                    usage = reply.usage or NO_USAGE
                    entry = Entry(
                        reply.text, reply.finish_reason, failure_of(reply), usage, served=reply.model
                    )
                    self._journal.record(slot, "null", entry)
                else:
                    self._journal.record(slot, question.canonical, question.entry(reply, 0.0))
                self._collected += 1

    async def _call(
        self, deed: str, call: Callable[..., Awaitable[T]], /, *values: Any, again: bool = False, **named: Any
    ) -> T:
        """What the API answers; what goes wrong is one sentence that says what the endpoint does not do.

        Only what changes nothing is tried `again`: a batch must not be started twice.
        """
        import openai
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

        tries = self._endpoint.defaults.attempts if again else 1
        retrying = AsyncRetrying(
            retry=retry_if_exception(_passing), wait=BACKOFF, stop=stop_after_attempt(tries), reraise=True
        )
        url, key = self._endpoint.base_url, self._endpoint.key
        try:
            answer: T = await retrying(call, *values, **named)
        except openai.APIError as error:
            status = f"status {error.status_code}" if isinstance(error, openai.APIStatusError) else ""
            if _passing(error):
                why = status or hidden(str(error.__cause__ or error), key)
                raise EvenlyError(
                    f"{url} does not {deed} ({why}); start again later: nothing is lost."
                ) from None
            quoted = " ".join(hidden(str(error), key).split())[:300]
            raise EvenlyError(
                f"{url} does not {deed} ({quoted}); without a Batch API, leave batch mode off."
            ) from None
        except ValueError:
            answer = ""  # type: ignore[assignment]
        if isinstance(answer, str):  # openai gives out the text of what is no JSON
            raise DataError(f"{url} does not {deed}: it answers with something that is no JSON.")
        return answer


def _passing(error: BaseException) -> bool:
    """Whether an error of the openai package may be gone in a moment."""
    import openai

    if isinstance(error, openai.APIStatusError):
        return error.status_code in (408, 429) or error.status_code >= 500
    return isinstance(error, openai.APIConnectionError)


def _slot(custom_id: str) -> Slot | None:
    parts = custom_id.split(":")
    if len(parts) != 3 or not all(re.fullmatch("[0-9]{1,15}", part) for part in parts[1:]):
        return None
    return Slot(parts[0], int(parts[1]), int(parts[2]))
