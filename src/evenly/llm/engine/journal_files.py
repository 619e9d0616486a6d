"""Journals as files: listed, exported, imported and pruned, without disturbing an engine that runs."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenly.errors import DataError
from evenly.files import atomic_write
from evenly.llm.engine.journal import Journal, journal_path

_FIELDS = "key, ordinal, ask, tag, created, seconds, text, finish_reason, failure"
_FIELDS += ", prompt_tokens, completion_tokens, exact, prompt_guess"
_NAMES = _FIELDS.split(", ")


@dataclass(frozen=True, slots=True)
class JournalSummary:
    """One journal at a glance."""

    path: Path
    base_url: str
    model: str
    answers: int
    failures: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    uncertain_calls: int
    first: float | None
    last: float | None
    bytes: int


def journal_summaries(folder: Path) -> list[JournalSummary]:
    """All journals in a folder, by name."""
    return [_summary(path) for path in sorted(folder.glob("*.sqlite"))]


def export_journals(folder: Path, target: Path) -> int:
    """Write every answer, with its request, as one line of JSON; returns the number of answers.

    The file holds no key, but all prompts, and so the examples from the training rows that stand in them.
    """
    count = 0
    with atomic_write(target) as temporary, temporary.open("w", encoding="utf-8") as lines:
        for path in sorted(folder.glob("*.sqlite")):
            with _opened(path) as db:
                about = dict(db.execute("SELECT name, value FROM meta"))
                query = f"SELECT {_FIELDS} FROM answers ORDER BY key, ordinal, ask"
                for row in db.execute(query):
                    content = db.execute("SELECT content FROM requests WHERE key = ?", (row[0],)).fetchone()
                    line = {"base_url": about["base_url"], "model": about["model"]} | dict(
                        zip(_NAMES, row, strict=True)
                    )
                    line["request"] = json.loads(content[0]) if content else None
                    lines.write(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n")
                    count += 1
    return count


def import_journals(source: Path, folder: Path) -> tuple[int, int]:
    """Take in answers that `export_journals` wrote; returns how many were new, and how many were there
    already.

    Raises
    ------
    DataError
        Naming the first line that is no exported answer, or whose key does not belong to its request. Nothing
        of the file is taken in then.
    """
    rows = list(_checked_lines(source))
    new = 0
    for pair in sorted({(row["base_url"], row["model"]) for row in rows}):
        path = journal_path(folder, *pair)
        Journal(path, *pair).close()
        with _opened(path) as db, db:
            for row in rows:
                if (row["base_url"], row["model"]) != pair:
                    continue
                content = json.dumps(row["request"], sort_keys=True, separators=(",", ":"))
                db.execute("INSERT OR IGNORE INTO requests VALUES (?, ?)", (row["key"], content))
                marks = ", ".join("?" * len(_NAMES))
                added = db.execute(
                    f"INSERT OR IGNORE INTO answers ({_FIELDS}) VALUES ({marks})",
                    [row[name] for name in _NAMES],
                )
                new += added.rowcount
    return new, len(rows) - new


def prune_journals(folder: Path, older_than_days: float | None = None, failures_only: bool = False) -> int:
    """Delete answers, so that they would be asked (and paid) again; returns how many. The ledger keeps their
    cost.
    """
    before = time.time() - (older_than_days or 0.0) * 86400.0
    condition = "created <= ?" + (" AND failure IS NOT NULL" if failures_only else "")
    count = 0
    for path in sorted(folder.glob("*.sqlite")):
        with _opened(path) as db:
            with db:
                count += db.execute(f"DELETE FROM answers WHERE {condition}", (before,)).rowcount
                db.execute("DELETE FROM requests WHERE key NOT IN (SELECT key FROM answers)")
            db.execute("VACUUM")
    return count


def _checked_lines(source: Path) -> Iterator[dict[str, Any]]:
    from evenly.llm.engine.endpoint import content_key

    with source.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{source}, line {number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(
                    f"{where} is not JSON ({error}); is this a file of `evenly llm journal`?"
                ) from error
            wanted = {*_NAMES, "base_url", "model", "request"}
            if not isinstance(row, dict) or not wanted <= row.keys() or row["request"] is None:
                raise DataError(
                    f"{where} is no exported answer: it needs the keys {', '.join(sorted(wanted))}."
                )
            if content_key(row["request"])[0] != row["key"]:
                raise DataError(f"{where}: the key does not belong to the request; export the journal again.")
            yield row


def _summary(path: Path) -> JournalSummary:
    with _opened(path) as db:
        about = dict(db.execute("SELECT name, value FROM meta"))
        answers, failures, first, last = db.execute(
            "SELECT COUNT(*), COUNT(failure), MIN(created), MAX(created) FROM answers"
        ).fetchone()
        calls, prompt, completion, unsure = db.execute(
            "SELECT TOTAL(certain), TOTAL(prompt_tokens * certain), TOTAL(completion_tokens * certain),"
            " COUNT(*) - TOTAL(certain) FROM calls"
        ).fetchone()
    size = path.stat().st_size
    counts = (int(calls), int(prompt), int(completion), int(unsure))
    return JournalSummary(
        path, about["base_url"], about["model"], answers, failures, *counts, first, last, size
    )


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=60.0)) as db:
        try:
            db.execute("SELECT name FROM meta LIMIT 1")
        except sqlite3.DatabaseError as error:
            raise DataError(f"{path} is not a journal ({error}); move it out of the folder.") from error
        yield db
