"""DVC, writing its lock stage by stage: `python -m evenly.experiments.lockfile dvc exp run …`.

After each stage DVC parses the whole of dvc.lock and writes it anew, in Python and with all comments kept,
which is half of what a run costs beyond its stages. Here the text of the other stages stays as it is. What is
written is the same, byte for byte; a lock of another form, or a DVC that is built otherwise, is left to DVC.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from evenly.files import write_text

_HEAD = "schema: '2.0'\nstages:\n"
_ENTRY = re.compile(r"^  (?=\S)", re.MULTILINE)
_OUTSIDE = re.compile(r"^\S|^  #", re.MULTILINE)


def with_entry(lock: str, entry: str) -> str | None:
    """A lock with the entry of a stage in its place, or as the last; None where its form is not DVC's own."""
    head, entries = lock[: len(_HEAD)] or _HEAD, lock[len(_HEAD) :]
    if head != _HEAD or _OUTSIDE.search(entries) or (entries and not entries.endswith("\n")):
        return None
    there = _ENTRY.split(entries)
    if there.pop(0):
        return None
    entry = entry.removeprefix("  ")
    name = entry.partition("\n")[0]
    place = next((k for k, old in enumerate(there) if old.partition("\n")[0] == name), len(there))
    there[place : place + 1] = [entry]
    return head + "".join(f"  {one}" for one in there)


def write_by_entries() -> None:
    """Let DVC in this process write its lock so."""
    from dvc import dvcfile
    from dvc.stage.serialize import to_lockfile
    from dvc.utils.serialize import dumps_yaml

    whole = dvcfile.Lockfile.dump_stages

    def dump_stages(self: Any, stages: Any, **kwargs: Any) -> None:
        path = Path(self.path)
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        new = old
        for stage in stages:
            entry = dumps_yaml({"stages": to_lockfile(stage, **kwargs)}).removeprefix("stages:\n")
            changed = with_entry(new, entry)
            if changed is None:
                whole(self, stages, **kwargs)
                return
            new = changed
        if new != old:
            dvcfile.logger.info("%s lock file '%s'", "Updating" if old else "Generating", self.relpath)
            write_text(new, path)
            self.repo.scm_context.track_file(self.relpath)

    dvcfile.Lockfile.dump_stages = dump_stages


def command(options: Sequence[str], overrides: Sequence[str], until: str | None) -> list[str]:
    """The words of `dvc exp run` that writes its lock so."""
    changes = [part for override in overrides for part in ("-S", override)]
    stage = [until] if until else []
    return [
        sys.executable,
        "-m",
        "evenly.experiments.lockfile",
        "dvc",
        "exp",
        "run",
        *options,
        *changes,
        *stage,
    ]


def environment(logs: Path) -> dict[str, str]:
    """What such a run finds: its stages' `python` is the one that runs this, and they log their seconds."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    own = {"PATH": path, "EVENLY_LOGS": str(logs), "DVC_NO_ANALYTICS": "1"}
    return {"OMP_NUM_THREADS": "1", **os.environ, **own}


if __name__ == "__main__":
    from dvc.cli import main

    with suppress(ImportError, AttributeError):
        write_by_entries()
    sys.exit(main(sys.argv[2:]))
