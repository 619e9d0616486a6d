from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenly.screening.checks import duplicates
from evenly.screening.checks.duplicates import keep_first
from evenly.screening.similarity import Pairs


def nearest(places: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places on a line; near are those at most 1 apart."""
    match = np.full(len(places), -1)
    score = np.full(len(places), np.nan)
    for k, place in enumerate(places):
        gaps = np.abs(others - place)
        if len(gaps) and gaps.min() <= 1:
            match[k], score[k] = gaps.argmin(), gaps.min()
    return match, score


def among(places: np.ndarray) -> list[Pairs]:
    gaps = np.abs(places[:, None] - places[None])
    left, right = np.nonzero(np.triu(gaps <= 1, 1))
    return [Pairs(left, right, gaps[left, right])] if len(left) else []


ON_A_LINE = duplicates.Measure("distance", 1.0, list, nearest, among)


@settings(max_examples=100)
@given(st.lists(st.floats(0, 12), max_size=60), st.integers(1, 8))
def test_the_first_of_near_rows_stays_and_only_rows_near_to_a_kept_one_go(
    values: list[float], leaf: int
) -> None:
    places = np.array(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_LEAF", leaf)
        first, score = keep_first(np.arange(len(places)), places, ON_A_LINE)
    kept: list[int] = []
    for row, place in enumerate(places):
        near = [other for other in kept if abs(places[other] - place) <= 1]
        assert (first[row] < 0) == (not near)
        if near:
            assert first[row] in near
            assert score[row] == abs(places[first[row]] - place)
        else:
            kept.append(row)
