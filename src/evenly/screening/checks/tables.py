"""The checks `schema` and `constraints`: table rows against the real ones, and against users' conditions.

A constraint such as `a <= b` is read as a Python expression and evaluated node by node; nothing is executed.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evenly.errors import ParameterError
from evenly.samples import Feature, SampleTable, Schema
from evenly.screening.context import Context, Outcome, Verdict, limited, verdict

#: From this skewness on (that of an exponential distribution is 2), and from so many rows on, a column of
#: positive numbers is measured by its logarithms.
_SKEWED, _FEWEST_SKEWED = 1.0, 20


def badly_filled(context: Context, rows: np.ndarray) -> Outcome:
    """Rows with values that the real training rows give no reason to expect.

    A value is missing where no real row misses it, a number is infinite or outside its column's range, or
    a category is new. How far beyond its range a number may lie, and whether a category may be new, depends
    on what genuine rows of the class do; missing and infinite values are never allowed.
    """
    features = context.candidates.schema.features
    numbers = [feature.name for feature in features if feature.kind in ("number", "integer")]
    for name, (low, high) in context.settings.table.ranges.items():
        if name not in numbers:
            raise ParameterError(
                f"params.yaml: filter.table.ranges names {name!r}, which is no number of the data set; "
                f"its numbers are {', '.join(numbers) or 'none'}."
            )
        if low > high:
            raise ParameterError(
                f"params.yaml: filter.table.ranges.{name} is [{low}, {high}], which is no range."
            )
    candidates = context.side(rows).samples
    verdicts: list[Verdict] = []
    for feature in features:
        verdicts += _column_verdicts(context, rows, candidates, feature)
    return Outcome(tuple(verdicts))


def _column_verdicts(
    context: Context, rows: np.ndarray, candidates: SampleTable, feature: Feature
) -> list[Verdict]:
    name = feature.name
    values, real = candidates.column(name), context.train.samples.column(name)
    known, real_known = _known(values), _known(real)
    verdicts = []
    if real_known.all():
        verdicts.append(verdict(~known, detail=f"{name} is missing"))
    if feature.kind == "category":
        categories = set(real[real_known])
        new = known & np.array([value not in categories for value in values], dtype=bool)
        details = np.full(len(values), None, dtype=object)
        details[:] = [f"{name} is new: {value}" for value in values]
        verdicts.append(limited(context, rows, "schema: new categories", new, detail=details))
    elif feature.kind in ("number", "integer"):
        numbers = np.full(len(values), np.nan)
        numbers[known] = values[known].astype(np.float64)
        real = real[real_known].astype(np.float64)
        low, high, skewed = _range(context, name, real)
        finite = np.isfinite(numbers)
        score = np.where(finite, numbers, np.nan)
        width = _width(np.log(real) if skewed else real)
        for above, limit in ((False, low), (True, high)):
            failed = numbers > limit if above else numbers < limit
            detail = f"{name} is {'above' if above else 'below'} its range"
            if name in context.settings.table.ranges or width is None:
                verdicts.append(verdict(failed, score=score, threshold=limit, detail=detail))
                continue
            verdicts.append(verdict(failed & ~finite, threshold=limit, detail=detail))
            verdicts.append(
                limited(
                    context,
                    rows,
                    "schema: ranges",
                    failed & finite,
                    score=score,
                    threshold=limit,
                    unit=width,
                    ratio=skewed,
                    above=above,
                    detail=detail,
                )
            )
    return verdicts


def _range(context: Context, name: str, real: np.ndarray) -> tuple[float, float, bool]:
    """Least and largest number that is expected, and whether distances are those of logarithms."""
    rules = context.settings.table
    if name in rules.ranges:
        return *rules.ranges[name], False
    if not len(real):
        return -np.finfo(np.float64).max, np.finfo(np.float64).max, False
    skewed = _is_skewed(real)
    scale = np.log(real) if skewed else real
    slack = rules.tolerance * (scale.max() - scale.min())
    low, high = float(scale.min() - slack), float(scale.max() + slack)
    return (math.exp(low), math.exp(high), True) if skewed else (low, high, False)


def _is_skewed(real: np.ndarray) -> bool:
    """Whether positive numbers have a long tail to the right that their logarithms have not."""
    from scipy.stats import skew

    if (
        len(real) < _FEWEST_SKEWED
        or real.min() <= 0
        or not np.isfinite(real).all()
        or real.min() == real.max()
    ):
        return False
    usual = float(skew(real))
    return usual > _SKEWED and abs(float(skew(np.log(real)))) < usual


def _width(real: np.ndarray) -> float | None:
    """What a distance from a range is measured in; None where there is none."""
    if not len(real):
        return None
    return float(real.max() - real.min()) or float(np.abs(real).max()) or 1.0


def _known(values: np.ndarray) -> np.ndarray:
    return np.array([value is not None and value == value for value in values], dtype=bool)


def violating(context: Context, rows: np.ndarray) -> Outcome:
    """Rows for which one of the user's constraints is false.

    The report says what share of the real training rows violate each: a constraint that real rows do not
    keep is probably a mistake.
    """
    expressions = context.settings.constraints
    if not expressions:
        return Outcome(skipped=("no constraints are given",))
    verdicts = []
    measured = {}
    candidates = context.side(rows).samples
    for expression in expressions:
        constraint = parse_constraint(expression, context.candidates.schema)
        verdicts.append(verdict(constraint.violated(candidates), detail=expression))
        real = constraint.violated(context.train.samples)
        measured[expression] = float(real.mean()) if len(real) else 0.0
    return Outcome(tuple(verdicts), measured={"real_rows_violating": measured})


# -- the language of constraints ---------------------------------------------------------------------------

#: Values of n rows, and which of them are known. Words are objects, conditions bool, numbers float.
_Values = tuple[np.ndarray, np.ndarray]

_TYPES: dict[str, type] = {"number": float, "integer": float, "boolean": bool, "category": object}
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
_ALLOWED = (
    "column names (in backticks where they hold spaces or signs), numbers, 'words', + - * / %, comparisons, "
    "in, and, or, not"
)


@dataclass(frozen=True)
class Constraint:
    """One constraint, as the user wrote it and as what it means; made by `parse_constraint`."""

    expression: str
    tree: ast.expr
    types: Mapping[str, type]  # of the columns that it names

    def violated(self, samples: SampleTable) -> np.ndarray:
        """Rows for which the constraint is false, bool (n,). What depends on a missing value is neither."""
        columns: dict[str, _Values] = {}
        for name, kind in self.types.items():
            values = samples.column(name)
            known = _known(values)
            columns[name] = np.zeros(len(values), dtype=kind), known
            columns[name][0][known] = values[known].astype(kind)
        with np.errstate(all="ignore"):
            values, known = _Evaluation(self.expression, columns, len(samples)).of(self.tree)
        return np.asarray(known & ~values)


def parse_constraint(expression: str, schema: Schema) -> Constraint:
    """Read a constraint such as ``low <= mean <= high`` or ``not smoker or `body mass` / 2 > 4``.

    Raises
    ------
    ParameterError
        When it cannot be read, names an unknown column, mixes words and numbers, or is no condition.
    """
    quoted = re.findall(r"`([^`]*)`", expression)
    places = iter(range(len(quoted)))
    try:
        plain = re.sub(r"`[^`]*`", lambda _: f" _quoted_{next(places)}_ ", expression).strip()
        tree = ast.parse(plain, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _refused(expression, "cannot be read") from error
    kinds = {feature.name: feature.kind for feature in schema.features}
    types = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            place = re.fullmatch(r"_quoted_(\d+)_", node.id)
            node.id = quoted[int(place[1])] if place and int(place[1]) < len(quoted) else node.id
            if node.id not in kinds:
                known = ", ".join(kinds) or "none"
                raise _refused(expression, f"names the column {node.id!r}, which is none of {known}")
            types[node.id] = _TYPES[kinds[node.id]]
    # Evaluated for no row at all, a constraint is as wrong as it is for a thousand.
    nothing: dict[str, _Values] = {
        name: (np.empty(0, dtype=kind), np.empty(0, dtype=bool)) for name, kind in types.items()
    }
    if _Evaluation(expression, nothing, 0).of(tree)[0].dtype != bool:
        raise _refused(expression, "is no condition that is true or false")
    return Constraint(expression, tree, types)


def _refused(expression: str, why: str) -> ParameterError:
    return ParameterError(
        f"params.yaml: filter.constraints holds {expression!r}, which {why}; allowed are {_ALLOWED}."
    )


@dataclass(frozen=True)
class _Evaluation:
    """Evaluates the nodes of one constraint for n rows, and refuses what is not allowed in one."""

    expression: str
    columns: Mapping[str, _Values]
    n: int

    def of(self, node: ast.expr) -> _Values:
        everywhere = np.ones(self.n, dtype=bool)
        match node:
            case ast.Name(id=name):
                return self.columns[name]
            case ast.Constant(value=bool() as value):
                return np.full(self.n, value), everywhere
            case ast.Constant(value=int() | float() as value):
                return np.full(self.n, float(value)), everywhere
            case ast.Constant(value=str() as value):
                return np.full(self.n, value, dtype=object), everywhere
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                values, known = self._condition(operand)
                return ~values, known
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as op, operand=operand):
                ((values, known),) = self._numbers(operand)
                return (-values if isinstance(op, ast.USub) else values), known
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                (a, a_known), (b, b_known) = self._numbers(left, right)
                values = np.asarray(_ARITHMETIC[type(op)](a, b))
                return values, a_known & b_known & np.isfinite(values)
            case ast.BoolOp(op=op, values=parts):
                return _all_or_any([self._condition(part) for part in parts], isinstance(op, ast.And))
            case ast.Compare():
                return _all_or_any(self._links(node), True)
        raise _refused(self.expression, f"holds {ast.unparse(node)!r}")

    def _condition(self, node: ast.expr) -> _Values:
        values, known = self.of(node)
        if values.dtype != bool:
            raise _refused(self.expression, f"has {ast.unparse(node)!r} where a condition belongs")
        return values, known

    def _numbers(self, *nodes: ast.expr) -> list[_Values]:
        """Numbers; a condition counts as 0 or 1."""
        found = [self.of(node) for node in nodes]
        words = [values.dtype == object for values, _ in found]
        if any(words):
            mixed = "has a word where a number belongs" if all(words) else "mixes words and numbers"
            raise _refused(self.expression, mixed)
        return [(values.astype(float), known) for values, known in found]

    def _links(self, node: ast.Compare) -> list[_Values]:
        """Each comparison of a chain such as `a < b <= c`."""
        links = []
        before = self.of(node.left)
        for link, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(link, ast.In | ast.NotIn):
                items = right.elts if isinstance(right, ast.Tuple | ast.List | ast.Set) else []
                if not items or len(node.ops) > 1:
                    raise _refused(self.expression, "needs a list such as ('a', 'b') after in")
                equal = [self._compared(operator.eq, before, self.of(item)) for item in items]
                values, known = _all_or_any(equal, False)
                links.append((~values if isinstance(link, ast.NotIn) else values, known))
            elif type(link) in _COMPARISONS:
                after = self.of(right)
                links.append(self._compared(_COMPARISONS[type(link)], before, after))
                before = after
            else:
                raise _refused(self.expression, "compares in a way that is not known")
        return links

    def _compared(self, comparison: Callable[[Any, Any], Any], a: _Values, b: _Values) -> _Values:
        if (a[0].dtype == object) != (b[0].dtype == object):
            raise _refused(self.expression, "mixes words and numbers")
        known = a[1] & b[1]
        values = np.zeros(len(known), dtype=bool)
        values[known] = comparison(a[0][known], b[0][known]).astype(bool)
        return values, known


def _all_or_any(parts: list[_Values], every: bool) -> _Values:
    """Kleene's three-valued and, or: known where one part decides, or all are known."""
    decided = np.logical_or.reduce([known & (values != every) for values, known in parts])
    known = decided | np.logical_and.reduce([known for _, known in parts])
    return decided != every, known
