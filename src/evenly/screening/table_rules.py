"""Checks on a table row by itself: missing values, ranges and categories of its columns, and the user's
constraints.
"""

from __future__ import annotations

import numpy as np

from evenly.errors import ParameterError
from evenly.samples import Feature
from evenly.screening.constraints import parse_constraint
from evenly.screening.context import Context, Outcome, Verdict, verdict


def badly_filled(context: Context, rows: np.ndarray) -> Outcome:
    """Rows with values that the real training rows give no reason to expect.

    A value is missing where no real row misses it, a number is infinite or outside its column's range, or
    a category is new.
    """
    features = context.candidates.schema.features
    ranges = context.settings.table.ranges
    numbers = [feature.name for feature in features if feature.kind in ("number", "integer")]
    for name, (low, high) in ranges.items():
        if name not in numbers:
            raise ParameterError(
                f"params.yaml: filter.table.ranges names {name!r}, which is no number of the data set; "
                f"its numbers are {', '.join(numbers) or 'none'}."
            )
        if low > high:
            raise ParameterError(
                f"params.yaml: filter.table.ranges.{name} is [{low}, {high}], which is no range."
            )
    verdicts: list[Verdict] = []
    for feature in features:
        verdicts += _column_verdicts(context, rows, feature)
    return Outcome(tuple(verdicts))


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
    shown = context.shown(rows).samples
    for expression in expressions:
        constraint = parse_constraint(expression, context.candidates.schema)
        verdicts.append(verdict("constraints", constraint.violated(shown), detail=expression))
        real = constraint.violated(context.train.samples)
        measured[expression] = float(real.mean()) if len(real) else 0.0
    return Outcome(tuple(verdicts), measured={"real_rows_violating": measured})


def _column_verdicts(context: Context, rows: np.ndarray, feature: Feature) -> list[Verdict]:
    name = feature.name
    values, real = context.shown(rows).samples.column(name), context.train.samples.column(name)
    missing, real_missing = _missing(values), _missing(real)
    verdicts = []
    if not real_missing.any():
        verdicts.append(verdict("schema", missing, detail=f"{name} is missing"))
    if feature.kind == "category":
        known = set(real[~real_missing])
        new = np.array([not gone and value not in known for value, gone in zip(values, missing, strict=True)])
        details = np.full(len(rows), None, dtype=object)
        details[:] = [f"{name} is new: {value}" for value in values]
        verdicts.append(verdict("schema", new, detail=details))
    elif feature.kind in ("number", "integer"):
        numbers = np.full(len(rows), np.nan)
        numbers[~missing] = values[~missing].astype(np.float64)
        low, high = _range(context, name, real[~real_missing].astype(np.float64))
        score = np.where(np.isfinite(numbers), numbers, np.nan)
        outside = {"below its range": (numbers < low, low), "above its range": (numbers > high, high)}
        for where, (failed, limit) in outside.items():
            verdicts.append(
                verdict("schema", failed, score=score, threshold=limit, detail=f"{name} is {where}")
            )
    return verdicts


def _range(context: Context, name: str, real: np.ndarray) -> tuple[float, float]:
    rules = context.settings.table
    if name in rules.ranges:
        return rules.ranges[name]
    if not len(real):
        return -np.finfo(np.float64).max, np.finfo(np.float64).max
    slack = rules.tolerance * (real.max() - real.min())
    return float(real.min() - slack), float(real.max() + slack)


def _missing(values: np.ndarray) -> np.ndarray:
    return np.array([value is None or value != value for value in values], dtype=bool)
