from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from evenly.classifiers.weights import (
    effective_number_weights,
    inverse_frequency_weights,
    reweighted_prior,
    sampled_counts,
    smoothed_prior,
)

COUNTS = st.lists(st.integers(0, 10_000), min_size=2, max_size=8).filter(lambda n: sum(c > 0 for c in n) >= 2)


def test_inverse_frequency_weights_are_those_of_scikit_learn() -> None:
    codes = np.repeat([0, 1, 2], [50, 5, 1])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=codes)
    np.testing.assert_allclose(inverse_frequency_weights(np.array([50.0, 5.0, 1.0])), expected)


def test_effective_number_weights_go_from_none_to_inverse_frequency() -> None:
    counts = np.array([500.0, 50.0, 5.0])
    np.testing.assert_allclose(effective_number_weights(counts, 0.0), 1.0)
    np.testing.assert_allclose(
        effective_number_weights(counts, 1 - 1e-9), inverse_frequency_weights(counts), rtol=1e-5
    )
    between = effective_number_weights(counts, 0.99)
    assert between[2] / between[0] == pytest.approx((1 - 0.99**500) / (1 - 0.99**5))


@given(COUNTS, st.floats(0, 0.99999))
def test_weights_keep_the_scale_of_the_loss(counts: list[int], beta: float) -> None:
    n = np.array(counts, dtype=float)
    for weights in (inverse_frequency_weights(n), effective_number_weights(n, beta)):
        assert np.isfinite(weights).all() and (weights > 0).all()
        assert (n * weights).sum() == pytest.approx(n.sum())


@given(COUNTS)
def test_priors_are_positive_and_sum_to_one_even_with_empty_classes(counts: list[int]) -> None:
    n = np.array(counts, dtype=float)
    for prior in (smoothed_prior(n), reweighted_prior(n, inverse_frequency_weights(n))):
        assert (prior > 0).all()
        assert prior.sum() == pytest.approx(1)


def test_samplers_show_classes_in_their_proportions_and_never_an_empty_one() -> None:
    counts = np.array([100.0, 25.0, 0.0])
    np.testing.assert_allclose(sampled_counts(counts, "uniform"), counts)
    np.testing.assert_allclose(sampled_counts(counts, "square_root"), [125 * 2 / 3, 125 / 3, 0])
    np.testing.assert_allclose(sampled_counts(counts, "class_balanced"), [62.5, 62.5, 0])
