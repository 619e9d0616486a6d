from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenly.screening import duplicates
from evenly.screening.duplicates import keep_first
from evenly.screening.similarity import Pairs


def on_a_line(places: np.ndarray) -> tuple[duplicates.Nearest, duplicates.Among]:
    """Rows at places on a line; near are those at most 1 apart."""

    def nearest(rows: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        match = np.full(len(rows), -1)
        score = np.full(len(rows), np.nan)
        for k, row in enumerate(rows):
            gaps = np.abs(places[others] - places[row])
            if len(gaps) and gaps.min() <= 1:
                match[k], score[k] = gaps.argmin(), gaps.min()
        return match, score

    def among(rows: np.ndarray) -> list[Pairs]:
        gaps = np.abs(places[rows][:, None] - places[rows][None])
        left, right = np.nonzero(np.triu(gaps <= 1, 1))
        return [Pairs(left, right, gaps[left, right])] if len(left) else []

    return nearest, among


@settings(max_examples=100)
@given(st.lists(st.floats(0, 12), max_size=60), st.integers(1, 8))
def test_the_first_of_near_rows_stays_and_only_rows_near_to_a_kept_one_go(
    values: list[float], leaf: int
) -> None:
    places = np.array(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_LEAF", leaf)
        first, score = keep_first(np.arange(len(places)), *on_a_line(places))
    kept: list[int] = []
    for row, place in enumerate(places):
        near = [other for other in kept if abs(places[other] - place) <= 1]
        assert (first[row] < 0) == (not near)
        if near:
            assert first[row] in near
            assert score[row] == abs(places[first[row]] - place)
        else:
            kept.append(row)
