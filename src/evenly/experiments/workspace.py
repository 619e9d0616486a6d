"""Whether the workspace still is what its last run has left, as DVC sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from evenly.errors import DataError


def changed_stages(root: Path) -> list[str]:
    """Names of the stages and `.dvc` files that DVC would run or commit again.

    Raises
    ------
    DataError
        With DVC's own sentence, when it cannot tell.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"], cwd=root, capture_output=True, encoding="utf-8"
    )
    lines = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
    if done.returncode:
        raise DataError(f"dvc status failed: {lines[0].removeprefix('ERROR: ').rstrip('.')}.")
    return sorted(json.loads(done.stdout.strip().splitlines()[-1]))
