"""What a run has cost, read back from what sweeps have measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evenly.experiments.history import Revision
from evenly.experiments.ledger import FIT_SECONDS, MAKING, SECOND_ROUND, STAGE_SECONDS, stage_key
from evenly.experiments.runs import Run, read_run
from evenly.files import write_json, write_text


def finished(root: Path, recipe: dict[str, Any]) -> Run:
    """A run whose fit took 5 s, each stage that makes rows 1 s, and each of the second round 10 s."""
    outputs = {"models/train": "model", **{path: name for name, path in {**MAKING, **SECOND_ROUND}.items()}}
    outs = "".join(f"    - {{path: {path}, md5: {md5}}}\n" for path, md5 in outputs.items())
    write_text(f"stages:\n  all:\n    outs:\n{outs}", root / "dvc.lock")
    params = {"dataset": "d", "balancing": "r", "model": "auto", "loss": "auto", "seed": 1}
    write_json({**params, "recipes": {"r": recipe}}, root / "params.yaml")
    write_json({"test": {"macro_f1": 0.5}}, root / "metrics/evaluate.json")
    write_json({"rows": {"train": 6, "validation": 2, "test": 2}}, root / "metrics/split.json")
    revision = Revision(root, "workspace", None)
    seconds = {stage_key(stage, path, revision): 1.0 for stage, path in MAKING.items()}
    seconds |= {stage_key(stage, path, revision): 10.0 for stage, path in SECOND_ROUND.items()}
    write_json(seconds, root / STAGE_SECONDS)
    write_json({"model": 5.0}, root / FIT_SECONDS)
    return read_run(Revision(root, "workspace", None))


def test_the_seconds_of_making_rows_are_those_of_all_stages_that_do(tmp_path: Path) -> None:
    assert finished(tmp_path, {}).making_seconds == len(MAKING)


@pytest.mark.parametrize(("recipe", "seconds"), [({}, 5.0), ({"finetune": {"ratio": 1.0}}, 25.0)])
def test_a_second_round_counts_as_fitting_where_there_is_one(
    tmp_path: Path, recipe: dict[str, Any], seconds: float
) -> None:
    assert finished(tmp_path, recipe).fit_seconds == seconds


def test_seconds_that_nobody_measured_are_not_told(tmp_path: Path) -> None:
    finished(tmp_path, {})
    (tmp_path / STAGE_SECONDS).unlink()
    (tmp_path / FIT_SECONDS).unlink()
    run = read_run(Revision(tmp_path, "workspace", None))
    assert (run.making_seconds, run.fit_seconds) == (None, None)
