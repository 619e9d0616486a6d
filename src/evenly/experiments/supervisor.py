"""Runs a command that ends with whoever started it: `python -I supervisor.py COMMAND...`.

Standard input is a pipe whose other end only the starter holds. When the starter closes it, or is gone,
however it was killed, all that the command has started ends too. What a command leaves behind when it ends by
itself is ended likewise. This file is run by its path and imports nothing of `evenly`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

#: Seconds between asking the command to end and ending it.
GRACE_S = 10


def supervise(command: list[str]) -> int:
    """Run a command in a process group of its own until it ends or standard input does; its exit status."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def send(number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):  # nothing of the group is left
            os.killpg(child.pid, number)

    def end_with_starter() -> None:
        os.read(sys.stdin.fileno(), 1)
        send(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
        send(signal.SIGKILL)

    threading.Thread(target=end_with_starter, daemon=True).start()
    status = child.wait()
    send(signal.SIGKILL)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1:]))
