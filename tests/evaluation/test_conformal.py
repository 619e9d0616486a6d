from __future__ import annotations

import numpy as np
import pytest
from evaluated_runs import Run

from evenly.evaluation.calibration import prediction_sets, rows_needed, set_thresholds
from evenly.evaluation.outputs import metrics_json


def drawn(counts: list[int], generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y = np.repeat(np.arange(len(counts)), counts)
    scores = generator.normal(size=(len(y), len(counts))) + np.log([0.9, 0.08, 0.02])
    scores[np.arange(len(y)), y] += 1.5
    return y, np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_every_class_is_covered_as_often_as_promised_with_twenty_rows_of_it(coverage: float) -> None:
    """Over validation samples: 20 rows of each class, a model that leans to the largest."""
    generator = np.random.default_rng(0)
    y, p = drawn([10_000] * 3, generator)
    covered = np.zeros(3)
    for _ in range(300):
        sets = prediction_sets(p, set_thresholds(*drawn([20, 20, 20], generator), coverage))
        covered += np.array([sets[y == k, k].mean() for k in range(3)]) / 300
    # By theory, 1 − ⌊21(1 − coverage)⌋/21.
    expected = 1 - np.floor(21 * (1 - coverage) + 1e-9) / 21
    np.testing.assert_allclose(covered, expected, atol=0.02)
    assert np.all(covered > coverage - 0.012)


def test_a_class_of_too_few_rows_is_in_every_set() -> None:
    assert rows_needed(0.9) == 9
    assert rows_needed(0.95) == 19
    y, p = drawn([50, 9, 8], np.random.default_rng(1))
    thresholds = set_thresholds(y, p, 0.9)
    assert thresholds[1] == p[y == 1, 1].min()
    assert thresholds[2] == 0
    assert prediction_sets(p, thresholds)[:, 2].all()


def test_the_threshold_is_the_order_statistic_of_the_definition() -> None:
    p1 = np.linspace(0.05, 0.95, 19)
    p = np.column_stack([1 - p1, p1])
    # 19 rows, coverage .9: the second smallest of 19 probabilities.
    assert set_thresholds(np.ones(19, dtype=int), p, 0.9)[1] == pytest.approx(p1[1], abs=1e-12)


def test_sets_are_made_on_validation_rows_and_read_out_on_test_rows(long_tail: Run) -> None:
    evaluation = long_tail.evaluate()
    thresholds = np.array([c.set_threshold for c in evaluation.per_class])
    np.testing.assert_array_equal(
        thresholds,
        set_thresholds(long_tail.validation.codes, long_tail.model.predict_proba(long_tail.validation), 0.9),
    )
    sets = prediction_sets(evaluation.final.probabilities, thresholds)
    for k, found in enumerate(evaluation.per_class):
        share = sets[evaluation.test.codes == k, k].mean()
        assert found.set_coverage == pytest.approx(share)
        assert found.set_coverage_low <= share <= found.set_coverage_high  # type: ignore[operator]
    told = metrics_json(evaluation)["prediction_sets"]
    assert told["coverage"] == 0.9
    assert told["mean_size"] == pytest.approx(sets.sum(axis=1).mean(), abs=1e-6)
    assert told["smallest_class_coverage"] == pytest.approx(
        min(c.set_coverage or 0 for c in evaluation.per_class), abs=1e-6
    )
