"""An OpenAI-compatible server on loopback that misbehaves as told: in its own process, on the standard
library alone.

Its tokeniser: four characters of prompt, or of answer, are a token. Everything it served is counted, so that
a test can hold the ledger against it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    429: "Too Many",
    500: "Error",
}
DEFAULTS: dict[str, Any] = {
    "latency": 0.02,
    "p429": 0.0,
    "retry_after": None,  # seconds, "date" for an HTTP date two seconds ahead
    "p500": 0.0,
    "pcut": 0.0,  # the answer's JSON ends in the middle; billed
    "preset": 0.0,
    "phang": 0.0,
    "ptorn": 0.0,  # the HTTP body ends in the middle
    "capacity": None,
    "per_minute": None,
    "burst": 10,
    "headers": False,  # send x-ratelimit-*
    "key": None,
    "quota": False,
    "structures": ["json_schema", "json_object"],
    "silent": False,  # ignore response_format instead of refusing it
    "answer": None,  # a fixed answer instead of rows
    "finish": "stop",
    "refusal": None,
    "usage": True,
    "bill_errors": False,
    "bill_gone": False,  # what a client no longer waits for is written and billed all the same
    "batch_faults": {},  # so many answers to GET or POST of the Batch API are errors
    "mute": False,  # write nothing down but counts
    "seed": 7,
}


class State:
    def __init__(self, options: dict[str, Any]) -> None:
        self.reset(options)

    def reset(self, options: dict[str, Any]) -> None:
        self.o = {**DEFAULTS, **options}
        self.random = random.Random(self.o["seed"])
        self.counts: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        self.told_until: dict[str, float] = {}
        self.now = 0
        self.peak = 0
        self.tokens = float(self.o["burst"])
        self.refilled = time.monotonic()
        self.bodies: deque[dict[str, Any]] = deque(maxlen=50)
        self.arrivals: list[float] = []
        self.files: dict[str, bytes] = getattr(self, "files", {})
        self.batches: dict[str, dict[str, Any]] = getattr(self, "batches", {})

    def take_token(self) -> bool:
        now = time.monotonic()
        rate = self.o["per_minute"] / 60
        self.tokens = min(self.o["burst"], self.tokens + (now - self.refilled) * rate)
        self.refilled = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def stats(self) -> dict[str, Any]:
        return {
            **self.counts,
            "peak": self.peak,
            "distinct_paid": len(self.paid),
            "repeats": sum(self.paid.values()) - len(self.paid),
            "paid": dict(self.paid) if len(self.paid) <= 5000 else {},
            "bodies": list(self.bodies),
            "arrivals": self.arrivals,
        }


def tokens_of(text: str) -> int:
    return max(1, len(text) // 4)


def prompt_of(body: dict[str, Any]) -> str:
    return "".join(message["content"] for message in body["messages"])


def rows_for(prompt: str) -> str:
    number = re.search(r"#(\d+)", prompt)
    name = number[1] if number else "0"
    return json.dumps([{"text": f"row {name} {i} " + "word " * 8} for i in range(5)])


class Connection(asyncio.Protocol):
    def __init__(self, state: State) -> None:
        self.s = state
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.t: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].decode("latin-1")
            length = re.search(r"content-length:\s*(\d+)", head, re.I)
            chunked = re.search(r"transfer-encoding:\s*chunked", head, re.I)
            size = int(length[1]) if length else 0
            rest = self.buffer[end + 4 :]
            if chunked:
                if b"0\r\n\r\n" not in rest:
                    return
                body, rest = unchunk(rest)
            else:
                if len(rest) < size:
                    return
                body, rest = rest[:size], rest[size:]
            self.buffer = rest
            method, path, _ = head.split("\r\n", 1)[0].split(" ")
            self.route(method, path.removeprefix("/v1"), head, body)

    def send(self, status: int, content: Any, headers: str = "") -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        reason = REASONS.get(status, "X")
        self.t.write(
            f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\n{headers}"
            f"Content-Length: {len(data)}\r\n\r\n".encode()
            + data
        )

    def route(self, method: str, path: str, head: str, body: bytes) -> None:
        if path == "/chat/completions":
            self.chat(head, body)
        elif path == "/control/reset":
            self.s.reset(json.loads(body))
            self.send(200, {})
        elif path == "/control/set":
            self.s.o.update(json.loads(body))
            self.send(200, {})
        elif path == "/control/stats":
            self.send(200, self.s.stats())
        elif path.startswith(("/files", "/batches")):
            self.batch(method, path, head, body)
        else:
            self.send(404, {"error": {"message": f"no {path}"}})

    # --- chat ----------------------------------------------------------------------------------------------

    def chat(self, head: str, raw: bytes) -> None:
        s, o = self.s, self.s.o
        s.counts["requests"] += 1
        body = json.loads(raw)
        prompt = prompt_of(body)
        now = time.monotonic()
        s.arrivals.append(now) if not o["mute"] else None
        if not o["mute"]:
            s.bodies.append(body)
            # Once the promise is kept it is gone: the same content under another ordinal owes nothing.
            if now < s.told_until.pop(prompt, 0.0) - 0.002:
                s.counts["early"] += 1
        if not self.has_key(head):
            return None
        if o["quota"]:
            s.counts["quota"] += 1
            return self.send(429, {"error": {"message": "no money", "code": "insufficient_quota"}})
        form = (body.get("response_format") or {}).get("type")
        if form and form not in o["structures"] and not o["silent"]:
            s.counts["400"] += 1
            return self.send(400, {"error": {"message": f"response_format {form} is not supported"}})
        limit_headers = ""
        if o["per_minute"] is not None:
            ok = s.take_token()
            if o["headers"]:
                reset = (o["burst"] - s.tokens) / (o["per_minute"] / 60)
                limit_headers = (
                    f"x-ratelimit-limit-requests: {o['burst']}\r\n"
                    f"x-ratelimit-remaining-requests: {int(s.tokens)}\r\n"
                    f"x-ratelimit-reset-requests: {reset:.3f}s\r\n"
                )
            if not ok:
                return self.too_many(prompt, now, limit_headers)
        if o["capacity"] is not None and s.now >= o["capacity"]:
            return self.too_many(prompt, now)
        draw = s.random.random()
        for name, act in (("p429", "429"), ("p500", "500"), ("preset", "reset"), ("phang", "hang")):
            if draw < o[name]:
                return self.fault(act, prompt, now)
            draw -= o[name]
        s.now += 1
        s.peak = max(s.peak, s.now)
        fault = "cut" if draw < o["pcut"] else "torn" if draw < o["pcut"] + o["ptorn"] else ""
        asyncio.get_running_loop().call_later(o["latency"], self.answer, body, prompt, fault, limit_headers)

    def has_key(self, head: str) -> bool:
        key = self.s.o["key"]
        if key is None or f"bearer {key}".lower() in head.lower():
            return True
        found = re.search(r"authorization: bearer (.*)", head, re.I)
        self.s.counts["401"] += 1
        self.send(401, {"error": {"message": f"Incorrect API key provided: {found and found[1].strip()}"}})
        return False

    def too_many(self, prompt: str, now: float, headers: str = "") -> None:
        s, wait = self.s, self.s.o["retry_after"]
        s.counts["429"] += 1
        if wait == "date":
            from email.utils import formatdate

            wait = int(time.time()) + 2 - time.time()
            headers += f"Retry-After: {formatdate(int(time.time()) + 2, usegmt=True)}\r\n"
        elif wait is not None:
            headers += f"Retry-After: {wait}\r\n"
        if wait is not None and not s.o["mute"]:
            s.told_until[prompt] = now + wait
        self.send(429, {"error": {"message": "too many"}}, headers)

    def fault(self, act: str, prompt: str, now: float) -> None:
        if act == "429":
            return self.too_many(prompt, now)
        self.s.counts[act] += 1
        if act == "500":
            content: dict[str, Any] = {"error": {"message": "server fell over"}}
            if self.s.o["bill_errors"]:
                content["usage"] = {"prompt_tokens": tokens_of(prompt), "completion_tokens": 0}
                self.s.counts["prompt_tokens"] += tokens_of(prompt)
            self.send(500, content)
        elif act == "reset":
            self.t.abort()
        return None

    def answer(self, body: dict[str, Any], prompt: str, fault: str, headers: str) -> None:
        s, o = self.s, self.s.o
        s.now -= 1
        if self.t.is_closing():
            s.counts["gone"] += 1
            if not o["bill_gone"]:
                return
        text = rows_for(prompt) if o["answer"] is None else o["answer"]
        if o["answer"] == "seed":
            text = json.dumps([{"text": f"seed {body.get('seed')}"}])
        finish = o["finish"]
        if fault == "cut":
            text = text[: len(text) // 2]
            s.counts["cut"] += 1
        limit = body.get("max_tokens", body.get("max_completion_tokens", 10**9))
        if tokens_of(text) > limit:
            text, finish = text[: limit * 4], "length"
        usage = {"prompt_tokens": tokens_of(prompt), "completion_tokens": tokens_of(text)}
        usage["total_tokens"] = sum(usage.values())
        s.counts["ok"] += 1
        s.counts["prompt_tokens"] += usage["prompt_tokens"]
        s.counts["completion_tokens"] += usage["completion_tokens"]
        s.paid[f"{prompt} seed={body['seed']}" if "seed" in body else prompt] += 1
        if body.get("stream"):
            return self.events(text, finish, usage if (body.get("stream_options") or {}) else None, fault)
        message = {"role": "assistant", "content": text}
        if o["refusal"]:
            message = {"role": "assistant", "content": None, "refusal": o["refusal"]}
        content = {
            "id": "x",
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            **({"usage": usage} if o["usage"] else {}),
        }
        if fault == "torn":
            s.counts["torn"] += 1
            data = json.dumps(content).encode()
            self.t.write(
                f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode()
                + data[: len(data) * 2 // 3]
            )
            return self.t.close()
        self.send(200, content, headers)

    def events(self, text: str, finish: str, usage: dict[str, int] | None, fault: str) -> None:
        chunks: list[dict[str, Any]] = [
            {"choices": [{"delta": {"content": text[i : i + 20]}}]} for i in range(0, len(text), 20)
        ]
        chunks.append({"choices": [{"delta": {}, "finish_reason": finish}]})
        if usage:
            chunks.append({"choices": [], "usage": usage})
        if fault == "torn":
            self.s.counts["torn"] += 1
            chunks = chunks[: len(chunks) // 2]
        data = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
        if fault != "torn":
            data += b"data: [DONE]\n\n"
        self.t.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + data
        )
        self.t.close()

    # --- batches -------------------------------------------------------------------------------------------

    def batch(self, method: str, path: str, head: str, raw: bytes) -> None:
        s = self.s
        if s.o["batch_faults"].get(method, 0) > 0:
            s.o["batch_faults"][method] -= 1
            s.counts["batch_faults"] += 1
            return self.send(503, {"error": {"message": "not now"}})
        if not self.has_key(head):
            return None
        if method == "POST" and path == "/files":
            name = f"file-{len(s.files)}"
            boundary = re.search(r"boundary=(\S+)", head)
            assert boundary
            parts = raw.split(b"--" + boundary[1].strip('"').encode())
            part = next(p for p in parts if b'name="file"' in p)
            s.files[name] = part.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n", 1)[0]
            self.send(200, {"id": name})
        elif method == "POST" and path == "/batches":
            wanted = json.loads(raw)
            name = f"batch-{len(s.batches)}"
            s.counts["batches"] += 1
            s.batches[name] = {
                "id": name,
                "status": "in_progress",
                "metadata": wanted.get("metadata"),
                "polls": 0,
            }
            s.batches[name]["input"] = wanted["input_file_id"]
            self.send(200, s.batches[name])
        elif method == "GET" and path.split("?")[0] == "/batches":
            self.send(200, {"data": list(s.batches.values())[::-1], "has_more": False})
        elif method == "GET" and path.startswith("/batches/"):
            batch = s.batches[path.rsplit("/", 1)[1]]
            batch["polls"] += 1
            if batch["polls"] >= 2 and "output_file_id" not in batch:
                batch["status"] = "completed"
                batch["output_file_id"] = self.run_batch(batch["input"])
            self.send(200, batch)
        elif method == "GET" and path.endswith("/content"):
            self.send(200, s.files[path.split("/")[2]])
        else:
            self.send(404, {"error": {"message": "no such thing"}})
        return None

    def run_batch(self, name: str) -> str:
        s, lines = self.s, []
        for line in s.files[name].splitlines():
            one = json.loads(line)
            prompt = prompt_of(one["body"])
            text = rows_for(prompt)
            labels = (one["body"].get("response_format") or {}).get("json_schema", {}).get("schema", {})
            if "enum" in json.dumps(labels):  # which class each text belongs to: the first of those allowed
                allowed = re.search(r'"enum": \["([^"]+)"', json.dumps(labels))
                assert allowed is not None
                found = [{"number": k, "label": allowed[1]} for k in range(1, 9)]
                text = json.dumps({"samples": found})
            usage = {"prompt_tokens": tokens_of(prompt), "completion_tokens": tokens_of(text)}
            s.counts["prompt_tokens"] += usage["prompt_tokens"]
            s.counts["completion_tokens"] += usage["completion_tokens"]
            s.paid[prompt] += 1
            choice = {"message": {"content": text}, "finish_reason": "stop"}
            reply = {"status_code": 200, "body": {"choices": [choice], "usage": usage}}
            lines.append(json.dumps({"custom_id": one["custom_id"], "response": reply, "error": None}))
        result = f"file-{len(s.files)}"
        s.files[result] = "\n".join(reversed(lines)).encode()
        return result


def unchunk(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size, data = data.split(b"\r\n", 1)
        number = int(size, 16)
        body, data = body + data[:number], data[number + 2 :]
        if number == 0:
            return body, data


class Server:
    """A handle on the server's process."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.base_url = f"http://127.0.0.1:{port}/v1"

    def reset(self, **options: Any) -> None:
        self._call("/control/reset", options)

    def change(self, **options: Any) -> None:
        self._call("/control/set", options)

    def stats(self) -> Counter[str] | dict[str, Any]:
        counts: Counter[str] = Counter()
        counts.update(self._call("/control/stats", None))  # type: ignore[arg-type]
        return counts

    def _call(self, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port}{path}", data, timeout=900) as reply:
            return json.loads(reply.read())


@contextlib.contextmanager
def running_server(**options: Any) -> Iterator[Server]:
    command = [sys.executable, str(Path(__file__)), json.dumps(options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Server(int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


async def serve(options: dict[str, Any], told: Callable[[int], None]) -> None:
    state = State(options)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(state), "127.0.0.1", 0, backlog=1024
    )
    told(server.sockets[0].getsockname()[1])
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("options", nargs="?", default="{}")
    asyncio.run(serve(json.loads(parser.parse_args().options), lambda port: print(port, flush=True)))
