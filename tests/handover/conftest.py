"""One run of the real pipeline for all tests of this folder; each test gets a copy of what that left."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.pipeline.projects import Project, made_once, make_project

SETTINGS = ("dataset=wine", "model=logistic_regression", "balancing=smote", "evaluate.bootstrap=200")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose experiment `tried` has run and stands in the workspace, uncommitted."""
    settings = [part for setting in SETTINGS for part in ("-S", setting)]

    def make(place: Path) -> None:
        make_project(place).dvc("exp", "run", "--name", "tried", *settings)

    return Project(made_once(tmp_path_factory, "finished", make))


@pytest.fixture
def project(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of that project, with its cache, as the current folder."""
    root = tmp_path / "project"
    shutil.copytree(finished.root, root, symlinks=True)
    monkeypatch.chdir(root)
    return Project(root)
