"""A recipe on groups through the real pipeline, on data with a known shortcut and on data without groups."""

from __future__ import annotations

import json
from pathlib import Path

from projects import Project, make_project

from evenly.groups import group_counts
from evenly.samples import read_samples

CHANGES = {"dataset": "shortcut", "model": "logistic_regression", "evaluate.bootstrap": "200"}


def run(project: Project, *until: str, check: bool = True, **changes: str) -> str:
    settings = [f"-S{name}={value}" for name, value in (CHANGES | changes).items()]
    return project.dvc("exp", "run", *until, *settings, check=check)


def metrics(project: Project, name: str) -> dict:
    return json.loads((project.root / "metrics" / f"{name}.json").read_text())


def test_a_recipe_on_groups_makes_all_groups_equal_and_reports_them(tmp_path: Path) -> None:
    grouped = make_project(tmp_path / "grouped")
    run(grouped, balancing="group_oversampling")
    train, balanced = (
        read_samples(grouped.root / path)
        for path in ("data/split/train.parquet", "data/balanced/train.parquet")
    )
    largest = max(group_counts(train).values())
    assert set(group_counts(balanced).values()) == {largest}
    planned = metrics(grouped, "imbalance")["groups"]
    assert planned["train"]["sizes"] == group_counts(train)
    assert planned["resample"]["imbalance_ratio"] == 1
    done = metrics(grouped, "resample")
    assert {group["after"] for group in done["groups"].values()} == {largest}
    assert done["imbalance_of_groups"]["resample"]["sizes"] == group_counts(balanced)
    for path in ("plots/analyze/group_distribution.png", "plots/evaluate/per_group.csv"):
        assert (grouped.root / path).stat().st_size > 0
    assert "<h2>Groups</h2>" in (grouped.root / "reports/report.html").read_text()


def test_data_without_groups_are_refused_in_one_sentence(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    output = run(project, "analyze", check=False, balancing="group_oversampling", dataset="wine")
    assert (
        "recipes.group_oversampling.balance_on is group, but the data set 'wine' has no spurious attribute"
        in output
    )
    assert "Traceback" not in output
