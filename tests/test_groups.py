"""Groups of class and spurious attribute: names, counts, and a table seen by them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenly.errors import DataError
from evenly.groups import by_class, by_group, class_totals, group_counts, group_name, parts_of
from evenly.samples import SampleTable, Schema, samples_from_columns

SCHEMA = Schema("text", ("cow", "camel"))


def table(*pairs: tuple[str, str | None]) -> SampleTable:
    labels, values = zip(*pairs, strict=True)
    columns = {"id": [f"r{k}" for k in range(len(pairs))], "label": labels, "attribute": values}
    return samples_from_columns(columns | {"text": list(labels)}, SCHEMA)


@given(st.lists(st.tuples(st.text(alphabet="a/%25F "), st.text(alphabet="a/%25F ")), min_size=2, max_size=2))
def test_a_name_says_one_pair_and_no_other(pairs: list[tuple[str, str]]) -> None:
    first, second = pairs
    assert parts_of(group_name(*first)) == first
    assert (group_name(*first) == group_name(*second)) == (first == second)


def test_groups_that_occur_are_counted_by_class_order_and_then_by_value() -> None:
    rows = table(("camel", "sand"), ("cow", "sand"), ("cow", "grass"), ("camel", "sand"))
    assert list(group_counts(rows).items()) == [("cow/grass", 1), ("cow/sand", 1), ("camel/sand", 2)]
    assert class_totals(group_counts(rows), SCHEMA.classes) == rows.counts == {"cow": 2, "camel": 2}


def test_a_table_comes_back_from_its_groups_as_it_was() -> None:
    rows = table(("camel", "sand"), ("cow", "sand"), ("cow", "grass"))
    seen = by_group(rows)
    assert seen.counts == group_counts(rows)
    assert by_class(seen, rows.schema).table.equals(rows.table)


def test_a_row_of_no_group_is_named() -> None:
    with pytest.raises(
        DataError, match=r"row 'r1' has no value of the spurious attribute.*balance_on: class"
    ):
        by_group(table(("cow", "sand"), ("cow", None)))
