"""From raw columns to checked rows: labels, payload and typed features, before anything is split."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenly.datasets.identity import fingerprints_of
from evenly.datasets.sources import Where
from evenly.datasets.tabular import INVISIBLE, LARGEST_EXACT
from evenly.errors import DataError
from evenly.params.datasets import PARTS, Comparison, DatasetEntry
from evenly.samples import RESERVED_COLUMNS, Feature, Modality
from evenly.wording import counted

#: What stands for a missing value in a category, besides null; csv numbers know the same words.
_LABELS_MISSING = ("nan", "na", "n/a", "#n/a", "<na>", "none", "null")
MISSING_WORDS = ("", "#N/A", "N/A", "NA", "NULL", "NaN", "n/a", "nan", "null")

#: How the parts of given splits may be called in the column `columns.split`.
PART_NAMES = (
    dict.fromkeys(("train", "training"), 0)
    | dict.fromkeys(("validation", "valid", "val", "dev"), 1)
    | dict.fromkeys(("test", "testing"), 2)
)


@dataclass(frozen=True)
class Rows:
    """Every row of a data set, checked, in the order of its files."""

    modality: Modality
    #: String arrays (n,), never null or empty; without ids, these are made from the content.
    labels: pa.Array
    #: `text` (string), or `image` (encoded bytes), or one array per feature; each (n,).
    payload: dict[str, pa.Array]
    features: tuple[Feature, ...]
    #: uint64 (n,): equal where the payload is equal.
    fingerprints: np.ndarray
    #: `group` and `attribute`, strings, and `sample_weight`, float64, where the data set has them, (n,) each.
    described: dict[str, pa.Array]
    ids: pa.Array | None
    #: 0, 1 or 2 for train, validation and test, int8 (n,); None where the rows are still to be split.
    given: np.ndarray | None
    #: Names file and line of a row, for messages.
    where: Where

    def __len__(self) -> int:
        return len(self.labels)


def rows_from_columns(
    columns: Mapping[str, pa.Array],
    entry: DatasetEntry,
    given: np.ndarray | None,
    where: Where,
) -> Rows:
    """Checked rows from raw columns under the names that `entry.columns` gives them."""
    names = entry.columns
    labels = filled(columns[names.label], names.label, "label", where)
    _refuse_missing_labels(labels, entry, where)
    _check_classes(labels, names.label, where)
    described = {
        key: filled(columns[name], name, key, where)
        for key, name in (("group", names.group), ("attribute", names.attribute))
        if name is not None and not (key == "attribute" and names.comparison)
    }
    if names.comparison:
        described["attribute"] = _compared(columns, names.comparison, where)
    if names.weight is not None:
        described["sample_weight"] = weights = _weights(columns[names.weight], entry, where)
        if len(pc.unique(labels.filter(pc.greater(weights, 0)))) < 2:
            raise DataError(
                f"Column {names.weight!r} (columns.weight) gives rows of fewer than two classes a weight "
                f"above 0 ({where(0)}, and so on); name the column that holds the weights."
            )
    ids = None
    if names.id is not None:
        ids = filled(columns[names.id], names.id, "id", where)
        _check_unique(ids, where)
    if names.split is not None:
        given = _given_parts(filled(columns[names.split], names.split, "split", where), names.split, where)
    features: tuple[Feature, ...] = ()
    payload: dict[str, pa.Array]
    if entry.modality == "text":
        name = names.text or "text"
        payload = {"text": filled(columns[name], name, "text", where, trim=False)}
    elif entry.modality == "image":
        payload = {"image": columns[names.image or "image"]}
    else:
        features, payload = _features(columns, entry, where)
    fingerprints = fingerprints_of(payload, features)
    return Rows(entry.modality, labels, payload, features, fingerprints, described, ids, given, where)


# -- labels, ids and other words -----------------------------------------------------------------------------


def filled(column: pa.Array, name: str, what: str, where: Where, trim: bool = True) -> pa.Array:
    """The column as text without surrounding spaces, after refusing the first value that is missing."""
    values = _as_text(column, name, where)
    trimmed = pc.utf8_trim_whitespace(values)
    missing = pc.fill_null(pc.equal(pc.utf8_trim(trimmed, INVISIBLE), ""), True)
    if what not in ("text", "label"):  # a text may well say "nan", and labels have a rule of their own
        missing = pc.or_(missing, pc.fill_null(pc.equal(pc.utf8_lower(trimmed), "nan"), True))
    row = pc.index(missing, True).as_py()
    if row >= 0:
        raise DataError(
            f"{where(row)} has no {what} (column {name!r} is empty there); fill it in or remove the row."
        )
    return trimmed if trim else values


def _as_text(column: pa.Array, name: str, where: Where) -> pa.Array:
    """A column as text; bytes that are none are refused."""
    try:
        return column.cast(pa.string())
    except pa.ArrowException:
        if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
            raise DataError(f"Column {name!r} is of type {column.type}, which is no text.") from None
    for row, value in enumerate(column.to_pylist()):
        try:
            (value or b"").decode()
        except UnicodeDecodeError as error:
            raise DataError(
                f"{where(row)} holds bytes in column {name!r} that are no text in UTF-8 ({error.reason}); "
                "write it as text."
            ) from None
    raise DataError(f"Column {name!r} is of type {column.type}, which is no text.")


def _refuse_missing_labels(labels: pa.Array, entry: DatasetEntry, where: Where) -> None:
    """Refuse the usual words for a missing value as labels, unless the entry's `classes` names them."""
    words = [word for word in pc.unique(labels).to_pylist() if word.lower() in _LABELS_MISSING]
    words = [word for word in words if word not in entry.classes]
    row = pc.index(pc.is_in(labels, value_set=pa.array(words, pa.string())), True).as_py()
    if row >= 0:
        raise DataError(
            f"{where(row)} has the label {labels[row].as_py()!r} in column {entry.columns.label!r}, which, "
            "like NA, NaN, None, null and nothing, stands for a missing one; fill it in or remove the row, "
            f"or, if it is a class, name it in datasets.yaml under `classes` ({labels[row].as_py()!r}: {{}})."
        )


def _check_classes(labels: pa.Array, name: str, where: Where) -> None:
    classes = pc.unique(labels)
    if len(classes) == 1:
        raise DataError(
            f"Every row has the label {classes[0].as_py()!r} in column {name!r} ({where(0)}, and so on); a "
            "data set needs at least two classes."
        )
    if len(classes) > 20 and len(classes) > len(labels) / 2:
        raise DataError(
            f"Column {name!r} has {len(classes)} different labels in {len(labels)} rows ({where(0)}: "
            f"{labels[0].as_py()!r}), so it holds no classes; set columns.label in datasets.yaml to the one "
            "that does."
        )


def _check_unique(ids: pa.Array, where: Where) -> None:
    counts = pc.value_counts(ids)
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        first = pc.index(ids, repeated[0]).as_py()
        second = pc.index(ids.slice(first + 1), repeated[0]).as_py() + first + 1
        raise DataError(
            f"The id {repeated[0].as_py()!r} occurs twice: {where(first)}, and {where(second)}; make ids "
            "unique, or leave columns.id out and they are made from the content."
        )


def _weights(column: pa.Array, entry: DatasetEntry, where: Where) -> pa.Array:
    name = str(entry.columns.weight)
    weights = np.zeros(len(column))
    for row, word in enumerate(filled(column, name, "weight", where).to_pylist()):
        try:
            weights[row] = float(word.replace(entry.decimal or ".", "."))
        except ValueError:
            weights[row] = np.nan
        if not 0 <= weights[row] < np.inf:
            raise DataError(
                f"{where(row)} has {word!r} in column {name!r}, which is no weight; weights (columns.weight) "
                "are numbers from 0 up: correct it."
            )
    return pa.array(weights)


def _given_parts(values: pa.Array, name: str, where: Where) -> np.ndarray:
    words = values.to_pylist()
    for row, word in enumerate(words):
        if word.lower() not in PART_NAMES:
            raise DataError(f"{where(row)} has {word!r} in column {name!r}; allowed are {', '.join(PARTS)}.")
    return np.array([PART_NAMES[word.lower()] for word in words], dtype=np.int8)


def _compared(columns: Mapping[str, pa.Array], comparison: Comparison, where: Where) -> pa.Array:
    """The attribute that a comparison gives each row."""
    name, told = comparison.column, f"columns.attribute is {str(comparison)!r}"
    if name not in columns:
        raise DataError(
            f"{told}, but there is no column {name!r}; the columns there are {', '.join(columns)}."
        )
    words = filled(columns[name], name, f"value for the attribute {str(comparison)!r}", where)
    apply = {"<": pc.less, ">": pc.greater, "<=": pc.less_equal, ">=": pc.greater_equal}.get(comparison.sign)
    numbers, bounds = (_as_numbers(values) for values in (words, pa.array([comparison.value])))
    if bounds[0].is_valid and (apply or not numbers.null_count):
        row = pc.index(pc.is_null(numbers), True).as_py()
        if row >= 0:
            raise DataError(
                f"{told}, but {where(row)} holds {words[row].as_py()!r} in column {name!r}, which is no "
                "number; correct it, or compare by == or !=."
            )
        apply = apply or {"==": pc.equal, "!=": pc.not_equal}[comparison.sign]
        holds = apply(numbers, bounds[0])
    elif apply:
        raise DataError(f"{told}, but {comparison.value!r} is no number; compare it by == or !=.")
    else:
        holds = (pc.equal if comparison.sign == "==" else pc.not_equal)(words, comparison.value)
    if len(pc.unique(holds)) == 1:
        every = "every row" if holds[0].as_py() else "no row"
        raise DataError(f"{told}, which holds of {every}; choose another value to compare with.")
    return pc.if_else(holds, str(comparison), comparison.otherwise)


def _as_numbers(words: pa.Array) -> pa.Array:
    """The words as numbers; null where one is none."""
    return pc.if_else(pc.match_substring_regex(words, _PLAIN), words, None).cast(pa.float64())


# -- features ------------------------------------------------------------------------------------------------


def _features(
    columns: Mapping[str, pa.Array], entry: DatasetEntry, where: Where
) -> tuple[tuple[Feature, ...], dict[str, pa.Array]]:
    names = _feature_names(columns, entry)
    if not names:
        raise DataError(f"{where(0)}: no column is left as a feature; see columns in datasets.yaml.")
    features: list[Feature] = []
    payload: dict[str, pa.Array] = {}
    for name in names:
        if name in RESERVED_COLUMNS:
            raise DataError(
                f"The feature column {name!r} has a name that evenly needs for itself; rename it in the "
                "file, name it in columns as what it is, or put it in columns.drop."
            )
        feature, payload[name] = _typed_feature(name, columns[name], name in entry.columns.categorical, where)
        features.append(feature)
    return tuple(features), payload


def _feature_names(columns: Collection[str], entry: DatasetEntry) -> list[str]:
    """The features of a table: those listed, else every column that is nothing else, in the file's order."""
    names = entry.columns
    for key in ("drop", "categorical"):
        for name in getattr(names, key):
            if name not in columns:
                raise DataError(f"columns.{key} names {name!r}; the columns there are {', '.join(columns)}.")
    if names.features is not None:
        return [name for name in names.features if name not in names.drop]
    attribute = None if names.attribute_is_feature else names.attribute
    taken = {names.label, names.id, names.group, attribute, names.weight, names.split, *names.drop}
    return [name for name in columns if name not in taken]


def _typed_feature(name: str, column: pa.Array, categorical: bool, where: Where) -> tuple[Feature, pa.Array]:
    """A feature with the type it has in a sample table.

    Booleans, integers and numbers keep their kind; dates become numbers (days since 1970-01-01); text becomes
    a category whose missing-value words are null; so do `categorical` columns.
    """
    if column.null_count == len(column):
        raise DataError(f"Column {name!r} is empty in every row; put it in columns.drop of datasets.yaml.")
    kind = column.type
    written = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if written and not categorical:
        values = category_values(column)
        _refuse_odd_numbers(name, values, where)
        if (dates := days_of(values, name, where)) is not None:
            if _matches(values, r"[.,][0-9]{7}"):
                _refuse_merged(name, values, dates)
            return Feature(name, "number"), dates
    if categorical or written or pa.types.is_time(kind):
        return _category(name, column)
    if pa.types.is_boolean(kind):
        return Feature(name, "boolean"), column
    if pa.types.is_integer(kind):
        extremes = pc.min_max(column).as_py()
        if max(abs(extremes["min"]), abs(extremes["max"])) > LARGEST_EXACT:
            raise DataError(
                f"Column {name!r} holds integers beyond 2^53, which are identifiers; put it in columns.drop."
            )
        return Feature(name, "integer"), column.cast(pa.int64())
    dated = pa.types.is_date(kind) or pa.types.is_timestamp(kind)
    if not (dated or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise DataError(f"Column {name!r} is of type {kind}, which is no feature; put it in columns.drop.")
    found = numbers(name, column, where)
    if not pa.types.is_floating(kind):
        _refuse_merged(name, column, found)
    return Feature(name, "number"), found


def _refuse_merged(name: str, column: pa.Array, numbers: pa.Array) -> None:
    """Refuse times and decimals of which some are equal as numbers: their rows would be taken for copies."""
    if pc.count_distinct(column).as_py() > pc.count_distinct(numbers, "all").as_py():
        raise DataError(
            f"Column {name!r} holds values that are nearer to one another than numbers of 64 bits can tell, "
            "such as nanoseconds; write times as seconds since the first of them, or put it in columns.drop."
        )


_DIGITS = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_PLAIN = rf"^[+-]?{_DIGITS}$"
_DAY = r"^[0-9]{1,4}[./-][0-9]{1,2}[./-][0-9]{1,4}([ T].*)?$"
_ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T].*)?$"
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_GROUPED = (
    r"^[+-]?[1-9][0-9]{0,2}(?:(?:[ ',_\x{a0}\x{202f}’][0-9]{3})+(?:\.[0-9]+)?"
    r"|(?:[ '\x{a0}\x{202f}’][0-9]{3})+,[0-9]+|(?:\.[0-9]{3})+(?:,[0-9]+|\.[0-9]{3}))$"
)
_COMMA = r"^[+-]?(?:[0-9]+(?:[. ][0-9]{3})*)?,[0-9]+(?:[eE][+-]?[0-9]+)?$"
_UNIT = rf"^[$€£¥]? ?[+-]?{_DIGITS} ?(?:%|°?\pL{{1,4}}|[$€£¥])?$"
#: A minus that is another sign, stands behind, or is written as parentheses; digits of other scripts.
_MINUS = rf"^(?:[−–﹣－] ?{_DIGITS}|\({_DIGITS}\)|{_DIGITS}-)$"
_SCRIPT = r"^[+\-−]?\p{Nd}+(?:[.,٫]\p{Nd}+)?$"
_QUOTED = rf"^['‘’‚“”„´`\"][+-]?{_DIGITS}['‘’“”´`\"]$"
#: So many different numbers are no names of categories.
_MANY = 10


def _refuse_odd_numbers(name: str, values: pa.Array, where: Where) -> None:
    """Refuse words of which most are numbers or dates but not all are, or all in a form that is not read."""
    present = values.drop_null()
    total = len(present)
    least = total // 2 + 1
    end = "; or, if it is a category, name it in columns.categorical."
    plain, days = (_matches(present, pattern) for pattern in (_PLAIN, _DAY))
    if days >= least and _matches(present, _ISO) < total:
        row = next(
            r for r, v in enumerate(values) if v.is_valid and not _matches(pa.array([v.as_py()]), _ISO)
        )
        raise DataError(
            f"Column {name!r}: {days:,} of {total:,} values are dates, but {where(row)} holds "
            f"{values[row].as_py()!r}; write dates as 2024-12-31 and leave unknown ones empty{end}"
        )
    if plain == total or not total:  # numbers that were kept as text: a form with types says so on purpose
        return
    other = pc.invert(pc.match_substring_regex(values, _PLAIN))
    for pattern, what, remedy in (
        (_GROUPED, "a sign between thousands", ""),
        (_COMMA, "a decimal comma", "set `decimal: ','` in datasets.yaml for csv files, or write a point"),
        (_MINUS, "a minus that is not the sign - before them", "write that"),
        (_SCRIPT, "digits other than 0 to 9", "write those"),
        (_QUOTED, "quotes around them", "write the numbers alone"),
        (_UNIT, "a unit or currency beside them", "write the numbers alone"),
    ):
        odd = pc.and_(pc.match_substring_regex(values, pattern), other)
        count = pc.sum(odd).as_py() or 0
        if pattern == _UNIT and plain < least:  # `2 doors` may be a category, ten different ones are not
            units = pc.replace_substring_regex(values.filter(odd), r"[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?", "#")
            many = pc.count_distinct(values).as_py() >= _MANY and len(pc.unique(units)) == 1
            count = count if many else 0
        if count and plain + count >= least:
            row = pc.index(odd, True).as_py()
            value = values[row].as_py()
            has = counted(count, "has", "have")
            raise DataError(
                f"Column {name!r}: {plain:,} of {total:,} values are numbers and {has} {what}; "
                f"{where(row)} holds {value!r}: {remedy or _thousands_remedy(value)}{end}"
            )
    words = pc.unique(values.filter(other)).drop_null()
    if plain >= least or (len(words) == 1 and len(pc.unique(present)) > _MANY):
        row = pc.index(other, True).as_py()
        raise DataError(
            f"Column {name!r}: {plain:,} of {total:,} values are numbers, but {where(row)} holds "
            f"{values[row].as_py()!r}; correct it, or, if it stands for a missing value, leave it empty or "
            f"name it in `missing` of datasets.yaml{end}"
        )


def days_of(values: pa.Array, name: str, where: Where) -> pa.Array | None:
    """Words that are dates throughout as days since 1970-01-01, NaN where missing; None where one is none.

    A day that no calendar has, and times of which only some have a zone, are refused.
    """
    present = values.drop_null()
    if not len(present) or _matches(present, _ISO) < len(present):
        return None
    end = "; or, if it is a category, name it in columns.categorical."
    moments: list[datetime.datetime | None] = []
    first: datetime.datetime | None = None
    for row, word in enumerate(values.to_pylist()):
        try:
            moment = None if word is None else datetime.datetime.fromisoformat(word)
        except ValueError:
            raise DataError(
                f"Column {name!r} holds dates, but {where(row)} holds {word!r}, which is no day, or no time "
                f"as 2024-12-31 23:59:59; correct it, or leave it empty{end}"
            ) from None
        first = first or moment
        if moment and first and (moment.tzinfo is None) != (first.tzinfo is None):
            raise DataError(
                f"Column {name!r} holds times with and without a zone: {where(row)} holds {word!r}; write "
                f"all of them in one way{end}"
            )
        moments.append(moment)
    a_day = datetime.timedelta(days=1)
    days = [
        ((m if m.tzinfo else m.replace(tzinfo=datetime.UTC)) - _EPOCH) / a_day if m else np.nan
        for m in moments
    ]
    return pa.array(days, pa.float64())


def _thousands_remedy(value: str) -> str:
    """How a file with numbers such as this one is read."""
    sign = next(s for s in value.lstrip("+-") if not s.isdigit())
    sign = "'" if sign == "’" else " " if sign.isspace() else sign
    comma = sign == "." or (sign != "," and "," in value)
    besides = " and `decimal: ','`" if comma else ""
    quoted = f'"{sign}"' if sign == "'" else f"'{sign}'"
    return f"set `thousands: {quoted}`{besides} in datasets.yaml for csv files, or write numbers without it"


def _matches(values: pa.Array, pattern: str) -> int:
    return pc.sum(pc.match_substring_regex(values, pattern)).as_py() or 0


def numbers(name: str, column: pa.Array, where: Where) -> pa.Array:
    """Numbers or dates as float64 (n,), NaN where missing, none infinite; dates as days since 1970-01-01."""
    kind = column.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        if pa.types.is_date(kind):
            column = column.cast(pa.timestamp("s"))
        a_day = 86400.0 * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
        column = pc.divide(column.cast(pa.int64()).cast(pa.float64(), safe=False), a_day)
    column = pc.fill_null(column.cast(pa.float64()), float("nan"))
    infinite = pc.index(pc.is_inf(column), True).as_py()
    if infinite >= 0:
        raise DataError(
            f"{where(infinite)} has an infinite number in column {name!r}; correct it or leave it empty."
        )
    return column


def category_values(column: pa.Array) -> pa.Array:
    """Values of a category as text (n,) without surrounding spaces, null where missing."""
    values = pc.utf8_trim_whitespace(column.cast(pa.string()))
    missing = pc.is_in(values, value_set=pa.array(MISSING_WORDS, pa.string()))
    return pc.if_else(missing, pa.scalar(None, pa.string()), values)


def _category(name: str, column: pa.Array) -> tuple[Feature, pa.Array]:
    values = category_values(column)
    found = sorted(pc.unique(values).drop_null().to_pylist())
    if not found:
        raise DataError(f"Column {name!r} is empty in every row; put it in columns.drop of datasets.yaml.")
    return Feature(name, "category", tuple(found)), values
