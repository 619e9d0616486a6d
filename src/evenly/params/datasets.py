"""datasets.yaml: what is declared about each data set. Reading the data itself lives in `evenly.datasets`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, StringConstraints, model_validator

from evenly.errors import ParameterError
from evenly.params.base import Settings, read_yaml, settings_from
from evenly.samples import Modality
from evenly.wording import nearest_names

DATASETS_FILE = "datasets.yaml"

BuiltinName = Literal["digits", "breast_cancer", "wine", "shortcut", "coloured_digits"]
Format = Literal["csv", "tsv", "jsonl", "parquet"]
Part = Literal["train", "validation", "test"]
Url = Annotated[str, StringConstraints(pattern=r"^https?://")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(gt=0, lt=1)]

#: The three parts of every data set, in the order of the codes 0, 1, 2 that splitting uses.
PARTS: tuple[Part, ...] = ("train", "validation", "test")


_COMPARISON = re.compile(r"(\S.*?)\s+(<=|>=|==|!=|<|>)\s+(\S.*)")


@dataclass(frozen=True)
class Comparison:
    """A column compared with a value, as in `skin > 0`: an attribute of two values, which say what is so."""

    column: str
    sign: str
    value: str

    @property
    def otherwise(self) -> str:
        """What is so where it does not hold: `skin <= 0`."""
        signs = {"<": ">=", ">": "<=", "<=": ">", ">=": "<", "==": "!=", "!=": "=="}
        return f"{self.column} {signs[self.sign]} {self.value}"

    def __str__(self) -> str:
        return f"{self.column} {self.sign} {self.value}"


class Columns(Settings):
    """Which column of the file holds what.

    `text` (default `text`) is read for text data sets, `image` (a path, or in Parquet the encoded bytes) for
    image manifests; every other column of a table that is not named here is a feature unless `features` lists
    them. `categorical` names features to take as categories although they look like numbers. `split` names a
    column that says `train`, `validation` or `test` of each row, `weight` one with what each row counts.
    `attribute` is a column, which is then no feature unless `attribute_is_feature` says so, or a comparison
    of one that stays what it is: `skin > 0`.
    """

    label: str = "label"
    text: str | None = None
    image: str | None = None
    id: str | None = None
    group: str | None = None
    attribute: str | None = None
    attribute_is_feature: bool = False
    weight: str | None = None
    split: str | None = None
    features: tuple[str, ...] | None = None
    categorical: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    @property
    def comparison(self) -> Comparison | None:
        """The attribute, where it is a comparison."""
        found = _COMPARISON.fullmatch(self.attribute or "")
        return Comparison(*found.groups()) if found else None


class Files(Settings):
    """Given splits: files or folders below `path`, which is then a folder or a zip."""

    train: str
    test: str
    validation: str | None = None

    def given(self) -> dict[Part, str]:
        """The parts that have a file."""
        return {part: name for part in PARTS if (name := getattr(self, part)) is not None}


class SplitSettings(Settings):
    """How rows are shared out; `strategy` follows from the entry where it is left out.

    `given` where `files` or `columns.split` say so, `grouped` where there is a group column, else
    `stratified`. Of given splits, only a missing validation part is made here, out of the training rows.
    With `folds`, k seeds make one repetition of k-fold cross-validation: of 5 folds, seeds 1 to 5 test every
    row once, seeds 6 to 10 once more, shared out anew.
    """

    strategy: Literal["stratified", "grouped", "given"] | None = None
    validation: Share = 0.15
    test: Share = 0.15
    folds: Annotated[int, Field(ge=2, le=100)] | None = None

    @model_validator(mode="after")
    def _leaves_training_rows(self) -> SplitSettings:
        if self.folds and "test" in self.model_fields_set:
            raise ValueError("folds test every row, so that test says nothing beside them; take it out")
        if self.validation + (1 / self.folds if self.folds else self.test) >= 1:
            raise ValueError("the shares of validation and test must leave something to train on")
        return self


class InducedImbalance(Settings):
    """A long tail made on purpose, on the training side only.

    The largest class keeps its rows and the smallest is left with 1/`ratio` of that; `exponential` goes down
    evenly in between, `step` gives half of the classes all and half the least. `seed` fixes which rows stay;
    without it they vary with the run's seed.
    """

    ratio: Annotated[float, Field(ge=1)]
    profile: Literal["exponential", "step"] = "exponential"
    seed: int | None = None


class ClassNote(Settings):
    """What a class is about, in words: for prompts and for people."""

    description: str = ""
    keywords: tuple[str, ...] = ()


class DatasetEntry(Settings):
    """One entry of datasets.yaml."""

    modality: Modality
    licence: str
    source: str = ""
    builtin: BuiltinName | None = None
    #: A file, a folder or a zip; relative to the project. Empty in an entry that waits for its data.
    path: str | None = None
    files: Files | None = None
    #: Where `evenly fetch` finds the data, and the checksum that is verified there and at every split. With
    #: `files`, `urls` and `sha256` may be mappings with the same keys.
    url: Url | None = None
    urls: dict[Part, Url] | None = None
    sha256: Sha256 | dict[Part, Sha256] | None = None
    format: Format | None = None
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] | None = None
    #: Whether `"` encloses fields. Left out: yes for csv; for tsv only where the whole file is well formed
    #: so.
    quoting: bool | None = None
    #: The sign before the decimals of csv and tsv files: a point where it is left out, or a comma.
    decimal: Literal[".", ","] | None = None
    #: The sign between thousands in them.
    thousands: Literal[",", ".", " ", "'", "_"] | None = None
    #: What stands for a missing value in a feature, beside an empty field and the usual `NA`, `nan`, `null`.
    missing: tuple[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)], ...] = ()
    columns: Columns = Columns()
    split: SplitSettings = SplitSettings()
    imbalance: InducedImbalance | None = None
    #: `drop` keeps one of several identical rows, and never one in train that is also in validation or test;
    #: `keep` is for tables of few discrete values, where equal rows are different observations.
    duplicates: Literal["drop", "keep"] = "drop"
    #: About this many rows, stratified, for a quick try.
    limit: PositiveInt | None = None
    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    classes: dict[str, ClassNote] = Field(default_factory=dict)

    @property
    def strategy(self) -> Literal["stratified", "grouped", "given"]:
        """How rows are shared out, resolved."""
        if self.split.strategy:
            return self.split.strategy
        if self.files or self.columns.split:
            return "given"
        return "grouped" if self.columns.group else "stratified"

    @model_validator(mode="after")
    def _one_origin(self) -> DatasetEntry:
        keys = ("path", "files", "url", "urls", "sha256", "format")
        outside = [key for key in keys if getattr(self, key) is not None]
        if self.builtin and outside:
            raise ValueError(f"a builtin data set takes no {outside[0]}")
        if self.url and self.urls:
            raise ValueError("give url or urls, not both")
        if (self.url or self.urls) and not (self.sha256 and self.path):
            raise ValueError("a data set with a url needs sha256 and path too")
        named = set(self.files.given()) if self.files else set()
        if self.urls and set(self.urls) != named:
            raise ValueError("urls must have the same keys as files")
        if self.urls and not isinstance(self.sha256, dict):
            raise ValueError("urls need one sha256 each, under the same keys")
        if self.url and isinstance(self.sha256, dict):
            raise ValueError("one url takes one sha256")
        if isinstance(self.sha256, dict) and set(self.sha256) != named:
            raise ValueError("sha256 must have the same keys as files, or be one checksum")
        return self

    @model_validator(mode="after")
    def _signs_differ(self) -> DatasetEntry:
        if self.thousands == (self.decimal or "."):
            other = "." if self.decimal == "," else ","
            raise ValueError(f"thousands and decimal are the same sign; give decimal {other!r} as well")
        return self

    @model_validator(mode="after")
    def _fits_modality(self) -> DatasetEntry:
        if self.flip != "none" and self.modality != "image":
            raise ValueError("flip is for images")
        if self.columns.comparison and self.builtin in ("shortcut", "coloured_digits"):
            raise ValueError(f"{self.builtin} has an attribute of its own; columns.attribute only names it")
        if self.columns.attribute_is_feature and (not self.columns.attribute or self.columns.comparison):
            raise ValueError(
                "columns.attribute_is_feature goes with a column as columns.attribute; one that is compared "
                "is a feature anyway"
            )
        keys = ("features", "categorical", "drop", "attribute_is_feature")
        tabular = [k for k in keys if getattr(self.columns, k)]
        if tabular and self.modality != "table":
            raise ValueError(f"columns.{tabular[0]} is for tables")
        for key in ("text", "image"):
            if getattr(self.columns, key) is not None and self.modality != key:
                raise ValueError(
                    f"columns.{key} is for {key} data sets, this one is of modality {self.modality}"
                )
        return self

    @model_validator(mode="after")
    def _strategy_is_possible(self) -> DatasetEntry:
        if self.files and self.columns.split:
            raise ValueError("give files or columns.split, not both")
        given = bool(self.files or self.columns.split)
        if given != (self.strategy == "given"):
            raise ValueError("split.strategy given goes with files or columns.split, and only with them")
        if given and self.split.folds:
            raise ValueError("split.folds would take the given test rows apart; leave it out")
        if self.strategy == "grouped" and not self.columns.group:
            raise ValueError("split.strategy grouped needs columns.group")
        if self.strategy == "stratified" and self.columns.group and self.split.strategy:
            raise ValueError("columns.group keeps groups together, so split.strategy must be grouped")
        return self


def read_entries(path: str | Path = DATASETS_FILE) -> dict[str, DatasetEntry]:
    """All entries of datasets.yaml, in the file's order."""
    return {name: _entry(name, value, path) for name, value in read_yaml(path).items()}


def read_entry(name: str, path: str | Path = DATASETS_FILE) -> DatasetEntry:
    """One entry of datasets.yaml; the others are not looked at."""
    entries = read_yaml(path)
    if name not in entries:
        hint = nearest_names(name, entries, most=3)
        raise ParameterError(f"dataset {name!r} is not an entry of {path}; {hint}")
    return _entry(name, entries[name], path)


def _entry(name: str, value: Any, path: str | Path) -> DatasetEntry:
    if not isinstance(value, dict):
        raise ParameterError(f"{path}: {name} must be a mapping of keys to values.")
    return settings_from(DatasetEntry, value, f"{path}: {name}")
