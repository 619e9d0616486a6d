"""What the engine promises, against a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from evenly.errors import ParameterError
from evenly.llm.engine.engine import Engine, complete_all
from evenly.llm.engine.journal import Journal, journal_path
from evenly.llm.engine.lane import Circuit
from evenly.llm.engine.messages import Answer, ChatRequest
from evenly.params.llm import EngineSettings

Settings = Callable[..., EngineSettings]


def requests(count: int, start: int = 0, **changes: Any) -> list[ChatRequest]:
    content = [f"Please write rows like #{start + i}, as JSON. " + "example " * 20 for i in range(count)]
    return [ChatRequest(messages=({"role": "user", "content": text},), **changes) for text in content]


def is_json(answer: Answer) -> bool:
    try:
        json.loads(answer.text)
    except ValueError:
        return False
    return True


def ask(
    settings: EngineSettings,
    folder: Path,
    many: Sequence[ChatRequest],
    accept: Callable[[Answer], bool] | None = None,
    keys: dict[str, str] | None = None,
) -> tuple[list[Answer], dict[str, Any]]:
    return complete_all(settings, keys or {}, folder, many, accept)


async def until(server: Any, name: str, count: int) -> None:
    """Wait until the server has counted so many."""
    while (await asyncio.to_thread(server.stats))[name] < count:
        await asyncio.sleep(0.01)


def ledger(settings: EngineSettings, folder: Path) -> Any:
    path = journal_path(folder, settings.base_url, settings.model)
    with Journal(path, settings.base_url, settings.model) as journal:
        return journal.ledger()


def test_an_answer_is_paid_once_and_then_read(server: Any, settings: Settings, tmp_path: Path) -> None:
    first, _ = ask(settings(), tmp_path, requests(20))
    again, metrics = ask(settings(), tmp_path, requests(20))
    assert all(answer.ok for answer in first)
    assert [a.text for a in again] == [a.text for a in first]
    assert all(f"row {i} " in answer.text for i, answer in enumerate(first))
    assert server.stats()["requests"] == 20
    assert metrics["sent"] == 0 and metrics["from_journal"] == 20


def test_one_more_row_is_one_more_request_and_a_changed_prompt_all(
    server: Any, settings: Settings, tmp_path: Path
) -> None:
    ask(settings(), tmp_path, requests(10))
    ask(settings(), tmp_path, requests(11))
    assert server.stats()["requests"] == 11
    system = {"role": "system", "content": "Be brief."}
    ask(settings(), tmp_path, [dataclasses.replace(r, messages=(system, *r.messages)) for r in requests(11)])
    assert server.stats()["requests"] == 22


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.5},
        {"top_p": 0.5},
        {"max_tokens": 399},
        {"seed": 3},
        {"model": "other"},
        {"extra_body": {"top_k": 5}},
    ],
)
def test_whatever_changes_the_answer_asks_anew(
    change: dict[str, Any], server: Any, settings: Settings, tmp_path: Path
) -> None:
    ask(settings(), tmp_path, requests(2))
    ask(settings(**change), tmp_path, requests(2))
    assert server.stats()["requests"] == 4


def test_limits_prices_and_tags_ask_nothing_anew(server: Any, settings: Settings, tmp_path: Path) -> None:
    ask(settings(), tmp_path, requests(2))
    cheap = settings(
        concurrency=3, requests_per_minute=60, prices={"m": {"input": 1, "output": 1}}, attempts=2
    )
    _, metrics = ask(cheap, tmp_path, requests(2, tag="another"))
    assert metrics["sent"] == 0 and metrics["cost"] > 0
    assert server.stats()["requests"] == 2


def test_equal_requests_differ_by_ordinal_and_are_sent_with_seeds_of_their_own(
    server: Any, settings: Settings, tmp_path: Path
) -> None:
    server.reset(answer="seed")
    many = [requests(1, ordinal=i)[0] for i in range(5)]
    answers, _ = ask(settings(seed=10), tmp_path, many)
    assert [json.loads(a.text)[0]["text"] for a in answers] == [f"seed {10 + i}" for i in range(5)]
    again, metrics = ask(settings(seed=10), tmp_path, many)
    assert again[3].text == answers[3].text and metrics["sent"] == 0


def test_the_same_request_twice_at_once_is_paid_once(server: Any, settings: Settings, tmp_path: Path) -> None:
    answers, _ = ask(settings(), tmp_path, requests(1) * 8)
    assert {a.text for a in answers} == {answers[0].text}
    assert server.stats()["requests"] == 1


# --- faults -----------------------------------------------------------------------------------------------


def test_faults_lose_nothing_and_the_ledger_is_the_servers(
    server: Any, settings: Settings, tmp_path: Path
) -> None:
    server.reset(p429=0.2, retry_after=0.3, p500=0.1, pcut=0.05, bill_errors=True)
    s = settings(concurrency=32, attempts=12)
    answers, metrics = ask(s, tmp_path, requests(200), is_json)
    stats = server.stats()
    assert all(a.ok and f"row {i} " in a.text for i, a in enumerate(answers))
    assert stats["429"] > 10 and stats["500"] > 5 and stats["cut"] > 2
    assert stats["early"] == 0, "a retry came before Retry-After had passed"
    assert stats["distinct_paid"] == 200 and stats["repeats"] == stats["cut"]
    entered = ledger(s, tmp_path)
    assert entered.prompt_tokens == stats["prompt_tokens"] == metrics["prompt_tokens"]
    assert entered.completion_tokens == stats["completion_tokens"]
    assert entered.uncertain_calls == 0
    assert metrics["retries"]["rate_limited"] == stats["429"]
    assert metrics["retries"]["asked_again"] == stats["cut"]
    # A rejected answer keeps its number: the next run, with the same check, asks nothing.
    _, metrics = ask(s, tmp_path, requests(200), is_json)
    assert metrics["sent"] == 0


def test_resets_hangs_and_torn_bodies_are_survived_and_counted_as_uncertain(
    server: Any, settings: Settings, tmp_path: Path
) -> None:
    server.reset(preset=0.06, phang=0.04, ptorn=0.06)
    s = settings(silence_seconds=2.0, attempts=12)
    answers, metrics = ask(s, tmp_path, requests(100))
    stats = server.stats()
    assert all(a.ok for a in answers)
    assert stats["reset"] > 0 and stats["hang"] > 0 and stats["torn"] > 0
    entered = ledger(s, tmp_path)
    assert entered.calls == 100
    # On a slow machine an answer that only came late is uncertain as well.
    assert entered.uncertain_calls >= stats["reset"] + stats["hang"] + stats["torn"]
    assert entered.uncertain_calls == metrics["uncertain_calls"]
    # What the server knows lies between what was told and that plus the worst case of what was not.
    served = stats["prompt_tokens"] + stats["completion_tokens"]
    told = entered.prompt_tokens + entered.completion_tokens
    assert told <= served <= told + entered.uncertain_tokens


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[list[float]]:
    """The pauses before retries in seconds, request by request; nobody waits for them."""
    by_task: dict[Any, list[float]] = {}
    by_request: list[list[float]] = []

    async def no_sleep(circuit: Circuit, seconds: float) -> None:
        task = asyncio.current_task()
        if task not in by_task:
            by_request.append(by_task.setdefault(task, []))
        by_task[task].append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(Circuit, "sleep", no_sleep)
    return by_request


def test_pauses_double_up_to_a_bound_and_are_drawn_evenly_below_it(
    server: Any, settings: Settings, tmp_path: Path, pauses: list[list[float]]
) -> None:
    server.reset(p500=1.0)
    answers, metrics = ask(settings(concurrency=40, attempts=20), tmp_path, requests(40))
    assert {a.failure for a in answers} == {"server"}
    assert metrics["retries"]["server"] == sum(map(len, pauses))
    for retry, bound in enumerate([0.5, 1, 2, 4, 8, 16, 30, 30, 30]):
        drawn = [request[retry] for request in pauses if len(request) > retry]
        assert len(drawn) >= 30
        assert bound / 2 < max(drawn) <= bound and min(drawn) < bound / 2


def test_a_server_that_says_when_to_come_back_is_obeyed(
    server: Any, settings: Settings, tmp_path: Path, pauses: list[list[float]]
) -> None:
    server.reset(p429=1.0, retry_after=45)
    (answer,), metrics = ask(settings(attempts=1), tmp_path / "soon", requests(1))
    # A 429 is no fault of the request: eight of them are one attempt.
    assert (
        answer.failure == "rate_limited" and answer.attempts == 8 and metrics["retries"]["rate_limited"] == 7
    )
    assert [round(pause) for pause in pauses[0]] == [45] * 7 and min(pauses[0]) >= 45
    server.reset(p429=1.0, retry_after=3600)
    (answer,), _ = ask(settings(attempts=1), tmp_path / "late", requests(1))
    assert answer.failure == "rate_limited" and answer.attempts == 1 and len(pauses) == 1


def test_retry_after_as_a_date_is_kept(server: Any, settings: Settings, tmp_path: Path) -> None:
    server.reset(p429=1.0, retry_after="date")

    async def run() -> Answer:
        async with Engine(settings(), {}, tmp_path) as engine:
            answer = asyncio.create_task(engine.complete(requests(1)[0]))
            await until(server, "429", 1)
            server.change(p429=0.0)
            return await answer

    answer = asyncio.run(run())
    assert answer.ok and answer.attempts >= 2
    assert server.stats()["early"] == 0


def test_a_wrong_key_stops_after_a_few_requests_with_one_sentence_and_is_nowhere_to_be_seen(
    server: Any, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.reset(key="sk-right")
    secret = "sk-wrong-5f2d"
    caplog.set_level(logging.DEBUG)

    async def run() -> tuple[list[Answer], str | None, str]:
        async with Engine(settings(concurrency=4), {"OPENAI_API_KEY": secret}, tmp_path) as engine:
            return await engine.complete_all(requests(100)), engine.stopped, repr(engine._endpoints)

    answers, stopped, shown = asyncio.run(run())
    assert {a.failure for a in answers} == {"auth"}
    assert server.stats()["requests"] <= 8
    assert stopped is not None and "key" in stopped and "llm.key_variable" in stopped
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*"))
    everything = shown + caplog.text + repr(answers) + files.decode("latin-1")
    assert secret not in everything


def test_an_empty_account_is_told_from_a_busy_server(server: Any, settings: Settings, tmp_path: Path) -> None:
    server.reset(quota=True)
    answers, _ = ask(settings(concurrency=2), tmp_path, requests(30))
    assert {a.failure for a in answers} == {"quota"}
    assert server.stats()["requests"] <= 4


def test_a_server_that_is_gone_ends_the_run_soon(settings: Settings, tmp_path: Path) -> None:
    s = settings(base_url="http://127.0.0.1:9/v1", attempts=3)
    answers, metrics = ask(s, tmp_path, requests(200))
    assert {a.failure for a in answers} == {"connection"}
    assert "is the server running" in (answers[0].error or "")
    # Three attempts for each of 200 would be 600; the first that has spent its own speaks for all.
    assert metrics["sent"] < 400 and metrics["uncertain_calls"] == 0


def test_the_fallback_answers_with_its_own_model_and_key_and_is_remembered(
    server: Any, settings: Settings, tmp_path: Path
) -> None:
    server.reset(key="k2")
    second = {"base_url": server.base_url, "model": "second", "key_variable": "SECOND_KEY"}
    s = settings(base_url="http://127.0.0.1:9/v1", attempts=1, fallbacks=[second])
    answers, _ = ask(s, tmp_path, requests(5), keys={"SECOND_KEY": "k2"})
    assert all(a.ok and a.model == "second" for a in answers)
    again, metrics = ask(s, tmp_path, requests(5), keys={"SECOND_KEY": "k2"})
    assert [a.text for a in again] == [a.text for a in answers] and metrics["sent"] == 0


def test_copies_of_a_model_share_the_requests_and_one_that_dies_loses_none(
    server: Any, another_server: Any, settings: Settings, tmp_path: Path
) -> None:
    with ExitStack() as stack, ExitStack() as dying:
        copies = [server, stack.enter_context(another_server()), dying.enter_context(another_server())]
        others = [{"base_url": copy.base_url, "model": "m"} for copy in copies[1:]]
        dear = {"base_url": "http://127.0.0.1:9/v1", "model": "another"}  # nobody needs it
        s = settings(concurrency=4, attempts=2, fallbacks=[*others, dear])
        many, served = requests(90), []

        async def generate() -> dict[int, Answer]:
            answers = {}
            async with Engine(s, {}, tmp_path) as engine:
                assert engine.limit == 12
                async for position, answer in engine.stream(many):
                    answers[position] = answer
                    if len(answers) == 30:
                        served.extend(copy.stats()["requests"] for copy in copies)
                        dying.close()
            return answers

        answers = asyncio.run(generate())
        assert all(answers[k].ok and answers[k].model == "m" for k in range(90))
        assert all(share >= 3 for share in served)
        # The next run finds every answer, wherever it came from.
        again, metrics = ask(s, tmp_path, many)
        assert [a.text for a in again] == [answers[k].text for k in range(90)] and metrics["sent"] == 0
        # Equal requests take turns, too.
        before = [copy.stats()["requests"] for copy in copies[:2]]
        two = settings(fallbacks=others[:1])
        ask(two, tmp_path, [dataclasses.replace(requests(1)[0], ordinal=k) for k in range(1, 11)])
        after = [copy.stats()["requests"] for copy in copies[:2]]
        assert [b - a for a, b in zip(before, after, strict=True)] == [5, 5]


def test_an_endpoint_elsewhere_without_its_key_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    s = EngineSettings(base_url="https://llm.example.org/v1", model="m", key_variable="MY_KEY")
    with pytest.raises(ParameterError, match="MY_KEY"):
        Engine(s, {}, tmp_path)


# --- what models say --------------------------------------------------------------------------------------


def test_refusals_empty_and_cut_answers_are_paid_once_and_told_apart(
    server: Any, settings: Settings, tmp_path: Path
) -> None:
    server.reset(refusal="I cannot help with that.")
    (refused, *_), _ = ask(settings(), tmp_path, requests(1))
    server.reset(answer="")
    (empty, *_), _ = ask(settings(), tmp_path, requests(1, start=1))
    server.reset()
    (cut, *_), _ = ask(settings(max_tokens=20), tmp_path, requests(1, start=2))
    assert (refused.failure, empty.failure, cut.failure) == ("refusal", "empty", "truncated")
    assert len(cut.text) == 80 and cut.usage.completion_tokens == 20
    again, metrics = ask(settings(max_tokens=20), tmp_path, requests(1, start=2))
    assert again[0].failure == "truncated" and metrics["sent"] == 0


def test_an_answer_that_is_never_acceptable_is_asked_so_often_and_no_more(
    server: Any, settings: Settings, tmp_path: Path
) -> None:
    server.reset(answer="no JSON at all")
    answers, _ = ask(settings(asks=3), tmp_path, requests(1), is_json)
    assert answers[0].failure == "unusable" and answers[0].attempts == 3
    ask(settings(asks=3), tmp_path, requests(1), is_json)
    assert server.stats()["requests"] == 3
    # A more lenient reader asks nothing.
    lenient, _ = ask(settings(asks=3), tmp_path, requests(1), lambda answer: True)
    assert lenient[0].ok and server.stats()["requests"] == 3


def test_strange_text_comes_back_as_it_was(server: Any, settings: Settings, tmp_path: Path) -> None:
    text = "NUL \x00, bell \x07, 漢字 😀, '; DROP TABLE answers; --" + "x" * 2_000_000
    server.reset(answer=text)
    first, _ = ask(settings(max_tokens=10**7), tmp_path, requests(1))
    again, _ = ask(settings(max_tokens=10**7), tmp_path, requests(1))
    assert first[0].text == text and again[0].text == text


@pytest.mark.parametrize(
    ("structures", "forms", "refused"),
    [
        (["json_schema", "json_object"], ["json_schema"] * 4, 0),
        (["json_object"], ["json_schema"] + ["json_object"] * 4, 1),
        ([], ["json_schema", "json_object"] + [None] * 4, 2),
    ],
)
def test_structured_outputs_are_used_where_the_server_has_them(
    structures: list[str],
    forms: list[str | None],
    refused: int,
    server: Any,
    settings: Settings,
    tmp_path: Path,
) -> None:
    server.reset(structures=structures)
    s = settings(concurrency=1)
    schema = {"type": "object", "properties": {"rows": {"type": "array"}}}
    answers, _ = ask(s, tmp_path, requests(2, schema=schema))
    more, _ = ask(s, tmp_path, requests(2, start=2, schema=schema))  # another run remembers
    assert all(a.ok for a in [*answers, *more])
    stats = server.stats()
    assert [(body.get("response_format") or {}).get("type") for body in stats["bodies"]] == forms
    assert stats["400"] == refused


def test_streams_give_the_same_text_and_usage(server: Any, settings: Settings, tmp_path: Path) -> None:
    plain, _ = ask(settings(), tmp_path / "a", requests(5))
    streamed, _ = ask(settings(stream=True), tmp_path / "b", requests(5))
    assert [(a.text, a.usage) for a in streamed] == [(a.text, a.usage) for a in plain]
    server.reset(ptorn=0.4)
    answers, metrics = ask(settings(stream=True, attempts=20), tmp_path / "c", requests(10))
    assert all(a.ok for a in answers) and metrics["retries"]["connection"] == server.stats()["torn"] > 0


def test_usage_the_server_does_not_tell_is_marked_as_a_guess(
    server: Any, settings: Settings, tmp_path: Path
) -> None:
    server.reset(usage=False)
    answers, metrics = ask(settings(), tmp_path, requests(1))
    assert not answers[0].usage.exact and answers[0].usage.total > 0
    assert metrics["guessed_usage"] == 1


# --- spending ---------------------------------------------------------------------------------------------


def test_caps_are_never_exceeded_and_stop_cleanly(server: Any, settings: Settings, tmp_path: Path) -> None:
    answers, _ = ask(settings(max_calls=7), tmp_path / "calls", requests(30))
    assert sum(a.ok for a in answers) == 7 and server.stats()["requests"] == 7
    assert {a.failure for a in answers if not a.ok} == {"budget"}
    assert "llm.max_calls 7" in next(a.error or "" for a in answers if not a.ok)

    server.reset()
    ask(settings(max_tokens_total=6000), tmp_path / "tokens", requests(100))
    stats = server.stats()
    assert 3000 < stats["prompt_tokens"] + stats["completion_tokens"] <= 6000

    server.reset()
    prices = {"m": {"input": 1000.0, "output": 2000.0}}
    _, metrics = ask(settings(max_cost=9.0, prices=prices), tmp_path / "cost", requests(100))
    stats = server.stats()
    money = (stats["prompt_tokens"] * 1000 + stats["completion_tokens"] * 2000) / 1e6
    assert 4.0 < money <= 9.0 and metrics["cost"] == pytest.approx(money)


def test_a_resumed_run_stops_at_the_same_cap(server: Any, settings: Settings, tmp_path: Path) -> None:
    ask(settings(max_calls=7), tmp_path, requests(30))
    answers, metrics = ask(settings(max_calls=7), tmp_path, requests(30))
    assert metrics["sent"] == 0 and sum(a.ok for a in answers) == 7
    answers, metrics = ask(settings(max_calls=10), tmp_path, requests(30))
    assert metrics["sent"] == 3 and sum(a.ok for a in answers) == 10


def test_an_unknown_price_is_unknown_and_cannot_be_capped(
    server: Any, settings: Settings, tmp_path: Path
) -> None:
    _, metrics = ask(settings(), tmp_path, requests(1))
    assert metrics["cost"] is None
    with pytest.raises(ValueError, match=r"max_cost needs the price of m"):
        settings(max_cost=1.0)


# --- kills and company ------------------------------------------------------------------------------------

CHILD = """
import json, sys
from pathlib import Path
from evenly.params.llm import EngineSettings
from evenly.llm.engine.messages import ChatRequest
from evenly.llm.engine.engine import complete_all
settings, folder, count = json.loads(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
many = [ChatRequest(messages=({"role": "user", "content": f"row #{i}"},)) for i in range(count)]
def good(answer):
    try:
        json.loads(answer.text)
    except ValueError:
        return False
    return True
answers, metrics = complete_all(EngineSettings(**settings), {}, folder, many, good)
texts = [a.text for a in answers]
print(json.dumps({"ok": sum(a.ok for a in answers), "sent": metrics["sent"], "texts": texts}))
"""


def child(settings: EngineSettings, folder: Path, count: int) -> subprocess.Popen[str]:
    values = settings.model_dump_json(exclude_defaults=True)
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, values, str(folder), str(count)], stdout=subprocess.PIPE, text=True
    )


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate(timeout=900)
    assert process.returncode == 0
    return dict(json.loads(out))


def test_kill_at_any_moment_repeats_at_most_what_was_in_flight(
    server: Any, settings: Settings, tmp_path: Path
) -> None:
    concurrency, count, kills = 8, 150, 5
    server.reset(latency=0.05, p429=0.1, retry_after=0.1, p500=0.05, pcut=0.05, bill_gone=True)
    s = settings(concurrency=concurrency, attempts=12)
    paid = 0
    killed = 0
    for number in range(kills):
        process = child(s, tmp_path, count)
        wanted = paid + 15 + 7 * number % 13  # seeded by number: another moment each time
        while process.poll() is None and server.stats()["ok"] < wanted:
            time.sleep(0.01)
        process.kill()
        killed += process.wait() == -9
        process.communicate()
        paid = server.stats()["ok"]
        # A torn last write: the log loses its end, as after a power cut.
        (log,) = tmp_path.glob("*.sqlite-wal")
        if number == 1:
            with log.open("r+b") as file:
                file.truncate(max(0, log.stat().st_size - 100))
    last = finished(child(s, tmp_path, count))
    stats = server.stats()
    assert killed == kills
    assert last["ok"] == count and all(f"row {i} " in text for i, text in enumerate(last["texts"]))
    assert stats["distinct_paid"] == count
    torn = concurrency  # one transaction's answers can be lost with the end of the log
    assert stats["repeats"] - stats["cut"] <= kills * concurrency + torn
    before = stats["requests"]
    assert finished(child(s, tmp_path, count))["sent"] == 0
    assert server.stats()["requests"] == before
    entered = ledger(s, tmp_path)
    served = stats["prompt_tokens"] + stats["completion_tokens"]
    told = entered.prompt_tokens + entered.completion_tokens
    assert told <= served
    lost = torn * served / stats["ok"]
    assert abs(told + entered.uncertain_tokens - served) <= 0.05 * served + lost
    assert entered.uncertain_calls <= kills * concurrency


def test_two_processes_share_one_journal_and_pay_once(
    server: Any, settings: Settings, tmp_path: Path
) -> None:
    server.reset(latency=0.05)
    s = settings(concurrency=6)
    both = [child(s, tmp_path, 80), child(s, tmp_path, 80)]
    results = [finished(process) for process in both]
    stats = server.stats()
    assert [r["ok"] for r in results] == [80, 80]
    assert results[0]["texts"] == results[1]["texts"]
    assert stats["repeats"] == 0 and stats["requests"] == 80


def test_a_caller_who_is_cancelled_does_not_lose_what_was_paid(
    server: Any, settings: Settings, tmp_path: Path
) -> None:
    server.reset(latency=0.3)

    async def run() -> None:
        async with Engine(settings(), {}, tmp_path) as engine:
            task = asyncio.create_task(engine.complete_all(requests(10)))
            await until(server, "requests", 10)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    paid = server.stats()["ok"]
    assert paid == 10
    _, metrics = ask(settings(), tmp_path, requests(10))
    assert metrics["sent"] == 0


def test_proxies_are_not_asked_for_this_machine(server: Any, settings: Settings, tmp_path: Path) -> None:
    keys = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    answers, _ = ask(settings(), tmp_path, requests(2), keys=keys)
    assert all(a.ok for a in answers)


def test_a_run_without_errors_never_imports_openai(server: Any, settings: Settings, tmp_path: Path) -> None:
    code = CHILD + "\nassert not {'openai', 'numpy', 'torch', 'pandas'} & set(sys.modules)\n"
    values = settings().model_dump_json(exclude_defaults=True)
    subprocess.run([sys.executable, "-c", code, values, str(tmp_path), "2"], check=True, capture_output=True)


def test_the_journal_holds_what_it_was_asked(server: Any, settings: Settings, tmp_path: Path) -> None:
    ask(settings(), tmp_path, requests(3))
    (path,) = tmp_path.glob("*.sqlite")
    with sqlite3.connect(path) as db:
        contents = [json.loads(row[0]) for row in db.execute("SELECT content FROM requests")]
        assert db.execute("SELECT COUNT(*) FROM claims").fetchone() == (0,)
    assert len(contents) == 3 and all(c["model"] == "m" and c["messages"] for c in contents)
