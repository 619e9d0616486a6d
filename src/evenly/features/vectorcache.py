"""Vectors by content, in one SQLite file that runs and experiments share.

Losing it costs time and nothing else; it is no output of the pipeline.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

logger = logging.getLogger(__name__)

FILE = "vectors.sqlite"
_AT_ONCE = 500
_PATIENCE = 60.0  # seconds to wait while another process writes


class VectorCache:
    """A cache in a folder.

    Parameters
    ----------
    folder
        Is made when the first vector is written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def read(self, keys: Sequence[bytes], dimension: int) -> dict[int, np.ndarray]:
        """Vectors that are there, float32 (dimension,), by position of their key."""
        if not self.path.exists():
            return {}
        found: dict[bytes, np.ndarray] = {}
        try:
            with self._open() as database:
                for start in range(0, len(keys), _AT_ONCE):
                    part = keys[start : start + _AT_ONCE]
                    marks = ",".join("?" * len(part))
                    query = f"SELECT key, vector FROM vectors WHERE key IN ({marks})"
                    for key, vector in database.execute(query, part):
                        found[key] = np.frombuffer(vector, dtype="<f4")
        except sqlite3.Error as error:
            logger.warning("%s cannot be read (%s); vectors are computed anew.", self.path, error)
        return {
            row: found[key] for row, key in enumerate(keys) if key in found and len(found[key]) == dimension
        }

    def write(self, keys: Sequence[bytes], vectors: np.ndarray) -> None:
        """Add vectors, float32 (n, dimension)."""
        blobs = [vector.astype("<f4").tobytes() for vector in vectors]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._open() as database:
                database.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB)")
                database.executemany(
                    "INSERT OR REPLACE INTO vectors VALUES (?, ?)", zip(keys, blobs, strict=True)
                )
        except (sqlite3.Error, OSError) as error:
            logger.warning("%s cannot be written (%s); go on without it.", self.path, error)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self.path, timeout=_PATIENCE)) as database, database:
            yield database
