"""The pipeline runs once for all tests of this folder; each test gets a copy of what that left."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from projects import Project, Team, first_run_of_all, give_bucket, made_once, make_bucket, make_team


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """A project in which `dvc repro` has run once on the embedded default, and what that printed; no test
    changes it.
    """
    return first_run_of_all(tmp_path_factory)


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
def team(first_run: tuple[Project, str], tmp_path_factory: pytest.TempPathFactory) -> Team:
    """The project after its first run with a git remote and a folder, to which all has been pushed, an
    experiment too. Tests clone it and leave it as it is.
    """
    place = made_once(tmp_path_factory, "team", lambda place: make_team(first_run[0], place))
    author = Project(place / "author").copy(tmp_path_factory.mktemp("author") / "author")
    return Team(author, place / "hub.git")


@pytest.fixture(scope="session")
def bucket(team: Team) -> Iterator[str]:
    """The address of an S3 server whose bucket has what `team` has pushed."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        make_bucket(address)
        give_bucket(team.author, address)
        team.push("bucket")
        yield address
    finally:
        server.stop()
