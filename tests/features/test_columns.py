from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from feature_tables import table_samples
from hypothesis import given
from hypothesis import strategies as st

from evenly.features.columns import Columns, fit_columns
from evenly.params.features import TableFeatures
from evenly.samples import SampleTable


def complete() -> SampleTable:
    return table_samples(
        [1, 2, 3, 6], [10, 20, 30, 41], [True, False, True, True], ["red", "blue", "red", "green"]
    )


def gappy() -> SampleTable:
    return table_samples(
        [1, None, 3, 6], [10, 20, None, 40], [True, None, True, False], ["red", None, "red", "blue"]
    )


def fitted(train: SampleTable, max_categories: int = 64) -> Columns:
    return fit_columns(train, TableFeatures(max_categories=max_categories))


def cells(payload: Any) -> dict[str, list[Any]]:
    return {name: column.to_pylist() for name, column in payload.items()}


def test_numbers_are_standardised_booleans_0_1_and_categories_one_hot() -> None:
    train = complete()
    vectors = fitted(train).transform(train)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[:, :2].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(vectors[:, :2].std(axis=0), 1, atol=1e-6)
    assert vectors[:, 2].tolist() == [1, 0, 1, 1]
    assert vectors[:, 3:].tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_missing_numbers_take_the_training_median_and_a_mark() -> None:
    train = gappy()
    columns = fitted(train)
    vectors = columns.transform(train)
    assert vectors[:, 1].tolist() == [0, 1, 0, 0]
    assert columns.columns[0].fill == 3
    assert vectors[1, 0] == vectors[2, 0]  # 3 is the median
    assert np.isfinite(vectors).all()


def test_missing_is_a_category_of_its_own_when_train_has_it() -> None:
    train = gappy()
    vectors = fitted(train).transform(train)
    assert vectors[:, -3:].tolist() == [[0, 1, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_unknown_and_unseen_missing_categories_are_all_zeros() -> None:
    columns = fitted(complete())
    later = table_samples([1, None], [1, None], [True, None], ["violet", None])
    vectors = columns.transform(later)
    assert not vectors[:, 3:].any()
    assert np.isfinite(vectors).all()


def test_rare_categories_beyond_the_limit_share_the_zeros() -> None:
    columns = fitted(complete(), max_categories=1)
    assert columns.columns[3].levels == ("red",)
    assert columns.transform(complete())[:, 3].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("train", [complete(), gappy()], ids=["complete", "gappy"])
def test_rows_come_back_from_their_vectors_with_their_types(train: SampleTable) -> None:
    columns = fitted(train)
    back = cells(columns.payload(columns.transform(train)))
    for name in ("count", "open", "colour"):
        assert back[name] == train.column(name).tolist()
    for value, expected in zip(back["size"], train.column("size"), strict=True):
        assert value == expected or abs(value - expected) < 1e-5


@pytest.mark.parametrize("train", [complete(), gappy()], ids=["complete", "gappy"])
def test_mixed_rows_and_back_change_nothing(train: SampleTable) -> None:
    columns = fitted(train)
    back = cells(columns.unmixed(columns.mixed(train)))
    assert back == {name: train.column(name).tolist() for name in back}


def test_integers_beyond_float32_survive_the_mixed_form() -> None:
    train = table_samples([0, 0], [2**40 + 1, 2**40 + 2], [True, False], ["red", "red"])
    columns = fitted(train)
    assert cells(columns.unmixed(columns.mixed(train)))["count"] == [2**40 + 1, 2**40 + 2]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=2, max_size=8))
def test_any_numbers_give_finite_vectors_and_finite_numbers(values: list[float]) -> None:
    n = len(values)
    train = table_samples(values, [1] * n, [True] * n, ["red"] * n)
    columns = fitted(train)
    vectors = columns.transform(train)
    assert np.isfinite(vectors).all()
    back = cells(columns.payload(vectors))["size"]
    assert all(value is None or np.isfinite(value) for value in back)


@given(st.integers(0, 1000))
def test_any_vector_gives_a_valid_row(seed: int) -> None:
    train = gappy()
    columns = fitted(train)
    vectors = np.random.default_rng(seed).normal(0, 10, (5, columns.dimension)).astype(np.float32)
    back = cells(columns.payload(vectors))
    assert all(value is None or isinstance(value, int) for value in back["count"])
    assert set(back["open"]) <= {True, False, None}
    assert set(back["colour"]) <= {"red", "blue", None}
