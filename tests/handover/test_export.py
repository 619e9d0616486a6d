"""The experiment folder of a run: whole, true to what the run has stored, or not there at all."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evenly.classifiers import load_classifier
from evenly.classifiers.classifier import HOLDS_ROWS, write_sealed
from evenly.errors import DataError
from evenly.handover.folder import export_run, write_experiment_folder
from evenly.handover.stored import read_stored_run
from evenly.samples import read_samples
from evenly.wording import csv_cell
from tests.pipeline.projects import Project

HERE = Path()
PROMISED = {
    "README.md",
    "balancing_analysis.json",
    "class_mapping.json",
    "rules.json",
    "code.patch",
    "confidence_analysis.csv",
    "confidence_distribution.png",
    "config.json",
    "confusion_matrix.png",
    "dataset_statistics.json",
    "experiment_summary.json",
    "model",
    "per_class.csv",
    "predictions.csv",
    "test_metrics.csv",
}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def refused(name: str, target: Path) -> str:
    with pytest.raises(DataError) as caught:
        export_run(HERE, name, target)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_folder_holds_what_was_promised_and_the_numbers_of_the_run(
    project: Project, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export_run(HERE, "tried", out)
    assert {path.name for path in out.iterdir()} == PROMISED
    scores = json.loads(Path("metrics/evaluate.json").read_text())
    told = {(row["rule"], row["metric"]): row for row in rows_of(out / "test_metrics.csv")}
    for end, column in (("", "value"), ("_low", "low"), ("_high", "high")):
        assert told["argmax", "macro_f1"][column] == csv_cell(scores["test"][f"macro_f1{end}"])
    assert told["argmax", "nll"]["higher_is_better"] == "false"
    assert told["tuned_thresholds", "macro_f1"]["value"] == csv_cell(
        scores["decision_rules"]["tuned_thresholds"]["macro_f1"]
    )
    mapping = json.loads((out / "class_mapping.json").read_text())
    assert mapping["id2label"] == {"0": "class_0", "1": "class_1", "2": "class_2"}
    analysis = json.loads((out / "balancing_analysis.json").read_text())
    split = json.loads(Path("metrics/split.json").read_text())
    balanced = read_samples("data/balanced/train.parquet")
    for name, told_class in analysis["classes"].items():
        assert told_class["train_rows"] == split["classes"]["train"][name]
        assert told_class["trained_on"] == balanced.counts[name]
    assert analysis["rows"]["trained_on"] - analysis["rows"]["before"] == analysis["rows"]["synthetic"] > 0
    summary = json.loads((out / "experiment_summary.json").read_text())
    assert (summary["recipe"], summary["model"], summary["seed"]) == ("smote", "logistic_regression", 42)
    assert summary["test"]["macro_f1"] == scores["test"]["macro_f1"]
    config = json.loads((out / "config.json").read_text())
    assert config["recipe_settings"]["resample"]["method"] == "smote"
    assert config["params"]["evaluate"]["bootstrap"] == 200 and "recipes" not in config["params"]


def test_the_card_says_when_the_model_has_training_rows_in_its_folder(
    project: Project, tmp_path: Path
) -> None:
    stored = read_stored_run(HERE, "tried")
    details = {**stored.manifest["details"], HOLDS_ROWS: True}
    holding = replace(stored, manifest={**stored.manifest, "details": details})
    for name, run in (("plain", stored), ("holding", holding)):
        write_experiment_folder(run, tmp_path / name)
        card = (tmp_path / name / "README.md").read_text()
        assert ("holds training rows: whoever gets the model gets them." in card) == (name == "holding")


def test_the_exported_model_gives_the_predictions_of_the_run(project: Project, tmp_path: Path) -> None:
    export_run(HERE, "tried", tmp_path / "out")
    classifier = load_classifier(tmp_path / "out" / "model")
    test = read_samples("data/split/test.parquet")
    expected = [[csv_cell(p) for p in row] for row in classifier.predict_proba(test)]
    found = rows_of(tmp_path / "out" / "predictions.csv")
    assert [row["id"] for row in found] == list(test.ids)
    assert [[row[f"p_{name}"] for name in classifier.classes] for row in found] == expected


def test_the_confidence_analysis_is_that_of_the_predictions(project: Project, tmp_path: Path) -> None:
    export_run(HERE, "tried", tmp_path / "out")
    predictions = rows_of(tmp_path / "out" / "predictions.csv")
    sure = np.array([float(row["confidence"]) for row in predictions])
    right = np.array([row["predicted"] == row["label"] for row in predictions])
    analysis = rows_of(tmp_path / "out" / "confidence_analysis.csv")
    whole = analysis[0]
    assert (whole["group"], int(whole["rows"])) == ("all", len(predictions))
    assert whole["accuracy"] == csv_cell(right.mean())
    assert whole["mean_confidence_right"] == csv_cell(sure[right].mean())
    assert float(whole["confidence_minus_accuracy"]) == pytest.approx(sure.mean() - right.mean(), abs=1e-5)
    for group in ("predicted", "confidence"):
        assert sum(int(row["rows"]) for row in analysis if row["group"] == group) == len(predictions)


def test_a_run_gives_the_same_bytes_whatever_the_workspace_has_become(
    project: Project, tmp_path: Path
) -> None:
    export_run(HERE, "tried", tmp_path / "first")
    for name in ("models", "metrics", "reports", "plots", "data/plan"):
        shutil.rmtree(name)
    project.run("git", "checkout", "-q", "--", ".")
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("seed: 42", "seed: 7"))
    export_run(HERE, "tried", tmp_path / "second")
    assert files_of(tmp_path / "first") == files_of(tmp_path / "second")


def test_base_and_patch_give_the_tree_of_the_experiment(project: Project, tmp_path: Path) -> None:
    export_run(HERE, "tried", tmp_path / "out")
    code = json.loads((tmp_path / "out" / "experiment_summary.json").read_text())["code"]
    assert code["base"] == project.run("git", "rev-parse", "main").stdout.strip()
    checkout = tmp_path / "checkout"
    project.run("git", "worktree", "add", "-q", "--detach", str(checkout), code["base"])
    there = Project(checkout)
    there.run("git", "apply", "--index", str(tmp_path / "out" / code["patch"]))
    tree = there.run("git", "write-tree").stdout.strip()
    assert tree == project.run("git", "rev-parse", f"{code['commit']}^{{tree}}").stdout.strip()


def test_the_patch_of_the_workspace_has_new_files_and_leaves_the_index_alone(
    project: Project, tmp_path: Path
) -> None:
    Path("notes ü.md").write_text("not committed\n")
    before = project.run("git", "status", "--porcelain").stdout
    export_run(HERE, "workspace", tmp_path / "out")
    assert project.run("git", "status", "--porcelain").stdout == before
    patch = (tmp_path / "out" / "code.patch").read_bytes()
    assert b"+not committed" in patch and b"balancing: smote" in patch
    assert json.loads((tmp_path / "out" / "experiment_summary.json").read_text())["code"]["commit"] is None


def test_a_commit_needs_no_patch(project: Project, tmp_path: Path) -> None:
    project.commit("The run")
    export_run(HERE, "main", tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == PROMISED - {"code.patch"}
    code = json.loads((tmp_path / "out" / "experiment_summary.json").read_text())["code"]
    assert code["base"] == code["commit"] and code["patch"] is None


def test_the_hub_reads_the_model_card(project: Project, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    export_run(HERE, "tried", tmp_path / "out")
    card = ModelCard.load(tmp_path / "out" / "README.md")
    scores = json.loads(Path("metrics/evaluate.json").read_text())["test"]
    results = {result.metric_name: result for result in card.data.eval_results}
    assert results["Macro F1"].metric_value == scores["macro_f1"]
    assert results["Macro F1"].metric_type == "f1"
    assert card.data.pipeline_tag == "tabular-classification"
    for section in ("How to load", "Results", "Decision rule", "Calibration", "Data", "Technique", "Limits"):
        assert f"\n## {section}\n" in card.text
    assert f"{scores['macro_f1_low']:.3f} to {scores['macro_f1_high']:.3f}" in card.text
    linked = re.findall(r"!\[.*?\]\((.*?)\)", card.text)
    assert len(linked) == 2 and all((tmp_path / "out" / name).is_file() for name in linked)


def test_the_second_round_s_model_is_exported_where_it_was_kept(project: Project, tmp_path: Path) -> None:
    shutil.rmtree("models/finetune")
    shutil.copytree("models/train", "models/finetune")
    manifest = json.loads(Path("models/train/model.json").read_text())
    manifest["plan"]["seed"] = 1234
    Path("models/finetune/model.json").unlink()
    write_sealed(manifest, Path("models/finetune"))
    project.dvc("commit", "--force", "finetune")
    project.commit("A second round that was better")
    export_run(HERE, "main", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "model" / "model.json").read_text())["plan"]["seed"] == 1234
    summary = json.loads((tmp_path / "out" / "experiment_summary.json").read_text())
    assert summary["final_model"]["stage"] == "finetune"
    export_run(HERE, "tried", tmp_path / "tried")
    assert json.loads((tmp_path / "tried" / "model" / "model.json").read_text())["plan"]["seed"] == 42


def test_what_is_there_is_not_written_over(project: Project, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    assert "is not empty" in refused("tried", tmp_path / "full")
    assert "is a file" in refused("tried", tmp_path / "file")
    assert files_of(tmp_path / "full") == {"mine.txt": b"mine"}
    (tmp_path / "empty").mkdir()
    export_run(HERE, "tried", tmp_path / "empty")
    assert (tmp_path / "empty" / "README.md").is_file()


def test_what_cannot_be_had_is_one_sentence_and_leaves_nothing(project: Project, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "'nothing' is no experiment, branch, tag or commit" in refused("nothing", out)
    assert "run `dvc repro` there and commit" in refused("main", out)
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("seed: 42", "seed: 7"))
    message = refused("workspace", out)
    assert "has changed since its last run" in message and "split" in message and "`dvc repro`" in message
    project.commit("Other settings, without a run")
    assert "another seed in params.yaml" in refused("main", out)
    weights = next(Path("models/train").glob("*.skops"))
    for file in Path(".dvc/cache/files/md5").rglob("*"):
        if file.is_file() and file.read_bytes() == weights.read_bytes():
            file.unlink()
    message = refused("tried", out)
    assert "not in DVC's cache" in message and "`dvc pull`" in message and "`dvc exp run`" in message
    assert [path.name for path in tmp_path.iterdir()] == ["project"]
