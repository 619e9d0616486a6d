"""The check `memorised`: real rows with a little noise on them.

A copy is far nearer to one real row than real rows, each left out in turn, are to each other: no distance
needs to be chosen, and crowded regions are measured by their own standard.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from evenly.screening.context import Context, Outcome, drawn_rows, limited

_MEASURED = 10_000  # real rows that tell what is usual, at most


def memorised(context: Context, rows: np.ndarray) -> Outcome:
    """Candidates that are as near to one real training row as real rows hardly ever are to each other."""
    rules = context.settings.memorised
    copies = copy_detector(context.train.vectors, rules.neighbours, rules.false_alarms, context.seed)
    if copies is None:
        return Outcome(skipped=("fewer than three real training rows, or rows that repeat each other",))
    ratios, nearest = copies.ratios(context.side(rows).vectors)
    failed = ratios < copies.limit  # the ratios of other rows are lower bounds
    matched = np.full(len(rows), None, dtype=object)
    matched[failed] = context.train.samples.ids[nearest[failed]]
    found = limited(
        context,
        rows,
        "memorised",
        failed,
        score=ratios,
        threshold=copies.limit,
        above=False,
        matched=matched,
        detail="distance to the nearest real row over the usual one",
    )
    measured = {
        "candidates_copied": float(failed.mean()),
        "real_rows_struck": copies.real_rows_struck,
        "ratio_limit": copies.limit,
    }
    return Outcome((found,), measured=measured)


@dataclass(frozen=True)
class CopyDetector:
    """Tells copies of real rows; made by `copy_detector`."""

    real: np.ndarray  # all real rows, float32 (n, d)
    reference: np.ndarray  # positions of those that tell how crowded a place is, int64 (m,)
    k: int  # neighbour among these whose distance is the measure
    limit: float  # a row is a copy where `ratios` is below this
    real_rows_struck: float  # share of real rows, each left out in turn, that would be taken for copies

    def ratios(
        self, vectors: np.ndarray, known: tuple[np.ndarray, np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Distance to the nearest real row over that to the k-th nearest of the reference.

        And the position of the real row that is nearest, as far as is known. The ratio, float64 (q,), is 0
        for a row on a real one, exact below `limit`, and elsewhere no less than it. `known` are the distances
        and positions of the nearest real rows, where they have been searched already.
        """
        from evenly.features.neighbours import nearest_neighbours, nearest_within

        found, places = nearest_neighbours(vectors, self.real[self.reference], self.k)
        first, last, nearest = found[:, 0], found[:, -1], self.reference[places[:, 0]]
        if known is not None:
            first, nearest = known
        elif len(self.reference) < len(self.real):
            nearer, others = nearest_within(vectors, self.real, np.float32(self.limit) * last)
            nearest = np.where(nearer < first, others, nearest)
            first = np.minimum(first, nearer)
        return _ratios(first, last), nearest


def copy_detector(real: np.ndarray, k: int, false_alarms: float, seed: int) -> CopyDetector | None:
    """Learn from real rows, float32 (n, d), how near to one of them a fresh row lies.

    The measure is the distance over that to the k-th neighbour, fewer where there are fewer rows; a share of
    `false_alarms` of fresh rows may be taken for copies. None for fewer than three rows, or where more than
    that share of the rows repeat others.
    """
    from evenly.features.neighbours import nearest_neighbours

    rows = drawn_rows(len(real), _MEASURED, seed, 7)
    k = min(k, len(rows) - 1)
    if k < 2:
        return None
    last = nearest_neighbours(real[rows], real[rows], k, exclude_self=True)[0][:, -1]
    first = nearest_neighbours(real[rows], real, 1, exclude_self=rows)[0][:, 0]
    usual = _ratios(first, last)
    limit = copy_limit(usual, round(k * len(real) / len(rows)), false_alarms)
    if limit is None:
        return None
    return CopyDetector(real, rows, k, limit, float((usual < limit).mean()))


def copy_limit(ratios: np.ndarray, k: int, false_alarms: float) -> float | None:
    """The ratio below which a share of `false_alarms` of fresh rows are taken for copies; k is of all rows.

    None where more than that share of the real rows, left out in turn, have the ratio 0, being copies
    themselves.

    Where points lie evenly in D dimensions, r = d₁/d_k has P(r ≤ t) = 1 − (1 − t^D)^(k−1) and the mean of
    −log r is H_{k−1}/D, H being the harmonic number (k = 2: Facco et al., Scientific Reports 7, 2017; any k:
    Denti et al., Scientific Reports 12, 2022). So D follows from all ratios, and the limit from D: a far tail
    is told from few rows. The quantile of the ratios themselves is kept to as well.
    """
    spared = min(len(ratios) - 1, int(false_alarms * len(ratios)))
    observed = float(np.partition(ratios, spared)[spared])
    if observed <= 0:
        return None
    logs = -np.log(ratios[ratios > 0])
    if not logs.sum() > 0:
        return observed
    dimension = len(logs) * sum(1 / j for j in range(1, k)) / float(logs.sum())
    share = -math.expm1(math.log1p(-false_alarms) / (k - 1)) if false_alarms < 1 else 1.0
    return float(min(observed, share ** (1 / dimension)))


def _ratios(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    out = np.zeros(len(first))
    np.divide(first, last, out=out, where=last > 0, dtype=np.float64)
    return out
