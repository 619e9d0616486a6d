"""A data set as train, validation and test: read, freed of copies, split, and a report of what was done."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenly.datasets.identity import EXAMPLES, Copies, conflicting, content_ids, first_copies, leaked_copies
from evenly.datasets.partition import (
    TEST,
    TRAIN,
    draws,
    fold_test_rows,
    grouped,
    limited,
    long_tail,
    stratified,
)
from evenly.datasets.reading import Source, read_source
from evenly.datasets.rows import Rows
from evenly.errors import DataError
from evenly.params.datasets import PARTS, DatasetEntry
from evenly.samples import Modality, SampleTable, Schema, natural_order
from evenly.wording import counted, first_names


@dataclass(frozen=True)
class SplitReport:
    """What splitting found and did."""

    dataset: str
    modality: Modality
    licence: str
    strategy: str
    #: Rows of the data set before anything was dropped.
    rows_read: int
    #: Rows per part and class.
    counts: dict[str, dict[str, int]]
    #: How many rows were dropped from each part because an identical one stays, and examples.
    duplicates: dict[str, Any]
    #: How many rows share their payload with a row of another label, how many of those were dropped, and
    #: examples.
    conflicts: dict[str, Any]
    #: For an induced long tail, the training rows per class before; None otherwise.
    imbalance: dict[str, Any] | None
    #: Of the source; None for built-in sets.
    sha256: str | dict[str, str] | None
    #: What the user should know.
    warnings: tuple[str, ...] = ()
    #: Of a repetition of cross-validation; None where each seed draws its own test rows.
    folds: int | None = None

    def summary(self) -> str:
        """One line for people."""
        rows = [f"{sum(counts.values())} {part}" for part, counts in self.counts.items()]
        train = list(self.counts["train"].values())
        copies = self.duplicates["dropped_before_split"] + sum(self.duplicates["dropped"].values())
        return (
            f"{self.rows_read} rows read; {', '.join(rows)}; {len(train)} classes, {min(train)} to "
            f"{max(train)} training rows each; {copies} copies dropped, {self.conflicts['rows']} rows with "
            "conflicting labels"
        )

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form, for metrics/split.json."""
        values = asdict(self)
        classes, read = values.pop("counts"), values.pop("rows_read")
        folds = values.pop("folds")
        rows = {part: sum(counts.values()) for part, counts in classes.items()}
        values |= {"folds": folds} if folds else {}
        return {**values, "rows": {"read": read, **rows}, "classes": classes, "warnings": list(self.warnings)}


@dataclass(frozen=True)
class Splits:
    """The three parts of a data set, with the same schema, rows ordered by id."""

    train: SampleTable
    validation: SampleTable
    test: SampleTable
    report: SplitReport


def load_splits(entry: DatasetEntry, name: str, seed: int, roots: Sequence[Path]) -> Splits:
    """Read, check and split a data set.

    Parameters
    ----------
    entry, name
        The entry of datasets.yaml and what it is called.
    seed
        Varies the split, the sample of `limit`, and which rows an induced long tail keeps.
    roots
        Folders under which the entry's path is looked for, in this order.

    Raises
    ------
    DataError
        When the data are not there, a row cannot be used, or no training rows are left of a class.
    """
    source = read_source(entry, name, roots)
    return _Splitter(entry, name, seed, source).splits()


class _Splitter:
    """One split in the making. Rows are in canonical order; `kept` are the positions that are still in."""

    def __init__(self, entry: DatasetEntry, name: str, seed: int, source: Source) -> None:
        self.entry, self.name, self.seed, self.source = entry, name, seed, source
        self.rows, self.ids = _canonical(source.rows)
        labels = self.rows.labels.to_pylist()
        self.classes = natural_order(labels)
        position = {label: k for k, label in enumerate(self.classes)}
        self.codes = np.fromiter((position[label] for label in labels), dtype=np.int64, count=len(labels))
        self.sizes = np.bincount(self.codes)
        self.copies = Copies(self.ids, self.codes)

    def splits(self) -> Splits:
        """Go through all steps."""
        self._check_notes()
        kept = self._limited(self._without_copies())
        parts = np.full(len(self.rows), TRAIN, dtype=np.int8)
        parts[kept] = self._parts(kept)
        kept = self._without_leaks(kept, parts)
        self._check_parts(kept, parts)
        train = kept[parts[kept] == TRAIN]
        before = np.bincount(self.codes[train], minlength=len(self.classes))
        if self.entry.imbalance:
            drawn = self._draws(train, "long tail", self.entry.imbalance.seed)
            train = train[long_tail(self.codes[train], drawn, self.sizes, self.entry.imbalance)]
        tables = [
            self._samples(train),
            *(self._samples(kept[parts[kept] == k]) for k in range(1, len(PARTS))),
        ]
        return Splits(tables[0], tables[1], tables[2], self._report(tables, before))

    def _draws(self, rows: np.ndarray, purpose: str, seed: int | None = None) -> np.ndarray:
        return draws(self.ids[rows].tolist(), self.seed if seed is None else seed, purpose)

    def _check_notes(self) -> None:
        unknown = [label for label in self.entry.classes if label not in self.classes]
        if unknown:
            raise DataError(
                f"datasets.yaml: {self.name}.classes describes {unknown[0]!r}, which is no label of the "
                f"data; the labels are {first_names(self.classes, form='{!r}')}."
            )

    def _without_copies(self) -> np.ndarray:
        """Rows but for those that repeat one with the same label, and of given splits those that leak."""
        rows = np.arange(len(self.rows))
        if self.entry.duplicates == "keep":
            return rows
        given = self.rows.given
        first = first_copies(self.rows.fingerprints, self.codes, *([] if given is None else [given]))
        repeats = rows[first != rows]
        self.copies.drop(repeats, first[repeats], given)
        kept = rows[first == rows]
        return kept if given is None else self._without_leaks(kept, given)

    def _without_leaks(self, kept: np.ndarray, parts: np.ndarray) -> np.ndarray:
        """Rows but for those of train and validation whose payload is also in a later part."""
        copies = leaked_copies(self.rows.fingerprints[kept], parts[kept])
        leaked = copies >= 0
        if self.entry.duplicates == "keep":
            self.copies.leaks_kept = int(leaked.sum())
            return kept
        self.copies.drop(kept[leaked], kept[copies[leaked]], parts)
        return np.asarray(kept[~leaked])

    def _limited(self, kept: np.ndarray) -> np.ndarray:
        limit, given = self.entry.limit, self.rows.given
        if limit is None or limit >= len(kept):
            return kept
        strata = self.codes if given is None else self.codes * len(PARTS) + given
        # The folds of a repetition share out the same rows.
        folds = self.entry.split.folds
        seed = (self.seed - 1) // folds if folds else self.seed
        return np.asarray(kept[limited(strata[kept], self._draws(kept, "limit", seed), limit)])

    def _parts(self, kept: np.ndarray) -> np.ndarray:
        """Part of each kept row; of given splits, only a missing validation part is made."""
        given, shares = self.rows.given, self.entry.split
        if given is None and shares.folds:
            return self._fold(kept, shares.folds, shares.validation)
        if given is None:
            return self._shared_out(kept, shares.validation, shares.test)
        parts = np.array(given[kept])
        if not (given == PARTS.index("validation")).any():
            train = np.flatnonzero(parts == TRAIN)
            parts[train] = self._shared_out(kept[train], shares.validation, 0.0)
        return parts

    def _fold(self, rows: np.ndarray, folds: int, validation: float) -> np.ndarray:
        """Part of each row in the fold of this seed: 1 to k are the folds of the first repetition."""
        groups, repetition = self._groups(rows), (self.seed - 1) // folds
        if groups is not None and len(np.unique(groups)) < folds:
            raise DataError(
                f"datasets.yaml: {self.name}.split.folds is {folds}, and there are {len(np.unique(groups))} "
                "groups; give fewer folds."
            )
        tested = fold_test_rows(
            self.codes[rows],
            self._draws(rows, "folds", repetition),
            groups,
            folds,
            (self.seed - 1) % folds,
            max(repetition, 0),
        )
        parts = np.full(len(rows), TEST, dtype=np.int8)
        parts[~tested] = self._shared_out(rows[~tested], validation / (1 - 1 / folds), 0.0)
        return parts

    def _groups(self, rows: np.ndarray) -> np.ndarray | None:
        if "group" not in self.rows.described:
            return None
        return np.asarray(np.array(self.rows.described["group"].to_pylist())[rows])

    def _shared_out(self, rows: np.ndarray, validation: float, test: float) -> np.ndarray:
        if not len(rows):
            return np.empty(0, dtype=np.int8)
        codes = self.codes[rows]
        groups = self._groups(rows)
        if groups is None:
            return stratified(codes, self._draws(rows, "split"), validation, test)
        names, group_codes = np.unique(groups, return_inverse=True)
        return grouped(codes, group_codes, draws(names.tolist(), self.seed, "groups"), validation, test)

    def _check_parts(self, kept: np.ndarray, parts: np.ndarray) -> None:
        """Every class needs a row to learn from, and validation and test need rows at all."""
        in_train = np.bincount(self.codes[kept[parts[kept] == TRAIN]], minlength=len(self.classes))
        for code in np.flatnonzero(in_train == 0):
            rows = np.flatnonzero(self.codes == code)
            given = self.rows.given
            if given is not None and not (given[rows] == TRAIN).any():
                why = "the given train split has none"
            else:
                why = "identical rows in validation or test, which take precedence, keep them out"
            raise DataError(
                f"The class {self.classes[code]!r} ({self.rows.where(int(rows[0]))}) has no training rows: "
                f"{why}; remove the class, merge it with another one, or bring more rows of it."
            )
        for k, part in enumerate(PARTS):
            if not (parts[kept] == k).any():
                raise DataError(
                    f"No rows of {self.name} are left for {part}; a class needs three rows to have one in "
                    "each of train, validation and test: bring more rows, or merge classes."
                )

    def _samples(self, positions: np.ndarray) -> SampleTable:
        rows = self.rows
        index = pa.array(positions, pa.int64())
        columns: dict[str, pa.Array] = {
            "id": pa.array(self.ids[positions], pa.string()),
            "label": rows.labels.take(index),
            "origin": pa.array(["real"] * len(positions), pa.string()),
        }
        for column, values in (*rows.described.items(), *rows.payload.items()):
            columns[column] = values.take(index)
        return SampleTable(pa.table(columns), Schema(rows.modality, self.classes, rows.features))

    def _report(self, tables: Sequence[SampleTable], before: np.ndarray) -> SplitReport:
        entry = self.entry
        conflicts = np.flatnonzero(conflicting(self.rows.fingerprints, self.codes))
        induced = None
        if entry.imbalance:
            counts = {label: int(n) for label, n in zip(self.classes, before, strict=True)}
            induced = {**entry.imbalance.model_dump(exclude_none=True), "train_before": counts}
        return SplitReport(
            dataset=self.name,
            modality=self.rows.modality,
            licence=entry.licence,
            strategy=entry.strategy,
            rows_read=len(self.source.rows),
            counts={part: table.counts for part, table in zip(PARTS, tables, strict=True)},
            duplicates={"policy": entry.duplicates, **self.copies.to_json()},
            conflicts={
                "rows": len(conflicts),
                "dropped": self.copies.conflicts_dropped,
                "examples": [
                    {"id": self.ids[row], "label": self.classes[self.codes[row]]}
                    for row in conflicts[:EXAMPLES]
                ],
            },
            imbalance=induced,
            sha256=self.source.sha256,
            warnings=(*self.source.warnings, *self._warnings()),
            folds=entry.split.folds,
        )

    def _warnings(self) -> list[str]:
        rows = self.rows
        warnings = [
            f"The category column {feature.name!r} has {len(feature.categories)} different values in "
            f"{len(rows)} rows; if it holds names or free text, put it in columns.drop."
            for feature in rows.features
            if len(feature.categories) > max(20, len(rows) // 2)
        ]
        warnings += [
            f"The category column {feature.name!r} holds numbers that are written as text "
            f"({feature.categories[0]!r}); write them without quotes if they are amounts, or name it in "
            "columns.categorical."
            for feature in rows.features
            if feature.categories and feature.name not in self.entry.columns.categorical
            if all(re.fullmatch(r"[+-]?[0-9]{1,15}|[+-]?[0-9]*\.[0-9]+", word) for word in feature.categories)
        ]
        warnings += _alike_labels(self.classes, self.sizes)
        if weightless := len(self.source.rows) - len(rows):
            warnings.append(f"{counted(weightless, 'row')} of weight 0 left out.")
        held_out = sum(self.copies.dropped[part] for part in PARTS[1:])
        if rows.given is not None and held_out:
            warnings.append(
                f"{held_out} rows of the given validation or test part were dropped as copies of rows of the "
                "same or a later part, so scores are not those of the whole benchmark; `duplicates: keep` in "
                "datasets.yaml keeps them."
            )
        if self.copies.leaks_kept:
            warnings.append(
                f"{self.copies.leaks_kept} rows of train or validation are identical to rows of a later "
                "part, and stay there because `duplicates: keep` asks for it."
            )
        if rows.given is not None and "group" in rows.described:
            pairs = set(zip(rows.described["group"].to_pylist(), rows.given.tolist(), strict=True))
            straddling = len(pairs) - len({group for group, _ in pairs})
            if straddling:
                warnings.append(
                    f"{straddling} groups occur in more than one of the given splits, so the test is easier "
                    "than new data will be."
                )
        return warnings


def _alike_labels(classes: Sequence[str], sizes: np.ndarray) -> list[str]:
    """One warning about labels that differ only in case, spaces, Unicode form or as 1 and 1.0; or none."""
    alike: dict[str, list[str]] = {}
    for label, size in zip(classes, sizes.tolist(), strict=True):
        plain = "".join(c for c in unicodedata.normalize("NFKC", label) if unicodedata.category(c) != "Cf")
        key = " ".join(plain.casefold().split())
        if re.fullmatch(r"[+-]?[0-9]{1,15}(\.[0-9]*)?", key):
            key = str(float(key))
        form = repr(label) if plain == label else ascii(label)
        alike.setdefault(key, []).append(f"{form} ({counted(size, 'row')})")
    groups = [" and ".join(labels) for labels in alike.values() if len(labels) > 1]
    if not groups:
        return []
    return [
        "Labels that differ only in case, spaces, Unicode form, or as 1 and 1.0, are different classes: "
        f"{first_names(groups, 5)}; make them the same in the file if they mean the same."
    ]


def _canonical(rows: Rows) -> tuple[Rows, np.ndarray]:
    """The rows that weigh more than 0, ordered by id, and their ids, object array (n,); where there are none,
    made from content.
    """
    ids = rows.ids
    if ids is None:
        others = list(rows.described.values())
        if rows.given is not None:
            others.append(pa.array(-rows.given))  # of equal rows, the one in test has the plain id
        ids = pa.array(content_ids(rows.fingerprints, rows.labels, others), pa.string())
    order = pc.sort_indices(ids)
    if (weights := rows.described.get("sample_weight")) is not None:
        order = order.filter(pc.greater(weights.take(order), 0))
    positions = order.to_numpy().astype(np.int64)
    names = np.empty(len(positions), dtype=object)
    names[:] = ids.take(order).to_pylist()
    ordered = replace(
        rows,
        labels=rows.labels.take(order),
        payload={name: values.take(order) for name, values in rows.payload.items()},
        fingerprints=rows.fingerprints[positions],
        described={name: values.take(order) for name, values in rows.described.items()},
        ids=ids.take(order),
        given=None if rows.given is None else rows.given[positions],
        where=lambda row: rows.where(int(positions[row])),
    )
    return ordered, names
