"""`evenly advise` in a project, from the shape of real data to the panel."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evenly.advice.shape import data_shape
from evenly.cli import app
from evenly.datasets.load import load_splits
from evenly.errors import ParameterError
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
    assert (shape.dimensions, shape.model) == (13, "hist_gradient_boosting")
    assert data_shape(splits.train, splits.validation, read_params()).smallest_group is None
