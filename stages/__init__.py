"""One short script per stage, run as `python -m stages.NAME` from the root of a checkout.

Importing this package puts the `src/` folder of its own checkout first on the path. Without that, a queued
experiment,
which DVC runs in a temporary checkout, would import the editable install of the live workspace: code that
may have changed since, whose result would be stored under the queued version.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))


def run(stage: Callable[[], None]) -> None:
    """Run a stage. An error that the user can mend is one sentence on stderr and exit status 1."""
    from evenly.errors import EvenlyError

    try:
        stage()
    except EvenlyError as error:
        print(
            f"{stage.__module__ if stage.__module__ != '__main__' else sys.argv[0]}: {error}", file=sys.stderr
        )
        sys.exit(1)
