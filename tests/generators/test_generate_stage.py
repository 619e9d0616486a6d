"""The stage `generate` in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

from generation_cases import plan_for, stripe_table

from evenly.plans import write_plan
from evenly.samples import read_samples, write_samples

ROOT = Path(__file__).parents[2]
RUN = """
import runpy, sys
sys.path.insert(0, {root!r})
runpy.run_module("stages.generate", run_name="__main__")
print("LOADED", *sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
OUTPUT = Path("data/generated/model.parquet")


def run_stage(folder: Path) -> subprocess.CompletedProcess:
    code = RUN.format(root=str(ROOT))
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)


def test_an_empty_plan_writes_an_empty_table_and_imports_nothing_heavy(tmp_path):
    write_plan(None, tmp_path / "data/plan/generate.json")
    done = run_stage(tmp_path)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split("LOADED")[1].split())
    heavy = {"numpy", "pyarrow", "pandas", "cv2", "torch", "sklearn", "matplotlib", "transformers", "dvclive"}
    assert not loaded & heavy
    assert len(read_samples(tmp_path / OUTPUT)) == 0
    assert json.loads((tmp_path / "metrics/generate.json").read_text()) == {}
    assert (tmp_path / "plots/generate").is_dir()


def test_a_plan_becomes_rows_curves_and_sheets_from_training_rows_alone(tmp_path):
    train = stripe_table()
    write_samples(train, tmp_path / "data/split/train.parquet")  # no validation or test file is there
    plan = plan_for("image_vae", {"rows": 7}).model_copy(update={"fallbacks": {"columns": "Too few."}})
    write_plan(plan, tmp_path / "data/plan/generate.json")
    done = run_stage(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "7 of 7 rows by vae" in done.stdout
    assert "Too few." in done.stdout
    assert read_samples(tmp_path / OUTPUT).counts == {"columns": 0, "rows": 7}
    metrics = json.loads((tmp_path / "metrics/generate.json").read_text())
    assert metrics["classes"]["rows"]["made"] == 7
    assert "training" in json.loads((tmp_path / "logs/generate.json").read_text())
    curve = tmp_path / "plots/generate/training/plots/metrics/val/negative_elbo.tsv"
    assert len(curve.read_text().splitlines()) == 1 + 3
    assert len(list((tmp_path / "plots/generate/samples").glob("*.png"))) == 3
