"""Finished runs as frames in a notebook."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import evenly
from evenly.comparison.leaderboards import compare as compare_runs
from evenly.comparison.tables import csv_columns
from evenly.comparison.verdicts import verdicts
from evenly.experiments.history import Revision
from evenly.experiments.runs import read_run

FOLDERS = sorted((Path(__file__).parents[2] / "examples" / "runs").iterdir())


@pytest.fixture(scope="module")
def found() -> evenly.Comparison:
    return evenly.compare(FOLDERS)


def test_frames_say_what_the_comparison_says(found: evenly.Comparison) -> None:
    runs = [read_run(Revision(folder, folder.name, None)) for folder in FOLDERS]
    board = compare_runs(runs, "macro_f1").leaderboards[0]
    assert list(found.leaderboard) == csv_columns()
    assert found.leaderboard["mean"].tolist() == [standing.mean for standing in board.standings]
    assert found.leaderboard["mean"].is_monotonic_decreasing
    assert found.verdicts["verdict"].tolist() == verdicts(board)
    assert repr(found) == found.headline == verdicts(board)[0]
    row = found.runs.set_index("name").loc["wine-smote-s2"]
    assert (row["recipe"], row["seed"]) == ("smote", 2)
    assert (
        row["macro_f1"] == next(run for run in runs if run.name == "wine-smote-s2").scores["test"]["macro_f1"]
    )
    assert len(found.recommendation) == 1 and "standard error" in found.recommendation["sentence"][0]


def test_one_folder_and_another_metric_will_do() -> None:
    alone = evenly.compare(FOLDERS[0], metric="nll")
    assert alone.leaderboard["technique"].unique().tolist()[0].startswith("none")
    assert "One seed says nothing" in alone.headline


def test_what_cannot_be_compared_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(evenly.EvenlyError, match="no metric 'macrof1'; did you mean 'macro_f1'"):
        evenly.compare(FOLDERS, metric="macrof1")
    with pytest.raises(evenly.EvenlyError, match="worth is 0; it is a difference above 0"):
        evenly.compare(FOLDERS, worth=0)
    with pytest.raises(evenly.EvenlyError, match=r"dvc.yaml does not exist; give a project's folder"):
        evenly.compare(project=tmp_path)
    shutil.copytree(FOLDERS[0], tmp_path / "run")
    (tmp_path / "run" / "params.yaml").unlink()
    with pytest.raises(evenly.EvenlyError, match="run has no"):
        evenly.compare([tmp_path / "run"])
