"""Replies of all kinds, as bytes over a loopback socket: each is an answer or one sentence."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evenly.llm.engine.engine import complete_all
from evenly.llm.engine.lane import Circuit
from evenly.llm.engine.messages import Answer, ChatRequest
from evenly.llm.writing.answers import parse_items
from evenly.params.llm import EngineSettings

SCHEMA = {"type": "object", "properties": {"rows": {"type": "array"}}}


@pytest.fixture(autouse=True, scope="module")
def _nobody_waits_for_a_retry() -> Iterator[None]:
    async def no_sleep(circuit: Circuit, seconds: float) -> None:
        await asyncio.sleep(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Circuit, "sleep", no_sleep)
        yield


class Script:
    """A server that answers every request with the bytes that `reply` makes of its body."""

    def __init__(self, reply: Callable[[dict[str, Any]], bytes]) -> None:
        self.reply = reply
        self.bodies: list[dict[str, Any]] = []
        script = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                length = 0
                while (line := self.rfile.readline()) not in (b"\r\n", b""):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                body = json.loads(self.rfile.read(length) or b"{}")
                script.bodies.append(body)
                self.wfile.write(script.reply(body))

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"


@contextmanager
def script(reply: Callable[[dict[str, Any]], bytes]) -> Iterator[Script]:
    one = Script(reply)
    thread = threading.Thread(target=one.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield one
    finally:
        one.server.shutdown()
        one.server.server_close()
        thread.join()


def http(status: int, content: Any, *headers: str) -> bytes:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + data


def completion(text: str = "[1]", model: str | None = None, usage: Any = None) -> dict[str, Any]:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"choices": [choice], "usage": usage, **({"model": model} if model else {})}


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


def ask(server: Script, folder: Path, count: int = 1, **changes: Any) -> tuple[list[Answer], dict[str, Any]]:
    schema, temperature = changes.pop("schema", None), changes.pop("own_temperature", None)
    many = [
        ChatRequest(({"role": "user", "content": f"row #{i}"},), schema=schema, temperature=temperature)
        for i in range(count)
    ]
    values = {"base_url": server.base_url, "model": "m", "max_tokens": 100, "concurrency": 1, "attempts": 1}
    return complete_all(EngineSettings.model_validate(values | changes), {}, folder, many)


def failure(folder: Path, reply: bytes, **changes: Any) -> tuple[str | None, str]:
    with script(lambda body: reply) as server:
        (answer,), _ = ask(server, folder, **changes)
    return answer.failure, answer.error or ""


# --- what went wrong, in a sentence -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (
            http(307, b"", "Location: https://elsewhere.example/v2/chat/completions"),
            "bad_request",
            "redirects (307) to https://elsewhere.example/v2; set llm.base_url",
        ),
        (http(301, b"", "Location: /login"), "bad_request", "/login; set llm.base_url"),
        (http(302, b"", "Location: http://[::1"), "bad_request", "redirects (302) to http://[::1; set"),
        (
            http(200, error("upstream broke", code=502)),
            "server",
            "It said in a reply of status 200: upstream",
        ),
        (http(200, error("slow down", code=429)), "rate_limited", "turns requests away (429)"),
        (http(200, {"error": "no such key", "choices": None}), "server", "no such key"),
        (http(200, error("Invalid API key")), "auth", "llm.key_variable"),
        (
            http(200, {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
            "quota",
            "1008",
        ),
        (
            http(200, b"\x1b\x05\x00", "Content-Encoding: br"),
            "bad_request",
            "not asked for or is damaged (br)",
        ),
        (
            http(200, b"not gzip", "Content-Encoding: gzip"),
            "bad_request",
            "damaged (gzip); switch compression",
        ),
        (http(500, b"\x1b\x05\x00", "Content-Encoding: zstd"), "server", "keeps failing (500)"),
        (
            http(403, error("Country, region, or territory not supported", code="unsupported_country")),
            "region",
            "does not serve the place where this machine is (403); use a proxy",
        ),
        (http(400, error("User location is not supported for the API use.")), "region", "this machine is"),
        (http(403, error("该地区不支持此服务")), "region", "该地区不支持此服务"),
        (http(451, b"<html><body>No</body></html>"), "region", "It said: No"),
        (http(400, error("maximum context length is 8192 tokens")), "bad_request", "maximum context length"),
        (http(404, b"<h1>Not here</h1>"), "bad_request", "It said: Not here"),
    ],
)
def test_every_refusal_says_what_to_do(reply: bytes, kind: str, words: str, tmp_path: Path) -> None:
    failed, sentence = failure(tmp_path, reply)
    assert failed == kind
    assert words in sentence and "m) " in sentence and "{" not in sentence


@pytest.mark.parametrize(
    "body",
    [
        error("You exceeded your current quota, please check your plan", code="insufficient_quota"),
        error("something new", type="insufficient_quota"),
        error("您的账户余额不足，请充值后重试", code="1113"),
        error("账户已欠费"),
        error("配额已用尽"),
        error("用户额度不足", type="new_api_error"),
        error("餘額不足"),
        error("クレジット残高が不足しています"),
        error("잔액이 부족합니다"),
        error("Ihr Guthaben ist aufgebraucht"),
        error("Votre solde est insuffisant"),
        error("Saldo insuficiente"),
        error("Недостаточно средств на балансе"),
        error("Your credit balance is too low to access the API"),
        {"code": "Arrearage", "message": "Access denied, please make sure your account is in good standing."},
    ],
)
def test_an_empty_account_is_known_in_any_language_and_by_its_code(
    body: dict[str, Any], tmp_path: Path
) -> None:
    for status in (429, 403, 400):
        failed, sentence = failure(tmp_path, http(status, body))
        assert failed == "quota", status
        assert "top it up" in sentence


@pytest.mark.parametrize(
    "message",
    [
        "Rate limit reached for requests per min (RPM): Limit 3. See /account/billing to raise it.",
        "Quota exceeded for metric 'requests per minute'",
        "您的请求频率过高，已超出每分钟配额，请稍后再试",
        "レート制限の割り当てを超えました",
    ],
)
def test_a_pace_that_is_too_high_is_no_empty_account(message: str, tmp_path: Path) -> None:
    assert failure(tmp_path, http(429, error(message)))[0] == "rate_limited"


def test_an_error_event_in_a_stream_is_told(tmp_path: Path) -> None:
    first = b'data: {"choices": [{"delta": {"content": "ab"}}]}\n\n'
    event = b'event: error\ndata: {"error": {"message": "out of memory", "code": 503}}\n\n'
    reply = http(200, first + event, "Content-Type: text/event-stream")
    failed, sentence = failure(tmp_path, reply, stream=True)
    assert failed == "server" and "It said in a reply of status 200: out of memory [503]" in sentence


def test_a_compressed_reply_is_read(tmp_path: Path) -> None:
    data = gzip.compress(json.dumps(completion("[7]")).encode())
    with script(lambda body: http(200, data, "Content-Encoding: gzip")) as server:
        assert ask(server, tmp_path)[0][0].text == "[7]"


# --- dialects ---------------------------------------------------------------------------------------------


def fixed_temperature(body: dict[str, Any]) -> bytes:
    if "temperature" in body:
        text = "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1)"
        return http(400, error(text, param="temperature", code="unsupported_value"))
    return http(200, completion())


def test_a_model_with_a_temperature_of_its_own_is_sent_none_and_that_is_remembered(tmp_path: Path) -> None:
    with script(fixed_temperature) as server:
        answers, _ = ask(server, tmp_path, 3, own_temperature=0.0)
        assert all(answer.ok for answer in answers)
        refused = sum("temperature" in body for body in server.bodies)
        assert 1 <= refused <= 2 and len(server.bodies) == 3 + refused
        ask(server, tmp_path, 5, own_temperature=0.0)  # the journal knows: two more, none refused
        assert len(server.bodies) == 5 + refused


def test_a_temperature_set_for_llm_is_not_dropped_without_a_word(tmp_path: Path) -> None:
    with script(fixed_temperature) as server:
        (answer,), _ = ask(server, tmp_path, temperature=0.5)
        assert len(server.bodies) == 1
    assert answer.failure == "bad_request" and "llm.temperature in params.yaml" in (answer.error or "")


@pytest.mark.parametrize(
    "complaint",
    [
        "This model's maximum context length is 8192 tokens, schema included; you asked for 9000.",
        "Content management policy",
        "response_format: something about this one text",
    ],
)
def test_one_refused_request_does_not_end_json_schemas(complaint: str, tmp_path: Path) -> None:
    def reply(body: dict[str, Any]) -> bytes:
        long = "#1" in body["messages"][0]["content"]
        return http(400, error(complaint)) if long else http(200, completion())

    with script(reply) as server:
        answers, _ = ask(server, tmp_path, 4, schema=SCHEMA)
        assert [answer.failure for answer in answers] == [None, "bad_request", None, None]
        assert server.bodies[0]["response_format"]["type"] == "json_schema"
        server.bodies.clear()
        ask(server, tmp_path, 2, schema=SCHEMA, model="n")  # first a good one, in a journal of its own
        ask(server, tmp_path, 1, schema=SCHEMA, max_tokens=99)  # and one after the refusal, in the same
        assert [server.bodies[n]["response_format"]["type"] for n in (0, -1)] == ["json_schema"] * 2


def test_a_server_that_names_nothing_is_asked_without_a_schema_after_a_few_times(tmp_path: Path) -> None:
    def reply(body: dict[str, Any]) -> bytes:
        return http(400, error("Bad")) if "response_format" in body else http(200, completion())

    with script(reply) as server:
        answers, _ = ask(server, tmp_path, 6, schema=SCHEMA)
        assert all(answer.ok for answer in answers) and 9 <= len(server.bodies) <= 10


# --- models and usage -------------------------------------------------------------------------------------


def test_the_server_s_own_model_is_recorded_and_a_change_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with script(lambda body: http(200, completion(model=names[0]))) as server:
        names = ["m-2025-01-01"]
        _, metrics = ask(server, tmp_path, 2)
        assert metrics["served"] == {"m-2025-01-01": 2} and not caplog.messages
        names = ["m-2026-06-06"]
        answers, metrics = ask(server, tmp_path, 4)
        ask(server, tmp_path, 5)
    assert metrics["served"] == {"m-2025-01-01": 2, "m-2026-06-06": 2}
    assert [answer.served for answer in answers] == ["m-2025-01-01"] * 2 + ["m-2026-06-06"] * 2
    (told,) = caplog.messages
    assert "answers for m as m-2026-06-06 now" in told and "from m-2025-01-01" in told


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -5, "completion_tokens": 3},
        {"prompt_tokens": 10**30, "completion_tokens": 3},
        {"prompt_tokens": "12", "completion_tokens": "x"},
        {"prompt_tokens": 1e300, "completion_tokens": float("nan")},
        {"prompt_tokens": True, "completion_tokens": None},
        {"prompt_tokens": [1], "completion_tokens": {}},
        "much",
        [],
    ],
)
def test_usage_that_cannot_be_is_guessed_instead(usage: Any, tmp_path: Path) -> None:
    with script(lambda body: http(200, completion("word " * 8, usage=usage))) as server:
        (answer,), metrics = ask(server, tmp_path)
    assert answer.ok and metrics["guessed_usage"] == 1
    assert 0 < answer.usage.total < 100


def test_cached_prompt_tokens_have_a_price_of_their_own(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 800}}
    price = {"input": 10.0, "cached_input": 1.0, "output": 20.0, "batch": 0.5}
    with script(lambda body: http(200, completion(usage=usage))) as server:
        for _ in range(2):  # paid, and read from the journal
            _, metrics = ask(server, tmp_path, prices={"m": price})
            assert metrics["cost"] == pytest.approx((200 * 10 + 800 * 1 + 100 * 20) / 1e6)


# --- any bytes --------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        json.dumps(completion("[1, 2]", "m", {"prompt_tokens": 3, "completion_tokens": 4})),
        '{"choices": [{"message": {"content": "\\ud800"}, "finish_reason": "\\udfff"}], "model": [1]}',
        '{"choices": [[]], "error": {"code": 1e999, "message": {"a": "\\ud800"}}}',
        '{"choices": {"0": 1}, "usage": {"prompt_tokens": 99999999999999999999999}}',
        '{"error": [1]}',
        '{"error": {"code": "4²9", "type": true}}',
        "[" * 100_000,
        '{"a": ' + "9" * 5000 + "}",
        "data: [DONE]",
        "data: {}",
        'data: {"choices": [{"delta": 3}]}',
        'data: {"choices": [{"delta": {"content": ["x"], "refusal": 4}}]}',
        "\n\n",
        "\x00",
    ]
)
BODIES = st.lists(st.one_of(PIECES.map(str.encode), st.binary(max_size=40)), max_size=4).map(b"".join)
HEADERS = st.lists(
    st.sampled_from(
        [
            *("Content-Type: text/event-stream", "Content-Encoding: gzip", "Content-Encoding: \xe9"),
            *("Retry-After: -1e999", "Retry-After: Sun, 99 Foo 1", "x-ratelimit-remaining-requests: nan"),
            *("Location: http://[::1", "Location: \xff"),
        ]
    ),
    max_size=3,
)


def test_any_bytes_are_an_answer_or_one_sentence(tmp_path_factory: pytest.TempPathFactory) -> None:
    now = [b""]

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.sampled_from([200, 200, 200, 204, 302, 400, 403, 429, 500, 999]), BODIES, HEADERS, st.booleans()
    )
    def check(status: int, body: bytes, headers: list[str], stream: bool) -> None:
        lines = "\r\n".join([f"HTTP/1.1 {status} X", *headers, f"Content-Length: {len(body)}", "", ""])
        now[0] = lines.encode("latin-1") + body
        (answer,), _ = ask(server, tmp_path_factory.mktemp("fuzz"), stream=stream, attempts=1)
        assert answer.ok or answer.error
        parse_items(answer.text)

    with script(lambda body: now[0]) as server:
        check()
