"""The pipeline runs once for all tests of this folder; each test gets a copy of what that left."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from projects import Project, make_project


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """A project in which `dvc repro` has run once on the embedded default, and what that printed."""
    project = make_project(tmp_path_factory.mktemp("first"))
    return project, project.dvc("repro")


@pytest.fixture
def project(first_run: tuple[Project, str], tmp_path: Path) -> Iterator[Project]:
    """A copy of the project after its first run, committed, with its cache: the test may do with it what it
    likes.
    """
    root = tmp_path / "project"
    shutil.copytree(first_run[0].root, root, symlinks=True)
    copy = Project(root)
    copy.commit("First run")
    yield copy
    shutil.rmtree(root, ignore_errors=True)
