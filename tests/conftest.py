"""Settings of every test: property tests draw the same examples each time and have no deadline, what runs
the whole pipeline comes first, the terminal that pytest was started from has no say, and each process
computes with one thread, since several run side by side.
"""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import forked

settings.register_profile(
    "evenly", deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("evenly")

#: Read by rich, click and DVC: with them what is printed, and how it is folded, differs between machines.
for _name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE"):
    os.environ.pop(_name, None)

os.environ.setdefault("OMP_NUM_THREADS", "1")

#: Tests of minutes, the longest first. Started last, they would leave all processes but one idle at the end.
_LONG = ("journeys", "pipeline", "tuning", "cluster", "experiments", "handover")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long tests first; the order of all others stays."""
    order = {name: place for place, name in enumerate(_LONG)}
    items.sort(key=lambda item: order.get(Path(item.path).parent.name, len(_LONG)))


@pytest.fixture
def without_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the code under test starts of DVC and stages has imported its libraries (tests/forked.py)."""
    monkeypatch.setattr(sys, "executable", str(Path(forked.commands(), "python")))
    monkeypatch.setenv("PATH", os.pathsep.join([forked.commands(), os.environ["PATH"]]))
