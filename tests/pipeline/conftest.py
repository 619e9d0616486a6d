"""The pipeline runs once for all tests of this folder; each test gets a copy of what that left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from projects import Project, Team, make_project, make_team


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """A project in which `dvc repro` has run once on the embedded default, and what that printed.

    Made by one of the processes that pytest runs in, for all of them; no test changes it.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    root, printed = shared / "first", shared / "first.txt"
    with FileLock(shared / "first.lock"):
        if not printed.exists():
            shutil.rmtree(root, ignore_errors=True)
            output = make_project(root).dvc("repro")
            printed.write_text(output, encoding="utf-8")
    return Project(root), printed.read_text(encoding="utf-8")


@pytest.fixture
def project(first_run: tuple[Project, str], tmp_path: Path) -> Iterator[Project]:
    """A copy of the project after its first run, committed, with its cache: the test may do with it what it
    likes.
    """
    copy = first_run[0].copy(tmp_path / "project")
    copy.commit("First run")
    yield copy
    shutil.rmtree(copy.root, ignore_errors=True)


@pytest.fixture(scope="session")
def team(first_run: tuple[Project, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """The project after its first run with a git remote, a folder and a bucket, to which all has been
    pushed, an experiment too. Tests clone it and leave it as it is.
    """
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        yield make_team(first_run[0], tmp_path_factory.mktemp("team"), address)
    finally:
        server.stop()
