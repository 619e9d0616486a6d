"""Checks for samples that exist already, as a real training row or as another candidate.

Among candidates the first in order stays and what is near to it goes; how similar pairs are found is in
`evenly.screening.similarity`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

import numpy as np

from evenly.features.ngramsets import ngram_sets
from evenly.params.screening import SimilarityRules
from evenly.samples import Modality
from evenly.screening.context import Context, Outcome, Side, Verdict, verdict
from evenly.screening.similarity import Pairs, close_vectors, similar_sets, similar_vectors

_LEAF = 2048  # candidates among which all pairs are held at once

#: For each row the one of the others that it is nearest to, as a position in them, -1 where none is near;
#: and the score.
Nearest = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
#: All near pairs among rows, as positions in them.
Among = Callable[[np.ndarray], Iterable[Pairs]]


def copies_of_real(context: Context, rows: np.ndarray) -> Outcome:
    """Candidates that are the same sample as a real training row."""
    return Outcome((same_verdict("duplicate", "real", context.shown(rows), context.train),))


def copies_of_candidates(context: Context, rows: np.ndarray) -> Outcome:
    """Candidates that are the same sample as one that comes before them."""
    shown = context.shown(rows)
    first: dict[Hashable, str] = {}
    matched = np.full(len(rows), None, dtype=object)
    for k, (key, name) in enumerate(zip(shown.identities, shown.samples.ids, strict=True)):
        if key is not None:
            known = first.setdefault(key, name)
            matched[k] = None if known == name else known
    return Outcome((_matched_verdict("duplicate", "synthetic", matched, 1.0, np.nan),))


def near_real(context: Context, rows: np.ndarray) -> Outcome:
    """Candidates that are nearly the same as a real training row."""
    rules = context.settings.near_duplicate
    radius = near_radius(context, rules)
    shown = context.shown(rows)
    found = near_verdicts("near_duplicate", "real", context.modality, shown, context.train, rules, radius)
    return Outcome(found, skipped=unmeasured(context, radius))


def near_candidates(context: Context, rows: np.ndarray) -> Outcome:
    """Candidates that are nearly the same as one that comes before them and stays."""
    rules = context.settings.near_duplicate
    radius = near_radius(context, rules)
    shown = context.shown(rows)
    measures: list[_Measure] = []
    if context.modality == "text":
        if rules.jaccard is not None:
            measures.append(_jaccard_measure(shown.texts, rules.jaccard, rules.ngram))
        if rules.cosine is not None:
            measures.append(_cosine_measure(shown.vectors, rules.cosine))
    elif radius is not None:
        measures.append(_distance_measure(shown.vectors, radius))
    verdicts = []
    for measure in measures:
        first, score = keep_first(np.arange(len(rows)), measure.nearest, measure.among)
        matched = _ids_at(shown.samples.ids, first)
        verdicts.append(
            _matched_verdict("near_duplicate", f"synthetic, {measure.name}", matched, score, measure.limit)
        )
    return Outcome(tuple(verdicts))


def same_verdict(rule: str, where: str, side: Side, others: Side) -> Verdict:
    """Which samples are the same as one of the others, and as which."""
    known: dict[Hashable, str] = {}
    for key, name in zip(others.identities, others.samples.ids, strict=True):
        known.setdefault(key, name)
    matched = np.full(len(side), None, dtype=object)
    matched[:] = [None if key is None else known.get(key) for key in side.identities]
    return _matched_verdict(rule, where, matched, 1.0, np.nan)


def near_verdicts(
    rule: str,
    where: str,
    modality: Modality,
    side: Side,
    others: Side,
    rules: SimilarityRules,
    radius: float | None,
) -> tuple[Verdict, ...]:
    """Which samples are too similar to one of the others, and to which, by each measure of similarity.

    Parameters
    ----------
    rule, where
        What to call the rule and the others in the verdicts.
    side, others
        The samples, and those to stay away from.
    rules
        The limits.
    radius
        The distance that is too near, for images and tables; None where there is none.
    """
    if not len(side) or not len(others):
        return ()
    found = []
    if modality == "text":
        if rules.jaccard is not None:
            sets = ngram_sets([*side.texts, *others.texts], rules.ngram)
            rows = np.arange(len(sets))
            split = sets[rows[: len(side)]], sets[rows[len(side) :]]
            match, score = _most_similar(similar_sets(*split, rules.jaccard), len(side))
            found.append((_jaccard_name(rules.ngram), rules.jaccard, match, score))
        if rules.cosine is not None:
            blocks = similar_vectors(side.vectors, others.vectors, rules.cosine)
            found.append(("cosine", rules.cosine, *_most_similar(blocks, len(side))))
    elif radius is not None:
        found.append(("distance", radius, *_nearest_within(side.vectors, others.vectors, radius)))
    return tuple(
        _matched_verdict(rule, f"{where}, {name}", _ids_at(others.samples.ids, match), score, limit)
        for name, limit, match, score in found
    )


def near_radius(
    context: Context, rules: SimilarityRules, distances: np.ndarray | None = None
) -> float | None:
    """How near is too near for images and tables: `distance` × the median spacing of real rows, or less.

    Less, where that would strike more than a share of `false_alarms` of the real rows. None for texts,
    where no distance is asked for, or where a single real row tells none.

    Parameters
    ----------
    context
        Gives the spacing of the real training rows.
    rules
        The limits.
    distances
        Of real rows to the nearest of the rows that candidates keep away from; by default to each other.
    """
    if context.modality == "text" or rules.distance is None or not len(context.real_spacing):
        return None
    usual = context.real_spacing if distances is None else distances
    radius = rules.distance * float(np.median(context.real_spacing))
    spared = int(rules.false_alarms * len(usual))  # in rising order, this one and all after it
    if spared < len(usual):
        nearest = np.partition(usual, spared)[spared]
        radius = min(radius, float(np.nextafter(nearest, np.float32(0))))
    return radius


def unmeasured(context: Context, radius: float | None) -> tuple[str, ...]:
    """Why distances were not looked at, where they should have been."""
    if context.modality == "text" or radius is not None:
        return ()
    return ("distances: not asked for, or too few real training rows to tell what is near",)


@dataclass(frozen=True)
class _Measure:
    """One way to compare samples among themselves: its name, its limit, and how near rows are found."""

    name: str
    limit: float
    nearest: Nearest
    among: Among


def keep_first(rows: np.ndarray, nearest: Nearest, among: Among) -> tuple[np.ndarray, np.ndarray]:
    """Which row each row gives way to, when a row stays as long as no row near to it has stayed before.

    Parameters
    ----------
    rows
        int64 (n,), in order of precedence.
    nearest, among
        Find near rows.

    Returns
    -------
    first : numpy.ndarray
        int64 (n,): the kept row that a row is near to (an entry of `rows`), -1 where the row itself stays.
    score : numpy.ndarray
        float64 (n,), NaN where the row stays.

    Notes
    -----
    The second half is compared with what stays of the first, and the rest of it among itself: all pairs
    are never held at once, however many there are.
    """
    first = np.full(len(rows), -1, dtype=np.int64)
    score = np.full(len(rows), np.nan)
    if len(rows) <= _LEAF:
        pairs = list(among(rows))
        if pairs:
            _give_way(rows, pairs, first, score)
        return first, score
    middle = len(rows) // 2
    first[:middle], score[:middle] = keep_first(rows[:middle], nearest, among)
    kept = rows[:middle][first[:middle] < 0]
    match, near = nearest(rows[middle:], kept)
    hit = match >= 0
    first[middle:][hit], score[middle:][hit] = kept[match[hit]], near[hit]
    rest = middle + np.flatnonzero(~hit)
    first[rest], score[rest] = keep_first(rows[rest], nearest, among)
    return first, score


def _give_way(rows: np.ndarray, pairs: list[Pairs], first: np.ndarray, score: np.ndarray) -> None:
    left = np.concatenate([block.left for block in pairs])
    right = np.concatenate([block.right for block in pairs])
    values = np.concatenate([block.similarity for block in pairs])
    order = np.lexsort((right, left))
    left, right, values = left[order], right[order], values[order]
    starts = np.flatnonzero(np.concatenate([[True], left[1:] != left[:-1]]))
    for start, stop in zip(starts, [*starts[1:], len(left)], strict=True):
        if first[left[start]] < 0:
            later = right[start:stop]
            free = first[later] < 0
            first[later[free]] = rows[left[start]]
            score[later[free]] = values[start:stop][free]


def _jaccard_name(n: int) -> str:
    return f"{n}-gram Jaccard"


def _jaccard_measure(texts: list[str], threshold: float, n: int) -> _Measure:
    sets = ngram_sets(texts, n)

    def nearest(rows: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _most_similar(similar_sets(sets[rows], sets[others], threshold), len(rows))

    def among(rows: np.ndarray) -> Iterable[Pairs]:
        return similar_sets(sets[rows], None, threshold)

    return _Measure(_jaccard_name(n), threshold, nearest, among)


def _cosine_measure(vectors: np.ndarray, threshold: float) -> _Measure:
    def nearest(rows: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _most_similar(similar_vectors(vectors[rows], vectors[others], threshold), len(rows))

    def among(rows: np.ndarray) -> Iterable[Pairs]:
        return similar_vectors(vectors[rows], None, threshold)

    return _Measure("cosine", threshold, nearest, among)


def _distance_measure(vectors: np.ndarray, radius: float) -> _Measure:
    def nearest(rows: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _nearest_within(vectors[rows], vectors[others], radius)

    def among(rows: np.ndarray) -> Iterable[Pairs]:
        return close_vectors(vectors[rows], radius)

    return _Measure("distance", radius, nearest, among)


def _most_similar(blocks: Iterable[Pairs], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Each row's most similar partner, the earlier of equals, or -1; and the similarity."""
    match = np.full(n, -1, dtype=np.int64)
    best = np.full(n, np.nan)
    for pairs in blocks:
        order = np.lexsort((pairs.right, -pairs.similarity, pairs.left))
        left = pairs.left[order]
        top = order[np.concatenate([[True], left[1:] != left[:-1]])]
        rows, columns, values = pairs.left[top], pairs.right[top], pairs.similarity[top]
        better = (match[rows] < 0) | (values > best[rows])
        better |= (values == best[rows]) & (columns < match[rows])
        match[rows[better]], best[rows[better]] = columns[better], values[better]
    return match, best


def _nearest_within(vectors: np.ndarray, others: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    from evenly.features.within import nearest_within

    distances, indices = nearest_within(vectors, others, radius)
    return indices, np.where(indices >= 0, distances, np.nan)


def _matched_verdict(
    rule: str, detail: str, matched: np.ndarray, score: np.ndarray | float, limit: float
) -> Verdict:
    failed = np.array([name is not None for name in matched], dtype=bool)
    score = np.where(failed, score, np.nan)
    return verdict(rule, failed, score=score, threshold=limit, matched=matched, detail=detail)


def _ids_at(ids: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Ids at these positions, object (n,), None where the position is -1."""
    found = np.full(len(positions), None, dtype=object)
    found[positions >= 0] = ids[positions[positions >= 0]]
    return found
