"""Scores on resamples of rows that all runs share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluated_runs import Run

from evenly.errors import DataError
from evenly.evaluation.results import Evaluation
from evenly.resamples import (
    BLOCKS,
    MOST_ROWS,
    Scored,
    read_resamples,
    shared_blocks,
    shared_weights,
    write_resamples,
)


def weights_of(names: list[str]) -> np.ndarray:
    return np.concatenate(list(shared_weights(names)))


def test_a_row_is_resampled_alike_whatever_rows_it_stands_among() -> None:
    names = [f"row-{k}" for k in range(50)]
    some = [3, 40, 7]
    assert np.array_equal(weights_of(names)[:, some], weights_of([names[k] for k in some]))


def test_the_block_of_a_row_hangs_on_its_name_and_groups_stay_whole() -> None:
    names = [f"row-{k}" for k in range(MOST_ROWS + 1)]
    of_row, units = shared_blocks(names)
    again, _ = shared_blocks([*names[:5], *(f"other-{k}" for k in range(MOST_ROWS))])
    assert of_row is not None and again is not None and len(units) == BLOCKS
    assert np.array_equal(of_row[:5], again[:5])
    assert np.bincount(of_row, minlength=BLOCKS).max() < 15
    groups = [f"group-{k % 70}" for k in range(MOST_ROWS + 1)]
    of_row, units = shared_blocks(groups)
    assert of_row is not None and [units[k] for k in of_row] == groups
    assert shared_blocks(names[:MOST_ROWS]) == (None, names[:MOST_ROWS])


def test_weights_are_independent_and_exponential() -> None:
    weights = np.concatenate(list(shared_weights([f"row-{k}" for k in range(40)], 4000)))
    assert weights.mean() == pytest.approx(1, abs=0.01) and weights.var() == pytest.approx(1, abs=0.05)
    between = np.corrcoef(weights.T) - np.eye(40)
    assert np.abs(between).max() < 5 / np.sqrt(4000)


def test_the_spread_over_resamples_is_the_standard_error_of_the_rows(evaluation: Evaluation) -> None:
    drawn = evaluation.resamples[Scored("test", "argmax", "accuracy")]
    rows, share = len(evaluation.test), evaluation.final.test["accuracy"].value
    assert drawn.std() == pytest.approx(np.sqrt(share * (1 - share) / rows), rel=0.15)


def test_every_rule_is_resampled_on_validation_and_on_test_rows(evaluation: Evaluation) -> None:
    rules = {result.rule.name for result in evaluation.rules}
    for part in ("validation", "test"):
        assert {key.rule for key in evaluation.resamples if key.part == part} == rules


def test_the_rows_of_a_group_are_drawn_as_one(long_tail: Run) -> None:
    groups = [str(k // 10) for k in range(len(long_tail.test))]
    table = long_tail.test.table.append_column("group", [groups])
    grouped = long_tail.evaluate(test=type(long_tail.test)(table, long_tail.test.schema))
    weights = weights_of(groups)
    by_id = np.argsort(grouped.test.ids.astype(str), kind="stable")
    hits = (grouped.final.probabilities.argmax(axis=1) == grouped.test.codes).astype(float)[by_id]
    drawn = weights[:, by_id]
    expected = (drawn @ hits) / drawn.sum(axis=1)
    found = grouped.resamples[Scored("test", "argmax", "accuracy")]
    assert not grouped.reweighted
    assert found == pytest.approx(expected, abs=1e-4)


def test_resamples_come_back_as_they_were_and_damage_is_one_sentence(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    path = tmp_path / "resamples.parquet"
    write_resamples(evaluation.resamples, path)
    found = read_resamples(path.read_bytes(), "reports/resamples.parquet of main")
    assert found.keys() == evaluation.resamples.keys()
    assert all(np.array_equal(found[key], evaluation.resamples[key]) for key in found)
    for damaged in (b"", path.read_bytes()[:100], b"PAR1" * 20):
        with pytest.raises(DataError, match=r"resamples\.parquet of main is damaged"):
            read_resamples(damaged, "reports/resamples.parquet of main")
