"""What trackers are sent is what the run has stored; MLflow, where it is installed, keeps it here."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path

import pytest

from evenly.errors import RecipeError
from evenly.handover.stored import read_stored_run
from evenly.handover.tracking import run_record, track_run
from tests.pipeline.projects import Project


def test_a_record_has_settings_numbers_and_every_logged_step(project: Project) -> None:
    record = run_record(read_stored_run(Path(), "tried"))
    scores = json.loads(Path("metrics/evaluate.json").read_text())
    assert record.metrics["test/macro_f1"] == scores["test"]["macro_f1"]
    assert record.metrics["cost/synthetic_rows"] > 0
    assert record.params["recipe_settings.resample.method"] == "smote"
    logged = {
        "fit/" + str(file.relative_to("metrics/train/plots/metrics").with_suffix("")): file
        for file in Path("metrics/train").rglob("*.tsv")
    }
    assert record.curves.keys() == logged.keys() and logged
    for name, file in logged.items():
        with file.open(encoding="utf-8") as opened:
            rows = list(csv.reader(opened, delimiter="\t"))[1:]
        assert [(int(step), float(value)) for step, value in rows] == list(record.curves[name])


def test_the_same_run_has_the_same_key_by_any_name(project: Project) -> None:
    by_name = run_record(read_stored_run(Path(), "tried"))
    assert run_record(read_stored_run(Path(), "workspace")).key == by_name.key


@pytest.mark.parametrize("tracker", ["mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_one_sentence(tracker: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(tracker):
        pytest.skip(f"{tracker} is installed")
    with pytest.raises(RecipeError, match=f"pip install 'evenly\\[{tracker}\\]'"):
        track_run(tmp_path, "workspace", tracker, "evenly", None)  # type: ignore[arg-type]


def test_mlflow_has_the_run_once_with_its_folder(project: Project) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    before = project.run("git", "status", "--porcelain").stdout
    first = track_run(Path(), "tried", "mlflow", "wine", None)
    again = track_run(Path(), "tried", "mlflow", "wine", None)
    assert "already" in again and "already" not in first
    client = MlflowClient(f"sqlite:///{Path('.cache/trackers/mlflow.db').resolve()}")
    (run,) = client.search_runs([client.get_experiment_by_name("wine").experiment_id])
    record = run_record(read_stored_run(Path(), "tried"))
    assert dict(run.data.params) == dict(record.params)
    assert run.data.metrics["test/macro_f1"] == record.metrics["test/macro_f1"]
    for name, points in record.curves.items():
        told = client.get_metric_history(run.info.run_id, name)
        assert sorted((one.step, one.value) for one in told) == sorted(points)
    names = {one.path for one in client.list_artifacts(run.info.run_id)}
    assert {"README.md", "model", "test_metrics.csv", "code.patch"} <= names
    assert project.run("git", "status", "--porcelain").stdout == before
