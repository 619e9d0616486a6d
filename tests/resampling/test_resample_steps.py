"""What `resample` says about the way from the training rows to the balanced table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from resampling_tables import clouds, number_samples, plan

from evenly.features import fit_featurizer
from evenly.files import read_json
from evenly.params.features import FeatureSettings
from evenly.plans import ResamplePlan, write_plan
from evenly.samples import write_no_samples, write_samples
from stages.resample import main


def steps_of(
    folder: Path, asked: ResamplePlan | None, kept: int, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Run the stage with `kept` generated rows of the scarce class; the steps that its metrics name."""
    train = number_samples(*clouds([20, 6]))
    write_samples(train, folder / "data/split/train.parquet")
    rows = train.take(train.labels == "c1").take(list(range(kept)))
    made = rows.with_column("id", [f"llm:{k}" for k in range(kept)]).with_column("origin", ["llm"] * kept)
    path = folder / "data/filtered/kept.parquet"
    write_samples(made, path) if kept else write_no_samples(path)
    write_no_samples(folder / "data/augmented/augmented.parquet")
    write_plan(asked, folder / "data/plan/resample.json")
    fit_featurizer(train, FeatureSettings(), 0).save(folder / "data/features/featurizer")
    monkeypatch.chdir(folder)
    main()
    return list(read_json("metrics/resample.json")["imbalance"])


def test_each_step_that_changes_the_rows_is_measured_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = steps_of(tmp_path, plan("smote", {"c1": 20}, k_neighbors=3), 4, monkeypatch)
    assert sorted(steps) == ["kept", "resample", "train"]
    imbalance = read_json("metrics/resample.json")["imbalance"]
    ratios = {step: imbalance[step]["imbalance_ratio"] for step in steps}
    assert ratios == {"train": round(20 / 6, 4), "kept": 2.0, "resample": 1.0}
    assert imbalance["resample"]["gini"] == 0
    with Path("plots/resample/class_distribution.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["rows"]) for row in rows if row["class"] == "c1"] == [6, 10, 20]
    assert Path("plots/resample/class_distribution.png").stat().st_size > 0


def test_where_nothing_changes_nothing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert steps_of(tmp_path, None, 0, monkeypatch) == ["train"]
    assert [path.name for path in Path("plots/resample").iterdir()] == ["class_distribution.csv"]
