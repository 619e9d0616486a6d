"""`evenly advise` in a project, from the shape of real data to the panel."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evenly.advice.costs import planned_costs
from evenly.advice.shape import data_shape
from evenly.cli import app
from evenly.datasets.load import load_splits
from evenly.errors import ParameterError
from evenly.experiments.experiments import Workshop, read_technique
from evenly.files import write_json
from evenly.params.datasets import read_entry
from evenly.params.project import read_params
from evenly.samples import SampleTable

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("params.yaml", "datasets.yaml", "dvc.yaml"):
        shutil.copy2(ROOT / name, tmp_path / name)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["advise", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_long_tailed_digits_are_advised_with_costs_sources_and_a_command(project: Path) -> None:
    text = printed()
    assert "digits_lt · image · 334 training rows · 10 classes of 2 to 119" in text
    assert "1 none · about 23 s a run (estimated)" in text
    assert "docs/results/digits_lt.md" in text
    assert "evenly sweep none offline_augmentation logit_adjustment --seeds 1..5" in text


def test_measured_seconds_of_a_sweep_take_the_place_of_the_estimate(project: Path) -> None:
    cost = {
        "technique": "none",
        "dataset": "digits_lt",
        "wall_s": 41.0,
        "cpu_s": 9,
        "money": 0.0,
        "asks": False,
    }
    write_json({"one": cost}, project / ".cache/sweeps/costs.json")
    text = printed()
    assert "1 none · about 41 s a run (measured with this technique)" in text
    assert "offline_augmentation · about 41 s a run (measured with other techniques)" in text


def test_an_unknown_metric_is_refused(project: Path) -> None:
    with pytest.raises(ParameterError, match="--metric is one of"):
        printed("--metric", "f2")


def test_groups_of_class_and_attribute_are_counted(project: Path) -> None:
    splits = load_splits(read_entry("wine"), "wine", 1, [project])
    marks = ["rare" if place < 3 else "common" for place in range(len(splits.train))]
    marked: SampleTable = splits.train.with_column("attribute", marks)
    shape = data_shape(marked, splits.validation, read_params())
    per_class = {label: list(marked.labels[:3]).count(label) for label in marked.classes}
    assert shape.smallest_group == min(count for count in per_class.values() if count)
    assert (shape.dimensions, shape.model) == (13, "logistic_regression")
    assert data_shape(splits.train, splits.validation, read_params()).smallest_group is None


def dry_run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["sweep", "--dry-run", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_dry_run_says_what_advise_has_estimated(project: Path) -> None:
    text = dry_run("none", "smote", "--seeds", "1..4", "--dataset", "wine", "--jobs", "2")
    assert "8 runs, 0 of them finished already." in text
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.endswith("estimated")}
    assert rows["none"][1] == rows["smote"][1] == "4"
    advised = printed("--dataset", "wine")
    seconds = {name: int(row[2]) for name, row in rows.items()}
    assert f"none · about {seconds['none']} s a run (estimated)" in advised
    total = 4 * sum(seconds.values()) / 2
    assert abs(int(text.split("8 to run, about ")[1].split(" s with 2 at once")[0]) - total) <= 4


def test_a_data_set_that_is_not_here_costs_an_unknown_time_for_a_reason(project: Path) -> None:
    with (project / "datasets.yaml").open("a") as file:
        file.write("mine: {modality: table, licence: own, source: me, path: data/raw/mine.csv}\n")
    text = dry_run("none", "--dataset", "mine", "--seeds", "1")
    assert "unknown" in text and "data/raw/mine.csv" in text and text.rstrip().endswith("1 to run.")


def test_a_judge_is_part_of_what_rows_of_a_language_model_cost(project: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "prompts", project / "prompts")
    text = (project / "params.yaml").read_text()
    text = text.replace("  base_url: ", "  base_url: http://localhost:1/v1 ", 1)
    text = text.replace("  model:\n", "  model: some\n", 1).replace(
        "key_variable: OPENAI_API_KEY", "key_variable: null", 1
    )
    text = text.replace("prices: {} ", "prices: {some: {input: 1.0, output: 2.0}} ", 1)
    (project / "params.yaml").write_text(text)
    with (project / "datasets.yaml").open("a") as file:
        imbalance = "imbalance: {ratio: 20, profile: exponential}"
        file.write(f"wine_lt: {{modality: table, licence: x, source: x, builtin: wine, {imbalance}}}\n")
    workshop = Workshop(project, {})
    asking = workshop.experiment(read_technique("llm"), "wine_lt", 1)
    judged = workshop.experiment(read_technique("llm+filter.judge={}"), "wine_lt", 1)
    plain, both = (
        planned_costs(workshop, [one], {}, tmp_path / "journals")[0][2] for one in (asking, judged)
    )
    assert both.tokens > plain.tokens > 0
    assert both.money is not None and plain.money is not None and both.money > plain.money > 0
    shown = dry_run("llm+filter.judge={}", "--dataset", "wine_lt", "--seeds", "1")
    assert f"{both.tokens:,} tokens for about {both.money:.2f}" in shown
