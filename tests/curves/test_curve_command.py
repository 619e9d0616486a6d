"""`evenly curve` in a project with a split, without and with rows that a run has kept."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from evenly.cli import app
from evenly.datasets.load import load_splits
from evenly.errors import DataError, ParameterError
from evenly.params.datasets import read_entry
from evenly.params.models import MODELS
from evenly.samples import write_no_samples, write_samples

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--models", "logistic_regression", "--seeds", "1,2", "--steps", "1", "--jobs", "1")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The splits of a built-in data set, where the pipeline writes them."""
    for name in ("params.yaml", "datasets.yaml"):
        shutil.copy2(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    splits = load_splits(read_entry("breast_cancer"), "breast_cancer", 1, [tmp_path])
    (tmp_path / "data/split").mkdir(parents=True)
    (tmp_path / "data/filtered").mkdir()
    for part, table in (("train", splits.train), ("val", splits.validation), ("test", splits.test)):
        write_samples(table, tmp_path / f"data/split/{part}.parquet")
    write_no_samples(tmp_path / "data/filtered/kept.parquet")
    return tmp_path


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["curve", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_copies_and_smote_are_compared_up_to_a_balance(project: Path) -> None:
    text = printed(*QUICK)
    assert "314 training and 142 test rows, one split" in text and "+80" in text
    assert "rows of the run" not in text
    assert {file.name for file in (project / "reports/curve").iterdir()} == {
        "table.csv",
        "curve.csv",
        "means.csv",
        "curve.md",
        "curve.png",
    }


def test_rows_that_a_run_has_kept_come_first(project: Path) -> None:
    splits = load_splits(read_entry("breast_cancer"), "breast_cancer", 2, [project])
    kept = splits.test.take(np.arange(12))
    names = [f"made-{place}" for place in range(12)]
    made = kept.with_column("id", names).with_column("origin", ["llm"] * 12)
    write_samples(made, project / "data/filtered/kept.parquet")
    text = printed(*QUICK, "--against", "fair_duplication", "--brief")
    assert "rows of the run 2 seeds" in text and "+12" in text
    assert "SMOTE" not in text


def test_wrong_wishes_are_refused(project: Path) -> None:
    with pytest.raises(ParameterError, match="--metric is one of"):
        printed("--metric", "accuracy")
    with pytest.raises(DataError, match="needs a spurious attribute"):
        printed(*QUICK, "--metric", "worst_group_error")


def test_curves_are_of_the_installed_classifiers_that_the_specifications_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = importlib.metadata.version

    def version(name: str) -> str:
        if name == "catboost":
            raise importlib.metadata.PackageNotFoundError(name)
        return whole(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    drawn = [name for name, spec in MODELS.items() if spec.in_curves and spec.is_installed]
    assert drawn == ["logistic_regression", "random_forest"]
    assert all(spec.regularised for spec in MODELS.values() if spec.in_curves)
