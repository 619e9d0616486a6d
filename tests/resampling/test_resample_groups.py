"""By group, every method does what it does by class: groups come out equal, and rows keep their attribute."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resampling_tables import BUILDERS, clouds, plan, resampled

from evenly.errors import DataError
from evenly.groups import by_group, group_counts
from evenly.params.resampling import RESAMPLERS
from evenly.samples import SampleTable

VALUES = ("left", "right")
ADDING = [
    method
    for method in tuple(RESAMPLERS)
    if method.endswith(("smote", "smotenc")) or method in ("adasyn", "random_over")
]


def grouped_samples(sizes: list[int], kind: str = "number", seed: int = 0) -> SampleTable:
    """Groups of these sizes: c0 left, c0 right, c1 left, c1 right, each a cloud of its own."""
    vectors, quarters = clouds(sizes, seed=seed)
    samples = BUILDERS[kind](vectors, quarters // 2)
    return samples.with_column("attribute", [VALUES[quarter % 2] for quarter in quarters])


@given(
    st.lists(st.integers(1, 30), min_size=4, max_size=4),
    st.sampled_from(["random_over", "smote", "adasyn", "borderline_smote", "kmeans_smote"]),
)
@settings(max_examples=25, deadline=None)
def test_all_groups_are_equal_afterwards(sizes: list[int], method: str) -> None:
    samples = grouped_samples(sizes)
    targets = dict.fromkeys(group_counts(samples), max(sizes))
    table, report = resampled(samples, plan(method, targets, balance_on="group"))
    assert group_counts(table) == targets
    assert {name: outcome.after for name, outcome in report.classes.items()} == targets
    assert table.schema == samples.schema


@pytest.mark.parametrize("kind", sorted(BUILDERS))
@pytest.mark.parametrize("method", ["random_over", "smote"])
def test_parents_neighbours_and_offspring_are_of_one_group(method: str, kind: str) -> None:
    samples = grouped_samples([30, 8, 6, 25], kind)
    targets = dict.fromkeys(group_counts(samples), 30)
    table, _ = resampled(samples, plan(method, targets, balance_on="group"))
    group = dict(zip(samples.ids, by_group(samples).labels, strict=True))
    own = by_group(table).labels
    made = np.flatnonzero(~table.is_real)
    assert len(made) == 120 - 69
    for row in made:
        assert own[row] == group[table.column("parent")[row]]
        neighbour = table.column("neighbour")[row]
        assert neighbour is None if method == "random_over" else own[row] == group[neighbour]


def test_the_larger_groups_are_thinned_out() -> None:
    samples = grouped_samples([30, 8, 6, 25])
    targets = dict.fromkeys(group_counts(samples), 6)
    table, report = resampled(samples, plan("random_under", targets, balance_on="group"))
    assert group_counts(table) == targets
    assert report.to_json()["groups"]["c0/left"]["removed"] == 24


@pytest.mark.parametrize("method", ADDING)
def test_a_group_is_to_a_method_what_a_class_is(method: str) -> None:
    samples = grouped_samples([30, 8, 6, 25])
    asked = plan(method, dict.fromkeys(group_counts(samples), 30), balance_on="group")
    table, _ = resampled(samples, asked)
    by_class, _ = resampled(by_group(samples), asked.model_copy(update={"balance_on": "class"}))
    assert by_group(table).table.equals(by_class.table)


def test_what_could_not_be_done_is_said_of_the_group() -> None:
    samples = grouped_samples([9, 1, 9, 9])
    _, report = resampled(samples, plan("smote", {"c0/right": 5}, balance_on="group"))
    assert report.messages() == ["Group 'c0/right' has a single row: it was duplicated."]


def test_an_attribute_does_not_change_what_is_done_by_class() -> None:
    samples = grouped_samples([30, 8, 6, 25])
    blind = BUILDERS["number"](*(lambda v, q: (v, q // 2))(*clouds([30, 8, 6, 25])))
    asked = plan("smote", {"c0": 40, "c1": 40})
    seeing, _ = resampled(samples, asked)
    unseeing, _ = resampled(blind, asked)
    assert seeing.table.drop_columns(["attribute"]).equals(unseeing.table)


def test_rows_of_no_group_are_refused() -> None:
    vectors, labels = clouds([5, 5])
    with pytest.raises(DataError, match="no value of the spurious attribute"):
        resampled(BUILDERS["number"](vectors, labels), plan("smote", {"c0/x": 9}, balance_on="group"))
