from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evenly.resampling.segments import (
    Source,
    draw_segments,
    even_counts,
    interpolated,
    proportional_counts,
)


@given(st.integers(0, 500), st.integers(1, 40), st.integers(0, 99))
def test_even_counts_sum_up_and_differ_by_one_at_most(n: int, parents: int, seed: int) -> None:
    counts = even_counts(n, parents, np.random.default_rng(seed))
    assert counts.sum() == n
    assert counts.max() - counts.min() <= 1


@given(st.integers(0, 500), st.lists(st.floats(0, 1e6), min_size=1, max_size=20).filter(any))
def test_proportional_counts_sum_up_and_are_within_one_of_the_share(n: int, shares: list[float]) -> None:
    weights = np.array(shares)
    counts = proportional_counts(n, weights)
    assert counts.sum() == n
    assert (abs(counts - weights / weights.sum() * n) < 1 + 1e-6).all()
    assert not counts[weights == 0].any()


def test_interpolation_in_blocks_is_the_formula() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((50, 7), dtype=np.float32)
    source = Source(np.arange(50), rng.integers(0, 50, (50, 3)), np.full(50, 60))
    segments = draw_segments([source], rng)
    ours = interpolated(vectors, segments)
    start, end = vectors[segments.parents].astype(float), vectors[segments.neighbours].astype(float)
    np.testing.assert_allclose(ours, start + segments.weights[:, None] * (end - start), atol=1e-6)
    assert ours.dtype == np.float32
    into = np.zeros((3000, 7), np.float32)
    assert interpolated(vectors, segments, out=into) is into
    np.testing.assert_array_equal(into, ours)


def test_weights_are_spread_between_0_and_the_furthest() -> None:
    source = Source(np.arange(2), np.array([[1], [0]]), np.array([5000, 5000]), furthest=-0.5)
    weights = draw_segments([source], np.random.default_rng(0)).weights
    assert weights.max() <= 0
    assert weights.min() >= -0.5
    assert abs(weights.mean() + 0.25) < 0.01
