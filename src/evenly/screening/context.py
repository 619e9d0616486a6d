"""What every check of the screening is given, and what it answers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from evenly.errors import DataError
from evenly.features.ngramsets import normalised_text
from evenly.params.screening import FilterSettings
from evenly.samples import Modality, SampleTable

_MEASURED = 10_000  # real rows whose spacing is measured at most

#: What a judge gives marks for; each has a weight in `filter.judge`.
MARKS = ("consistency", "completeness", "naturalness")


class Featurizer(Protocol):
    """Turns samples into vectors; fitted on training rows."""

    def transform(self, samples: SampleTable) -> np.ndarray:
        """Vectors, float32 (n, d); of length one for texts."""


@dataclass(frozen=True)
class JudgeScores:
    """Marks from 1 (poor) to 10 (excellent), float (n,) each, NaN where the judge gave none."""

    consistency: np.ndarray  # does the sample belong to its class?
    completeness: np.ndarray  # does it say something whole?
    naturalness: np.ndarray  # could it be real?
    failures: Sequence[str | None] = ()  # why a sample has no marks, in a word; empty where nobody can tell
    measured: Mapping[str, Any] = field(default_factory=dict)  # for the report: what the judge was, and cost


#: Reads whole samples (their labels as they stand) and marks them, row by row.
Judge = Callable[[SampleTable], JudgeScores]


class Side:
    """Samples with their texts, vectors and identities, computed once and only when they are needed."""

    def __init__(
        self,
        samples: SampleTable,
        vectors: Callable[[], np.ndarray],
        part_of: tuple[Side, np.ndarray] | None = None,
    ) -> None:
        self.samples = samples
        self._make_vectors = vectors
        self._part_of = part_of

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def texts(self) -> list[str]:
        """Texts, empty where there is none."""
        return [text or "" for text in self.samples.texts]

    @cached_property
    def vectors(self) -> np.ndarray:
        """Vectors, float32 (n, d)."""
        return np.asarray(self._make_vectors(), dtype=np.float32)

    @cached_property
    def identities(self) -> list[Hashable]:
        """A key for each sample, equal for samples that are the same; None where nothing can be read.

        Texts: `normalised_text`. Images: shape and pixels after decoding, so that the same picture saved
        twice is one. Tables: the values of all feature columns.
        """
        samples = self.samples
        if self._part_of is not None:
            known = self._part_of[0].identities
            return [known[row] for row in self._part_of[1]]
        if samples.modality == "text":
            return [normalised_text(text) or None for text in self.texts]
        if samples.modality == "image":
            return [_pixels_key(image) for image in samples.images]
        columns = [samples.table.column(feature.name).to_pylist() for feature in samples.schema.features]
        return [tuple(_comparable(value) for value in row) for row in zip(*columns, strict=True)]

    def take(self, rows: np.ndarray) -> Side:
        """Some of the samples, by position (int64)."""
        return Side(self.samples.take(rows), lambda: self.vectors[rows], (self, rows))


def _pixels_key(image: bytes | None) -> Hashable:
    from evenly.features.images import decode_images

    if not image:
        return None
    try:
        pixels = decode_images([image])[0]
    except DataError:
        return None
    return pixels.shape, hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()


def _comparable(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


class Context:
    """The candidates, the real rows around them, and everything that is computed from both once.

    Attributes
    ----------
    candidates, train, validation, test
        The samples.
    labels
        object (n,): the candidates' labels as they stand. A row that moves to another class has the new one
        for all checks that come after.
    agreement
        int64 (n,): place of the label among the agreement model's classes, 1 the first; 0 where it gave none.
    allowances
        float (classes,) by the name of a limit: how far beyond it genuine rows of each class were found, and
        its candidates may be; infinite where the limit is off for a class, 0 where none is given.
    genuine_pass
        By the name of a limit, the share of genuine rows that keep to it out of fold.
    """

    def __init__(
        self,
        candidates: SampleTable,
        real: Mapping[str, Side],
        settings: FilterSettings,
        featurizer: Featurizer,
        seed: int,
        judge: Judge | None = None,
    ) -> None:
        self.candidates = candidates
        self.settings = settings
        self.seed = seed
        self.judge = judge
        self.labels = candidates.labels.copy()
        self.agreement = np.zeros(len(candidates), dtype=np.int64)
        self.allowances: Mapping[str, np.ndarray] = {}
        self.genuine_pass: Mapping[str, float] = {}
        self._featurizer = featurizer
        self._vectors: np.ndarray | None = None
        self._known = np.zeros(len(candidates), dtype=bool)
        self._all = Side(candidates, lambda: self._vectors_of(np.arange(len(candidates))))
        self.train, self.validation, self.test = real["train"], real["validation"], real["test"]

    @property
    def modality(self) -> Modality:
        """`text`, `image` or `table`."""
        return self.candidates.modality

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes in their fixed order."""
        return self.train.samples.classes

    def side(self, rows: np.ndarray) -> Side:
        """The candidates in these rows (int64 positions); the vector of each is computed once."""
        return Side(self.candidates.take(rows), lambda: self._vectors_of(rows), (self._all, rows))

    def codes(self, rows: np.ndarray) -> np.ndarray:
        """Labels of these candidates, as they stand, as positions in the classes, int64."""
        position = {name: k for k, name in enumerate(self.classes)}
        return np.fromiter((position[label] for label in self.labels[rows]), dtype=np.int64, count=len(rows))

    def allowance(self, limit: str, rows: np.ndarray) -> np.ndarray:
        """How far beyond a limit these candidates may be, float (n,)."""
        found = self.allowances.get(limit)
        return np.zeros(len(rows)) if found is None else np.asarray(found[self.codes(rows)])

    @cached_property
    def real_spacing(self) -> np.ndarray:
        """Distance of 10,000 real training rows at most to the nearest other, float32; empty for one row."""
        from evenly.features.neighbours import nearest_neighbours

        if len(self.train) < 2:
            return np.empty(0, dtype=np.float32)
        vectors, rows = self.train.vectors, drawn_rows(len(self.train), _MEASURED, self.seed, 10)
        return nearest_neighbours(vectors[rows], vectors, 1, exclude_self=rows)[0][:, 0]

    def _vectors_of(self, rows: np.ndarray) -> np.ndarray:
        missing = rows[~self._known[rows]]
        if len(missing) or self._vectors is None:
            found = np.asarray(self._featurizer.transform(self.candidates.take(missing)), dtype=np.float32)
            if self._vectors is None:
                self._vectors = np.zeros((len(self.candidates), found.shape[1]), dtype=np.float32)
            self._vectors[missing] = found
            self._known[missing] = True
        return np.asarray(self._vectors[rows])


@dataclass(frozen=True)
class Verdict:
    """What one rule of a check found for each of n rows; made by `verdict`."""

    failed: np.ndarray  # bool (n,)
    score: np.ndarray  # float (n,): what was measured, NaN where nothing was
    threshold: np.ndarray  # float (n,): the limit it was held against, NaN where there is none
    matched: np.ndarray  # object (n,): id of the sample that the row is too like, or None
    detail: np.ndarray  # object (n,): what was looked at, in words; None where the check's name says it all
    limit: str | None = None  # name of the limit where genuine rows may widen it
    excess: np.ndarray | None = None  # float (n,): how far beyond that limit as it is set, below 0 within


def verdict(
    failed: np.ndarray,
    *,
    score: np.ndarray | float = np.nan,
    threshold: np.ndarray | float = np.nan,
    matched: np.ndarray | None = None,
    detail: np.ndarray | str | None = None,
) -> Verdict:
    """A verdict, with single values spread over all rows."""
    n = len(failed)
    details = np.empty(n, dtype=object)
    details[:] = detail
    return Verdict(
        np.asarray(failed, dtype=bool),
        np.broadcast_to(np.asarray(score, dtype=np.float64), (n,)),
        np.broadcast_to(np.asarray(threshold, dtype=np.float64), (n,)),
        np.full(n, None, dtype=object) if matched is None else matched,
        details,
    )


def limited(
    context: Context,
    rows: np.ndarray,
    limit: str,
    failed: np.ndarray,
    *,
    score: np.ndarray | float = np.nan,
    threshold: np.ndarray | float = np.nan,
    unit: np.ndarray | float | None = None,
    ratio: bool | None = None,
    above: bool = True,
    **rest: Any,
) -> Verdict:
    """A verdict on rows beyond a limit, by more than genuine rows of their class are.

    How far a row is beyond it is score − threshold in units, or the logarithm of their ratio (`ratio`, and
    where there is no `unit`); without a score, infinitely far. `failed` says who fails by the limit as it is
    set; unless `above`, low scores fail.
    """
    sign = 1.0 if above else -1.0
    threshold = np.broadcast_to(np.asarray(threshold, dtype=np.float64), (len(rows),))
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.asarray(score, dtype=np.float64)
        in_logs, unit = unit is None if ratio is None else ratio, 1.0 if unit is None else unit
        distance = (np.log(values / threshold) if in_logs else values - threshold) / unit
        excess = np.where(np.isnan(distance), np.where(failed, np.inf, -np.inf), sign * distance)
        excess = np.where(failed, np.maximum(excess, np.finfo(np.float64).tiny), np.minimum(excess, 0))
        allowed = context.allowance(limit, rows)
        beyond = sign * allowed * unit
        wide = threshold * np.exp(beyond) if in_logs else threshold + beyond
    found = verdict(excess > allowed, score=score, threshold=np.where(allowed > 0, wide, threshold), **rest)
    return replace(found, limit=limit, excess=excess)


@dataclass(frozen=True)
class Outcome:
    """What a check answers about n rows."""

    verdicts: tuple[Verdict, ...] = ()  # one per rule of the check
    labels: np.ndarray | None = None  # object (n,): the class that a row is moved to, None where it stays
    notes: Sequence[Mapping[str, Any]] = ()  # one per row, written down beside it whatever becomes of it
    skipped: tuple[str, ...] = ()  # sentences that tell what was not checked, and why
    measured: Mapping[str, Any] = field(default_factory=dict)  # numbers for the report
    opinions: tuple[str, ...] = ()  # sentences for the page, on the candidates as a whole
    warnings: tuple[str, ...] = ()  # sentences for the person who must act


def drawn_rows(n: int, most: int, *seed: int) -> np.ndarray:
    """All of n positions, or `most` of them by lot, rising: time must not grow with the number of rows."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


#: A check looks at the candidates in these rows (int64 positions) and answers about them.
Check = Callable[[Context, np.ndarray], Outcome]
