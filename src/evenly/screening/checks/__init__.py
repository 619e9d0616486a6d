"""The checks of the screening in their order. A new one is a file here, its settings, and an entry below."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from evenly.params.screening import CheckName
from evenly.samples import Modality
from evenly.screening.checks import duplicates, format, memorised, opinions, realism, tables, texts
from evenly.screening.context import Check, Context, Outcome, Verdict, verdict


class Step(NamedTuple):
    """A check, the modalities that it looks at, and whether its verdict on a genuine row means something."""

    name: CheckName
    check: Check
    modalities: tuple[Modality, ...] = ("text", "image", "table")
    genuine: bool = True  # tried on genuine rows to see how many pass


def _of_moved(check: Check) -> Check:
    """The check, on those rows alone that have moved to another class since they first passed it."""

    def of_moved(context: Context, rows: np.ndarray) -> Outcome:
        moved = np.flatnonzero(context.labels[rows] != context.candidates.labels[rows])
        found = check(context, rows[moved]).verdicts
        return Outcome(tuple(_spread(each, moved, len(rows)) for each in found))

    return of_moved


def _spread(found: Verdict, rows: np.ndarray, n: int) -> Verdict:
    """A verdict on some of n rows as one on all of them."""
    nothing = verdict(np.zeros(n, dtype=bool))
    wide: dict[str, Any] = {name: np.array(getattr(nothing, name)) for name in _SPREAD}
    for name, values in wide.items():
        values[rows] = getattr(found, name)
    return replace(nothing, **wide)


_SPREAD = ("failed", "score", "threshold", "matched", "detail")
_TEXT: tuple[Modality, ...] = ("text",)
_VECTORS: tuple[Modality, ...] = ("image", "table")

#: In phases of rising cost: every check of a phase looks at all candidates that the phases before have left.
PHASES: tuple[tuple[Step, ...], ...] = (
    (
        Step("format", format.badly_formed, _TEXT),
        Step("format", format.badly_drawn, ("image",)),
    ),
    (
        Step("length", texts.badly_long, _TEXT),
        Step("script", texts.foreign_script, _TEXT),
        Step("keywords", texts.without_keywords, _TEXT),
        Step("schema", tables.badly_filled, ("table",)),
        Step("constraints", tables.violating, ("table",)),
        Step("duplicate", duplicates.copies_of_real),
        Step("near_duplicate", duplicates.near_real),
        Step("closeness", duplicates.close_to_held_out),
        Step("memorised", memorised.memorised, _VECTORS),
        Step("collapse", realism.collapsed, _VECTORS, genuine=False),
    ),
    (Step("agreement", opinions.disagreeing),),
    (
        Step("length", _of_moved(texts.badly_long), _TEXT, genuine=False),
        Step("keywords", _of_moved(texts.without_keywords), _TEXT, genuine=False),
        Step("outlier", realism.outlying),
        Step("realism", realism.unrealistic, _VECTORS),
    ),
    (Step("duplicate", duplicates.copies_of_candidates, genuine=False),),
    (Step("near_duplicate", duplicates.near_candidates, genuine=False),),
    (Step("judge", opinions.judged, genuine=False),),
)

#: What a person's word does not overrule: rows that exist already, or that would leak.
FINAL = frozenset[CheckName]({"duplicate", "near_duplicate", "closeness"})
