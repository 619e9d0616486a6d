"""Every answer ever paid for, on disk before it is used: one SQLite file per endpoint and model.

A slot is the content's key, its ordinal, and which asking of it this is. Processes that share a journal claim
a slot before they send, so that none pays for what another is already paying for. What is asked, and how, is
not here.

Writes of one turn of the event loop share a transaction. Commits are made with `synchronous=NORMAL`, which a
killed process cannot undo; `durable` then waits for an fsync of the write-ahead log, one for all who wait, so
that an answer also outlives a power cut before anyone uses it.
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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from evenly.errors import DataError
from evenly.llm.engine.messages import Usage

#: A claim of another machine is dead after this long without a heartbeat; here the process itself tells.
LEASE_SECONDS = 30.0
HEARTBEAT_SECONDS = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (key TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    key TEXT NOT NULL, ordinal INTEGER NOT NULL, ask INTEGER NOT NULL,
    tag TEXT NOT NULL, created REAL NOT NULL, seconds REAL NOT NULL,
    text TEXT NOT NULL, finish_reason TEXT NOT NULL, failure TEXT,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, exact INTEGER NOT NULL,
    prompt_guess REAL NOT NULL, PRIMARY KEY (key, ordinal, ask)
);
CREATE TABLE IF NOT EXISTS calls (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, ordinal INTEGER NOT NULL, ask INTEGER NOT NULL,
    at REAL NOT NULL, outcome TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, certain INTEGER NOT NULL
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


@dataclass(frozen=True, slots=True)
class Ledger:
    """Tokens paid for: those the server told, and the worst case of calls whose end nobody saw."""

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
        try:
            self._db = sqlite3.connect(path, timeout=60.0, isolation_level=None, cached_statements=64)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            with self._transaction():
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                about = [("base_url", base_url), ("model", model), ("version", "1")]
                self._db.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", about)
                me = (self.owner, _this_host(), os.getpid(), _birth(os.getpid()) or "", time.time())
                self._db.execute("INSERT INTO owners VALUES (?, ?, ?, ?, ?)", me)
            self._wal = os.open(f"{path}-wal", os.O_RDONLY)
        except (sqlite3.Error, OSError) as error:
            raise DataError(
                f"The journal {path} cannot be used ({error}); move it away, or free space on its disk."
            ) from error

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back every claim and close the file."""
        self._pool.shutdown(wait=True)
        os.close(self._wal)
        with self._transaction():
            self._db.execute("DELETE FROM claims WHERE owner = ?", (self.owner,))
            self._db.execute("DELETE FROM owners WHERE owner = ?", (self.owner,))
        self._commit()
        self._closed = True
        self._db.close()

    def find(self, slot: Slot) -> Entry | None:
        """The answer in a slot, or None."""
        row = self._db.execute(
            "SELECT text, finish_reason, failure, prompt_tokens, completion_tokens, exact, tag, seconds,"
            " prompt_guess FROM answers WHERE key = ? AND ordinal = ? AND ask = ?",
            slot,
        ).fetchone()
        if row is None:
            return None
        return Entry(row[0], row[1], row[2], Usage(row[3], row[4], bool(row[5])), row[6], row[7], row[8])

    def claim(self, slot: Slot, worst: Usage) -> bool:
        """Whether this process may now pay for `slot` (after `settled`): nobody else does so, and nobody has.

        The claim of a process that died is taken over; what it was waiting for goes into the ledger as a call
        that may have been paid, at its worst case. Look at `find` when the answer is no.
        """
        if slot in self._claimed:
            return True
        with self._transaction():
            if self._db.execute("SELECT 1 FROM answers WHERE key=? AND ordinal=? AND ask=?", slot).fetchone():
                return False
            held = self._db.execute(
                "SELECT owner, prompt_tokens, completion_tokens FROM claims"
                " WHERE key=? AND ordinal=? AND ask=?",
                slot,
            ).fetchone()
            if held is not None:
                if held[0] != self.owner and self._is_alive(held[0]):
                    return False
                if held[0] != self.owner:
                    self._enter_call(slot, "interrupted", Usage(held[1], held[2], exact=False))
            self._db.execute(
                "INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?, ?)",
                (*slot, self.owner, worst.prompt_tokens, worst.completion_tokens),
            )
        self._claimed.add(slot)
        return True

    def held_elsewhere(self, slot: Slot) -> bool:
        """Whether a living process other than this one has claimed `slot`."""
        held = self._db.execute(
            "SELECT owner FROM claims WHERE key=? AND ordinal=? AND ask=?", slot
        ).fetchone()
        return held is not None and held[0] != self.owner and self._is_alive(held[0])

    def release(self, slot: Slot) -> None:
        """Give a claim back without an answer."""
        if slot in self._claimed:
            self._claimed.discard(slot)
            with self._transaction():
                self._unclaim(slot)

    def _unclaim(self, slot: Slot) -> None:
        self._db.execute(
            "DELETE FROM claims WHERE key=? AND ordinal=? AND ask=? AND owner=?", (*slot, self.owner)
        )

    def record(self, slot: Slot, content: str, entry: Entry) -> None:
        """Write an answer, its cost and the end of its claim in one transaction; then wait for `durable`."""
        u = entry.usage
        with self._transaction():
            self._db.execute("INSERT OR IGNORE INTO requests VALUES (?, ?)", (slot.key, content))
            self._db.execute(
                "INSERT OR IGNORE INTO answers VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    *(*slot, entry.tag, time.time(), entry.seconds, entry.text),
                    *(entry.finish_reason, entry.failure),
                    *(u.prompt_tokens, u.completion_tokens, int(u.exact), entry.prompt_guess),
                ),
            )
            self._enter_call(slot, entry.failure or "answered", u)
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
        self._db.execute(
            "INSERT INTO calls (key, ordinal, ask, at, outcome, prompt_tokens, completion_tokens, certain)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*slot, time.time(), outcome, usage.prompt_tokens, usage.completion_tokens, int(usage.exact)),
        )

    def spent(self, slot: Slot) -> tuple[int, int, int]:
        """Calls, prompt and completion tokens that a slot has cost so far, uncertain ones at their worst."""
        row = self._db.execute(
            "SELECT COUNT(*), TOTAL(prompt_tokens), TOTAL(completion_tokens) FROM calls"
            " WHERE key = ? AND ordinal = ? AND ask = ?",
            slot,
        ).fetchone()
        return int(row[0]), int(row[1]), int(row[2])

    def ledger(self) -> Ledger:
        """What everything in this journal has cost."""
        rows = self._db.execute(
            "SELECT certain, COUNT(*), TOTAL(prompt_tokens), TOTAL(completion_tokens) FROM calls"
            " GROUP BY certain"
        ).fetchall()
        sums = {bool(row[0]): (int(row[1]), int(row[2]), int(row[3])) for row in rows}
        sure, unsure = sums.get(True, (0, 0, 0)), sums.get(False, (0, 0, 0))
        return Ledger(*sure, unsure[0], unsure[1] + unsure[2])

    def fact(self, name: str) -> str | None:
        """Something learned about this endpoint in an earlier run."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def learn(self, name: str, value: str) -> None:
        """Remember something about this endpoint."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def calibration(self) -> tuple[int, float, int, int, float]:
        """Answers, and their sums of guessed prompt tokens, prompt tokens, completion tokens, and seconds."""
        row = self._db.execute(
            "SELECT COUNT(*), TOTAL(prompt_guess), TOTAL(prompt_tokens), TOTAL(completion_tokens),"
            " TOTAL(seconds) FROM answers WHERE exact = 1 AND prompt_guess > 0"
        ).fetchone()
        return int(row[0]), float(row[1]), int(row[2]), int(row[3]), float(row[4])

    def save_batch(self, name: str, batch_id: str | None, state: str, slots: str) -> None:
        """Write down a batch before and after every step, so that the next run goes on from there."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET id = excluded.id, state = excluded.state",
                (name, batch_id, state, time.time(), slots),
            )
        self._commit()

    def open_batches(self) -> list[tuple[str, str | None, str]]:
        """Name, id (None before the server gave one) and slots of batches not yet collected, oldest first."""
        rows = self._db.execute(
            "SELECT name, id, slots FROM batches WHERE state != 'collected' ORDER BY created"
        )
        return [(str(name), batch, str(slots)) for name, batch, slots in rows]

    def beat(self) -> None:
        """Tell other machines that this process lives."""
        with self._transaction():
            self._db.execute("UPDATE owners SET beat = ? WHERE owner = ?", (time.time(), self.owner))

    def _is_alive(self, owner: str) -> bool:
        row = self._db.execute(
            "SELECT host, pid, born, beat FROM owners WHERE owner = ?", (owner,)
        ).fetchone()
        if row is None:
            return False
        host, pid, born, beat = row
        if host == _this_host():
            return _runs(pid) and (_birth(pid) or "") == born
        return time.time() - float(beat) < LEASE_SECONDS

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Write within the transaction of this turn of the event loop."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
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
            self._db.execute("ROLLBACK")
            self._commit()
            raise
        if self._commit_due is None:
            self._db.execute("COMMIT")

    def _commit(self) -> None:
        due, self._commit_due = self._commit_due, None
        if self._closed:
            return
        try:
            if self._db.in_transaction:
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            broken = DataError(f"The journal {self.path} cannot be written ({error}); is its disk full?")
            if due is None:
                raise broken from error
            self._broken = broken
            due.set_exception(broken)
            due.exception()  # seen here; whoever waits sees it too
        else:
            if due is not None and not due.done():
                due.set_result(None)


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
