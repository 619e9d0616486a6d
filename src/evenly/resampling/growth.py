"""Making the new rows of one class: the method of the plan, or what can be done instead.

Fallbacks, in this order: fewer neighbours where the class has too few rows; plain SMOTE where the method
finds nothing to start from; duplicates where there is one row, or only equal ones. Each is noted in the
class's outcome.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from evenly.features.featurizer import Featurizer
from evenly.params.resampling import RESAMPLERS
from evenly.plans import ResamplePlan
from evenly.resampling.report import ClassOutcome
from evenly.resampling.segments import (
    Segments,
    Source,
    draw_segments,
    interpolated,
    mixed_samples,
    mixed_space,
)
from evenly.resampling.selection import RULES, Members, Space, Task, random_stream, smote
from evenly.samples import SampleTable

if TYPE_CHECKING:
    from evenly.features.columns import Columns, MixedRows


@dataclass(frozen=True)
class Growth:
    """Everything that is the same for all classes of one table."""

    samples: SampleTable
    plan: ResamplePlan
    featurizer: Featurizer

    @cached_property
    def space(self) -> Space:
        """The table in feature space."""
        return Space(self.featurizer.transform(self.samples), self.samples.codes, self.plan.seed)

    @cached_property
    def method(self) -> str:
        """The method that interpolates; `smote` or `smotenc` by what the table holds."""
        rule = RESAMPLERS[self.plan.method].rule or ""
        return self._plain if rule in ("smote", "smotenc") else rule

    @property
    def _plain(self) -> str:
        return "smotenc" if self._nominal else "smote"

    def rows(self, name: str, outcome: ClassOutcome, taken: set[str]) -> SampleTable:
        """Make `outcome.asked` rows of a class that has rows."""
        rng = random_stream(self.plan.seed, self.plan.method, name)
        rows = np.flatnonzero(self.samples.codes == self.samples.classes.index(name))
        members = None if self.method == "duplicate" else self._members(rows, outcome)
        outcome.made = outcome.asked
        if members is None:
            parents = rows[rng.integers(0, len(rows), size=outcome.asked)]
            outcome.method, outcome.copies = "duplicate", outcome.asked
            return offspring(self.samples, parents, "duplicate", {}, taken=taken)
        sources = self._sources(members, outcome, rng)
        segments = draw_segments(sources, rng)
        outcome.k_neighbors = segments.around.shape[1]
        ends = np.searchsorted(members.rows, [segments.parents, segments.neighbours])
        outcome.copies = int(_equal_rows(members.vectors, *ends).sum())
        if self._mixed is None:
            payload = self.featurizer.payload(interpolated(self.space.vectors, segments))
        else:
            payload = self._columns.unmixed(mixed_samples(self._mixed, segments))
        return offspring(self.samples, segments.parents, outcome.method, payload, segments, taken=taken)

    def _members(self, rows: np.ndarray, outcome: ClassOutcome) -> Members | None:
        """Give the class in the space of its neighbours; None where it can only be duplicated."""
        if len(rows) == 1:
            outcome.reasons.append("one_row")
            return None
        vectors = self._own_space(rows)
        if (vectors == vectors[0]).all():
            outcome.reasons.append("identical_rows")
            return None
        k = min(self.plan.k_neighbors, len(rows) - 1)
        if k < self.plan.k_neighbors:
            outcome.reasons.append("fewer_neighbours")
        return Members(rows, vectors, k)

    def _sources(self, members: Members, outcome: ClassOutcome, rng: np.random.Generator) -> list[Source]:
        outcome.method = self.method
        if self.plan.method == "smotenc" and not self._nominal:
            outcome.reasons.append("no_categories")
        elif self.method != "smotenc" and self._nominal:
            outcome.reasons.append("mixed_table")
        task = Task(self.space, members, outcome.asked, self.plan.k_neighbors, self._growth_in_all)
        rule = RULES[self.method]
        sources = rule.sources(task, rng)
        if not sources:
            outcome.reasons.append(rule.reason)
            outcome.method = self._plain
            sources = smote(members, outcome.asked, rng)
        outcome.parents = sum(int((source.counts > 0).sum()) for source in sources)
        few = 2 * outcome.parents < len(members.rows) and outcome.asked >= 2 * outcome.parents
        if few and rule.names_parents:
            outcome.reasons.append("few_parents")
        if sources[0].neighbours.shape[1] < members.k and "fewer_neighbours" not in outcome.reasons:
            outcome.reasons.append("fewer_neighbours")
        return sources

    @cached_property
    def _nominal(self) -> bool:
        return any(feature.kind in ("boolean", "category") for feature in self.samples.schema.features)

    @property
    def _columns(self) -> Columns:
        return self.featurizer  # type: ignore[return-value]  # tables have no other featurizer

    @cached_property
    def _mixed(self) -> MixedRows | None:
        return self._columns.mixed(self.samples) if self.samples.modality == "table" else None

    def _own_space(self, rows: np.ndarray) -> np.ndarray:
        """Vectors in which the rows of one class look for neighbours among themselves."""
        if self._mixed is None or not self._nominal:
            vectors: np.ndarray = self.space.vectors[rows]
            return vectors
        numbers = self._columns.standardised(self._mixed.numbers[rows])
        levels = tuple(len(values) for values in self._mixed.levels)
        return mixed_space(numbers, self._mixed.codes[rows], levels)

    @cached_property
    def _growth_in_all(self) -> int:
        counts = self.samples.counts
        return sum(max(0, target - counts[name]) for name, target in self.plan.targets.items())


def _equal_rows(vectors: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Tell which pairs of rows are equal, bool (pairs,); all columns are read only where the first agree."""
    equal: np.ndarray = np.all(vectors[left, :8] == vectors[right, :8], axis=1)
    close = np.flatnonzero(equal)
    equal[close] = (vectors[left[close]] == vectors[right[close]]).all(axis=1)
    return equal


def offspring(
    samples: SampleTable,
    parents: np.ndarray,
    origin: str,
    payload: Mapping[str, pa.Array],
    segments: Segments | None = None,
    *,
    taken: set[str],
) -> SampleTable:
    """Rows like their parents (label, group, attribute, weight) but for id, origin, lineage and payload.

    Those on `segments` name the other end as well; ids are added to `taken`.
    """
    n = len(parents)
    neighbours, weights = pa.nulls(n, pa.string()), pa.nulls(n, pa.float64())
    if segments is not None:
        neighbours = samples.table.column("id").take(pa.array(segments.neighbours))
        weights = pa.array(segments.weights.astype(np.float64))
    table = samples.table.take(pa.array(parents))
    columns = {name: table.column(name) for name in table.column_names}
    columns |= {
        "id": pa.array(_fresh_ids(samples.ids[parents], origin, taken), pa.string()),
        "origin": pa.array(np.full(n, origin, dtype=object), pa.string()),
        "parent": table.column("id"),
        "neighbour": neighbours,
        "neighbour_weight": weights,
    }
    if "details" in columns:
        columns["details"] = pa.nulls(n, pa.string())
    return SampleTable(pa.table(columns | dict(payload)), samples.schema)


def _fresh_ids(parents: np.ndarray, origin: str, taken: set[str]) -> list[str]:
    """`<parent>+<origin><ordinal>`; the ordinal counts each parent's offspring and leaps over taken ids."""
    ordinals: dict[str, int] = {}
    ids = []
    for parent in parents:
        ordinal = ordinals.get(parent, 0) + 1
        while (name := f"{parent}+{origin}{ordinal}") in taken:
            ordinal += 1
        ordinals[parent] = ordinal
        taken.add(name)
        ids.append(name)
    return ids
