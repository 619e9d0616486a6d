"""What splitting reports: counts, copies that were dropped, conflicts, and what the user should know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evenly.params.datasets import PARTS
from evenly.samples import Modality

#: How many rows a report lists as examples.
EXAMPLES = 10


@dataclass(frozen=True)
class SplitReport:
    """What splitting found and did.

    Attributes
    ----------
    counts
        Rows per part and class.
    duplicates
        How many rows were dropped from each part because an identical one stays, and examples.
    conflicts
        How many rows share their payload with a row of another label, how many of those were dropped, and
        examples.
    imbalance
        For an induced long tail, the training rows per class before; None otherwise.
    sha256
        Of the source; None for built-in sets.
    """

    dataset: str
    modality: Modality
    licence: str
    strategy: str
    rows_read: int
    counts: dict[str, dict[str, int]]
    duplicates: dict[str, Any]
    conflicts: dict[str, Any]
    imbalance: dict[str, Any] | None
    sha256: str | dict[str, str] | None
    warnings: tuple[str, ...] = ()

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
        return {
            "dataset": self.dataset,
            "modality": self.modality,
            "licence": self.licence,
            "strategy": self.strategy,
            "rows": {"read": self.rows_read, **{part: sum(c.values()) for part, c in self.counts.items()}},
            "classes": self.counts,
            "duplicates": self.duplicates,
            "conflicts": self.conflicts,
            "imbalance": self.imbalance,
            "sha256": self.sha256,
            "warnings": list(self.warnings),
        }


@dataclass
class Copies:
    """What happened to identical rows, gathered while it happens.

    Attributes
    ----------
    ids, labels
        Of all rows, (n,).
    dropped
        Rows dropped from each part; those dropped before there were parts are `undecided`.
    conflicts_dropped
        How many of the dropped rows had another label than the row that stays.
    leaks_kept
        Rows of train and validation that stay although a later part has an identical one.
    """

    ids: np.ndarray
    labels: np.ndarray
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    undecided: int = 0
    conflicts_dropped: int = 0
    leaks_kept: int = 0
    examples: list[dict[str, str]] = field(default_factory=list)

    def drop(self, rows: np.ndarray, kept: np.ndarray, parts: np.ndarray | None) -> None:
        """Record that `rows` go because `kept` (one for each) stay."""
        if parts is None:
            self.undecided += len(rows)
        for row, stays in zip(rows.tolist(), kept.tolist(), strict=True):
            if parts is not None:
                self.dropped[PARTS[parts[row]]] += 1
            self.conflicts_dropped += bool(self.labels[row] != self.labels[stays])
            if len(self.examples) < EXAMPLES:
                example = {"dropped": self.ids[row], "kept": self.ids[stays]}
                if parts is not None:
                    example |= {"dropped_from": PARTS[parts[row]], "kept_in": PARTS[parts[stays]]}
                self.examples.append(example)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"dropped_before_split": self.undecided, "dropped": self.dropped, "examples": self.examples}
