"""Tables in words and back: what the columns of training rows hold, and whether an answered row fits."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from evenly.samples import Feature, FeatureKind, SampleTable

#: Categories named in a prompt, the most frequent first; a column with more says how many are left out.
MOST_CATEGORIES = 50
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

Value = float | int | bool | str | None


@dataclass(frozen=True)
class Column:
    """One feature as the training rows show it."""

    name: str
    kind: FeatureKind
    low: float | None
    high: float | None
    decimals: int
    categories: tuple[tuple[str, int], ...]
    has_missing: bool


class MisfitError(Exception):
    """A sample that is not one of this data; `reason` is a word for counting."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def columns_of(samples: SampleTable) -> tuple[Column, ...]:
    """What each feature column holds, in schema order."""
    return tuple(
        _column(feature, samples.table.column(feature.name).to_pylist())
        for feature in samples.schema.features
    )


def statistics_of(samples: SampleTable, columns: Sequence[Column]) -> list[dict[str, Any]]:
    """What a prompt says of each column: the range or categories of all rows, what is usual among these."""
    statistics = []
    for column in columns:
        values = [value for value in samples.table.column(column.name).to_pylist() if value is not None]
        entry: dict[str, Any] = {
            "name": column.name,
            "kind": column.kind,
            "has_missing": column.has_missing,
            "decimals": column.decimals,
            "low": plain_number(column.low),
            "high": plain_number(column.high),
            "categories": [name for name, _ in column.categories[:MOST_CATEGORIES]],
            "more_categories": max(0, len(column.categories) - MOST_CATEGORIES),
            "usual": None,
            "shares": {},
        }
        if column.kind in ("number", "integer"):
            numbers = np.array([value for value in map(float, values) if math.isfinite(value)])
            if len(numbers):
                points = np.quantile(numbers, [0.1, 0.5, 0.9])
                usual = (*points, numbers.mean(), numbers.std())
                names = ("low", "middle", "high", "mean", "deviation")
                # Four digits, and every digit before the point: years and amounts stay apart.
                digits = max(4, len(str(int(np.abs(numbers).max()))))
                entry["usual"] = {
                    name: rounded(value, digits) for name, value in zip(names, usual, strict=True)
                }
        elif values:
            counted = Counter(
                str(value).lower() if column.kind == "boolean" else str(value) for value in values
            )
            ranked = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_CATEGORIES]
            entry["shares"] = {name: round(count / len(values), 2) for name, count in ranked}
        statistics.append(entry)
    return statistics


def row_as_json(row: Mapping[str, Value]) -> str:
    """An example row as one line of JSON, numbers with all their digits."""
    return json.dumps({name: plain_number(value) for name, value in row.items()}, ensure_ascii=False)


def row_as_sentence(row: Mapping[str, Value]) -> str:
    """An example row as `column is value` clauses (GReaT: Borisov et al. 2023)."""
    return ", ".join(f"{name} is {_word(plain_number(value))}" for name, value in row.items())


def row_schema(columns: Sequence[Column]) -> dict[str, Any]:
    """JSON schema of one row."""
    types = {"number": "number", "integer": "integer", "boolean": "boolean", "category": "string"}
    properties: dict[str, Any] = {}
    for column in columns:
        kind = types[column.kind]
        entry: dict[str, Any] = {"type": [kind, "null"] if column.has_missing else kind}
        if column.kind == "category" and len(column.categories) <= MOST_CATEGORIES:
            entry["enum"] = [name for name, _ in column.categories] + ([None] if column.has_missing else [])
        properties[column.name] = entry
    return object_schema(properties)


def object_schema(properties: Mapping[str, Any]) -> dict[str, Any]:
    """JSON schema of an object with just these properties, all of them required."""
    required = list(properties)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def fitted_row(item: object, columns: Sequence[Column], tolerance: float) -> dict[str, Value]:
    """An answered row with typed values, in schema order. Keys that are no column are ignored."""
    if not isinstance(item, Mapping):
        raise MisfitError("format")
    plain = {str(name).strip().casefold(): value for name, value in item.items()}
    row: dict[str, Value] = {}
    for column in columns:
        value = item[column.name] if column.name in item else plain.get(column.name.strip().casefold())
        if value is None or (isinstance(value, str) and not value.strip() and column.kind != "category"):
            if not column.has_missing:
                raise MisfitError("column_missing")
            row[column.name] = None
        elif column.kind in ("number", "integer") and column.low is None:
            row[column.name] = None  # no training row has a value to hold one against
        elif column.kind == "category":
            row[column.name] = _category(value, column)
        elif column.kind == "boolean":
            row[column.name] = _truth(value, column)
        else:
            row[column.name] = _number(value, column, tolerance)
    return row


def plain_number(value: Any) -> Any:
    """A number with all its digits, without a point where it is whole; None where it is not finite."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 1e15 else float(value)


def rounded(value: float, digits: int) -> Any:
    """A number to so many significant digits, as prompts show it."""
    return plain_number(float(f"{float(value):.{digits}g}"))


def _column(feature: Feature, values: Sequence[Any]) -> Column:
    known = [
        value
        for value in values
        if value is not None and not (isinstance(value, float) and math.isnan(value))
    ]
    low = high = None
    decimals = 0
    categories: tuple[tuple[str, int], ...] = ()
    if feature.kind == "category":
        counted = Counter(map(str, known))
        categories = tuple(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])))
    elif feature.kind != "boolean" and known:
        low, high = float(min(known)), float(max(known))
    if feature.kind == "number":
        decimals = max((_decimals(float(value)) for value in known), default=0)
    return Column(feature.name, feature.kind, low, high, decimals, categories, len(known) < len(values))


def _decimals(value: float) -> int:
    exponent = Decimal(repr(plain_number(value) or 0)).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _number(value: Any, column: Column, tolerance: float) -> float | int:
    try:
        number = float(value.strip() if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        raise MisfitError("column_type") from None
    fractional = column.kind == "integer" and not number.is_integer()
    if isinstance(value, bool) or not math.isfinite(number) or fractional:
        raise MisfitError("column_type")
    if column.low is not None and column.high is not None:
        slack = tolerance * (column.high - column.low)
        if not column.low - slack <= number <= column.high + slack:
            raise MisfitError("column_range")
    return int(number) if column.kind == "integer" else number


def named_classes(value: Any, meanings: Mapping[str, str]) -> set[str]:
    """The classes that a value of the label column may mean, by name, as a number or by description.

    `meanings` has the description of each class, empty where there is none. `1`, `1.0`, `"1"` and `true` name
    the class `1`; a name that is written exactly names no other class.
    """
    if isinstance(value, str) and value in meanings:
        return {value}
    return {name for name, meaning in meanings.items() if _means(value, name, meaning)}


def _means(value: Any, name: str, meaning: str) -> bool:
    written, folded = str(value).strip().casefold(), name.strip().casefold()
    if written == folded or (meaning and written == meaning.strip().casefold()):
        return True
    if isinstance(value, bool):
        return _TRUTHS.get(folded) is value
    try:
        return float(value) == float(name)
    except (TypeError, ValueError, OverflowError):
        return False


def _truth(value: Any, column: Column) -> bool:
    if isinstance(value, bool):
        return value
    word = str(int(value) if isinstance(value, float) and value.is_integer() else value).strip().casefold()
    if word not in _TRUTHS:
        raise MisfitError("column_type")
    return _TRUTHS[word]


def _category(value: Any, column: Column) -> str:
    if isinstance(value, Mapping | list):
        raise MisfitError("column_type")
    known = {name for name, _ in column.categories}
    written = str(value).lower() if isinstance(value, bool) else str(value)
    spellings = [written, written.strip()]
    if isinstance(value, float) and value.is_integer():
        spellings.append(str(int(value)))
    for spelling in spellings:
        if spelling in known:
            return spelling
    folded = [name for name in known if name.strip().casefold() == written.strip().casefold()]
    if len(folded) == 1:
        return folded[0]
    raise MisfitError("column_category")


def _word(value: Any) -> str:
    if value is None:
        return "missing"
    return str(value).lower() if isinstance(value, bool) else str(value)
