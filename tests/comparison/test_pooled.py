"""Cross-validation: the rows of whole repetitions are scored as one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from comparison_projects import MakeRun
from sklearn.metrics import f1_score

from evenly.comparison.leaderboards import compare
from evenly.comparison.pooled import pooled
from evenly.comparison.verdicts import verdicts
from evenly.experiments.history import Revision
from evenly.experiments.runs import Run, read_run
from evenly.files import write_json, write_text

CLASSES = ("big", "middle", "small")
FOLDS, ROWS = 5, 100


def folded(make_run: MakeRun, recipe: str, wrong: float, seeds: range = range(1, 6)) -> list[Run]:
    """A run for each fold, which is wrong about a share of the rows."""
    y = np.repeat([0, 1, 2], [60, 30, 10])
    generator = np.random.default_rng(len(recipe))
    rules = {
        "classes": list(CLASSES),
        "deployment": None,
        "rare": "small",
        "rules": {
            "argmax": {"offsets": [0, 0, 0], "temperature": 1.0, "restates_probabilities": True},
            "temperature": {"offsets": [0, 0, 0], "temperature": 2.0, "restates_probabilities": True},
            "tuned_thresholds": {"offsets": [0, 0, 9], "temperature": 1.0, "restates_probabilities": False},
        },
    }
    runs = []
    for seed in seeds:
        test = np.flatnonzero(np.arange(ROWS) % FOLDS == (seed - 1) % FOLDS)
        chosen = np.where(generator.random(len(test)) < wrong, (y[test] + 1) % 3, y[test])
        p = np.full((len(test), 3), 0.1)
        p[np.arange(len(test)), chosen] = 0.8
        lines = [f"id,label,predicted,confidence,{','.join(f'p_{name}' for name in CLASSES)}"]
        lines += [
            f"row-{row},{CLASSES[y[row]]},{CLASSES[k]},0.8,{','.join(map(str, one))}"
            for row, k, one in zip(test, chosen, p, strict=True)
        ]
        score = f1_score(y[test], chosen, average="macro")
        run = make_run(recipe, seed, float(score), folds=FOLDS, predictions="\n".join(lines).encode())
        runs.append(replace(run, rules=rules))
    return runs


def test_the_rows_of_a_repetition_are_scored_as_one(make_run: MakeRun) -> None:
    runs = folded(make_run, "none", 0.2)
    rows = [line.split(",") for run in runs for line in run.predictions.decode().splitlines()[1:]]
    expected = f1_score([row[1] for row in rows], [row[2] for row in rows], average="macro")
    found = pooled({run.seed: run for run in runs}, range(1, 6), "argmax", "macro_f1")
    assert found is not None and found.value == pytest.approx(expected, abs=1e-8)
    assert found.drawn.mean() == pytest.approx(expected, abs=0.03)
    tuned = pooled({run.seed: run for run in runs}, range(1, 6), "tuned_thresholds", "macro_f1")
    assert tuned is not None and tuned.value < found.value  # everything is called small


def test_whole_repetitions_see_what_single_folds_do_not(make_run: MakeRun) -> None:
    runs = folded(make_run, "none", 0.35) + folded(make_run, "smote", 0.05)
    board = compare(runs).leaderboards[0]
    assert board.design.kind == "folds"
    gain = board.of("smote").against_baseline
    assert gain is not None and gain.differs
    # Four folds are no repetition: what is left is the corrected test over seeds, and it says so.
    part = compare([run for run in runs if run.seed != 5]).leaderboards[0]
    assert part.design.kind == "redrawn"
    assert any("no whole repetitions of 5 folds" in sentence for sentence in verdicts(part))
    wider = part.of("smote").against_baseline
    assert wider is not None and wider.high - wider.low > gain.high - gain.low


def test_techniques_that_are_alike_are_not_told_apart(make_run: MakeRun) -> None:
    runs = folded(make_run, "none", 0.2) + folded(make_run, "adasyn", 0.2)
    gain = compare(runs).leaderboards[0].of("adasyn").against_baseline
    assert gain is not None and not gain.differs


@pytest.mark.parametrize(("strategy", "pools"), [("stratified", True), ("grouped", False)])
def test_rows_of_a_group_are_not_pooled_as_if_they_were_alone(
    strategy: str, pools: bool, tmp_path: Path
) -> None:
    rows = {"train": 60, "validation": 20, "test": 20}
    write_json({"strategy": strategy, "folds": 5, "rows": rows}, tmp_path / "metrics/split.json")
    write_json({"test": {"macro_f1": 0.5}}, tmp_path / "metrics/evaluate.json")
    write_json({"classes": list(CLASSES)}, tmp_path / "models/rules.json")
    write_text("id,label\n", tmp_path / "reports/predictions.csv")
    write_text("{seed: 1, dataset: rows, balancing: none, model: m, loss: l}\n", tmp_path / "params.yaml")
    run = read_run(Revision(tmp_path, "workspace", None))
    assert run.folds == 5
    assert bool(run.predictions and run.rules) is pools
