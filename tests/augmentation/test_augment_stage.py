"""The stage `offline_augment` in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from evenly.plans import AugmentPlan, write_plan
from evenly.samples import read_samples, write_samples

ROOT = Path(__file__).parents[2]
RUN = """
import runpy, sys
sys.path.insert(0, {root!r})
runpy.run_module("stages.offline_augment", run_name="__main__")
print("LOADED", *sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
OUTPUT = Path("data/augmented/augmented.parquet")


def run_stage(folder: Path) -> subprocess.CompletedProcess:
    code = RUN.format(root=str(ROOT))
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)


def test_an_empty_plan_writes_an_empty_table_and_imports_nothing_heavy(tmp_path):
    write_plan(None, tmp_path / "data/plan/augment.json")
    done = run_stage(tmp_path)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split("LOADED")[1].split())
    assert not loaded & {"numpy", "pyarrow", "pandas", "cv2", "torch", "sklearn", "imblearn", "matplotlib"}
    assert len(read_samples(tmp_path / OUTPUT)) == 0


@pytest.mark.parametrize("modality", ["image", "text", "table"])
def test_a_plan_becomes_rows_and_the_same_bytes_again(tmp_path, request, policies, modality):
    train = request.getfixturevalue(
        {"image": "image_table", "text": "text_table", "table": "mixed_table"}[modality]
    )
    policy = policies[{"image": "image_standard", "text": "text_light", "table": "table_light"}[modality]]
    write_samples(train, tmp_path / "data/split/train.parquet")
    plan = AugmentPlan(policy=policy, counts={train.classes[0]: 7}, seed=3)
    write_plan(plan, tmp_path / "data/plan/augment.json")
    done = run_stage(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "7 rows in" in done.stdout
    first = (tmp_path / OUTPUT).read_bytes()
    assert read_samples(tmp_path / OUTPUT).counts[train.classes[0]] == 7
    run_stage(tmp_path)
    assert (tmp_path / OUTPUT).read_bytes() == first


def test_a_shortfall_is_told(tmp_path, text_table):
    write_samples(text_table.take([5]), tmp_path / "data/split/train.parquet")
    policy = {"modality": "text", "swap": {"share": 0.5, "probability": 0.0}}
    plan = {"policy": policy, "counts": {"zh": 4}, "seed": 0}
    path = tmp_path / "data/plan/augment.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(plan), encoding="utf-8")
    done = run_stage(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0 rows of 4 asked for" in done.stdout
    assert "class zh: 0 of 4" in done.stdout


def test_a_missing_plan_is_one_sentence(tmp_path):
    done = run_stage(tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "dvc repro analyze" in done.stderr
