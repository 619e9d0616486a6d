"""Which rows are hard: a rule, a share, a cap a class."""

from __future__ import annotations

import math

import numpy as np

from evenly.mining.scores import Scores
from evenly.params.mining import MiningSettings


def hard_rows(
    scores: Scores, codes: np.ndarray, eligible: np.ndarray, settings: MiningSettings
) -> np.ndarray:
    """Positions of the hard rows, rising, int64 (m,).

    Parameters
    ----------
    scores
        Of n rows. Among equally hard rows the earlier one goes first.
    codes
        Labels as positions, int64 (n,).
    eligible
        Rows that may be taken, bool (n,). Shares are shares of these.
    settings
        The rule, the share and the cap.
    """
    allowed = eligible & scores.known
    misses = allowed & scores.misclassified(codes)
    candidates = np.flatnonzero(misses if settings.by == "misclassified" else allowed)
    hardness = -scores.margin if settings.by == "margin" else scores.loss
    hardest = candidates[np.argsort(-hardness[candidates], kind="stable")]
    if settings.top_fraction != "all":
        hardest = hardest[: math.ceil(settings.top_fraction * len(hardest))]
    if settings.max_per_class is not None:
        rows = np.bincount(codes[allowed], minlength=int(codes.max(initial=0)) + 1)
        caps = _caps(settings.max_per_class, rows)
        hardest = hardest[_places_in_class(codes[hardest]) < caps[codes[hardest]]]
    return np.sort(hardest)


def reasons(
    scores: Scores, rows: np.ndarray, classes: tuple[str, ...], settings: MiningSettings
) -> list[str]:
    """Say in a few words why each of these rows is hard."""
    said = []
    for row in rows.tolist():
        name = classes[scores.predicted[row]]
        if settings.by == "misclassified":
            said.append(f"taken for {name} with probability {scores.confidence[row]:.2f}")
        elif settings.by == "loss":
            said.append(f"loss {scores.loss[row]:.2f} is among the highest")
        else:
            said.append(f"margin {scores.margin[row]:.2f} is among the lowest")
    return said


def _caps(cap: int | float, rows: np.ndarray) -> np.ndarray:
    """Rows that each class may have, int64 (k,); a share is rounded up."""
    if isinstance(cap, int):
        return np.full(len(rows), cap, dtype=np.int64)
    return np.ceil(cap * rows).astype(np.int64)


def _places_in_class(codes: np.ndarray) -> np.ndarray:
    """Place of each row among those of its class so far, from 0, int64 (n,)."""
    places = np.empty(len(codes), dtype=np.int64)
    for code in np.unique(codes):
        own = np.flatnonzero(codes == code)
        places[own] = np.arange(len(own))
    return places
