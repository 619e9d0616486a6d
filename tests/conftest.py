"""Settings of every test: property tests draw the same examples each time and have no deadline, what runs
the whole pipeline comes first, and the terminal that pytest was started from has no say.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "evenly", deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("evenly")

#: Read by rich, click and DVC: with them what is printed, and how it is folded, differs between machines.
for _name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE"):
    os.environ.pop(_name, None)

#: Tests of minutes. Started last, they would leave all processes but one idle at the end.
_LONG = ("pipeline", "tuning", "handover", "experiments", "journeys")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long tests first; the order of all others stays."""
    items.sort(key=lambda item: Path(item.path).parent.name not in _LONG)
