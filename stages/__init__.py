"""One short script per stage, run as `python -m stages.NAME` from the root of a checkout.

Importing this package puts the `src/` folder of its own checkout first on the path. Without that, a queued
experiment, which DVC runs in a temporary checkout, would import the editable install of the live workspace:
code that may have changed since, whose result would be stored under the queued version.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

_BEGAN = time.perf_counter()

_SOURCES = Path(__file__).resolve().parent.parent / "src"
if (
    _SOURCES / "evenly"
).is_dir():  # else the project was laid by `evenly init`, and the installed evenly runs
    sys.path.insert(0, str(_SOURCES))


def run(stage: Callable[[], None]) -> None:
    """Run a stage. An error that the user can mend is one sentence on stderr and exit status 1.

    Where `EVENLY_LOGS` names a folder, what the stage cost is written there: a sweep asks for it, since DVC
    throws a temporary checkout away with all that is not an output.
    """
    from evenly.errors import DataError, EvenlyError

    # Imports and pictures make objects by the hundred thousand, and hardly one is garbage.
    gc.set_threshold(50_000)
    try:
        if Path(".evenly").is_dir():
            from evenly.laying import code_fault

            if fault := code_fault(Path(), Path(sys.argv[0]).stem):
                raise DataError(f"{fault}.")
        stage()
        if folder := os.environ.get("EVENLY_LOGS"):
            _write_seconds(Path(folder), Path(sys.argv[0]).stem)
    except EvenlyError as error:
        print(
            f"{stage.__module__ if stage.__module__ != '__main__' else sys.argv[0]}: {error}", file=sys.stderr
        )
        sys.exit(1)


def source_roots() -> list[Path]:
    """Where raw data are looked for: what DVC brings into no temporary checkout is in the workspace."""
    return [Path(), Path(os.environ.get("DVC_ROOT", ""))]


def asks_nothing(plan: str) -> bool:
    """Whether a plan file is empty: told before the settings of plans are imported, which takes longer."""
    from evenly.errors import EvenlyError
    from evenly.files import read_json

    try:
        return bool(read_json(plan) == {})
    except (OSError, EvenlyError):
        return False  # `read_plan` says what is wrong with it


def vector_cache() -> Path:
    """Folder for vectors of encoders: that of the workspace, also in temporary checkouts."""
    return Path(os.environ.get("DVC_ROOT") or ".", ".cache", "vectors")


def _write_seconds(folder: Path, name: str) -> None:
    """CPU and wall seconds since this process began, and those of the fit where the stage has logged it."""
    from evenly.files import read_json, write_json

    log = Path("logs", f"{name}.json")
    seconds = {"cpu_s": time.process_time(), "wall_s": time.perf_counter() - _BEGAN}
    write_json({**seconds, "fit": read_json(log) if log.exists() else None}, folder / f"{name}.json")
