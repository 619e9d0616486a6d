"""Whether a process that left its number somewhere still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def this_host() -> str:
    """A name for everything that shares this table of process numbers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def runs(pid: int) -> bool:
    """Whether a process of this number runs here."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def birth(pid: int) -> str | None:
    """When a process began: a number given out anew is not the old process. None if unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # The third field of the file is the state, a zombie's is Z: it will never come back.
    return "zombie" if fields[0] == "Z" else fields[19]
