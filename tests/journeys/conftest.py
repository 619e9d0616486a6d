"""The environment with the wheel is made once, by one of the processes that pytest runs in."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from filelock import FileLock
from travelling import make_environment


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of a new environment: evenly from its wheel, libraries from this one's."""
    if find_spec("hatchling") is None or find_spec("pip") is None:
        pytest.skip("building and installing a wheel needs hatchling (the extra `test`) and pip")
    own = tmp_path_factory.getbasetemp()
    place = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "installed"
    with FileLock(f"{place}.lock"):
        if not (place / "done").exists():
            shutil.rmtree(place, ignore_errors=True)
            make_environment(place)
            (place / "done").touch()
    return place / "bin"
