from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evenly.features.ngramsets import character_ngrams, ngram_sets
from evenly.screening.similarity import Pairs, close_vectors, joined_pairs, similar_sets, similar_vectors

TEXTS = st.lists(
    st.one_of(
        st.text(alphabet="abc .,", max_size=14),
        st.text(alphabet="ab中国Ωß\u200d'é", max_size=9),
        st.text(max_size=8),
    ),
    max_size=24,
)
THRESHOLDS = st.sampled_from([0.1, 0.3, 0.5, 0.6, 2 / 3, 0.75, 0.8, 0.9, 1.0])


def jaccard_by_hand(a: list[str], b: list[str], threshold: float, n: int) -> dict[tuple[int, int], float]:
    left = [character_ngrams(text, n) for text in a]
    right = [character_ngrams(text, n) for text in b]
    found = {}
    for i, x in enumerate(left):
        for j, y in enumerate(right):
            if x and y and len(x & y) / len(x | y) >= threshold:
                found[i, j] = len(x & y) / len(x | y)
    return found


def near_duplicate_pairs(
    texts: list[str], others: list[str] | None = None, *, threshold: float, n: int = 3
) -> Pairs:
    sets = ngram_sets([*texts, *(others or ())], n)
    if others is None:
        return joined_pairs(similar_sets(sets, None, threshold))
    rows = np.arange(len(sets))
    return joined_pairs(similar_sets(sets[rows[: len(texts)]], sets[rows[len(texts) :]], threshold))


def as_dict(pairs: Pairs) -> dict[tuple[int, int], float]:
    rows = zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)
    return dict(zip(rows, pairs.similarity.tolist(), strict=True))


@settings(max_examples=60)
@given(TEXTS, TEXTS, THRESHOLDS, st.integers(1, 8))
@example(["a"], ["a", "", "A!"], 1.0, 3)
@example([], ["a"], 0.5, 3)
def test_near_duplicates_between_two_lists_are_exactly_those_of_brute_force(
    a: list[str], b: list[str], threshold: float, n: int
) -> None:
    assert as_dict(near_duplicate_pairs(a, b, threshold=threshold, n=n)) == jaccard_by_hand(
        a, b, threshold, n
    )


@settings(max_examples=60)
@given(TEXTS, THRESHOLDS, st.integers(1, 5))
def test_near_duplicates_in_one_list_are_exactly_those_of_brute_force(
    a: list[str], threshold: float, n: int
) -> None:
    every = jaccard_by_hand(a, a, threshold, n)
    found = as_dict(near_duplicate_pairs(a, threshold=threshold, n=n))
    assert found == {(i, j): s for (i, j), s in every.items() if i < j}


@pytest.mark.parametrize("threshold", [0.4, 0.7, 0.9])
def test_near_duplicates_are_exact_where_there_are_many_size_groups(threshold: float) -> None:
    rng = random.Random(4)
    words = ["".join(rng.choices("abcdefgh", k=rng.randint(1, 7))) for _ in range(60)]
    base = [" ".join(rng.choices(words, k=rng.randint(1, 16))) for _ in range(500)]
    edited = [text[: (k := rng.randrange(len(text)))] + rng.choice(words) + text[k + 1 :] for text in base]
    every = jaccard_by_hand(base, edited, threshold, 3)
    assert len(every) > 50
    assert as_dict(near_duplicate_pairs(base, edited, threshold=threshold)) == every


def test_pairs_come_in_order_and_do_not_depend_on_the_other_rows() -> None:
    texts = ["how do I pay", "how do I pay?", "HOW do i pay now", "something else"]
    pairs = near_duplicate_pairs(texts, threshold=0.6)
    assert list(zip(pairs.left, pairs.right, strict=True)) == [(0, 1), (0, 2), (1, 2)]
    assert as_dict(near_duplicate_pairs(texts[:2], threshold=0.6)) == {(0, 1): 1.0}


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.2, 0.9, 0.99, 1.0]), st.booleans())
def test_cosine_pairs_are_exactly_those_of_brute_force(seed: int, threshold: float, among: bool) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, size=(20, 4)).astype(np.float32)
    y = x if among else rng.integers(-2, 3, size=(15, 4)).astype(np.float32)
    a, b = x.astype(np.float64), y.astype(np.float64)
    expected = set()
    for i in range(len(a)):
        for j in range(i + 1 if among else 0, len(b)):
            norm = np.sqrt((a[i] @ a[i]) * (b[j] @ b[j]))
            if norm and (a[i] @ b[j]) / norm >= threshold:
                expected.add((i, j))
    pairs = joined_pairs(similar_vectors(x, None if among else y, threshold))
    assert set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)) == expected


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.sampled_from([0.0, 100.0]))
def test_close_vectors_are_exactly_those_of_brute_force(seed: int, radius: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.integers(0, 3, size=(25, 5)) / 2 + offset).astype(np.float32)
    distances = np.sqrt(((x[:, None].astype(np.float64) - x[None].astype(np.float64)) ** 2).sum(axis=2))
    expected = {(i, j) for i in range(25) for j in range(i + 1, 25) if distances[i, j] <= radius}
    found = {pair for pairs in close_vectors(x, radius) for pair in zip(pairs.left, pairs.right, strict=True)}
    assert found == expected
