from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from resampling_tables import clouds, number_samples, plan, text_samples

import evenly
from evenly.errors import DataError
from evenly.features import fit_featurizer
from evenly.files import read_json
from evenly.params.features import FeatureSettings
from evenly.plans import ResamplePlan, write_plan
from evenly.resampling import assemble
from evenly.samples import SampleTable, read_samples, write_no_samples, write_samples

ROOT = Path(evenly.__file__).parents[2]
STAGE = """
import sys
sys.argv = ["resample"]
from stages.resample import main
main()
heavy = {"sklearn", "imblearn", "pandas", "scipy", "torch", "cv2", "pydantic"} & set(sys.modules)
print("loaded:", *sorted(heavy))
"""


def additions(train: SampleTable) -> SampleTable:
    made = train.take([2, 0])
    return made.with_column("id", ["b+llm1", "a+llm1"]).with_column("origin", ["llm", "llm"])


def test_assembled_rows_are_ordered_by_id() -> None:
    train = text_samples(*clouds([4, 3]))
    empty = train.take([])
    table = assemble(train, [additions(train), empty])
    assert table.ids.tolist() == sorted([*train.ids, "a+llm1", "b+llm1"])
    assert table.classes == train.classes
    assert table.table.equals(assemble(additions(train), [empty, train]).table)


def test_an_id_that_is_taken_is_refused() -> None:
    train = text_samples(*clouds([4, 3]))
    with pytest.raises(DataError, match="occurs more than once"):
        assemble(train, [train.take([0])])


def run_stage(folder: Path, asked: ResamplePlan | None) -> str:
    """Run the resample stage in a folder that holds its inputs; its output."""
    train = number_samples(*clouds([20, 6]))
    write_samples(train, folder / "data/split/train.parquet")
    write_samples(additions(train), folder / "data/filtered/kept.parquet")
    write_no_samples(folder / "data/augmented/augmented.parquet")
    write_plan(asked, folder / "data/plan/resample.json")
    fit_featurizer(train, FeatureSettings(), 0).save(folder / "data/features/featurizer")
    done = subprocess.run(
        [sys.executable, "-c", STAGE],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_an_empty_plan_assembles_without_heavy_imports(tmp_path: Path) -> None:
    output = run_stage(tmp_path, None)
    assert output.endswith("loaded:\n")
    table = read_samples(tmp_path / "data/balanced/train.parquet")
    assert len(table) == 28
    report = read_json(tmp_path / "metrics/resample.json")
    assert (report["method"], report["made"], report["rows_after"]) == ("none", 0, 28)


def test_the_stage_brings_classes_to_their_targets_and_reports_fallbacks(tmp_path: Path) -> None:
    output = run_stage(tmp_path, plan("smote", {"c1": 20}, k_neighbors=30))
    table = read_samples(tmp_path / "data/balanced/train.parquet")
    assert table.counts["c1"] == 20
    report = read_json(tmp_path / "metrics/resample.json")
    assert report["classes"]["c1"]["reasons"] == ["fewer_neighbours"]
    assert "Class 'c1' has too few rows" in output
    assert "llm" in set(table.origins)
