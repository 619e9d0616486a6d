"""The measures of imbalance, against their closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenly.imbalance import effective_number, gini, imbalance_ratio, normalised_entropy, tiers
from evenly.params.recipes import TierSettings

counts = st.dictionaries(st.text(max_size=3), st.integers(1, 10_000), min_size=1, max_size=30)


def test_equal_classes_are_balanced_by_every_measure() -> None:
    equal = {"a": 7, "b": 7, "c": 7}
    assert imbalance_ratio(equal) == 1
    assert gini(equal) == pytest.approx(0)
    assert normalised_entropy(equal) == pytest.approx(1)


@given(counts)
def test_gini_is_the_mean_absolute_difference_over_twice_the_mean(sizes: dict[str, int]) -> None:
    n = np.array(list(sizes.values()), dtype=float)
    expected = np.abs(n[:, None] - n[None, :]).mean() / (2 * n.mean())
    assert gini(sizes) == pytest.approx(expected, abs=1e-9)


@given(counts)
def test_measures_do_not_depend_on_names_or_scale(sizes: dict[str, int]) -> None:
    tenfold = {f"{name}!": 10 * n for name, n in reversed(sizes.items())}
    for measure in (imbalance_ratio, gini, normalised_entropy):
        assert measure(tenfold) == pytest.approx(measure(sizes))


@given(counts)
def test_entropy_and_gini_stay_in_range(sizes: dict[str, int]) -> None:
    assert 0 <= normalised_entropy(sizes) <= 1 + 1e-12
    assert -1e-12 <= gini(sizes) < 1


def test_effective_number_runs_from_one_to_its_limit() -> None:
    assert effective_number(1, 0.99) == pytest.approx(1)
    assert effective_number(10**6, 0.99) == pytest.approx(100)
    assert effective_number(5, 0) == pytest.approx(1)


def test_tiers_follow_both_thresholds() -> None:
    sizes = {"huge": 1000, "small": 30, "tiny": 9}
    settings = TierSettings(minority_below=0.1, ultra_minority_below=10)
    assert tiers(sizes, settings) == {"huge": "other", "small": "minority", "tiny": "ultra_minority"}
