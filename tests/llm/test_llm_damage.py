"""Journals that are damaged: refused in one sentence, and repaired with every answer that is whole."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from evenly.cli.llm import app
from evenly.errors import DataError, EvenlyError
from evenly.llm.engine.endpoint import content_key
from evenly.llm.engine.journal import Entry, Journal, Slot, journal_path
from evenly.llm.engine.journal_files import (
    export_journals,
    import_journals,
    journal_summaries,
    prune_journals,
    repair_journals,
)
from evenly.llm.engine.messages import Usage

URL, MODEL = "http://here/v1", "m"
WORST = Usage(500, 2000, exact=False)


def contents(count: int) -> list[tuple[Slot, str, str]]:
    """Slots, requests and answers; every fourth answer is longer than a page."""
    made = []
    for i in range(count):
        key, content = content_key({"endpoint": URL, "model": MODEL, "messages": [f"row {i} " + "x" * 300]})
        made.append(
            (Slot(key, 0, 0), content, f"answer {i} – 漢字 " + "word " * (2000 if i % 4 == 0 else 60))
        )
    return made


def written(folder: Path, count: int = 40) -> Path:
    path = journal_path(folder, URL, MODEL)
    with Journal(path, URL, MODEL) as journal:
        for slot, content, text in contents(count):
            journal.record(slot, content, Entry(text, "stop", None, Usage(100, 40), "tag", 0.5, 90.0))
        journal.save_batch("b" * 32, "batch-1", "submitted", "[]")
    return path


def saved(path: Path, count: int = 40) -> int:
    """How many answers a journal has; all as they were written."""
    with Journal(path, URL, MODEL) as journal:
        found = [(journal.find(slot), text) for slot, _, text in contents(count)]
    assert all(entry is None or entry.text == text for entry, text in found)
    return sum(entry is not None for entry, _ in found)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("sound"))


def place_of(path: Path, text: str) -> int:
    return path.read_bytes().index(text.encode())


def overwritten(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize(
    ("damage", "least"),
    [
        (lambda path: overwritten(path, place_of(path, "answer 7 "), b"answer 8 "), 39),
        (lambda path: overwritten(path, place_of(path, "answer 7 "), b"\xff\xfe\xfd"), 39),
        (lambda path: overwritten(path, 0, b"\x00" * 100), 40),
        (lambda path: overwritten(path, 16, b"\xff" * 40), 40),
        (lambda path: overwritten(path, 4096 * 3, bytes(range(200))), 30),
        (lambda path: path.write_bytes(path.read_bytes()[:-3000]), 30),
        (lambda path: path.write_bytes(path.read_bytes()[: -4096 * 6]), 20),
    ],
    ids=["another text", "no UTF-8", "no head", "odd head", "random bytes", "cut", "cut much"],
)
def test_a_damaged_journal_is_repaired_with_every_whole_answer(
    damage: Callable[[Path], None], least: int, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    path = tmp_path / ".cache" / "llm" / sound.name
    path.parent.mkdir(parents=True)
    shutil.copy(sound, path)
    damage(path)
    broken = path.read_bytes()
    result = CliRunner().invoke(app, ["repair"])
    assert result.exit_code == 0, result.output
    assert f"{path}: " in result.output.replace("\n", "") and "whole answers saved" in result.output
    assert least <= saved(path) <= 40
    kept = [file for file in path.parent.iterdir() if ".damaged-" in file.name]
    assert [file.read_bytes() for file in kept] == [broken]
    (summary,) = journal_summaries(path.parent)
    assert (summary.base_url, summary.model) == (URL, MODEL)
    assert "is sound" in CliRunner().invoke(app, ["repair"]).output


def test_whole_answers_of_a_log_without_its_end_are_saved(tmp_path: Path) -> None:
    path = journal_path(tmp_path, URL, MODEL)
    writer = Journal(path, URL, MODEL)
    for slot, content, text in contents(20):
        writer.record(slot, content, Entry(text, "stop", None, Usage(100, 40)))
    copy = tmp_path / "copy" / path.name
    copy.parent.mkdir()
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{copy}{end}")
    writer.close()
    overwritten(copy, 0, b"no database at all")
    log = Path(f"{copy}-wal")
    log.write_bytes(log.read_bytes()[:-5000])
    overwritten(log, 16, b"whatever")
    ((_, count, _),) = repair_journals(copy.parent)
    assert count is not None and 18 <= count <= 20 and saved(copy, 20) == count


def test_an_answer_that_was_changed_on_the_disk_is_never_given_out(sound: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(sound, tmp_path))
    overwritten(path, place_of(path, "answer 7 "), b"answer 8 ")
    with Journal(path, URL, MODEL) as journal, pytest.raises(DataError, match=r"checksum.*evenly llm repair"):
        journal.find(contents(8)[7][0])
    with pytest.raises(DataError, match="checksum"):
        export_journals(tmp_path, tmp_path / "answers.jsonl")


def test_a_call_of_the_ledger_that_was_changed_is_told_and_repaired(sound: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(sound, tmp_path))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE calls SET completion_tokens = 4 WHERE number = 7")
        db.execute("UPDATE calls SET outcome = 'failed' WHERE number = 8")
    with Journal(path, URL, MODEL) as journal, pytest.raises(DataError, match=r"ledger.*evenly llm repair"):
        journal.ledger()
    with Journal(path, URL, MODEL) as journal, pytest.raises(DataError, match=r"ledger.*evenly llm repair"):
        journal.spent(contents(7)[6][0])
    with pytest.raises(DataError, match="ledger"):
        journal_summaries(tmp_path)
    ((_, count, _),) = repair_journals(tmp_path)
    assert count == saved(path) == 40
    with Journal(path, URL, MODEL) as journal:
        ledger = journal.ledger()
        assert (ledger.calls, ledger.prompt_tokens, ledger.completion_tokens) == (40, 4000, 1600)


def test_answers_that_were_paid_for_elsewhere_cost_nothing_after_a_repair(
    sound: Path, tmp_path: Path
) -> None:
    export_journals(sound.parent, tmp_path / "answers.jsonl")
    folder = tmp_path / "other"
    import_journals(tmp_path / "answers.jsonl", folder)
    (path,) = folder.glob("*.sqlite")
    overwritten(path, place_of(path, "answer 7 "), b"answer 8 ")
    assert next(repair_journals(folder))[1] == 39
    with Journal(path, URL, MODEL) as journal:
        assert journal.ledger().calls == 0


def test_journals_of_the_first_version_are_taken_over(tmp_path: Path) -> None:
    path = written(tmp_path, 10)
    with closing(sqlite3.connect(path)) as db:
        for table in ("answers", "calls"):
            for column in ("cached_tokens", "batch", "checksum", *(["served"] if table == "answers" else [])):
                db.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    old = shutil.copy(path, tmp_path / "old")
    assert saved(path, 10) == 10
    with Journal(path, URL, MODEL) as journal:
        assert journal.ledger().prompt_tokens == 1000
    # Damaged before they had checksums: what reads as an answer is saved.
    path.write_bytes(b"\x00" * 100 + Path(old).read_bytes()[100:])
    ((_, count, _),) = repair_journals(tmp_path)
    assert count == saved(path, 10) == 10


def test_the_journal_in_use_and_the_file_that_is_none_are_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path)
    with Journal(path, URL, MODEL):
        overwritten(path, place_of(path, "answer 7 "), b"answer 8 ")
        with pytest.raises(DataError, match=r"process \d+ uses it"):
            list(repair_journals(tmp_path))
    path.write_bytes(b"no journal" * 1000)
    with pytest.raises(DataError, match="holds no whole answer"):
        list(repair_journals(tmp_path))
    assert path.read_bytes() == b"no journal" * 1000


def test_numbers_that_cannot_be_are_no_exported_answer(tmp_path: Path) -> None:
    written(tmp_path, 2)
    file = tmp_path / "answers.jsonl"
    export_journals(tmp_path, file)
    first = json.loads(file.read_text().splitlines()[0])
    for change in ({"prompt_tokens": -1}, {"completion_tokens": 10**30}, {"exact": "x"}, {"text": None}):
        file.write_text(json.dumps(first | change))
        with pytest.raises(DataError, match=f"line 1: {next(iter(change))}"):
            import_journals(file, tmp_path / "other")
    file.write_bytes(b"\xff\xfe\n")
    with pytest.raises(DataError, match="line 1 is not JSON"):
        import_journals(file, tmp_path / "other")


def test_any_damage_is_one_sentence_and_repair_gives_back_only_what_was_written(
    sound: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    size = sound.stat().st_size
    cuts = st.tuples(st.just("cut"), st.integers(0, size), st.just(b""))
    writes = st.tuples(st.just("write"), st.integers(0, size), st.binary(min_size=1, max_size=64))
    heads = st.tuples(st.just("write"), st.integers(0, 120), st.binary(min_size=1, max_size=8))

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.one_of(cuts, writes, writes, heads), min_size=1, max_size=3), st.integers(0, 99))
    def check(damages: list[tuple[str, int, bytes]], seed: int) -> None:
        folder = tmp_path_factory.mktemp("fuzz")
        path = Path(shutil.copy(sound, folder))
        for kind, at, data in damages:
            if kind == "cut":
                path.write_bytes(path.read_bytes()[:at])
            else:
                overwritten(path, at, data)
        if not any(kind == "cut" for kind, *_ in damages):
            other = Path(shutil.copy(path, tmp_path_factory.mktemp("repaired")))
            list(repair_journals(other.parent))
            assert saved(other) >= 40 - 2 * len(damages)
        draw = random.Random(seed)

        def use() -> None:
            with Journal(path, URL, MODEL) as journal:
                for slot, content, _ in draw.sample(contents(40), 10) + contents(41)[40:]:
                    journal.find(slot)
                    journal.spent(slot)
                    if journal.claim(slot, WORST):
                        journal.record(slot, content, Entry("new", "stop", None, Usage(1, 1)))
                journal.ledger(), journal.calibration(), journal.open_batches(), journal.fact("dialect")

        for step in (
            lambda: journal_summaries(folder),
            lambda: export_journals(folder, folder / "out.jsonl"),
            lambda: prune_journals(folder, older_than_days=1.0),
            lambda: list(repair_journals(folder)),
            use,
        ):
            try:
                step()
            except EvenlyError as error:
                assert len(str(error)) < 600

    check()
