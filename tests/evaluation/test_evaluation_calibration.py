from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evenly.evaluation.calibration import (
    TEMPERATURES,
    CalibrationGaps,
    equal_mass_bins,
    fitted_temperature,
    reliability_table,
    scaled,
)


def calibrated(rows: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and labels drawn from them."""
    generator = np.random.default_rng(seed)
    p = generator.dirichlet(np.full(classes, 0.7), size=rows)
    y = (p.cumsum(axis=1) > generator.uniform(size=(rows, 1))).argmax(axis=1)
    return y, p


def test_calibrated_scores_have_a_small_error_and_sharpened_ones_a_large_one() -> None:
    y, p = calibrated(20_000, 4, 0)
    good, bad = CalibrationGaps(y, p, 15), CalibrationGaps(y, scaled(p, 0.3), 15)
    assert good.top_label() < 0.015
    assert good.class_wise() < 0.01
    assert bad.top_label() > 0.1
    assert bad.class_wise() > 0.05


def test_calibration_error_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    y = np.array([0, 1, 0, 0])
    # Bin of .6: accuracy 1; bin of .9: accuracy .5. Each holds half of the rows, the gap of each is .4. In
    # the bin of .9 rows are right and wrong: the variance of its mean is .5²/(2 − 1) = .25.
    # Mean standard error .25; a normal variable with mean 1.5474 and deviation 1 has a mean |x| of 1.6.
    assert stats.foldnorm.mean(1.5474) == pytest.approx(0.4 / 0.25, abs=1e-4)
    assert CalibrationGaps(y, p, 2).top_label() == pytest.approx(1.5474 * 0.25, abs=1e-4)


def test_a_model_that_is_always_right_and_sure_has_no_calibration_error() -> None:
    y = np.array([0, 1, 2, 2, 1])
    gaps = CalibrationGaps(y, np.eye(3)[y], 15)
    assert gaps.top_label() == 0
    assert gaps.class_wise() == 0


def test_the_error_is_that_of_the_model_and_not_of_the_sample() -> None:
    """A plain mean of absolute gaps says more than .07 of calibrated scores with 300 rows."""
    calibrated_scores, plain, shifted = [], [], []
    for seed in range(40):
        y, p = calibrated(300, 3, seed)
        calibrated_scores.append(float(CalibrationGaps(y, p, 15).top_label()))
        plain.append(sum(b.rows / 300 * abs(b.confidence - b.accuracy) for b in reliability_table(y, p, 15)))
        shifted.append(float(CalibrationGaps(y, scaled(p, 0.4), 15).top_label()))
    y, p = calibrated(100_000, 3, 1)
    true = float(CalibrationGaps(y, scaled(p, 0.4), 15).top_label())
    assert np.mean(plain) > 0.07
    assert np.mean(calibrated_scores) < 0.035
    assert np.mean(shifted) == pytest.approx(true, abs=0.012)


@pytest.mark.parametrize("heat", [0.6, 0.25])
def test_intervals_hold_the_error_of_every_class_where_the_classes_err_together(heat: float) -> None:
    """A row mistaken is a gap in two classes at once; with gaps taken as apart, 81 and 87 of 100."""
    y, p = calibrated(100_000, 10, 1)
    true, covered = float(CalibrationGaps(y, scaled(p, heat), 15).class_wise()), 0
    for seed in range(100):
        y, p = calibrated(300, 10, seed + 2)
        low, high = CalibrationGaps(y, scaled(p, heat), 15).class_wise_ends()
        covered += low <= true <= high
    assert covered >= 92


@given(st.integers(1, 300), st.integers(2, 20), st.integers(0, 2**32 - 1), st.booleans())
def test_bins_hold_about_equally_many_rows_and_never_part_equal_scores(
    rows: int, bins: int, seed: int, tied: bool
) -> None:
    scores = np.random.default_rng(seed).uniform(size=rows)
    scores = np.round(scores, 1) if tied else scores
    column = equal_mass_bins(scores, bins)
    assert column.max() < bins
    order = np.argsort(scores)
    assert np.all(np.diff(column[order]) >= 0)
    for value in np.unique(scores):
        assert len(set(column[scores == value])) == 1
    if not tied:
        assert np.bincount(column).max() <= int(np.ceil(rows / bins)) + 1


@given(st.integers(2, 400), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_the_reliability_table_holds_every_row_once(rows: int, classes: int, seed: int) -> None:
    y, p = calibrated(rows, classes, seed)
    table = reliability_table(y, p, 10)
    assert sum(b.rows for b in table) == rows
    assert sum(b.rows * b.accuracy for b in table) == pytest.approx((p.argmax(axis=1) == y).sum())
    confidences = [b.confidence for b in table]
    assert confidences == sorted(confidences)


@pytest.mark.parametrize("heat", [0.5, 1.0, 2.5])
def test_temperature_scaling_finds_the_temperature_that_was_applied(heat: float) -> None:
    y, p = calibrated(20_000, 3, 1)
    assert fitted_temperature(y, scaled(p, 1 / heat)) == pytest.approx(heat, rel=0.06)


def test_temperature_never_raises_the_log_loss_of_the_rows_it_was_fitted_on() -> None:
    y, p = calibrated(80, 4, 2)
    over = scaled(p, 0.4)
    rows = np.arange(len(y))
    after = scaled(over, fitted_temperature(y, over))
    assert -np.log(after[rows, y]).mean() < -np.log(over[rows, y]).mean()


def test_temperature_stays_in_range_where_validation_is_perfect() -> None:
    y = np.array([0, 1, 0, 1])
    p = np.where(np.eye(2)[y] == 1, 0.9, 0.1)
    assert fitted_temperature(y, p) >= TEMPERATURES[0]


def test_temperature_keeps_the_decisions() -> None:
    _, p = calibrated(500, 5, 3)
    assert np.array_equal(scaled(p, 3.0).argmax(axis=1), p.argmax(axis=1))
