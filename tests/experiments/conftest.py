"""A project of which only settings and code count."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from experiment_projects import ROOT, commit


@pytest.fixture
def project_files(tmp_path: Path) -> Path:
    """The settings, the pipeline's table of contents and the code of this project, in a git repository."""
    root = tmp_path / "project"
    root.mkdir()
    for name in ("params.yaml", "datasets.yaml", "dvc.yaml", ".gitignore"):
        shutil.copy2(ROOT / name, root / name)
    for name in ("stages", "src/evenly"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    commit(root, "The project")
    return root
