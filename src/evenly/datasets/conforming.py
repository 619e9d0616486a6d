"""Columns of new rows brought to the features that a trained model knows, with their types.

What a feature is was decided when the data set of the model was read (`evenly.datasets.rows`); here a column
conforms to it or is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenly.datasets.rows import category_values, days_of, numbers
from evenly.datasets.sources import Where
from evenly.datasets.tabular import LARGEST_EXACT, RawTable
from evenly.errors import DataError
from evenly.samples import Feature, Schema


def conforming_features(raw: RawTable, schema: Schema) -> tuple[dict[str, pa.Array], Schema]:
    """Feature columns with the types of a model's schema, and the schema that they have.

    That is the given one, except that an integer feature with fractions in these rows is a number. Columns
    that are empty throughout are missing values, and categories may have new values.
    """
    columns: dict[str, pa.Array] = {}
    features: list[Feature] = []
    for feature in schema.features:
        column = raw.table.column(feature.name).combine_chunks()
        if feature.kind == "category":
            columns[feature.name] = category_values(column)
        else:
            feature, columns[feature.name] = _typed(feature, column, raw.where)
        features.append(feature)
    return columns, replace(schema, features=tuple(features))


def _typed(feature: Feature, column: pa.Array, where: Where) -> tuple[Feature, pa.Array]:
    """A number, integer or boolean feature of these rows; an integer one with fractions is a number."""
    values = _numeric(feature, column, where)
    if feature.kind == "number":
        return feature, values
    found = values.to_numpy(zero_copy_only=False)
    absent = np.isnan(found)
    if feature.kind == "boolean":
        wrong = np.flatnonzero(~absent & (found != 0) & (found != 1))
        if len(wrong):
            raise _unfit(feature, where(int(wrong[0])), found[wrong[0]])
        return feature, pa.array(found == 1, pa.bool_(), mask=absent)
    whole = np.where(absent, 0, found)
    if (np.rint(whole) == whole).all() and np.abs(whole).max(initial=0) <= LARGEST_EXACT:
        return feature, pa.array(whole.astype(np.int64), pa.int64(), mask=absent)
    return replace(feature, kind="number"), values


def _numeric(feature: Feature, column: pa.Array, where: Where) -> pa.Array:
    """The column as float64, NaN where missing; numbers written as text are taken for what they say."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        words = category_values(column)
        dates = days_of(words, feature.name, where) if feature.kind == "number" else None
        column = _parsed(feature, words, where) if dates is None else dates
    elif pa.types.is_null(kind):
        column = column.cast(pa.float64())
    dated = pa.types.is_date(column.type) or pa.types.is_timestamp(column.type)
    if not (dated and feature.kind == "number"):  # which dates have become in training
        try:
            column = column.cast(pa.float64(), safe=False)
        except pa.ArrowException:
            raise _unfit(feature, where(0), column[0].as_py()) from None
    return numbers(feature.name, column, where)


def _parsed(feature: Feature, values: pa.Array, where: Where) -> pa.Array:
    kind = pa.bool_() if feature.kind == "boolean" else pa.float64()
    try:
        return values.cast(kind)
    except pa.ArrowInvalid:
        for row, value in enumerate(values):
            try:
                value.cast(kind)
            except pa.ArrowInvalid:
                raise _unfit(feature, where(row), value.as_py()) from None
        raise


def _unfit(feature: Feature, where: str, value: object) -> DataError:
    allowed = {"number": "a number", "integer": "a number", "boolean": "true or false"}[feature.kind]
    found = repr(value) if isinstance(value, str) else str(value)
    return DataError(
        f"{where} has {found} in column {feature.name!r}, where the model needs {allowed}; correct it or "
        "leave it empty."
    )


def unseen_values(columns: Mapping[str, pa.Array], schema: Schema) -> Iterator[str]:
    """Sentences about categories with values that were not in the data of the model."""
    for feature in schema.features:
        if feature.kind != "category":
            continue
        values = columns[feature.name].drop_null()
        new = values.filter(pc.invert(pc.is_in(values, value_set=pa.array(feature.categories, pa.string()))))
        if len(new):
            yield (
                f"Column {feature.name!r}: {len(new)} of {len(values)} values are unknown to the model, the "
                f"first is {new[0].as_py()!r}; they count as none of its categories."
            )
