"""A small sweep through the whole pipeline, and what `evenly compare` makes of it."""

from __future__ import annotations

import json
from pathlib import Path

from projects import make_project

SWEEP = ("sweep", "smote", "--seeds", "1,2", "--dataset", "wine")
SWEEP += ("-S", "evaluate.bootstrap=200", "-S", "evaluate.robustness=false")


def test_a_sweep_runs_compares_and_is_not_run_twice(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    assert "4 runs, 0 of them finished already" in project.evenly(*SWEEP, "--dry-run").stdout
    first = project.evenly(*SWEEP).stdout
    assert "[4/4]" in first and "wine · logistic_regression" in first
    assert "smote" in first and "Two seeds give no verdict" in first
    board = json.loads((project.root / "reports/comparison.json").read_text())["leaderboards"][0]
    names = {technique["name"]: technique for technique in board["techniques"]}
    assert {"none", "smote", "none + logit adjustment", "none + tuned thresholds"} <= set(names)
    assert all(len(names[name]["scores"]) == 2 for name in names)
    assert board["best_cheap_rival"].startswith("none + ")
    assert names["smote"]["mean"] > 0.8
    assert names["smote"]["added_rows"] > 0 and names["smote"]["fit_seconds"] > 0
    assert names["smote"]["making_seconds"] > 0
    assert names["none"]["added_rows"] == 0

    again = project.evenly(*SWEEP).stdout
    assert "4 runs, 4 of them finished already." in again
    assert "[" not in again.split("wine ·")[0]
    shown = project.evenly("compare").stdout
    assert shown.split("wine ·")[1] == again.split("wine ·")[1]
    # Its own experiments are DVC's: they can be listed, applied, pushed.
    assert project.dvc("exp", "list").count("wine-smote") == 2
