from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenly.datasets.partition import (
    TEST,
    TRAIN,
    VALIDATION,
    draws,
    fold_test_rows,
    grouped,
    limited,
    part_sizes,
    ranks,
    stratified,
)

shares = st.tuples(st.floats(0.01, 0.49), st.floats(0.01, 0.49))
class_codes = st.lists(st.integers(0, 6), min_size=1, max_size=200).map(
    lambda codes: np.unique(codes, return_inverse=True)[1]
)


def names(n: int) -> list[str]:
    return [f"row {k}" for k in range(n)]


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=20), shares)
def test_part_sizes_leave_training_rows_and_give_each_part_one_from_three_rows_on(sizes, asked):
    n = np.array(sizes)
    n_validation, n_test = part_sizes(n, *asked)
    n_train = n - n_validation - n_test
    assert (n_train >= 1).all()
    assert (n_validation >= 0).all()
    assert (n_test >= 0).all()
    assert (np.stack([n_train, n_validation, n_test])[:, n >= 3] >= 1).all()
    assert (n_test[n == 2] == 1).all()
    assert (n_train[n == 1] == 1).all()


@given(st.integers(10, 5000), shares)
def test_part_sizes_are_the_shares_rounded(n, asked):
    n_validation, n_test = (int(k[0]) for k in part_sizes(np.array([n]), *asked))
    assert abs(n_validation - n * asked[0]) <= 1
    assert abs(n_test - n * asked[1]) <= 1


def test_a_class_of_two_rows_keeps_one_for_training_and_shows_one_to_the_only_other_part():
    assert [int(k[0]) for k in part_sizes(np.array([2]), 0.2, 0.0)] == [1, 0]
    assert [int(k[0]) for k in part_sizes(np.array([2]), 0.2, 0.2)] == [0, 1]


@given(class_codes, shares, st.integers(0, 2**40))
def test_every_row_is_in_exactly_one_part_and_each_class_has_its_sizes(codes, asked, seed):
    parts = stratified(codes, draws(names(len(codes)), seed, "split"), *asked)
    n_validation, n_test = part_sizes(np.bincount(codes), *asked)
    assert set(parts) <= {TRAIN, VALIDATION, TEST}
    for code in np.unique(codes):
        assert (parts[codes == code] == VALIDATION).sum() == n_validation[code]
        assert (parts[codes == code] == TEST).sum() == n_test[code]


def test_where_a_row_goes_depends_neither_on_the_order_of_rows_nor_on_other_classes():
    codes = np.repeat([0, 1], [60, 40])
    rows = names(100)
    parts = stratified(codes, draws(rows, 7, "split"), 0.2, 0.2)
    backwards = stratified(codes[::-1], draws(rows[::-1], 7, "split"), 0.2, 0.2)
    alone = stratified(codes[:60], draws(rows[:60], 7, "split"), 0.2, 0.2)
    assert (backwards[::-1] == parts).all()
    assert (alone == parts[:60]).all()


def test_one_more_row_moves_at_most_two_others():
    rows = names(101)
    before = stratified(np.zeros(100, int), draws(rows[:100], 3, "split"), 0.2, 0.2)
    after = stratified(np.zeros(101, int), draws(rows, 3, "split"), 0.2, 0.2)
    assert (after[:100] != before).sum() <= 2


def test_another_seed_is_another_split():
    codes = np.zeros(50, int)
    one, two = (stratified(codes, draws(names(50), seed, "split"), 0.2, 0.2) for seed in (1, 2))
    assert (one != two).any()


def test_draws_for_different_purposes_are_unrelated():
    one, two = (ranks(np.zeros(500, int), draws(names(500), 1, purpose)) for purpose in ("split", "limit"))
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.2


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 25)), min_size=1, max_size=200),
    shares,
    st.integers(0, 99),
)
def test_no_group_straddles_and_no_class_is_left_out_of_train(rows, asked, seed):
    codes = np.unique([code for code, _ in rows], return_inverse=True)[1]
    labels, groups = np.unique([group for _, group in rows], return_inverse=True)
    parts = grouped(codes, groups, draws([str(g) for g in labels], seed, "groups"), *asked)
    for group in np.unique(groups):
        assert len(set(parts[groups == group])) == 1
    assert set(codes[parts == TRAIN]) == set(codes)


@pytest.mark.parametrize("n_groups", [3, 4, 5, 8])
def test_few_large_groups_still_reach_every_part(n_groups):
    groups = np.repeat(np.arange(n_groups), 10)
    codes = np.tile([0, 1], 5 * n_groups)
    parts = grouped(codes, groups, draws(names(n_groups), 1, "groups"), 0.15, 0.15)
    assert set(parts) == {TRAIN, VALIDATION, TEST}


def test_groups_of_like_size_come_out_near_the_shares_in_every_class():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(300), 5)
    codes = rng.choice(3, size=1500, p=[0.7, 0.2, 0.1])
    parts = grouped(codes, groups, draws(names(300), 1, "groups"), 0.2, 0.2)
    for code in range(3):
        found = np.bincount(parts[codes == code], minlength=3) / (codes == code).sum()
        assert np.abs(found - [0.6, 0.2, 0.2]).max() < 0.01


@given(class_codes, st.integers(1, 200), st.integers(0, 99))
def test_a_limit_keeps_the_shares_and_three_rows_of_small_classes(codes, limit, seed):
    kept = limited(codes, draws(names(len(codes)), seed, "limit"), limit)
    for code, size in enumerate(np.bincount(codes)):
        wanted = limit * size / len(codes)
        found = (codes[kept] == code).sum()
        assert found >= min(size, 3)
        assert found <= max(3, wanted + 0.5)
        assert found >= min(size, wanted - 0.5)


# -- cross-validation ----------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 3), min_size=12, max_size=80), st.integers(2, 6), st.integers(0, 99))
def test_over_the_folds_every_row_is_tested_once(classes: list[int], folds: int, seed: int) -> None:
    codes = np.unique(np.array(classes), return_inverse=True)[1].astype(np.int64)
    drawn = draws([f"row-{k}" for k in range(len(codes))], seed, "folds")
    times = sum(fold_test_rows(codes, drawn, None, folds, fold, seed).astype(int) for fold in range(folds))
    single = np.bincount(codes)[codes] == 1
    assert (times == np.where(single, 0, 1)).all()


def test_folds_have_as_many_rows_of_each_class_but_for_one() -> None:
    codes = np.repeat([0, 1, 2], [53, 21, 7])
    drawn = draws([f"row-{k}" for k in range(81)], 0, "folds")
    counts = [np.bincount(codes[fold_test_rows(codes, drawn, None, 5, k, 0)], minlength=3) for k in range(5)]
    assert (np.ptp(counts, axis=0) <= 1).all()


def test_a_group_is_tested_as_a_whole() -> None:
    codes = np.arange(60) % 3
    groups = np.array([f"patient-{k // 6}" for k in range(60)])
    drawn = draws([f"row-{k}" for k in range(60)], 0, "folds")
    tested = [set(groups[fold_test_rows(codes, drawn, groups, 5, fold, 0)]) for fold in range(5)]
    assert sum(map(len, tested)) == 10 == len(set.union(*tested))
