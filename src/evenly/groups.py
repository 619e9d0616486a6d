"""Groups: the pairs of class and value of the spurious attribute that occur, and a table seen by them.

A table seen by groups has the groups for classes, so that whatever balances classes balances groups as well.
Not the split units of the column `group`, which `evenly.datasets` keeps together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from evenly.errors import DataError
from evenly.samples import SampleTable, Schema, natural_order


def group_name(label: str, value: str) -> str:
    """One word for a class and a value: `class/value`, distinct for distinct pairs.

    Examples
    --------
    >>> group_name("landbird", "water"), group_name("a/b", "c")
    ('landbird/water', 'a%2Fb/c')
    """
    return f"{_escaped(label)}/{_escaped(value)}"


def parts_of(name: str) -> tuple[str, str]:
    """Class and value of a group, the inverse of `group_name`."""
    label, _, value = name.partition("/")
    return _plain(label), _plain(value)


def group_counts(samples: SampleTable) -> dict[str, int]:
    """Rows of each group that occurs, by class order and then by value; every row must have a value."""
    values = samples.column("attribute")
    counts = Counter(zip(samples.labels.tolist(), values.tolist(), strict=True))
    if any(value is None for _, value in counts):
        row = next(k for k, value in enumerate(values) if value is None)
        raise DataError(
            f"The row {samples.ids[row]!r} has no value of the spurious attribute, so it is in no "
            "group; name its column in datasets.yaml (columns: attribute), or use balance_on: class."
        )
    pairs = [(label, value) for label in samples.classes for value in natural_order(values)]
    return {group_name(*pair): counts[pair] for pair in pairs if counts[pair]}


def by_group(samples: SampleTable) -> SampleTable:
    """The same rows with their groups for labels, and the groups that occur for classes."""
    import pyarrow as pa

    schema = Schema(samples.modality, tuple(group_counts(samples)), samples.schema.features)
    pairs = zip(samples.labels, samples.column("attribute"), strict=True)
    names = pa.array([group_name(*pair) for pair in pairs], pa.string())
    columns = {name: samples.table.column(name) for name in samples.table.column_names}
    return SampleTable(pa.table(columns | {"label": names}), schema)


def by_class(samples: SampleTable, schema: Schema) -> SampleTable:
    """Rows of a table made from what `by_group` gave, with class and attribute in their columns again.

    New rows may lack the attribute, which their group says; `schema` is that of the table before `by_group`.
    """
    import pyarrow as pa

    pairs = [parts_of(name) for name in samples.labels]
    columns = {name: samples.table.column(name) for name in samples.table.column_names}
    columns |= {
        "label": pa.array([label for label, _ in pairs], pa.string()),
        "attribute": pa.array([value for _, value in pairs], pa.string()),
    }
    return SampleTable(pa.table(columns), schema)


def nested(counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Counts of groups by class and then by value."""
    found: dict[str, dict[str, int]] = {}
    for name, count in counts.items():
        label, value = parts_of(name)
        found.setdefault(label, {})[value] = count
    return found


def class_totals(counts: Mapping[str, int], classes: tuple[str, ...]) -> dict[str, int]:
    """Counts of groups summed up by class, in class order."""
    values = nested(counts)
    return {label: sum(values.get(label, {}).values()) for label in classes}


def _escaped(word: str) -> str:
    return word.replace("%", "%25").replace("/", "%2F")


def _plain(word: str) -> str:
    return word.replace("%2F", "/").replace("%25", "%")
