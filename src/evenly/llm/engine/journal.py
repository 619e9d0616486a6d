"""Every answer ever paid for, on disk before it is used: one SQLite file per endpoint and model.

A slot is the content's key, its ordinal, and which asking of it this is. Processes that share a journal claim
a slot before they send, so that none pays for what another is already paying for. What is asked, and how, is
not here.

Writes of one turn of the event loop share a transaction. Commits are made with `synchronous=NORMAL`, which a
killed process cannot undo; `durable` then waits for an fsync of the write-ahead log, one for all who wait, so
that an answer also outlives a power cut before anyone uses it.

Every answer, and every call of the ledger, carries a checksum and is refused where it does not fit;
`journal_files` saves the whole ones.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import socket
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from evenly.errors import DataError
from evenly.llm.engine.messages import Usage

#: A claim of another machine is dead after this long without a heartbeat; here the process itself tells.
LEASE_SECONDS = 30.0
HEARTBEAT_SECONDS = 5.0

PAGE_BYTES = 4096
#: What SQLite raises for a damaged file; the second where its own complaint is no text.
FAULTS = (sqlite3.Error, UnicodeDecodeError)
_COUNTS = ("cached_tokens INTEGER NOT NULL DEFAULT 0", "batch INTEGER NOT NULL DEFAULT 0")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (key TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    key TEXT NOT NULL, ordinal INTEGER NOT NULL, ask INTEGER NOT NULL,
    tag TEXT NOT NULL, created REAL NOT NULL, seconds REAL NOT NULL,
    text TEXT NOT NULL, finish_reason TEXT NOT NULL, failure TEXT,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, exact INTEGER NOT NULL,
    prompt_guess REAL NOT NULL, served TEXT NOT NULL DEFAULT '', cached_tokens INTEGER NOT NULL DEFAULT 0,
    batch INTEGER NOT NULL DEFAULT 0, checksum TEXT, PRIMARY KEY (key, ordinal, ask)
);
CREATE TABLE IF NOT EXISTS calls (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, ordinal INTEGER NOT NULL, ask INTEGER NOT NULL,
    at REAL NOT NULL, outcome TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, certain INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL DEFAULT 0, batch INTEGER NOT NULL DEFAULT 0, checksum TEXT
);
CREATE INDEX IF NOT EXISTS calls_by_slot ON calls (key, ordinal, ask);
CREATE TABLE IF NOT EXISTS owners (
    owner TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, born TEXT NOT NULL, beat REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (
    key TEXT NOT NULL, ordinal INTEGER NOT NULL, ask INTEGER NOT NULL, owner TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, PRIMARY KEY (key, ordinal, ask)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (
    name TEXT PRIMARY KEY, id TEXT, state TEXT NOT NULL, created REAL NOT NULL, slots TEXT NOT NULL
) WITHOUT ROWID;
"""
_AT = " WHERE key = ? AND ordinal = ? AND ask = ?"
#: Columns of an answer in order, all of which its checksum covers; `failure` alone may be null.
ANSWER = (
    {"key": str, "ordinal": int, "ask": int, "tag": str, "created": float, "seconds": float, "text": str}
    | {"finish_reason": str, "failure": str, "prompt_tokens": int, "completion_tokens": int, "exact": int}
    | {"prompt_guess": float, "served": str, "cached_tokens": int, "batch": int}
)
ANSWER_COLUMNS = ", ".join(ANSWER)
#: Columns of a call but for its number, in order, all of which its checksum covers.
CALL_COLUMNS = (
    "key, ordinal, ask, at, outcome, prompt_tokens, completion_tokens, certain, cached_tokens, batch"
)
#: Columns that journals of earlier versions lack, and what their checksums cover.
_ADDED = {
    "answers": (("served TEXT NOT NULL DEFAULT ''", *_COUNTS, "checksum TEXT"), ANSWER_COLUMNS),
    "calls": ((*_COUNTS, "checksum TEXT"), CALL_COLUMNS),
}
#: Rows that are not as they were written, by their table.
CHANGED = {
    table: f"SELECT 1 FROM {table} WHERE checksum IS NOT checksum({covered}) LIMIT 1"
    for table, (_, covered) in _ADDED.items()
}
INSERT_ANSWER = f"INSERT OR IGNORE INTO answers VALUES ({', '.join('?' * (len(ANSWER) + 1))})"
INSERT_CALL = f"INSERT INTO calls VALUES (NULL{', ?' * 11})"


class Slot(NamedTuple):
    """The place of one answer: which content, which of the equal requests, and which asking of it."""

    key: str
    ordinal: int
    ask: int


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer as journalled. `prompt_guess` is what the estimator thought of the prompt, in tokens."""

    text: str
    finish_reason: str
    failure: str | None
    usage: Usage
    tag: str = ""
    seconds: float = 0.0
    prompt_guess: float = 0.0
    served: str = ""

    def values(self, slot: Slot, created: float) -> tuple[Any, ...]:
        """The row of the table `answers`, checksum last."""
        u = self.usage
        row = (
            *(*slot, self.tag, float(created), float(self.seconds), self.text, self.finish_reason),
            *(self.failure, u.prompt_tokens, u.completion_tokens, int(u.exact), float(self.prompt_guess)),
            *(self.served, u.cached_tokens, int(u.batch)),
        )
        return *row, checksum(*row)


@dataclass(frozen=True, slots=True)
class Ledger:
    """Tokens paid for: those the server told, and a guess for calls whose end nobody saw.

    Such a call is taken for an average one, and for its worst case where no call has been seen to its end.
    """

    calls: int
    prompt_tokens: int
    completion_tokens: int
    uncertain_calls: int
    uncertain_tokens: int


def journal_path(folder: Path, base_url: str, model: str) -> Path:
    """The journal's file for an endpoint and model: readable, and distinct for every pair."""
    digest = hashlib.sha256(f"{base_url} {model}".encode()).hexdigest()[:10]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", model).strip("-.")[:60] or "model"
    return folder / f"{name}-{digest}.sqlite"


def entry_of(row: Sequence[Any]) -> Entry:
    """The answer in a row of the columns `ANSWER`."""
    usage = Usage(row[9], row[10], bool(row[11]), row[14], bool(row[15]))
    return Entry(row[6], row[7], row[8], usage, row[3], row[5], row[12], row[13])


def call_values(slot: Slot, at: float, outcome: str, usage: Usage) -> tuple[Any, ...]:
    """The row of the table `calls` but for its number, checksum last."""
    counts = (usage.prompt_tokens, usage.completion_tokens, int(usage.exact))
    row = (*slot, float(at), outcome, *counts, usage.cached_tokens, int(usage.batch))
    return *row, checksum(*row)


def checksum(*values: Any) -> str:
    """What tells a whole row from a damaged one."""
    return hashlib.blake2b(repr(values).encode("utf-8", "replace"), digest_size=12).hexdigest()


def damage(path: Path, error: object) -> DataError:
    """The sentence about a journal that cannot be read."""
    what = " ".join(str(error).split())[:120]
    remedy = "`evenly llm repair` saves every answer that is whole."
    if "disk is full" in what or "readonly" in what or "locked" in what or "unable to open" in what:
        remedy = "free space on its disk, see that it can be written, and start again."
    return DataError(f"The journal {path} cannot be used ({what}); {remedy}")


def connected(path: Path) -> sqlite3.Connection:
    """An open journal file with all tables and columns of today's version."""
    db = sqlite3.connect(path, timeout=60.0, isolation_level=None, cached_statements=64)
    try:
        db.execute(f"PRAGMA page_size={PAGE_BYTES}")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.create_function("checksum", -1, checksum, deterministic=True)
        for table, (columns, covered) in _ADDED.items():
            known = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
            for column in columns:
                if column.split()[0] not in known:
                    db.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
            if "checksum" not in known:
                db.execute(f"UPDATE {table} SET checksum = checksum({covered})")
        db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


class Journal:
    """One open journal; reading and writing take microseconds, `settled` and `durable` wait for the disk.

    Without a running event loop every write is committed at once.
    """

    def __init__(self, path: Path, base_url: str, model: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.owner = uuid.uuid4().hex
        self._claimed: set[Slot] = set()
        self._broken: DataError | None = None
        self._closed = False
        self._commit_due: asyncio.Future[None] | None = None
        self._syncing: asyncio.Task[None] | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._pool = ThreadPoolExecutor(1, "journal-fsync")
        self._answered: list[float] | None = None
        try:
            self._db = connected(path)
            with self._transaction():
                for fact in (("base_url", base_url), ("model", model), ("version", "2")):
                    self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", fact)
                me = (self.owner, _this_host(), os.getpid(), _birth(os.getpid()) or "", time.time())
                self._db.execute("INSERT INTO owners VALUES (?, ?, ?, ?, ?)", me)
            self._wal = os.open(f"{path}-wal", os.O_RDONLY)
        except (*FAULTS, OSError) as error:
            raise damage(path, error) from error

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back every claim and close the file."""
        self._pool.shutdown(wait=True)
        os.close(self._wal)
        try:
            with self._transaction():
                self._rows("DELETE FROM claims WHERE owner = ?", self.owner)
                self._rows("DELETE FROM owners WHERE owner = ?", self.owner)
            self._commit()
        finally:
            self._closed = True
            self._db.close()

    def _rows(self, query: str, *values: Any) -> list[Any]:
        """What a statement gives; a journal that is damaged makes one sentence."""
        try:
            return self._db.execute(query, values).fetchall()
        except FAULTS as error:
            raise damage(self.path, error) from error

    def find(self, slot: Slot) -> Entry | None:
        """The answer in a slot, or None."""
        for *row, check in self._rows(f"SELECT {ANSWER_COLUMNS}, checksum FROM answers" + _AT, *slot):
            if checksum(*row) != check or tuple(row[:3]) != slot:
                raise damage(self.path, "an answer does not fit its checksum")
            return entry_of(row)
        return None

    def claim(self, slot: Slot, worst: Usage) -> bool:
        """Whether this process may now pay for `slot` (after `settled`): nobody else does so, and nobody has.

        The claim of a process that died is taken over; what it had sent goes into the ledger as a call that
        may have been paid. Look at `find` when the answer is no.
        """
        mine = (self.owner, worst.prompt_tokens, worst.completion_tokens)
        with self._transaction():
            fresh = self._rows(
                f"INSERT OR IGNORE INTO claims SELECT ?, ?, ?, ?, ?, ?"
                f" WHERE NOT EXISTS (SELECT 1 FROM answers{_AT}) RETURNING 1",
                *(*slot, *mine, *slot),
            )
            if not fresh and slot not in self._claimed:
                if self._rows("SELECT 1 FROM answers" + _AT, *slot):
                    return False
                for owner, prompt, completion in self._claims(slot):
                    if owner != self.owner and self._is_alive(owner):
                        return False
                    if prompt + completion > 0:
                        self._enter_call(slot, "interrupted", Usage(prompt, completion, exact=False))
            if not fresh:
                self._rows("INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?, ?)", *slot, *mine)
        self._claimed.add(slot)
        return True

    def rest(self, slot: Slot) -> None:
        """Keep a claim while nothing is under way: should this process die now, no call is lost."""
        with self._transaction():
            self._rows("UPDATE claims SET prompt_tokens = 0, completion_tokens = 0" + _AT, *slot)

    def _claims(self, slot: Slot) -> list[tuple[str, int, int]]:
        return self._rows("SELECT owner, prompt_tokens, completion_tokens FROM claims" + _AT, *slot)

    def held_elsewhere(self, slot: Slot) -> bool:
        """Whether a living process other than this one has claimed `slot`."""
        return any(owner != self.owner and self._is_alive(owner) for owner, *_ in self._claims(slot))

    def release(self, slot: Slot) -> None:
        """Give a claim back without an answer."""
        if slot in self._claimed:
            self._claimed.discard(slot)
            with self._transaction():
                self._unclaim(slot)

    def _unclaim(self, slot: Slot) -> None:
        self._rows("DELETE FROM claims" + _AT + " AND owner = ?", *slot, self.owner)

    def record(self, slot: Slot, content: str, entry: Entry) -> None:
        """Write an answer, its cost and the end of its claim in one transaction; then wait for `durable`."""
        with self._transaction():
            self._rows("INSERT OR IGNORE INTO requests VALUES (?, ?)", slot.key, content)
            self._rows(INSERT_ANSWER, *entry.values(slot, time.time()))
            self._enter_call(slot, entry.failure or "answered", entry.usage)
            self._unclaim(slot)
        self._claimed.discard(slot)

    async def settled(self) -> None:
        """Wait until all written by now is committed: other processes see it, and a kill cannot undo it."""
        if self._commit_due is not None:
            await asyncio.shield(self._commit_due)

    async def durable(self) -> None:
        """Wait until all that is committed by now is on the disk."""
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._sync_after(self._syncing))
        await asyncio.shield(self._waiting)

    async def _sync_after(self, running: asyncio.Task[None] | None) -> None:
        if running is not None:
            await running
        self._syncing, self._waiting = self._waiting, None
        self._commit()
        if self._broken is not None:
            raise self._broken
        await asyncio.get_running_loop().run_in_executor(self._pool, os.fsync, self._wal)

    def record_call(self, slot: Slot, outcome: str, usage: Usage) -> None:
        """Enter a call without an answer that cost tokens, or may have (`usage.exact` False: at worst)."""
        with self._transaction():
            self._enter_call(slot, outcome, usage)

    def _enter_call(self, slot: Slot, outcome: str, usage: Usage) -> None:
        u = usage
        self._rows(INSERT_CALL, *call_values(slot, time.time(), outcome, u))
        if outcome == "answered" and self._answered is not None:
            each = (1, u.prompt_tokens, u.completion_tokens)
            self._answered = [old + new for old, new in zip(self._answered, each, strict=True)]

    def likely(self, worst: Usage) -> Usage:
        """What a call whose end nobody saw will have cost: as much as an average one, at most its worst."""
        if self._answered is None:
            query = "SELECT COUNT(*), TOTAL(prompt_tokens), TOTAL(completion_tokens) FROM calls"
            self._answered = list(self._rows(f"{query} WHERE outcome = 'answered'")[0])
        calls, prompt, completion = self._answered
        if not calls:
            return worst
        with self._numbers():
            prompt, completion = round(prompt / calls), round(completion / calls)
        most = (min(worst.prompt_tokens, prompt), min(worst.completion_tokens, completion))
        return replace(worst, prompt_tokens=most[0], completion_tokens=most[1])

    def spent(self, slot: Slot) -> list[Usage]:
        """What each call of a slot has cost so far."""
        costs = []
        for *row, check in self._rows(f"SELECT {CALL_COLUMNS}, checksum FROM calls{_AT}", *slot):
            if checksum(*row) != check:
                raise damage(self.path, "a call in the ledger does not fit its checksum")
            outcome, prompt, completion, certain, cached, batch = row[4:]
            costs.append(self._cost(outcome, Usage(prompt, completion, bool(certain), cached, bool(batch))))
        return costs

    def _cost(self, outcome: str, usage: Usage) -> Usage:
        return usage if usage.exact or outcome == "answered" else self.likely(usage)

    def ledger(self) -> Ledger:
        """What everything in this journal has cost."""
        if self._rows(CHANGED["calls"]):
            raise damage(self.path, "a call in the ledger does not fit its checksum")
        with self._numbers():
            query = "SELECT COUNT(*), TOTAL(prompt_tokens), TOTAL(completion_tokens) FROM calls WHERE certain"
            sure = [int(number) for number in self._rows(query)[0]]
            query = "SELECT outcome, prompt_tokens, completion_tokens FROM calls WHERE NOT certain"
            unsure = [
                self._cost(outcome, Usage(prompt, completion, exact=False))
                for outcome, prompt, completion in self._rows(query)
            ]
        return Ledger(sure[0], sure[1], sure[2], len(unsure), sum(usage.total for usage in unsure))

    def fact(self, name: str) -> str | None:
        """Something learned about this endpoint in an earlier run."""
        rows = self._rows("SELECT value FROM meta WHERE name = ?", name)
        return str(rows[0][0]) if rows else None

    def learn(self, name: str, value: str) -> None:
        """Remember something about this endpoint."""
        with self._transaction():
            self._rows("INSERT OR REPLACE INTO meta VALUES (?, ?)", name, value)

    def calibration(self, tag: str | None = None) -> tuple[int, float, int, int, float]:
        """Answers (of one tag, or all), and their sums of guessed prompt tokens, prompt tokens, completion
        tokens, and seconds.
        """
        query = "SELECT COUNT(*), TOTAL(prompt_guess), TOTAL(prompt_tokens), TOTAL(completion_tokens),"
        with self._numbers():
            known = "TOTAL(seconds) FROM answers WHERE exact = 1 AND prompt_guess > 0"
            (row,) = self._rows(f"{query} {known} AND tag = COALESCE(?, tag)", tag)
            return int(row[0]), float(row[1]), int(row[2]), int(row[3]), float(row[4])

    def save_batch(self, name: str, batch_id: str | None, state: str, slots: str) -> None:
        """Write down a batch before and after every step, so that the next run goes on from there."""
        with self._transaction():
            self._rows(
                "INSERT INTO batches VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET id = excluded.id, state = excluded.state",
                *(name, batch_id, state, time.time(), slots),
            )
        self._commit()

    def open_batches(self) -> list[tuple[str, str | None, str]]:
        """Name, id (None before the server gave one) and slots of batches not yet collected, oldest first."""
        rows = self._rows("SELECT name, id, slots FROM batches WHERE state != 'collected' ORDER BY created")
        return [(str(name), batch, str(slots)) for name, batch, slots in rows]

    def beat(self) -> None:
        """Tell other machines that this process lives."""
        with self._transaction():
            self._rows("UPDATE owners SET beat = ? WHERE owner = ?", time.time(), self.owner)

    def _is_alive(self, owner: str) -> bool:
        rows = self._rows("SELECT host, pid, born, beat FROM owners WHERE owner = ?", owner)
        with self._numbers():
            return bool(rows) and is_alive(*rows[0])

    @contextmanager
    def _numbers(self) -> Iterator[None]:
        """Damage can make of a number something else."""
        try:
            yield
        except (TypeError, ValueError, OverflowError) as error:
            raise damage(self.path, error) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Write within the transaction of this turn of the event loop."""
        if not self._db.in_transaction:
            self._rows("BEGIN IMMEDIATE")
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                loop = None
            if loop is not None:
                self._commit_due = loop.create_future()
                loop.call_soon(self._commit)
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._rows("ROLLBACK")
            self._commit()
            raise
        if self._commit_due is None:
            self._rows("COMMIT")

    def _commit(self) -> None:
        due, self._commit_due = self._commit_due, None
        if self._closed:
            return
        try:
            if self._db.in_transaction:
                self._db.execute("COMMIT")
        except FAULTS as error:
            broken = DataError(f"The journal {self.path} cannot be written ({error}); is its disk full?")
            if due is None:
                raise broken from error
            self._broken = broken
            due.set_exception(broken)
            due.exception()  # seen here; whoever waits sees it too
        else:
            if due is not None and not due.done():
                due.set_result(None)


def is_alive(host: str, pid: int, born: str, beat: float) -> bool:
    """Whether the owner of a journal that wrote this still runs."""
    if host == _this_host():
        return _runs(pid) and (_birth(pid) or "") == born
    return time.time() - float(beat) < LEASE_SECONDS


def _this_host() -> str:
    """A name for everything that shares this table of process numbers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _runs(pid: int) -> bool:
    """Whether a process of this number runs here."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _birth(pid: int) -> str | None:
    """When a process began: a number given out anew is not the old process. None if unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # The third field of the file is the state, a zombie's is Z: it will never come back.
    return "zombie" if fields[0] == "Z" else fields[19]
