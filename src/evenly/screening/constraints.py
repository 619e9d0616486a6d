"""Constraints that users give for the rows of a table, such as `a <= b`; nothing is ever executed."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from evenly.errors import ParameterError
from evenly.samples import SampleTable, Schema

_Values = tuple[np.ndarray, np.ndarray]  # values, and which of them are known

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}
_TYPES = {"number": "number", "integer": "number", "boolean": "truth", "category": "word"}
_ALLOWED = (
    "column names (in backticks where they hold spaces or signs), numbers, 'words', + - * / %, comparisons, "
    "in, and, or, not"
)


@dataclass(frozen=True)
class Constraint:
    """One constraint, checked against the columns of a data set.

    Attributes
    ----------
    expression
        As the user wrote it.
    tree
        What it means; column `names[i]` stands in it as `_column_i_`.
    names
        Columns that it speaks of.
    """

    expression: str
    tree: ast.expr
    names: tuple[str, ...]

    def violated(self, samples: SampleTable) -> np.ndarray:
        """Rows for which the constraint is false, bool (n,). What depends on a missing value is neither."""
        columns = {f"_column_{k}_": _column(samples, name) for k, name in enumerate(self.names)}
        with np.errstate(all="ignore"):
            values, known = _evaluate(self.tree, columns, len(samples))
        return np.asarray(known & ~values.astype(bool))


def parse_constraint(expression: str, schema: Schema) -> Constraint:
    """Read a constraint.

    Parameters
    ----------
    expression
        For example ``low <= mean <= high``, ``not smoker or age >= 16``, ``unit in ('kg', 'lb')`` or
        `` `body mass` / 2 > 4``. Evaluates to true or false for a row.
    schema
        Names the columns.

    Raises
    ------
    ParameterError
        When it cannot be read, names an unknown column, mixes words and numbers, or is no condition.
    """
    kinds = {feature.name: feature.kind for feature in schema.features}
    names: list[str] = []

    def stand_in(name: str) -> str:
        if name not in names:
            names.append(name)
        return f"_column_{names.index(name)}_"

    quoted = re.sub(r"`([^`]*)`", lambda match: f" {stand_in(match[1])} ", expression)
    from_backticks = len(names)
    try:
        tree = ast.parse(quoted.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _refused(expression, "cannot be read") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            written = re.fullmatch(r"_column_(\d+)_", node.id)
            if not (written and int(written[1]) < from_backticks):
                node.id = stand_in(node.id)
    for name in names:
        if name not in kinds:
            known = ", ".join(kinds) or "none"
            raise _refused(expression, f"names the column {name!r}, which is none of {known}")
    types = {f"_column_{k}_": _TYPES[kinds[name]] for k, name in enumerate(names)}
    if _type_of(tree, types, expression) != "truth":
        raise _refused(expression, "is no condition that is true or false")
    return Constraint(expression, tree, tuple(names))


def _refused(expression: str, why: str) -> ParameterError:
    return ParameterError(
        f"params.yaml: filter.constraints holds {expression!r}, which {why}; allowed are {_ALLOWED}."
    )


def _type_of(node: ast.expr, columns: dict[str, str], expression: str) -> str:
    """`number`, `word` or `truth`; refuses everything that is none of these."""

    def same(nodes: list[ast.expr], wanted: str | None = None) -> str:
        types = {_type_of(each, columns, expression) for each in nodes}
        if wanted == "number" and types <= {"number", "truth"}:
            return "number"  # a boolean column or condition counts as 0 or 1
        if len(types) > 1 and types != {"number", "truth"}:
            raise _refused(expression, "mixes words and numbers")
        found = types.pop()
        if wanted is not None and found != wanted:
            raise _refused(expression, f"has a {found} where a {wanted} belongs")
        return found

    match node:
        case ast.Name(id=name):
            return columns[name]
        case ast.Constant(value=bool()):
            return "truth"
        case ast.Constant(value=int() | float()):
            return "number"
        case ast.Constant(value=str()):
            return "word"
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            return same([operand], "number")
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _condition([operand], columns, expression)
            return "truth"
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return same([left, right], "number")
        case ast.BoolOp(values=values):
            _condition(values, columns, expression)
            return "truth"
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            operands = [left]
            for link, right in zip(ops, comparators, strict=True):
                if isinstance(link, ast.In | ast.NotIn):
                    if (
                        not isinstance(right, ast.Tuple | ast.List | ast.Set)
                        or len(ops) > 1
                        or not right.elts
                    ):
                        raise _refused(expression, "needs a list such as ('a', 'b') after in")
                    operands += right.elts
                elif type(link) in _COMPARISONS:
                    operands.append(right)
                else:
                    raise _refused(expression, "compares in a way that is not known")
            same(operands)
            return "truth"
    raise _refused(expression, f"holds {ast.unparse(node)!r}")


def _condition(nodes: list[ast.expr], columns: dict[str, str], expression: str) -> None:
    """Refuse what is not true or false."""
    for node in nodes:
        if _type_of(node, columns, expression) != "truth":
            raise _refused(expression, f"has {ast.unparse(node)!r} where a condition belongs")


def _evaluate(node: ast.expr, columns: dict[str, _Values], n: int) -> _Values:
    everywhere = np.ones(n, dtype=bool)
    match node:
        case ast.Name(id=name):
            return columns[name]
        case ast.Constant(value=value):
            return np.full(n, value, dtype=object if isinstance(value, str) else None), everywhere
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            values, known = _evaluate(operand, columns, n)
            return ~values.astype(bool), known
        case ast.UnaryOp(op=op, operand=operand):
            values, known = _evaluate(operand, columns, n)
            return (-values if isinstance(op, ast.USub) else values), known
        case ast.BinOp(left=left, op=op, right=right):
            (a, a_known), (b, b_known) = _evaluate(left, columns, n), _evaluate(right, columns, n)
            values = np.asarray(_ARITHMETIC[type(op)](a.astype(float), b.astype(float)))
            return values, a_known & b_known & np.isfinite(values)
        case ast.BoolOp(op=op, values=parts):
            return _all_or_any([_evaluate(part, columns, n) for part in parts], isinstance(op, ast.And))
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            links = []
            before = _evaluate(left, columns, n)
            for link, right in zip(ops, comparators, strict=True):
                if isinstance(link, ast.In | ast.NotIn):
                    assert isinstance(right, ast.Tuple | ast.List | ast.Set)
                    values, known = _all_or_any(
                        [_compared(ast.Eq(), before, _evaluate(item, columns, n)) for item in right.elts],
                        False,
                    )
                    links.append((~values if isinstance(link, ast.NotIn) else values, known))
                else:
                    after = _evaluate(right, columns, n)
                    links.append(_compared(link, before, after))
                    before = after
            return _all_or_any(links, True)
    raise AssertionError(ast.dump(node))


def _compared(op: ast.cmpop, a: _Values, b: _Values) -> _Values:
    known = a[1] & b[1]
    values = np.zeros(len(known), dtype=bool)
    values[known] = _COMPARISONS[type(op)](a[0][known], b[0][known]).astype(bool)
    return values, known


def _all_or_any(parts: list[_Values], every: bool) -> _Values:
    """Kleene's three-valued and, or: known where one part decides, or all are known."""
    decided = np.logical_or.reduce([known & (values.astype(bool) != every) for values, known in parts])
    known = decided | np.logical_and.reduce([known for _, known in parts])
    return decided != every, known


def _column(samples: SampleTable, name: str) -> _Values:
    kind = next(feature.kind for feature in samples.schema.features if feature.name == name)
    values = samples.column(name)
    known = np.array([value is not None and value == value for value in values], dtype=bool)
    if kind == "category":
        return values, known
    numbers = np.zeros(len(values), dtype=np.float64)
    numbers[known] = values[known].astype(np.float64)
    return numbers, known
