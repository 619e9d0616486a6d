"""What docs/sharing.md promises: what one person has computed, nobody else computes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from projects import Project, Team, give_bucket


def macro_f1(project: Project) -> float:
    return json.loads((project.root / "metrics" / "evaluate.json").read_text())["test"]["macro_f1"]


@pytest.mark.parametrize("remote", ["folder", "bucket"])
def test_a_fresh_clone_that_pulls_runs_no_stage(
    team: Team, remote: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    clone = team.clone(tmp_path / "clone")
    if remote == "bucket":
        give_bucket(clone, request.getfixturevalue("bucket"))
    clone.dvc("pull", "--run-cache", "--remote", remote)
    assert clone.stages_run(clone.dvc("repro")) == []
    assert clone.run("git", "status", "--porcelain").stdout == ""
    unchanged = macro_f1(clone)
    clone.dvc("exp", "pull", "--run-cache", "--remote", remote, "origin", "colleague")
    assert set(clone.stages_run(clone.dvc("exp", "run", *team.changes))) <= {"scores"}
    assert macro_f1(clone) < unchanged


def test_the_run_cache_alone_knows_what_has_been_computed(team: Team, tmp_path: Path) -> None:
    clone = team.clone(tmp_path / "clone")
    clone.dvc("pull", "--run-cache")
    (clone.root / "dvc.lock").unlink()
    assert set(clone.stages_run(clone.dvc("repro"))) <= {"scores"}
    assert clone.run("git", "status", "--porcelain").stdout == ""


def test_an_experiment_of_somebody_else_can_be_taken_as_it_is(team: Team, tmp_path: Path) -> None:
    clone = team.clone(tmp_path / "clone")
    assert "colleague" in clone.dvc("exp", "list", "origin")
    clone.dvc("exp", "pull", "origin", "colleague")
    clone.dvc("exp", "apply", "colleague")
    assert json.loads((clone.root / "metrics" / "resample.json").read_text())["method"] == "adasyn"
