"""Journals as files, estimates, and batches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evenly.errors import DataError, EvenlyError
from evenly.llm.engine.batch import run_batches
from evenly.llm.engine.engine import complete_all
from evenly.llm.engine.journal import Entry, Journal, Slot, journal_path
from evenly.llm.engine.journal_files import (
    export_journals,
    import_journals,
    journal_summaries,
    prune_journals,
)
from evenly.llm.engine.messages import ChatRequest, Usage, guessed_tokens, worst_usage
from evenly.llm.preview import estimate
from evenly.params.llm import EngineSettings

Settings = Callable[..., EngineSettings]


def requests(count: int, **changes: Any) -> list[ChatRequest]:
    content = [f"Please write rows like #{i}, as JSON. " + "example " * 20 for i in range(count)]
    return [ChatRequest(messages=({"role": "user", "content": text},), **changes) for text in content]


def test_a_team_shares_answers_by_export_and_import(server: Any, settings: Settings, tmp_path: Path) -> None:
    answers, _ = complete_all(settings(), {}, tmp_path / "mine", requests(6))
    file = tmp_path / "answers.jsonl"
    assert export_journals(tmp_path / "mine", file) == 6
    assert import_journals(file, tmp_path / "yours") == (6, 0)
    assert import_journals(file, tmp_path / "yours") == (0, 6)
    theirs, metrics = complete_all(settings(), {}, tmp_path / "yours", requests(6))
    assert [a.text for a in theirs] == [a.text for a in answers] and metrics["sent"] == 0


def test_an_import_that_does_not_fit_takes_nothing_in(
    server: Any, settings: Settings, tmp_path: Path
) -> None:
    complete_all(settings(), {}, tmp_path / "mine", requests(2))
    file = tmp_path / "answers.jsonl"
    export_journals(tmp_path / "mine", file)
    first, second = file.read_text().splitlines()
    row = json.loads(second)
    row["request"]["messages"][0]["content"] = "something else"
    file.write_text(f"{first}\n{json.dumps(row)}\n")
    with pytest.raises(DataError, match="line 2"):
        import_journals(file, tmp_path / "yours")
    assert journal_summaries(tmp_path / "yours") == []


def test_a_list_tells_what_was_paid_and_pruning_keeps_the_ledger(
    server: Any, settings: Settings, tmp_path: Path
) -> None:
    complete_all(settings(), {}, tmp_path, requests(4))
    server.reset(answer="")
    complete_all(settings(), {}, tmp_path, requests(5))
    (summary,) = journal_summaries(tmp_path)
    assert (summary.model, summary.answers, summary.failures, summary.calls) == ("m", 5, 1, 5)
    assert prune_journals(tmp_path, failures_only=True) == 1
    assert prune_journals(tmp_path, older_than_days=1.0) == 0
    (summary,) = journal_summaries(tmp_path)
    assert (summary.answers, summary.calls) == (4, 5)
    assert prune_journals(tmp_path) == 4


def test_a_file_that_is_no_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.sqlite").write_text("shopping list, long enough to be no database header" * 50)
    with pytest.raises(DataError, match=r"notes\.sqlite is not a journal"):
        journal_summaries(tmp_path)


def test_a_claim_is_one_process_s_until_it_dies(tmp_path: Path) -> None:
    path, worst, slot = tmp_path / "j.sqlite", Usage(100, 50, exact=False), Slot("k", 0, 0)
    mine, yours = Journal(path, "u", "m"), Journal(path, "u", "m")
    assert mine.claim(slot, worst) and mine.claim(slot, worst)
    assert not yours.claim(slot, worst) and yours.held_elsewhere(slot)
    mine.release(slot)
    assert yours.claim(slot, worst) and not mine.claim(slot, worst)
    yours.release(slot)
    # An owner whose process number is another process by now has died.
    waiting = Slot("k", 1, 0)
    mine.claim(slot, worst), mine.claim(waiting, worst)
    mine.rest(waiting)  # turned away, and not sent again yet: no money
    mine._db.execute("UPDATE owners SET born = 'long ago' WHERE owner = ?", (mine.owner,))
    assert yours.claim(slot, worst) and yours.claim(waiting, worst)
    assert (yours.ledger().uncertain_calls, yours.ledger().uncertain_tokens) == (1, 150)
    # Once calls have been seen to their end, it is taken for one of them.
    yours.record(waiting, "null", Entry("text", "stop", None, Usage(20, 8)))
    assert yours.ledger().uncertain_tokens == 28
    assert [usage.total for usage in yours.spent(slot)] == [28]
    mine.close()
    yours.close()


# --- estimates --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seen", [0, 10])
def test_an_estimate_sends_nothing_and_lands_within_15_percent(
    seen: int, server: Any, settings: Settings, tmp_path: Path
) -> None:
    s = settings(prices={"m": {"input": 100.0, "output": 200.0}})
    complete_all(s, {}, tmp_path, requests(seen))
    server.reset()
    example = json.dumps([{"text": "row 0 0 " + "word " * 8}] * 5)
    guess = estimate(s, tmp_path, requests(60), [guessed_tokens(example)] * 60)
    assert server.stats()["requests"] == 0
    assert (guess.calls, guess.from_journal, guess.measured) == (60 - seen, seen, bool(seen))
    complete_all(s, {}, tmp_path, requests(60))
    stats = server.stats()
    assert guess.prompt_tokens == pytest.approx(stats["prompt_tokens"], rel=0.15)
    assert guess.completion_tokens == pytest.approx(stats["completion_tokens"], rel=0.15)
    money = (stats["prompt_tokens"] * 100 + stats["completion_tokens"] * 200) / 1e6
    assert guess.cost == pytest.approx(money, rel=0.15)


def test_an_unknown_price_is_said_to_be_unknown(settings: Settings, tmp_path: Path) -> None:
    guess = estimate(settings(), tmp_path, requests(3), [10.0] * 3)
    assert guess.cost is None and any("unknown" in line for line in guess.lines())


def test_the_worst_case_bounds_every_script() -> None:
    for text in ("plain", "漢字 😀 " * 50, "\x00\x01", "ß" * 100):
        content = {"messages": [{"role": "user", "content": text}], "max_tokens": 7}
        worst = worst_usage(content, json.dumps(content))
        assert worst.prompt_tokens >= len(text.encode()) and worst.completion_tokens == 7
    assert guessed_tokens("漢字漢字漢字") == 4 and guessed_tokens("four" * 10) == 10


# --- batches ----------------------------------------------------------------------------------------------


def batches(settings: EngineSettings, folder: Path, many: list[ChatRequest], **changes: Any) -> Any:
    return asyncio.run(run_batches(settings, {}, folder, many, poll_seconds=0.02, **changes))


def test_a_batch_answers_and_the_engine_then_asks_nothing(
    server: Any, settings: Settings, tmp_path: Path
) -> None:
    report = batches(settings(), tmp_path, requests(12))
    assert (report.submitted, report.collected, report.failed, report.open_batches) == (12, 12, 0, 0)
    answers, metrics = complete_all(settings(), {}, tmp_path, requests(12))
    assert metrics["sent"] == 0 and all(f"row {i} " in a.text for i, a in enumerate(answers))
    with Journal(journal_path(tmp_path, server.base_url, "m"), server.base_url, "m") as journal:
        assert journal.ledger().prompt_tokens == server.stats()["prompt_tokens"]
    costs = []
    for share in (1.0, 0.5):  # of all prices, in batch mode
        s = settings(prices={"m": {"input": 10, "output": 20, "batch": share}})
        costs.append(complete_all(s, {}, tmp_path, requests(12))[1]["cost"])
    assert costs[1] == pytest.approx(costs[0] / 2)


def test_a_batch_is_taken_up_again_by_its_id_and_never_submitted_twice(
    server: Any, settings: Settings, tmp_path: Path
) -> None:
    first = batches(settings(), tmp_path, requests(5), wait=False)
    assert (first.submitted, first.collected, first.open_batches) == (5, 0, 1)
    second = batches(settings(), tmp_path, requests(7))
    assert (second.submitted, second.collected, second.open_batches) == (2, 7, 0)
    stats = server.stats()
    assert stats["batches"] == 2 and stats["repeats"] == 0


def test_a_submission_killed_half_way_is_found_again(server: Any, settings: Settings, tmp_path: Path) -> None:
    batches(settings(), tmp_path, requests(5), wait=False)
    with Journal(journal_path(tmp_path, server.base_url, "m"), server.base_url, "m") as journal:
        ((name, _, slots),) = journal.open_batches()
        journal.save_batch(name, None, "submitting", slots)  # as if the answer to the submission never came
    report = batches(settings(), tmp_path, requests(5))
    assert (report.submitted, report.collected) == (0, 5) and server.stats()["batches"] == 1


def test_an_endpoint_without_batches_and_a_cap_too_low_are_sentences(
    server: Any, settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(EvenlyError, match=r"llm\.max_calls 3"):
        batches(settings(max_calls=3), tmp_path, requests(5))
    with pytest.raises(EvenlyError, match="leave batch mode off"):
        batches(settings(base_url=f"{server.base_url}/nowhere"), tmp_path, requests(5))


def test_an_endpoint_that_fails_for_a_moment_is_asked_for_the_state_again_but_starts_no_second_batch(
    server: Any, settings: Settings, tmp_path: Path
) -> None:
    server.reset(batch_faults={"GET": 2})
    report = batches(settings(attempts=3), tmp_path, requests(4))
    assert (report.submitted, report.collected) == (4, 4) and server.stats()["batch_faults"] == 2
    server.reset(batch_faults={"POST": 1})
    with pytest.raises(EvenlyError, match=r"does not take a file for a batch \(status 503\); start again"):
        batches(settings(), tmp_path / "again", requests(4))
    assert server.stats()["batch_faults"] == 1 and server.stats()["batches"] == 0


def test_what_goes_wrong_with_batches_is_a_sentence_without_the_key(
    server: Any, settings: Settings, tmp_path: Path
) -> None:
    keys = {"OPENAI_API_KEY": "sk-wrong-5f2d"}
    server.reset(key="sk-right")
    with pytest.raises(EvenlyError, match="does not take a file") as caught:
        asyncio.run(run_batches(settings(), keys, tmp_path, requests(1)))
    assert "Incorrect API key" in str(caught.value) and "5f2d" not in str(caught.value)
    with pytest.raises(EvenlyError, match=r"does not list batches|does not take a file.*start again later"):
        batches(settings(base_url="http://127.0.0.1:9/v1", attempts=1), tmp_path / "gone", requests(1))
