"""Generated table rows have the types, ranges and categories of the training rows."""

import numpy as np
import pytest
from generation_cases import people_table, plan_for
from hypothesis import given
from hypothesis import strategies as st

from evenly.generators.generate import generate
from evenly.generators.number_scales import ModeScale, fit_scale
from evenly.generators.sampling import Batches
from evenly.generators.table_gan import Conditions
from evenly.generators.table_transform import MOST_LEVELS, fit_transform
from evenly.samples import Feature, Schema, samples_from_columns


@pytest.mark.parametrize("numbers", ["modes", "quantile"])
@pytest.mark.parametrize("generator", ["table_gan", "table_vae"])
def test_values_are_of_their_types_and_within_what_training_had(generator, numbers):
    train = people_table()
    made = generate(train, plan_for(generator, {"young": 120, "old": 120}, numbers=numbers)).samples
    real, rows = train.features_frame(), made.features_frame()
    assert (rows.dtypes == real.dtypes).all()
    for name in ("income", "height", "age", "constant"):
        assert rows[name].min() >= real[name].min()
        assert rows[name].max() <= real[name].max()
    assert set(rows["town"].dropna()) <= {"city", "spa"}
    assert 0 < rows["income"].isna().mean() < 0.5
    assert not rows[["height", "age", "constant"]].isna().any().any()


@pytest.mark.parametrize("generator", ["table_gan", "table_vae"])
def test_numbers_and_categories_follow_the_class(generator):
    train = people_table()
    made = generate(train, plan_for(generator, {"young": 120, "old": 120}, steps=300)).samples
    rows, old = made.features_frame(), made.labels == "old"
    assert rows["age"][old].mean() > rows["age"][~old].mean() + 15
    assert (rows["town"][old] == "spa").mean() > (rows["town"][~old] == "spa").mean() + 0.3


@pytest.mark.parametrize("numbers", ["modes", "quantile"])
def test_a_table_comes_back_from_its_matrix(numbers):
    train = people_table()
    transform = fit_transform(train, numbers, 10, 0)
    matrix = transform.matrix(train, np.random.default_rng(0))
    payload = transform.payload(matrix, np.random.default_rng(0))
    for feature in train.schema.features:
        before, after = train.table.column(feature.name).to_pylist(), payload[feature.name].to_pylist()
        if feature.kind in ("number", "integer"):
            known = [k for k, value in enumerate(before) if value is not None]
            assert [after[k] is None for k in range(len(before))] == [value is None for value in before]
            spread = np.std([before[k] for k in known]) or 1
            error = np.abs(np.subtract([before[k] for k in known], [after[k] for k in known]))
            assert np.mean(error < 0.05 * spread) > 0.97
        else:
            assert after == before


def test_two_modes_are_found_and_numbers_are_scaled_within_their_own():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, 500), rng.normal(1000, 1, 500)])
    scale = fit_scale(values, "modes", 10, 0)
    assert isinstance(scale, ModeScale)
    scaled, modes = scale.normalised(values, np.zeros(1000, dtype=bool), rng)
    assert set(scale.means[modes[:500]] > 500) == {False}
    assert set(scale.means[modes[500:]] > 500) == {True}
    assert np.abs(scaled).max() <= 1
    assert np.allclose(scale.restored(scaled, modes), values, atol=0.5)


@given(st.lists(st.floats(-1e12, 1e12), max_size=40), st.sampled_from(["modes", "quantile"]))
def test_any_column_of_numbers_can_be_scaled_and_restored(listed, numbers):
    values = np.array(listed, dtype=np.float64)
    scale = fit_scale(values, numbers, 5, 0)
    scaled, modes = scale.normalised(values, np.zeros(len(values), dtype=bool), np.random.default_rng(0))
    restored = scale.restored(scaled, modes)
    assert np.isfinite(scaled).all() and np.isfinite(restored).all()
    if len(values):
        assert restored.min() >= values.min() and restored.max() <= values.max()


def test_a_column_of_many_values_keeps_its_rare_ones():
    names = [f"v{k:03}" for k in range(200)] + ["v000"] * 50
    train = samples_from_columns(
        {"id": [str(k) for k in range(250)], "label": ["a"] * 250, "word": names},
        Schema("table", ("a",), (Feature("word", "category", tuple(sorted(set(names)))),)),
    )
    transform = fit_transform(train, "quantile", 5, 0)
    assert transform.dimension == MOST_LEVELS
    matrix = transform.matrix(train, np.random.default_rng(0))
    words = transform.payload(matrix, np.random.default_rng(0))["word"].to_pylist()
    assert set(words) <= set(names)
    assert words.count("v000") == 51
    assert len(set(words)) > MOST_LEVELS


def test_conditions_in_training_are_met_by_their_rows_and_reach_rare_values():
    train = people_table()
    transform = fit_transform(train, "quantile", 5, 0)
    matrix = transform.matrix(train, np.random.default_rng(0))
    conditions = Conditions(
        matrix, train.codes, transform.choices, Batches(train.codes, 1.0, np.random.default_rng(0))
    )
    drawn = conditions.training(2000)
    assert (train.codes[drawn.rows] == drawn.codes).all()
    for choice, (start, end) in conditions.blocks:
        asked = drawn.vectors[:, start:end]
        rows = np.flatnonzero(asked.any(axis=1))
        assert (matrix[drawn.rows[rows], choice.start : choice.end] == asked[rows]).all()
    assert (drawn.vectors.sum(axis=1) == 1).all()
    assert 0.45 < (drawn.codes == 1).mean() < 0.55  # a quarter of the rows, half of the batch
