from __future__ import annotations

import pytest

from evenly.errors import ParameterError
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns
from evenly.screening.checks.tables import parse_constraint

SCHEMA = Schema(
    "table",
    ("x",),
    (
        Feature("a", "number"),
        Feature("b", "integer"),
        Feature("smoker", "boolean"),
        Feature("unit of it", "category", ("kg", "lb")),
    ),
)


def one_row(
    a: float | None, b: int | None, smoker: bool | None = True, unit: str | None = "kg"
) -> SampleTable:
    columns = {"id": ["0"], "label": ["x"], "a": [a], "b": [b], "smoker": [smoker], "unit of it": [unit]}
    return samples_from_columns(columns, SCHEMA)


@pytest.mark.parametrize(
    ("expression", "row", "violated"),
    [
        ("a <= b", (1.0, 2), False),
        ("a <= b", (3.0, 2), True),
        ("a <= b", (None, 2), False),
        ("a <= b", (float("nan"), 2), False),
        ("0 < a < b", (1.0, 2), False),
        ("0 < a < b", (2.0, 2), True),
        ("not smoker or a >= 16", (15.0, 0, True), True),
        ("not smoker or a >= 16", (15.0, 0, False), False),
        ("not smoker or a >= 16", (15.0, 0, None), False),
        ("smoker", (1.0, 0, False), True),
        ("`unit of it` in ('lb', 'st')", (1.0, 0), True),
        ("`unit of it` not in ('lb', 'st')", (1.0, 0), False),
        ("`unit of it` == 'kg' and a / b > 1", (3.0, 2), False),
        ("a / b > 1", (3.0, 0), False),
        ("-a + 2 * b % 3 == 1", (1.0, 1), False),
        ("a != 1 or b > 5", (None, 6), False),
        ("a != 1 and b > 5", (None, 5), True),
    ],
)
def test_a_constraint_is_violated_where_it_is_known_to_be_false(
    expression: str, row: tuple[object, ...], violated: bool
) -> None:
    constraint = parse_constraint(expression, SCHEMA)
    assert constraint.violated(one_row(*row)).tolist() == [violated]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true') == 0",
        "a.real > 1",
        "(lambda: 1)() == 1",
        "[x for x in a] == b",
        "a[0] > 1",
        "c > 1",
        "a >",
        "",
        "a",
        "a + b",
        "a > 'kg'",
        "'kg' + 'lb' == `unit of it`",
        "a ** b > 1",
        "a is None",
        "`unit of it` in 'kg'",
        "f'{a}' == 'x'",
        "(a := 3) > 1",
        "a if smoker else b",
        "not a + 1",
    ],
)
def test_nothing_but_conditions_on_columns_is_understood(expression: str) -> None:
    with pytest.raises(ParameterError, match=r"filter\.constraints holds"):
        parse_constraint(expression, SCHEMA)
