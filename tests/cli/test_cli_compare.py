"""`evenly compare` without names, on experiments that are written down here instead of being run."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evenly.cli import app
from evenly.errors import DataError
from evenly.experiments.ledger import Sweep, record_sweep
from evenly.files import write_json, write_text

METRICS = ("macro_f1", "balanced_accuracy", "accuracy", "worst_class_recall", "nll", "brier")


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def store_experiment(root: Path, name: str, recipe: str, seed: int, score: float | None = 0.8) -> None:
    """A commit under refs/exps whose files are in DVC's cache; without a score it has not been evaluated."""
    files: dict[str, Any] = {
        "metrics/split.json": {"rows": {"train": 60, "validation": 20, "test": 20}},
        "data/plan/train.json": {"model": "small_cnn", "loss": "cross_entropy"},
    }
    if score is not None:
        files["metrics/evaluate.json"] = {"test": dict.fromkeys(METRICS, score)}
    outs = ""
    for path, content in files.items():
        text = json.dumps(content)
        md5 = hashlib.md5(text.encode()).hexdigest()
        write_text(text, root / ".dvc/cache/files/md5" / md5[:2] / md5[2:])
        outs += f"    - {{path: {path}, md5: '{md5}'}}\n"
    write_text(f"schema: '2.0'\nstages:\n  all:\n    cmd: 'true'\n    outs:\n{outs}", root / "dvc.lock")
    params = {"dataset": "d", "balancing": recipe, "model": "auto", "loss": "auto", "seed": seed}
    write_json({**params, "recipes": {recipe: {"description": recipe}}}, root / "params.yaml")
    git(root, "add", "params.yaml", "dvc.lock")
    git(root, "commit", "-qm", name)
    git(root, "update-ref", f"refs/exps/ab/{'0' * 38}/{name}", "HEAD")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    git(tmp_path, "init", "-q", "-b", "main")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compared(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["compare", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def techniques(root: Path) -> dict[str, set[str]]:
    board = json.loads((root / "reports/comparison.json").read_text())["leaderboards"][0]
    return {one["name"]: set(one["scores"]) for one in board["techniques"]}


def test_without_names_all_finished_experiments_are_compared(root: Path) -> None:
    store_experiment(root, "none-1", "none", 1)
    store_experiment(root, "none-2", "none", 2)
    record_sweep(root, Sweep("s-1", "none", ("none-1", "none-2")))
    store_experiment(root, "mine", "smote", 1, 0.9)
    store_experiment(root, "trial", "smote", 2, None)
    text = compared()
    assert techniques(root) == {"none": {"1", "2"}, "smote": {"1"}}
    assert "Left out: trial has no metrics/evaluate.json" in text
    # A sweep alone is asked for by its id, and the last one by `last`.
    for group in ("s-1", "last"):
        compared("--group", group)
        assert techniques(root) == {"none": {"1", "2"}}


def test_a_workspace_whose_settings_were_changed_is_left_out_and_said_to_be(root: Path) -> None:
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
    store_experiment(root, "none-1", "none", 1)
    write_json({"test": dict.fromkeys(METRICS, 0.99)}, root / "metrics/evaluate.json")
    stage = "stages:\n  all:\n    cmd: 'true'\n    deps: [params.yaml]\n    outs: [metrics/evaluate.json]\n"
    write_text(stage, root / "dvc.yaml")
    text = compared()
    assert "Left out: The workspace's results are not of its settings; `dvc repro`" in text
    assert ".990" not in text and techniques(root) == {"none": {"1"}}


def test_where_nothing_has_been_run_it_says_what_runs(root: Path) -> None:
    write_json({}, root / "params.yaml")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "nothing yet")
    with pytest.raises(DataError, match=r"no run has finished\. `dvc repro` makes one, `evenly sweep` many"):
        compared()
