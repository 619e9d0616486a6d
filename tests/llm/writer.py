"""A loopback endpoint that writes what its prompts ask for: a stand-in for a model that understands the
prompts.

Faults of the network are the business of `server.py`; this one answers well or badly, but always over real
HTTP.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[dict[str, Any], int], "str | tuple[str, str]"]

WORDS = [
    "amber",
    "basket",
    "candle",
    "dragon",
    "ember",
    "forest",
    "garden",
    "harbour",
    "island",
    "jungle",
    "kettle",
    "lantern",
    "meadow",
    "needle",
    "orchard",
    "pepper",
    "quartz",
    "river",
    "saddle",
    "timber",
    "umbrella",
    "velvet",
    "walnut",
    "yellow",
    "zephyr",
    "anchor",
    "bridge",
    "copper",
    "desert",
    "engine",
    "feather",
    "glacier",
    "hammer",
    "insect",
    "jacket",
    "kitten",
    "ladder",
    "marble",
    "nickel",
    "oyster",
    "pillow",
    "rabbit",
    "silver",
    "turtle",
]


class Writer:
    """The running server: what it was asked, and what it should say."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.bodies: list[dict[str, Any]] = []
        self.delay: Callable[[int], float] = lambda number: 0.0
        self.status = 200
        self.logprobs: dict[str, Any] | None = None
        self.fails: Callable[[int], bool] = lambda number: False
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.base_url = f"http://127.0.0.1:{self._http.server_port}/v1"

    @property
    def prompts(self) -> list[str]:
        """Every prompt received, system and user together."""
        return ["\n".join(m["content"] for m in body["messages"]) for body in self.bodies]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        writer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with writer._lock:
                    number = len(writer.bodies)
                    writer.bodies.append(body)
                time.sleep(writer.delay(number))
                if writer.status != 200:
                    return self._send(writer.status, {"error": {"message": "told to fail"}})
                if writer.fails(number):
                    return self._send(500 if number % 2 else 429, {"error": {"message": "not now"}})
                said = writer.reply(body, number)
                text, finish = said if isinstance(said, tuple) else (said, "stop")
                if finish == "refused":
                    return self._send(400, json.loads(text))
                prompt = "".join(m["content"] for m in body["messages"])
                usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(text) // 4}
                message = {"role": "assistant", "content": text}
                choice = {"index": 0, "message": message, "finish_reason": finish}
                if writer.logprobs is not None:
                    choice["logprobs"] = writer.logprobs
                if body.get("stream"):
                    events = [{"choices": [{**choice, "delta": message}]}, {"choices": [], "usage": usage}]
                    lines = [*map(json.dumps, events), "[DONE]"]
                    return self._write("".join(f"data: {one}\n\n" for one in lines), "text/event-stream")
                self._send(200, {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage})

            def _send(self, status: int, content: Any) -> None:
                self._write(json.dumps(content), "application/json", status)

            def _write(self, text: str, kind: str, status: int = 200) -> None:
                data = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                with suppress(ConnectionError):  # who asked was killed
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


@contextmanager
def running_writer(reply: Reply | None = None) -> Iterator[Writer]:
    writer = Writer(reply or good_samples)
    thread = threading.Thread(target=writer._http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield writer
    finally:
        writer._http.shutdown()
        writer._http.server_close()
        thread.join()


def content_seed(body: dict[str, Any]) -> str:
    """What decides a seeded answer: the same request gets the same words, another one others."""
    return json.dumps([body["messages"], body.get("seed")], sort_keys=True)


def sentence(rng: random.Random) -> str:
    return " ".join(rng.sample(WORDS, 8)) + f" {rng.randrange(10**6)}"


def asked_count(body: dict[str, Any]) -> int:
    found = re.search(r"Write (\d+) new", body["messages"][-1]["content"])
    assert found is not None
    return int(found[1])


def good_samples(body: dict[str, Any], number: int) -> str:
    """As many distinct texts as asked for, decided by the request alone."""
    rng = random.Random(content_seed(body))
    return json.dumps({"samples": [sentence(rng) for _ in range(asked_count(body))]})
