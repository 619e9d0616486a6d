"""Plan files as the stages read them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evenly.params.generation import AskingSettings
from evenly.params.llm import EngineSettings
from evenly.plans import AskedModel, LlmPlan

ROOT = Path(__file__).resolve().parents[1]


def test_what_is_requested_of_a_class_includes_its_groups() -> None:
    plan = LlmPlan(
        mode="table",
        counts={"ill": 3, "well": 0},
        group_counts={"ill": {"night": 2, "day": 0}, "dead": {"night": 4}},
        notes={},
        asking=AskingSettings(),
        model=AskedModel.of(EngineSettings(base_url="http://localhost:1/v1", model="m")),
        seed=0,
    )
    assert plan.requested == {"ill": 5, "well": 0, "dead": 4}


@pytest.mark.parametrize(
    ("stage", "plan"),
    [
        ("llm_generate", "llm"),
        ("imported", "imported"),
        ("generate", "generate"),
        ("offline_augment", "augment"),
        ("mine_hard_examples", "mine"),
        ("finetune", "finetune"),
    ],
)
def test_a_stage_of_an_empty_plan_imports_no_settings_and_nothing_heavy(
    tmp_path: Path, stage: str, plan: str
) -> None:
    (tmp_path / "data/plan").mkdir(parents=True)
    (tmp_path / f"data/plan/{plan}.json").write_text("{}")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        f"from stages.{stage} import main; main()\n"
        "heavy = {'pydantic', 'numpy', 'pyarrow', 'pandas', 'sklearn', 'torch', 'rich', 'yaml', 'ruamel'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "nothing to do" in done.stdout


def test_a_stage_says_which_plan_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stages.generate"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "run `dvc repro analyze` to make it" in done.stderr
    assert "Traceback" not in done.stderr
