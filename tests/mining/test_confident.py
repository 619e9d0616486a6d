"""Confident learning against cases computed by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evenly.mining.guard import (
    calibrated_counts,
    class_thresholds,
    confident_joint,
    pruned_by_class,
    pruned_by_noise_rate,
)

#: Six rows, two classes; row 2 says 0 and looks like 1, row 5 is undecided.
P = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9], [0.55, 0.45]])
LABELS = np.array([0, 0, 0, 1, 1, 1])


def test_a_threshold_is_the_mean_self_confidence_of_its_class() -> None:
    np.testing.assert_allclose(class_thresholds(P, LABELS), [(0.9 + 0.8 + 0.1) / 3, (0.8 + 0.9 + 0.45) / 3])


def test_a_class_without_rows_has_a_threshold_that_nothing_reaches() -> None:
    thresholds = class_thresholds(np.array([[0.5, 0.3, 0.2]]), np.array([0]))
    np.testing.assert_array_equal(thresholds, [0.5, np.inf, np.inf])


def test_the_joint_counts_confident_rows_by_label_and_likely_class() -> None:
    # Thresholds 0.6 and 0.7167: rows 0, 1 reach class 0; rows 2, 3, 4 reach class 1; row 5 reaches neither.
    joint = confident_joint(P, LABELS, class_thresholds(P, LABELS))
    np.testing.assert_array_equal(joint, [[2, 1], [0, 2]])


def test_a_row_that_reaches_two_thresholds_goes_to_the_more_probable_class() -> None:
    joint = confident_joint(np.array([[0.4, 0.6]]), np.array([0]), np.array([0.3, 0.5]))
    np.testing.assert_array_equal(joint, [[0, 1], [0, 0]])


def test_calibration_spreads_all_rows_of_a_label_over_its_confident_ones() -> None:
    counts = calibrated_counts(np.array([[2, 1], [0, 2]]), np.array([3, 3]))
    np.testing.assert_allclose(counts, [[2, 1], [0, 3]])


def test_a_label_without_a_confident_row_counts_as_right() -> None:
    counts = calibrated_counts(np.array([[0, 0], [1, 1]]), np.array([4, 6]))
    np.testing.assert_allclose(counts, [[4, 0], [3, 3]])


def test_pruning_by_class_takes_the_least_confident_rows_of_a_label() -> None:
    counts = np.array([[1.0, 2.0], [0.0, 3.0]])
    np.testing.assert_array_equal(np.flatnonzero(pruned_by_class(P, LABELS, counts)), [1, 2])


def test_pruning_by_noise_rate_takes_the_widest_margins_towards_each_other_class() -> None:
    p = np.array([[0.5, 0.4, 0.1], [0.1, 0.2, 0.7], [0.2, 0.7, 0.1], [0.8, 0.1, 0.1]])
    counts = np.array([[2.0, 1.0, 1.0], [0, 0, 0], [0, 0, 0]])
    marked = pruned_by_noise_rate(p, np.zeros(4, dtype=np.int64), counts)
    np.testing.assert_array_equal(np.flatnonzero(marked), [1, 2])


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(1, 40))
def test_calibrated_counts_sum_to_the_rows_of_each_label(seed: int, classes: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(classes), n)
    labels = rng.integers(classes, size=n)
    rows = np.bincount(labels, minlength=classes)
    counts = calibrated_counts(confident_joint(p, labels, class_thresholds(p, labels)), rows)
    np.testing.assert_allclose(counts.sum(axis=1), rows)
    assert pruned_by_class(p, labels, counts).sum() <= n
