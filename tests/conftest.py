"""Settings of every test: property tests draw the same examples each time and have no deadline, and what
runs the whole pipeline comes first.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "evenly", deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("evenly")

#: Tests of minutes. Started last, they would leave all processes but one idle at the end.
_LONG = ("pipeline", "tuning", "handover", "experiments")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long tests first; the order of all others stays."""
    items.sort(key=lambda item: Path(item.path).parent.name not in _LONG)
