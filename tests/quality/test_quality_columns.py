from __future__ import annotations

import numpy as np
import pytest

from evenly.quality.measures import (
    column_distances,
    correlation_difference,
    number_distance,
    total_variation,
)
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns

SCHEMA = Schema(
    "table",
    ("a", "b"),
    (Feature("size", "number"), Feature("count", "integer"), Feature("colour", "category", ("blue", "red"))),
)


def table(size: list[float | None], count: list[int], colour: list[str | None]) -> SampleTable:
    columns = {
        "id": [f"r{k}" for k in range(len(size))],
        "label": ["a"] * len(size),
        "size": size,
        "count": count,
        "colour": colour,
    }
    return samples_from_columns(columns, SCHEMA)


def test_numbers_are_compared_by_the_area_between_their_distributions() -> None:
    rng = np.random.default_rng(0)
    real, made = rng.normal(3, 2, 400), rng.gamma(2, 1, 400)
    expected = np.abs(np.sort(real) - np.sort(made)).mean() / real.std()
    assert number_distance(real, made) == pytest.approx(expected, abs=1e-6)
    assert number_distance(real, real + real.std()) == pytest.approx(1, abs=1e-6)
    assert number_distance(100 * real, 100 * made) == pytest.approx(expected, abs=1e-6)


def test_missing_numbers_count_where_a_column_is_missing_altogether() -> None:
    values = np.array([1.0, 2.0, np.nan])
    assert number_distance(values, np.array([2.0, 1.0])) == 0
    assert number_distance(values, np.full(2, np.nan)) == 1
    assert number_distance(np.full(2, np.nan), np.full(3, np.nan)) == 0
    assert number_distance(np.ones(3), np.full(3, 3.0)) == 2


def test_categories_are_compared_by_total_variation() -> None:
    real, made = ["x"] * 6 + ["y"] * 3 + [None], ["x"] * 3 + ["z"] * 3
    assert total_variation(real, made) == pytest.approx(0.5 * (0.1 + 0.3 + 0.1 + 0.5))
    assert total_variation(real, real * 3) == pytest.approx(0)
    assert total_variation(["x"], ["y"]) == 1


def test_every_column_gets_the_distance_of_its_kind() -> None:
    real = table([1.0, 3.0, None], [1, 2, 3], ["red", "blue", None])
    made = table([2.0, 4.0, 4.0], [1, 2, 3], ["red", "red", "red"])
    found = column_distances(real, made)
    assert found["size"] == pytest.approx(number_distance(np.array([1.0, 3.0]), np.array([2.0, 4.0, 4.0])))
    assert found["count"] == 0
    assert found["colour"] == pytest.approx(2 / 3)


def test_correlations_are_compared_pair_by_pair() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((4, 4))
    real, made = rng.standard_normal((80, 4)) @ mixing, rng.standard_normal((50, 4))
    pairs = np.triu_indices(4, 1)
    expected = np.abs(np.corrcoef(real.T) - np.corrcoef(made.T))[pairs].mean()
    assert correlation_difference(real, made) == pytest.approx(expected, abs=1e-6)
    assert correlation_difference(real, real) == 0


def test_constant_columns_correlate_with_nothing() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(50)
    real = np.stack([x, x, np.full(50, 0.1)], axis=1)
    assert correlation_difference(real, np.stack([x, np.full(50, 0.1), x], axis=1)) == pytest.approx(1)
    assert correlation_difference(real[:, 1:], real[:, 1:]) is None
