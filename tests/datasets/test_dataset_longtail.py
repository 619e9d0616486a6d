from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenly.datasets.partition import draws, long_tail, long_tail_counts
from evenly.params.datasets import InducedImbalance


def counts(available: list[int], ratio: float, profile: str = "exponential") -> list[int]:
    imbalance = InducedImbalance.model_validate({"ratio": ratio, "profile": profile})
    return long_tail_counts(np.array(available), np.array(available), imbalance).tolist()


def test_the_exponential_profile_goes_down_evenly_from_the_largest_class_to_one_in_ratio():
    assert counts([100] * 5, 16) == [100, 50, 25, 13, 6]  # 100 · 16^(−i/4), rounded half up


def test_the_step_profile_leaves_half_of_the_classes_whole():
    assert counts([100] * 5, 50, "step") == [100, 100, 100, 2, 2]


def test_ratio_one_keeps_everything():
    assert counts([30, 20, 10], 1) == [30, 20, 10]


def test_the_largest_class_is_the_head_whatever_its_name():
    assert counts([50, 100, 80], 4) == [25, 100, 50]


@given(st.lists(st.integers(1, 400), min_size=2, max_size=12), st.floats(1, 500))
def test_every_class_keeps_a_row_and_none_grows(available, ratio):
    kept = counts(available, ratio)
    assert all(1 <= k <= n for k, n in zip(kept, available, strict=True))
    assert max(kept) == max(available)


@pytest.mark.parametrize("profile", ["exponential", "step"])
def test_a_higher_ratio_keeps_a_subset(profile):
    codes = np.repeat(np.arange(4), 50)
    drawn = draws([str(k) for k in range(200)], 1, "long tail")
    sizes = np.bincount(codes)
    mild, steep = (
        long_tail(codes, drawn, sizes, InducedImbalance.model_validate({"ratio": ratio, "profile": profile}))
        for ratio in (5, 25)
    )
    assert (mild | ~steep).all()
    assert steep.sum() < mild.sum()
