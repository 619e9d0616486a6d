"""Jitter: ranges, types and gaps of the training rows are kept."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenly.augmentation import augment
from evenly.params.augmentation import Policy
from evenly.plans import AugmentPlan
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns


def jitter(**values) -> Policy:
    return Policy.model_validate({"modality": "table", "jitter": values})


def jittered(train: SampleTable, counts: dict[str, int], seed: int = 0, **values) -> SampleTable:
    return augment(train, AugmentPlan(policy=jitter(**values), counts=counts, seed=seed))


def one_number(values: list[float], labels: list[str]) -> SampleTable:
    columns = {"id": [f"r{k:03}" for k in range(len(values))], "label": labels, "x": values}
    return samples_from_columns(columns, Schema("table", ("a", "b"), (Feature("x", "number"),)))


def parents_of(made: SampleTable, train: SampleTable) -> pd.DataFrame:
    """Features of each made row's parent."""
    position = {name: k for k, name in enumerate(train.ids)}
    rows = [position[name] for name in made.column("parent")]
    return train.features_frame().iloc[rows].reset_index(drop=True)


@given(noise=st.floats(0.01, 50), replace=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_values_stay_in_what_training_rows_hold(mixed_table, noise, replace, seed):
    made = jittered(mixed_table, {"rare": 5, "common": 30}, seed, noise=noise, replace=replace)
    before, after = mixed_table.features_frame(), made.features_frame()
    assert (before.dtypes == after.dtypes).all()
    for name in ("height", "children"):
        assert after[name].min() >= before[name].min()
        assert after[name].max() <= before[name].max()


def test_missing_values_stay_missing_and_no_others_appear(mixed_table):
    made = jittered(mixed_table, {"rare": 9, "common": 60}, noise=0.5, replace=0.5)
    source = parents_of(made, mixed_table)
    assert made.features_frame().isna().equals(source.isna())


def test_exchanged_values_are_those_of_the_same_class(mixed_table):
    made = jittered(mixed_table, {"rare": 20, "common": 60}, noise=0.5, replace=1.0)
    towns = mixed_table.column("town")
    for label in ("rare", "common"):
        seen = set(towns[mixed_table.labels == label])
        assert set(made.column("town")[made.labels == label]) <= seen
    common = made.labels == "common"
    assert (made.features_frame()["town"] != parents_of(made, mixed_table)["town"])[common].any()


def test_booleans_and_categories_are_left_alone_by_default(mixed_table):
    made = jittered(mixed_table, {"rare": 9, "common": 60}, noise=0.5)
    source = parents_of(made, mixed_table)
    assert made.features_frame()[["smokes", "town"]].equals(source[["smokes", "town"]])


def test_noise_is_as_wide_as_the_class_is():
    rng = np.random.default_rng(0)
    values = [*rng.normal(0, 1, 400), *rng.normal(0, 20, 400)]
    train = one_number(values, ["a"] * 400 + ["b"] * 400)
    for spread, expected in (("class", 0.2 * 1), ("overall", 0.2 * np.std(values))):
        made = jittered(train, {"a": 1200}, noise=0.2, spread=spread)
        moved = made.features_frame()["x"] - parents_of(made, train)["x"]
        assert moved.std() == pytest.approx(expected, rel=0.15)
        assert abs(moved.mean()) < 0.1 * expected + 0.02


def test_a_class_too_small_to_know_its_spread_takes_that_of_all_rows():
    train = one_number([0.0, *np.linspace(-10, 10, 50)], ["a"] + ["b"] * 50)
    made = jittered(train, {"a": 200}, noise=0.1)
    assert np.std(made.column("x").astype(float)) == pytest.approx(0.1 * np.std(train.column("x")), rel=0.2)


def test_a_feature_that_is_constant_in_a_class_stays_constant_there():
    train = one_number([5.0] * 6 + [1.0, 2.0, 9.0, 4.0, 8.0, 3.0], ["a"] * 6 + ["b"] * 6)
    assert len(jittered(train, {"a": 4}, noise=1.0)) == 0
    assert len(jittered(train, {"b": 4}, noise=1.0)) == 4


def test_large_integers_are_not_squeezed_through_floats():
    big = 2**60 + 1
    columns = {"id": ["p", "q"], "label": ["a", "a"], "n": [big, big + 2], "x": [0.0, 1.0]}
    schema = Schema("table", ("a",), (Feature("n", "integer"), Feature("x", "number")))
    made = jittered(samples_from_columns(columns, schema), {"a": 10}, noise=0.01)
    assert set(made.column("n")) == {big, big + 2}


def test_rows_differ_from_each_other_and_from_training_rows(mixed_table):
    made = jittered(mixed_table, {"rare": 40, "common": 80}, noise=0.05, replace=0.05)
    rows = [tuple(row.values()) for row in (*dicts(made), *dicts(mixed_table))]
    assert len(set(map(repr, rows))) == len(rows)


def test_the_probability_says_how_many_numbers_are_touched():
    rng = np.random.default_rng(1)
    names = [f"x{k}" for k in range(20)]
    columns = {"id": [f"r{k}" for k in range(30)], "label": ["a"] * 30}
    columns |= {name: list(rng.normal(size=30)) for name in names}
    train = samples_from_columns(columns, Schema("table", ("a",), tuple(Feature(n, "number") for n in names)))
    made = jittered(train, {"a": 300}, noise=0.3, probability=0.25)
    before, after = parents_of(made, train), made.features_frame()
    # A few touched values end where they were, at the edge of the observed range.
    assert (before.to_numpy() != after.to_numpy()).mean() == pytest.approx(0.25, abs=0.03)


def dicts(samples: SampleTable) -> list[dict]:
    return samples.features_frame().to_dict("records")
