"""What resampling did to each class, and where and why it did something else than it was asked to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

#: Each reason as the rest of a sentence that begins with the class; a rule has its own in `selection`.
SENTENCES: Mapping[str, str] = {
    "no_rows": "has no row to make others from: nothing was made.",
    "one_row": "has a single row: it was duplicated.",
    "identical_rows": "has rows that are all alike: they were duplicated.",
    "fewer_neighbours": "has too few rows, at least in its clusters, for k_neighbors: fewer were used.",
    "fewer_clean_neighbours": "stands in a table of too few rows for clean_neighbors: all were taken.",
    "few_parents": "has new rows from {parents} of its {before} rows alone, where it is frequent.",
    "mixed_table": "has categories or booleans: they were voted on by the neighbours, as in SMOTENC.",
    "no_categories": "has neither categories nor booleans: plain SMOTE was used.",
    "would_empty_class": "would have lost all its rows by cleaning: none was removed.",
    "one_class": "is the only class here: there was nothing to clean.",
}


@dataclass
class ClassOutcome:
    """One class."""

    #: Rows in the assembled and in the resulting table.
    before: int
    after: int = 0
    #: Rows to add according to the plan, and rows added (before cleaning).
    asked: int = 0
    made: int = 0
    #: Of the rows made, those that equal their parent: duplicates, and interpolations between equal rows.
    copies: int = 0
    removed: int = 0  # Rows taken away, by under-sampling or cleaning
    #: What made the rows: `duplicate` or a method of the SMOTE family; `none` where none were made.
    method: str = "none"
    #: Rows of the class that the new ones were interpolated from; 0 where they were not.
    parents: int = 0
    k_neighbors: int = 0  # Same-class neighbours per row that were used; 0 where none were needed
    #: Why it is not what the plan asked for, in the order it was found out; empty where it is.
    reasons: list[str] = field(default_factory=list)


@dataclass
class ResampleReport:
    """All classes, in class order, and the method that the plan named (`none` where it is empty).

    Where the plan is by group, `unit` says so, and `classes` are the groups.
    """

    method: str
    classes: dict[str, ClassOutcome]
    unit: Literal["class", "group"] = "class"

    def messages(self) -> list[str]:
        """Tell each departure from the plan in a sentence."""
        if not any(outcome.reasons for outcome in self.classes.values()):
            return []
        from evenly.resampling.selection import RULES  # heavy, and not needed where nothing is resampled

        sentences = {**SENTENCES, **{rule.reason: rule.sentence for rule in RULES.values()}}
        return [
            f"{self.unit.capitalize()} {name!r} "
            + sentences[reason].format(parents=outcome.parents, before=outcome.before)
            for name, outcome in self.classes.items()
            for reason in outcome.reasons
        ]

    def to_json(self) -> dict[str, Any]:
        """Give the content of `metrics/resample.json`."""
        outcomes = list(self.classes.values())
        units = "classes" if self.unit == "class" else "groups"
        return {
            "method": self.method,
            "rows_before": sum(outcome.before for outcome in outcomes),
            "rows_after": sum(outcome.after for outcome in outcomes),
            "made": sum(outcome.made for outcome in outcomes),
            "removed": sum(outcome.removed for outcome in outcomes),
            f"{units}_with_fallback": sum(bool(outcome.reasons) for outcome in outcomes),
            units: {name: asdict(outcome) for name, outcome in self.classes.items()},
        }


def untouched(counts: Mapping[str, int]) -> ResampleReport:
    """Report of a table that is only assembled; `counts` are its rows per class."""
    return ResampleReport("none", {name: ClassOutcome(before=n, after=n) for name, n in counts.items()})
