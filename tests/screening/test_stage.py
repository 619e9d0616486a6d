"""The stage `filter` in a project folder of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from evenly.samples import has_no_samples, read_samples, write_no_samples, write_samples
from tests.screening.conftest import Splits, make_texts, text_table

ROOT = Path(__file__).parents[2]


def run_filter(folder: Path) -> str:
    """Run the stage there; what it printed."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from stages import filter; filter.main(); "
        "print(sorted({'torch', 'sklearn', 'pyarrow', 'pandas', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_no_samples(tmp_path / "data/generated/llm.parquet")
    write_no_samples(tmp_path / "data/generated/model.parquet")
    return tmp_path


def test_with_nothing_generated_the_stage_imports_nothing_heavy(project: Path) -> None:
    assert run_filter(project).splitlines()[-1] == "[]"
    assert has_no_samples(project / "data/filtered/kept.parquet")
    assert has_no_samples(project / "data/filtered/rejected.parquet")
    assert json.loads((project / "metrics/filter.json").read_text())["candidates"] == 0
    assert (project / "reports/filter/augmentation.md").exists()


def test_what_both_producers_made_is_screened_and_accounted_for(project: Path, texts: Splits) -> None:
    write_samples(texts.train, project / "data/split/train.parquet")
    write_samples(texts.validation, project / "data/split/val.parquet")
    write_samples(texts.test, project / "data/split/test.parquet")
    texts.featurizer.save(project / "data/features")
    (project / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    rows = [*make_texts(70, {"card": 6}), ("loan", str(texts.test.texts[9]))]
    write_samples(text_table(rows, "llm-", "llm"), project / "data/generated/llm.parquet")
    vae = text_table(make_texts(71, {"loan": 4}), "vae-", "vae")
    write_samples(vae, project / "data/generated/model.parquet")
    reviews = project / "data/review/verdicts.csv"
    reviews.parent.mkdir(parents=True)
    reviews.write_text("id,verdict,label\nvae-00000,drop,\n", encoding="utf-8")
    assert "of 11 candidates kept" in run_filter(project)
    kept = read_samples(project / "data/filtered/kept.parquet")
    rejected = read_samples(project / "data/filtered/rejected.parquet")
    assert len(kept) + len(rejected) == 11
    assert {"llm-00006", "vae-00000"} <= set(rejected.ids)
    metrics = json.loads((project / "metrics/filter.json").read_text())
    assert metrics["origins"] == {
        "llm": {"candidates": 7, "kept": int((kept.origins == "llm").sum())},
        "vae": {"candidates": 4, "kept": int((kept.origins == "vae").sum())},
    }
    assert (project / "reports/filter/review_sample.csv").exists()
