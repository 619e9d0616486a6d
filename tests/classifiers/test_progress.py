from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from evenly.classifiers.classifier import FitSummary
from evenly.classifiers.progress import training_log, write_metrics


def run_log(folder: Path) -> list[str]:
    lines: list[str] = []
    with training_log(folder, epochs=3, show=lines.append) as log:
        for step in range(3):
            log(step, {"train/loss": 1 / (step + 1), "val/macro_f1": 0.5 + step / 10})
    write_metrics(FitSummary(1, 3, {"train/loss": 0.5, "val/macro_f1": 0.6}), folder)
    return lines


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("repository", ["none", "without a commit", "with a commit"])
def test_the_log_writes_its_files_in_any_repository_and_changes_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    if repository != "none":
        subprocess.run(["git", "init", "-q"], check=True)
        (tmp_path / ".dvc").mkdir()
        (tmp_path / ".dvc" / "config").touch()
    if repository == "with a commit":
        name = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *name, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    lines = run_log(Path("metrics/train"))
    assert len(lines) == 3 and "train/loss 0.3333" in lines[2]
    files = contents(tmp_path / "metrics")
    assert files["train/plots/metrics/train/loss.tsv"].decode().splitlines()[:2] == ["step\tloss", "0\t1.0"]
    assert json.loads(files["train/metrics.json"]) == {
        "best_epoch": 1, "epochs": 3, "train": {"loss": 0.5}, "val": {"macro_f1": 0.6},
    }  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} <= {"metrics", ".git", ".dvc"}
    if repository != "none":
        assert list((tmp_path / ".git" / "refs").glob("exps")) == []


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    run_log(tmp_path / "one")
    run_log(tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
