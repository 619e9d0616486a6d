"""Journals as files: listed, exported, imported, pruned beside an engine that runs, and repaired."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import struct
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenly.errors import DataError
from evenly.files import atomic_write
from evenly.llm.engine.journal import (
    ANSWER,
    ANSWER_COLUMNS,
    CHANGED,
    FAULTS,
    INSERT_ANSWER,
    INSERT_CALL,
    PAGE_BYTES,
    Journal,
    Slot,
    call_values,
    checksum,
    connected,
    damage,
    entry_of,
    is_alive,
    journal_path,
)
from evenly.llm.engine.transport import MOST_TOKENS

#: The fact that a journal holds answers which were paid for elsewhere.
_IMPORTED = "imported"
#: What answers lack that older versions exported.
_OPTIONAL = {"served": "", "cached_tokens": 0, "batch": 0}


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
                query = f"SELECT {ANSWER_COLUMNS}, checksum FROM answers ORDER BY key, ordinal, ask"
                for *row, check in db.execute(query):
                    if checksum(*row) != check:
                        raise damage(path, "an answer does not fit its checksum")
                    content = db.execute("SELECT content FROM requests WHERE key = ?", (row[0],)).fetchone()
                    line = {"base_url": about["base_url"], "model": about["model"]} | dict(
                        zip(ANSWER, row, strict=True)
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
            db.execute("INSERT OR IGNORE INTO meta VALUES (?, '1')", (_IMPORTED,))
            for row in rows:
                if (row["base_url"], row["model"]) != pair:
                    continue
                content = json.dumps(row["request"], sort_keys=True, separators=(",", ":"))
                db.execute("INSERT OR IGNORE INTO requests VALUES (?, ?)", (row["key"], content))
                new += _insert(db, [row[name] for name in ANSWER])
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

    with source.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{source}, line {number}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(
                    f"{where} is not JSON ({error}); is this a file of `evenly llm journal`?"
                ) from error
            wanted = {*ANSWER, "base_url", "model", "request"} - _OPTIONAL.keys()
            if not isinstance(row, dict) or not wanted <= row.keys() or row["request"] is None:
                raise DataError(
                    f"{where} is no exported answer: it needs the keys {', '.join(sorted(wanted))}."
                )
            if content_key(row["request"])[0] != row["key"]:
                raise DataError(f"{where}: the key does not belong to the request; export the journal again.")
            row = _OPTIONAL | row
            for name, kind in ANSWER.items():
                value, kinds = row[name], int | float if kind is float else kind
                if not isinstance(value, kinds) and not (name == "failure" and value is None):
                    raise DataError(f"{where}: {name} is {str(value)[:40]!r}, which is no {kind.__name__}.")
                if isinstance(value, int) and not 0 <= value <= MOST_TOKENS:
                    raise DataError(f"{where}: {name} is {str(value)[:40]}, which cannot be.")
            yield row


def _summary(path: Path) -> JournalSummary:
    with _opened(path) as db:
        about = dict(db.execute("SELECT name, value FROM meta"))
        answers, failures, first, last = db.execute(
            "SELECT COUNT(*), COUNT(failure), MIN(created), MAX(created) FROM answers"
        ).fetchone()
        if db.execute(CHANGED["calls"]).fetchone():
            raise damage(path, "a call in the ledger does not fit its checksum")
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
    try:
        with closing(sqlite3.connect(path, timeout=60.0)) as db:
            db.execute("SELECT name FROM meta LIMIT 1")
    except FAULTS as error:
        remedy = "`evenly llm repair` saves what is whole in it, or move it out of the folder."
        raise DataError(f"{path} is not a journal ({error}); {remedy}") from error
    try:
        with closing(connected(path)) as db:
            yield db
    except (sqlite3.Error, TypeError, ValueError, KeyError, OverflowError) as error:
        raise damage(path, error) from error


# --- repair -----------------------------------------------------------------------------------------------
#
# A row is found by its own first bytes, wherever a damaged page still holds it: the length of its header
# (NULL for the number of a call), and that its first value is a text of 64 characters. What is found
# proves itself: an answer by its checksum, a request by its key, which is its digest.

_HEADER = re.compile(rb"(?=[\x04-\x40]\x00?\x81\x0d)")
_HEX = re.compile("[0-9a-f]{64}")


def repair_journals(folder: Path) -> Iterator[tuple[Path, int | None, Path | None]]:
    """Put a sound journal with every whole answer in the place of each damaged one.

    Yields
    ------
    tuple
        The journal, how many answers it holds now (None: it was sound), and where the damaged file is kept.

    Raises
    ------
    DataError
        When a damaged journal is in use, or holds nothing that is whole; it is left as it is.
    """
    for path in sorted(folder.glob("*.sqlite")):
        log = Path(f"{path}-wal")
        # Read before SQLite opens it: that may throw a damaged log away.
        main, changes = path.read_bytes(), log.read_bytes() if log.exists() else b""
        if _is_sound(path):
            yield path, None, None
            continue
        answers, requests, calls = _whole_rows(main, changes)
        if not answers and not calls:
            raise DataError(f"{path} holds no whole answer; move it out of the folder.")
        about: dict[str, Any] = next((json.loads(content) for content in requests.values()), {})
        names = {"base_url": about.get("endpoint", ""), "model": about.get("model", ""), "version": "2"}
        rescued = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            with closing(connected(rescued)) as db:
                facts = [*_still_readable(path, "SELECT name, value FROM meta"), *names.items()]
                batches = _still_readable(path, "SELECT name, id, state, created, slots FROM batches")
                db.execute("BEGIN")
                db.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", facts)
                db.executemany("INSERT OR IGNORE INTO batches VALUES (?, ?, ?, ?, ?)", batches)
                db.executemany("INSERT INTO requests VALUES (?, ?)", requests.items())
                count = sum(_insert(db, row) for row in answers)
                # What an answer has cost stands with it, so that a call which is not whole is not lost.
                if (_IMPORTED, "1") not in facts:
                    entered = {(*call[:3], call[4]) for call in calls}
                    costs = (_call_of(row) for row in answers)
                    calls |= {call for call in costs if (*call[:3], call[4]) not in entered}
                db.executemany(INSERT_CALL, ((*call, checksum(*call)) for call in sorted(calls)))
                db.execute("COMMIT")
            kept = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
            for end in ("", "-wal"):
                if (file := Path(f"{path}{end}")).exists():
                    file.rename(f"{kept}{end}")
            Path(f"{path}-shm").unlink(missing_ok=True)
            rescued.rename(path)
        except (*FAULTS, OSError) as error:
            raise damage(path, error) from error
        finally:
            for end in ("", "-wal", "-shm"):
                Path(f"{rescued}{end}").unlink(missing_ok=True)
        yield path, count, kept


def _is_sound(path: Path) -> bool:
    owners = _still_readable(path, "SELECT host, pid, born, beat FROM owners")
    try:
        with closing(connected(path)) as db:
            sound = db.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)
            if sound and not any(db.execute(query).fetchone() for query in CHANGED.values()):
                return True
    except FAULTS:
        pass
    for host, pid, born, beat in owners:
        known = isinstance(pid, int) and 0 < pid < 2**31 and isinstance(beat, float)
        if known and is_alive(host, pid, born, beat):
            raise DataError(f"{path} is damaged, and process {pid} uses it: end that, then repair.")
    return False


def _still_readable(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of a small table as far as they can be read."""
    rows: list[tuple[Any, ...]] = []
    with suppress(*FAULTS), closing(sqlite3.connect(path)) as db:
        rows.extend(db.execute(query))
    return rows


def _whole_rows(main: bytes, log: bytes) -> tuple[list[Sequence[Any]], dict[str, str], set[tuple[Any, ...]]]:
    """Every whole answer, request and call in the bytes of a journal and of its log."""
    answers: dict[tuple[Any, ...], Sequence[Any]] = {}
    requests: dict[str, str] = {}
    calls: set[tuple[Any, ...]] = set()
    for row in _records(main, log):
        if len(row) in (len(ANSWER) + 1, len(ANSWER) - len(_OPTIONAL)):
            *values, check = row if len(row) > len(ANSWER) else (*row, *_OPTIONAL.values(), None)
            for place in (4, 5, 12):  # SQLite keeps whole numbers of these columns as integers
                values[place] = float(values[place]) if isinstance(values[place], int) else values[place]
            fits = (isinstance(v, kind) or v is None for v, kind in zip(values, ANSWER.values(), strict=True))
            if check == checksum(*values) or (check is None and all(fits) and _HEX.fullmatch(values[0])):
                answers.setdefault(tuple(values[:3]), values)
        elif len(row) == 2 and isinstance(row[1], str):
            if hashlib.sha256(row[1].encode()).hexdigest() == row[0]:
                requests[row[0]] = row[1]
        elif len(row) in (9, 11, 12) and isinstance(row[1], str) and _HEX.fullmatch(row[1]):
            call = (*row[1:11], 0, 0)[:10]
            sound = all(isinstance(n, int) and 0 <= n <= MOST_TOKENS for n in (*call[1:3], *call[5:]))
            if sound and isinstance(call[3], int | float) and isinstance(call[4], str):
                call = (*call[:3], float(call[3]), *call[4:])
                if len(row) < 12 or row[11] in (None, checksum(*call)):
                    calls.add(call)
    return list(answers.values()), requests, calls


def _records(main: bytes, log: bytes) -> Iterator[list[Any]]:
    """Whatever reads as a row that begins with a key, in the file as it is and as its log has changed it."""
    size = PAGE_BYTES
    pages = {at // size + 1: main[at : at + size] for at in range(0, len(main), size)}
    frames = [log[at : at + 24 + size] for at in range(32, len(log), 24 + size)]
    # Frames of an earlier log stand behind those of the present one, whose salt the log's head names.
    frames.sort(key=lambda frame: frame[8:16] == log[16:24])
    changed = pages | {int.from_bytes(frame[:4], "big"): frame[24:] for frame in frames}
    for view in (changed, pages) if frames else (pages,):
        for page in view.values():
            for match in _HEADER.finditer(page):
                with suppress(IndexError, ValueError, struct.error):
                    yield _record(page, match.start(), view)


def _record(page: bytes, at: int, view: Mapping[int, bytes]) -> list[Any]:
    """The row whose header begins at `at`, and goes on in overflow pages (sqlite.org/fileformat2.html)."""
    kinds, place = [], at + 1
    while place < at + page[at]:
        kind = 0
        while True:
            byte = page[place]
            kind, place = kind << 7 | byte & 0x7F, place + 1
            if byte < 0x80:
                break
        kinds.append(kind)
    lengths = [(kind - 12) // 2 if kind > 11 else (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)[kind] for kind in kinds]
    total, most, least = page[at] + sum(lengths), PAGE_BYTES - 35, (PAGE_BYTES - 12) * 32 // 255 - 23
    local = least + (total - least) % (PAGE_BYTES - 4)
    local = total if total <= most else local if local <= most else least
    payload = page[at : at + local]
    following = int.from_bytes(page[at + local : at + local + 4], "big")
    while len(payload) < total:
        if following not in view:
            raise ValueError
        payload += view[following][4 : 4 + total - len(payload)]
        following = int.from_bytes(view[following][:4], "big")
    values: list[Any] = []
    start = page[at]
    for kind, length in zip(kinds, lengths, strict=True):
        part = payload[start : start + length]
        start += length
        if kind > 11:
            values.append(part.decode("utf-8") if kind % 2 else part)
        elif kind == 7:
            values.append(struct.unpack(">d", part)[0])
        else:
            values.append(
                None if kind == 0 else kind - 8 if kind > 7 else int.from_bytes(part, "big", signed=True)
            )
    return values


def _call_of(row: Sequence[Any]) -> tuple[Any, ...]:
    """The call that has brought an answer, by what stands with the answer."""
    entry = entry_of(row)
    return call_values(Slot(*row[:3]), row[4], entry.failure or "answered", entry.usage)[:-1]


def _insert(db: sqlite3.Connection, row: Sequence[Any]) -> int:
    """Put an answer into a journal, with its checksum; 0 where there is one already."""
    return db.execute(INSERT_ANSWER, entry_of(row).values(Slot(*row[:3]), row[4])).rowcount
