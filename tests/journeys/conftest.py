"""The environment with the wheel is made once, by one of the processes that pytest runs in."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from travelling import make_environment

from tests.pipeline.projects import made_once


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of a new environment: evenly from its wheel, libraries from this one's."""
    if find_spec("hatchling") is None or find_spec("pip") is None:
        pytest.skip("building and installing a wheel needs hatchling (the extra `test`) and pip")
    return made_once(tmp_path_factory, "installed", make_environment) / "bin"
