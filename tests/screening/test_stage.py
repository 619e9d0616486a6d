"""The stage `filter` in a project folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evenly.plans import write_plan
from evenly.samples import has_no_samples, read_samples, write_no_samples, write_samples
from evenly.screening import PLOT_COLUMNS
from tests.llm.generation_cases import engine_settings, plan_for
from tests.llm.writer import running_writer
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
    write_no_samples(tmp_path / "data/generated/imported.parquet")
    write_no_samples(tmp_path / "data/generated/model.parquet")
    write_plan(None, tmp_path / "data/plan/llm.json")
    return tmp_path


@pytest.fixture
def screened(project: Path, texts: Splits) -> Path:
    """The project with its splits, seven samples of a language model and four of a network."""
    write_samples(texts.train, project / "data/split/train.parquet")
    write_samples(texts.validation, project / "data/split/val.parquet")
    write_samples(texts.test, project / "data/split/test.parquet")
    texts.featurizer.save(project / "data/features/featurizer")
    shutil.copytree(ROOT / "prompts", project / "prompts")
    (project / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    rows = [*make_texts(70, {"card": 6}), ("loan", str(texts.test.texts[9]))]
    write_samples(text_table(rows, "llm-", "llm"), project / "data/generated/llm.parquet")
    vae = text_table(make_texts(71, {"loan": 4}), "vae-", "vae")
    write_samples(vae, project / "data/generated/model.parquet")
    return project


def with_settings(folder: Path, **sections: str) -> None:
    """Change sections of the project's params.yaml, given as YAML."""
    from ruamel.yaml import YAML

    yaml, path = YAML(), folder / "params.yaml"
    params = yaml.load(path)
    for dotted, value in sections.items():
        section, _, key = dotted.partition("__")
        params[section][key] = YAML(typ="safe").load(value)
    yaml.dump(params, path)


def test_with_nothing_generated_the_stage_imports_nothing_heavy(project: Path) -> None:
    assert run_filter(project).splitlines()[-1] == "[]"
    assert has_no_samples(project / "data/filtered/kept.parquet")
    assert has_no_samples(project / "data/filtered/rejected.parquet")
    assert json.loads((project / "metrics/filter.json").read_text())["candidates"] == 0
    assert "Nothing was generated" in (project / "reports/augmentation.md").read_text("utf-8")
    assert (project / "reports/review_sample.csv").read_text("utf-8-sig").startswith("id,class,origin,sample")
    assert {path.name for path in (project / "plots/filter").iterdir()} == set(PLOT_COLUMNS)


def test_what_both_producers_made_is_screened_and_accounted_for(screened: Path) -> None:
    reviews = screened / "data/review/verdicts.csv"
    reviews.parent.mkdir(parents=True)
    reviews.write_text("id,verdict,label\nvae-00000,drop,\n", encoding="utf-8")
    assert "of 11 candidates kept" in run_filter(screened)
    kept = read_samples(screened / "data/filtered/kept.parquet")
    rejected = read_samples(screened / "data/filtered/rejected.parquet")
    assert len(kept) + len(rejected) == 11
    assert {"llm-00006", "vae-00000"} <= set(rejected.ids)
    metrics = json.loads((screened / "metrics/filter.json").read_text())
    assert metrics["origins"] == {
        "llm": {"candidates": 7, "kept": int((kept.origins == "llm").sum())},
        "vae": {"candidates": 4, "kept": int((kept.origins == "vae").sum())},
    }
    assert (screened / "reports/review_sample.csv").exists()
    assert (screened / "plots/filter/class_distribution.png").exists()


def test_a_class_is_short_of_what_the_plan_asked_for_not_of_what_came(screened: Path) -> None:
    settings = engine_settings("http://localhost:1/v1")
    write_plan(plan_for(settings, {"card": 20, "loan": 5, "rain": 3}), screened / "data/plan/llm.json")
    run_filter(screened)
    classes = json.loads((screened / "metrics/filter.json").read_text())["classes"]
    # Of the network nobody knows how many were asked for: as many as it made.
    assert {name: numbers["requested"] for name, numbers in classes.items()} == {
        "card": 20,
        "loan": 5 + 4,
        "rain": 3,
    }
    assert classes["rain"]["shortfall"] == 3


def test_a_judge_that_is_set_is_asked_once_and_its_marks_decide(screened: Path) -> None:
    def reply(body: dict[str, Any], number: int) -> str:
        poor = "again" in body["messages"][-1]["content"].rsplit("\n", 1)[1]
        return json.dumps({"consistency": 2 if poor else 9, "completeness": 7, "naturalness": 3})

    with running_writer(reply) as writer:
        with_settings(
            screened,
            llm__base_url=writer.base_url,
            llm__model="tester",
            filter__judge="{threshold: 6}",
        )
        run_filter(screened)
        asked = len(writer.bodies)
        metrics = (screened / "metrics/filter.json").read_bytes()
        run_filter(screened)
        assert len(writer.bodies) == asked
        assert (screened / "metrics/filter.json").read_bytes() == metrics
        held_out = read_samples(screened / "data/split/test.parquet").texts
        assert not any(str(text) in prompt for text in held_out for prompt in writer.prompts)
    kept = read_samples(screened / "data/filtered/kept.parquet")
    rejected = read_samples(screened / "data/filtered/rejected.parquet")
    marks = [json.loads(details)["screening"]["judge"]["consistency"] for details in kept.column("details")]
    assert set(marks) == {9}
    reasons = [json.loads(details)["screening"]["rejected_for"] for details in rejected.column("details")]
    judged = [reason for each in reasons for reason in each if reason["rule"] == "judge"]
    assert len(kept) + len(judged) == asked
    assert {(reason["score"], reason["detail"]) for reason in judged} == {
        (4.0, "consistency 2, completeness 7, naturalness 3")
    }
    report = json.loads(metrics)["measured"]["judge"]
    assert report["judged"] == asked and "agreement_with_classifier" in report
    page = (screened / "reports/augmentation.md").read_text("utf-8")
    assert "Judge and classifier are of one opinion" in page


def test_a_judge_without_an_endpoint_stops_the_stage_with_a_sentence(screened: Path) -> None:
    with_settings(screened, filter__judge="{threshold: 6}")
    done = subprocess.run(
        [sys.executable, "-m", "stages.filter"],
        cwd=screened,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no endpoint is set" in done.stderr and "Traceback" not in done.stderr
