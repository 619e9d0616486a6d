from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evenly.screening.checks.opinions import Opinion, fitted_opinion, rows_within


def blobs(seed: int, sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(sizes)), sizes)
    return (3 * np.eye(len(sizes))[codes] + rng.normal(size=(len(codes), len(sizes)))).astype(
        np.float32
    ), codes


def test_a_scarce_class_does_not_lose_by_being_scarce() -> None:
    vectors, codes = blobs(0, [500, 500, 8])
    others, wanted = blobs(1, [0, 0, 200])
    opinion = fitted_opinion(vectors, codes, 4, others)
    assert (opinion.places(wanted) == 1).mean() > 0.7
    assert np.allclose(opinion.probabilities.sum(axis=1), 1)
    assert (opinion.probabilities[:, 3] == 0).all()


def test_agreement_is_a_place_or_a_confidence() -> None:
    opinion = Opinion(np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.0, 0.6, 0.4]]))
    codes = np.array([1, 2, 0])
    assert opinion.places(codes).tolist() == [2, 3, 3]
    assert opinion.agrees(codes, 1, None).tolist() == [False, False, False]
    assert opinion.agrees(codes, 2, None).tolist() == [True, False, False]
    assert opinion.agrees(codes, 1, 0.2).tolist() == [True, True, False]
    np.testing.assert_allclose(opinion.odds(codes, 1, None), [0.6, 0.4, 0])
    np.testing.assert_allclose(opinion.odds(codes, 2, None), [1.5, 2 / 3, 0])
    np.testing.assert_allclose(opinion.odds(codes, 1, 0.2), [1.5, 1, 0])


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8).filter(any), st.integers(8, 80))
def test_rows_within_keeps_small_classes_whole(sizes: list[int], most: int) -> None:
    codes = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = rows_within(codes, most, seed=0)
    kept = np.bincount(codes[rows], minlength=len(sizes))
    assert len(set(rows)) == len(rows) <= max(most, np.count_nonzero(sizes))
    assert np.array_equal(rows, np.sort(rows))
    limit = kept.max()
    assert all(n == size or limit - n <= 0 for n, size in zip(kept, sizes, strict=True))
    assert len(rows) == len(codes) or len(rows) > most - len(sizes)
