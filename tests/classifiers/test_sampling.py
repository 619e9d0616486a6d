from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenly.classifiers.training.sampling import Mixture, epoch_batches

CODES = np.repeat([0, 1, 2], [80, 18, 2])


def test_a_large_table_is_shown_exactly_once_an_epoch() -> None:
    batches = epoch_batches(CODES, "uniform", batch_size=16, min_steps=3, seed=0, epoch=0)
    assert len(batches) == 7
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(100))


def test_a_small_table_is_repeated_until_the_epoch_has_its_steps() -> None:
    batches = epoch_batches(CODES, "uniform", batch_size=16, min_steps=20, seed=0, epoch=0)
    assert [len(batch) for batch in batches] == [16] * 20
    shown = np.bincount(np.concatenate(batches), minlength=100)
    assert set(shown) == {3, 4}


@pytest.mark.parametrize(
    ("sampler", "shares"), [("class_balanced", [1, 1, 1]), ("square_root", np.sqrt([80, 18, 2]))]
)
def test_samplers_draw_classes_in_their_proportions(sampler: str, shares: np.ndarray) -> None:
    expected = 320 * np.asarray(shares) / np.sum(shares)
    rows = np.concatenate(epoch_batches(CODES, sampler, 32, 10, seed=0, epoch=0))  # type: ignore[arg-type]
    drawn = np.bincount(CODES[rows])
    assert len(rows) == 320
    assert np.abs(drawn - expected).max() <= 1
    within = np.bincount(rows, minlength=100)
    for k in range(3):
        assert np.ptp(within[k == CODES]) <= 1


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(epoch_batches(CODES, "uniform", 16, 1, seed, epoch)).tolist()

    assert order(3, 5) == order(3, 5)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1, 2)}) == 6


@given(
    counts=st.lists(st.integers(0, 40), min_size=2, max_size=6).filter(lambda n: n[-1] > 0),
    sampler=st.sampled_from(["uniform", "class_balanced", "square_root"]),
    batch_size=st.integers(2, 33),
    min_steps=st.integers(1, 7),
)
def test_batches_have_their_size_and_stay_inside_the_table(
    counts: list[int], sampler: str, batch_size: int, min_steps: int
) -> None:
    codes = np.repeat(np.arange(len(counts)), counts)
    batches = epoch_batches(codes, sampler, batch_size, min_steps, seed=1, epoch=2)  # type: ignore[arg-type]
    sizes = [len(batch) for batch in batches]
    assert len(batches) >= min_steps
    assert sum(sizes) == max(len(codes), min_steps * batch_size)
    assert max(sizes) <= batch_size and max(sizes) - min(sizes) <= 1
    assert set(np.concatenate(batches)) <= set(range(len(codes)))


def test_batches_of_similar_length_show_the_same_rows_with_little_padding() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, size=1000)
    codes = np.repeat([0, 1], [900, 100])
    for sampler in ("uniform", "class_balanced"):
        plain = epoch_batches(codes, sampler, 16, 1, 3, 4)  # type: ignore[arg-type]
        grouped = epoch_batches(codes, sampler, 16, 1, 3, 4, lengths)  # type: ignore[arg-type]
        again = epoch_batches(codes, sampler, 16, 1, 3, 4, lengths)  # type: ignore[arg-type]
        assert all(np.array_equal(a, b) for a, b in zip(grouped, again, strict=True))
        np.testing.assert_array_equal(np.sort(np.concatenate(grouped)), np.sort(np.concatenate(plain)))
        assert sorted(map(len, grouped)) == sorted(map(len, plain))

        def padded(batches: list[np.ndarray]) -> float:
            return sum(len(b) * lengths[b].max() for b in batches) / sum(lengths[b].sum() for b in batches)

        assert padded(plain) > 1.5 and padded(grouped) < 1.1
        longest = [lengths[batch].max() for batch in grouped]
        assert longest[0] == max(longest)  # memory runs out at once or not at all
        assert np.abs(np.corrcoef(longest[1:], np.arange(len(longest) - 1))[0, 1]) < 0.5
        other = epoch_batches(codes, sampler, 16, 1, 3, 5, lengths)  # type: ignore[arg-type]
        assert not all(np.array_equal(np.sort(a), np.sort(b)) for a, b in zip(grouped, other, strict=True))


@pytest.mark.parametrize("ratio", [0.5, 1.0, 12.0])
def test_a_mixture_shows_all_hard_rows_and_so_many_originals_to_each(ratio: float) -> None:
    mixture = Mixture(originals=100, ratio=ratio)
    shown = np.zeros(120)
    for epoch in range(200):
        rows = mixture.rows(120, seed=1, epoch=epoch)
        counts = np.bincount(rows, minlength=120)
        assert (counts[100:] == 1).all() and counts[:100].sum() == 20 * ratio
        assert np.ptp(counts[:100]) <= 1
        shown += counts
    np.testing.assert_allclose(shown / 200, mixture.shares(120), atol=0.15)


def test_originals_are_drawn_anew_or_once() -> None:
    anew, once = Mixture(100, 1.0, True), Mixture(100, 1.0, False)
    assert set(anew.rows(120, 1, 0)) == set(once.rows(120, 1, 0)) == set(once.rows(120, 1, 7))
    assert set(anew.rows(120, 1, 0)) != set(anew.rows(120, 1, 7))
    assert set(Mixture(0, 1.0).rows(5, 1, 0)) == set(range(5))
