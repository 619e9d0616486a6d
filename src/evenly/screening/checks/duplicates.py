"""The checks `duplicate`, `near_duplicate` and `closeness`: samples that exist already.

They are compared with real training rows, with validation and test rows, and with other candidates, of which
the first in order stays and what is near to it goes. `evenly.screening.similarity` finds similar pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from evenly.features.ngramsets import NgramSets, ngram_sets
from evenly.params.screening import SimilarityRules
from evenly.screening.context import Context, Outcome, Side, Verdict, drawn_rows, limited, verdict
from evenly.screening.similarity import Pairs, close_vectors, joined_pairs, similar_sets, similar_vectors

#: Names of the limits on repeating a real training row.
REPEATS = ("duplicate", "near_duplicate")
_LEAF = 2048  # candidates among which all pairs are held at once
_REAL_ROWS = 10_000  # real training rows on which false alarms are counted at most


def copies_of_real(context: Context, rows: np.ndarray) -> Outcome:
    """Candidates that are the same sample as a real training row."""
    found = _same_verdict("real", context.side(rows), context.train)
    return Outcome((_unless_usual(context, rows, "duplicate", found),))


def near_real(context: Context, rows: np.ndarray) -> Outcome:
    """Candidates that are nearly the same as a real training row."""
    rules = context.settings.near_duplicate
    radius = _near_radius(context, rules)
    found = _near_verdicts("real", context.side(rows), context.train, _measures(context, rules, radius))
    found = tuple(_unless_usual(context, rows, "near_duplicate", each) for each in found)
    return Outcome(found, skipped=_unmeasured(context, radius))


def _unless_usual(context: Context, rows: np.ndarray, limit: str, found: Verdict) -> Verdict:
    """The verdict, but for classes whose genuine rows repeat each other: there a repeat is no fault."""
    repeats = limited(context, rows, limit, found.failed)
    return replace(found, failed=repeats.failed, limit=limit, excess=repeats.excess)


def close_to_held_out(context: Context, rows: np.ndarray) -> Outcome:
    """Candidates that are the same as a validation or test row, or closer to one than `closeness` allows.

    Beside that, the same rule is tried on real training rows, which have leaked from nowhere: the share of
    them that it strikes, `real_rows_struck`, is the share of false alarms to expect.
    """
    from evenly.features.neighbours import nearest_neighbours

    rules = context.settings.closeness
    candidates, real = context.side(rows), context.train
    if len(real) > _REAL_ROWS:
        real = real.take(drawn_rows(len(real), _REAL_ROWS, context.seed, 1))
    verdicts: list[Verdict] = []
    measured: dict[str, float] = {}
    alarms = np.zeros(len(real), dtype=bool)
    skipped: tuple[str, ...] = ()
    for name, held_out in (("validation", context.validation), ("test", context.test)):
        distances = None
        if context.modality != "text" and len(held_out):
            distances = nearest_neighbours(real.vectors, held_out.vectors, 1)[0][:, 0]
        radius = _near_radius(context, rules, distances)
        measures = _measures(context, rules, radius)
        of_candidates, of_real = (
            [_same_verdict(f"{name}, same", side, held_out), *_near_verdicts(name, side, held_out, measures)]
            for side in (candidates, real)
        )
        verdicts += of_candidates
        measured[name] = int(np.logical_or.reduce([found.failed for found in of_candidates]).sum())
        alarms |= np.logical_or.reduce([found.failed for found in of_real])
        skipped = _unmeasured(context, radius)
    if len(real):
        measured["real_rows_struck"] = float(alarms.mean())
    return Outcome(tuple(verdicts), skipped=skipped, measured=measured)


def copies_of_candidates(context: Context, rows: np.ndarray) -> Outcome:
    """Candidates that are the same sample as one that comes before them."""
    candidates = context.side(rows)
    first: dict[Hashable, str] = {}
    matched = np.full(len(rows), None, dtype=object)
    for k, (key, name) in enumerate(zip(candidates.identities, candidates.samples.ids, strict=True)):
        if key is not None:
            known = first.setdefault(key, name)
            matched[k] = None if known == name else known
    return Outcome((_matched_verdict("synthetic", matched, 1.0, np.nan),))


def near_candidates(context: Context, rows: np.ndarray) -> Outcome:
    """Candidates that are nearly the same as one that comes before them and stays."""
    rules = context.settings.near_duplicate
    candidates = context.side(rows)
    verdicts = []
    for measure in _measures(context, rules, _near_radius(context, rules)):
        (items,) = measure.items(candidates)
        first, score = keep_first(np.arange(len(rows)), items, measure)
        matched = _ids_at(candidates.samples.ids, first)
        verdicts.append(_matched_verdict(f"synthetic, {measure.name}", matched, score, measure.limit))
    return Outcome(tuple(verdicts))


class Measure(NamedTuple):
    """One way to compare samples; here items are what it compares of them, n-gram sets or vectors."""

    name: str
    limit: float
    items: Callable[..., list[Any]]  # of each side
    nearest: Callable[[Any, Any], tuple[np.ndarray, np.ndarray]]  # of each item among others; the score
    among: Callable[[Any], Iterable[Pairs]]  # all near pairs among items


def _measures(context: Context, rules: SimilarityRules, radius: float | None) -> list[Measure]:
    """The measures that the rules name, for this modality."""

    def vectors(*sides: Side) -> list[np.ndarray]:
        return [side.vectors for side in sides]

    def grams(*sides: Side) -> list[NgramSets]:
        sets = ngram_sets([text for side in sides for text in side.texts], rules.ngram)
        ends = np.cumsum([len(side) for side in sides])
        return [sets[np.arange(end - len(side), end)] for side, end in zip(sides, ends, strict=True)]

    def by_similarity(name: str, limit: float, items: Callable[..., list[Any]], pairs: Any) -> Measure:
        return Measure(
            name,
            limit,
            items,
            lambda some, others: _most_similar(pairs(some, others, limit), len(some)),
            lambda some: pairs(some, None, limit),
        )

    measures = []
    if context.modality == "text":
        if rules.jaccard is not None:
            measures.append(by_similarity(f"{rules.ngram}-gram Jaccard", rules.jaccard, grams, similar_sets))
        if rules.cosine is not None:
            measures.append(by_similarity("cosine", rules.cosine, vectors, similar_vectors))
    elif radius is not None:
        nearest, among = partial(_nearest_within, radius=radius), partial(close_vectors, radius=radius)
        measures.append(Measure("distance", radius, vectors, nearest, among))
    return measures


def keep_first(rows: np.ndarray, items: Any, measure: Measure) -> tuple[np.ndarray, np.ndarray]:
    """Which row each row gives way to, when a row stays as long as no row near to it has stayed before.

    `items[rows]` are compared, in this order of precedence. The kept row, an entry of `rows`, is -1 and the
    score NaN where a row stays. The second half is compared with what stays of the first, and the rest of it
    among itself: all pairs are never held at once, however many there are.
    """
    first = np.full(len(rows), -1, dtype=np.int64)
    score = np.full(len(rows), np.nan)
    if len(rows) <= _LEAF:
        pairs = joined_pairs(measure.among(items[rows]))
        starts = np.flatnonzero(np.diff(pairs.left, prepend=-1))
        for start, stop in pairwise([*starts, len(pairs)]):
            left, later = pairs.left[start], pairs.right[start:stop]
            if first[left] < 0:
                free = first[later] < 0
                first[later[free]] = rows[left]
                score[later[free]] = pairs.similarity[start:stop][free]
        return first, score
    middle = len(rows) // 2
    first[:middle], score[:middle] = keep_first(rows[:middle], items, measure)
    kept = rows[:middle][first[:middle] < 0]
    match, near = measure.nearest(items[rows[middle:]], items[kept])
    hit = match >= 0
    first[middle:][hit], score[middle:][hit] = kept[match[hit]], near[hit]
    rest = middle + np.flatnonzero(~hit)
    first[rest], score[rest] = keep_first(rows[rest], items, measure)
    return first, score


def _near_radius(
    context: Context, rules: SimilarityRules, distances: np.ndarray | None = None
) -> float | None:
    """How near is too near for images and tables: `distance` × the median spacing of real rows, or less.

    Less, where that would strike more than a share of `false_alarms` of the real rows; `distances` are theirs
    to the rows that candidates keep away from, by default to each other. None for texts, where no distance is
    given, or where a single real row tells none.
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


def _unmeasured(context: Context, radius: float | None) -> tuple[str, ...]:
    """Why distances were not looked at, where they should have been."""
    if context.modality == "text" or radius is not None:
        return ()
    return ("distances: not asked for, or too few real training rows to tell what is near",)


def _same_verdict(where: str, side: Side, others: Side) -> Verdict:
    """Which samples are the same as one of the others, and as which."""
    known: dict[Hashable, str] = {}
    for key, name in zip(others.identities, others.samples.ids, strict=True):
        known.setdefault(key, name)
    matched = np.full(len(side), None, dtype=object)
    matched[:] = [None if key is None else known.get(key) for key in side.identities]
    return _matched_verdict(where, matched, 1.0, np.nan)


def _near_verdicts(where: str, side: Side, others: Side, measures: Iterable[Measure]) -> tuple[Verdict, ...]:
    """Which samples are too similar to one of the others, and to which, by each measure."""
    if not len(side) or not len(others):
        return ()
    verdicts = []
    for measure in measures:
        match, score = measure.nearest(*measure.items(side, others))
        matched = _ids_at(others.samples.ids, match)
        verdicts.append(_matched_verdict(f"{where}, {measure.name}", matched, score, measure.limit))
    return tuple(verdicts)


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
    from evenly.features.neighbours import nearest_within

    distances, indices = nearest_within(vectors, others, radius)
    return indices, np.where(indices >= 0, distances, np.nan)


def _matched_verdict(detail: str, matched: np.ndarray, score: np.ndarray | float, limit: float) -> Verdict:
    failed = np.array([name is not None for name in matched], dtype=bool)
    return verdict(
        failed, score=np.where(failed, score, np.nan), threshold=limit, matched=matched, detail=detail
    )


def _ids_at(ids: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Ids at these positions, object (n,), None where the position is -1."""
    found = np.full(len(positions), None, dtype=object)
    found[positions >= 0] = ids[positions[positions >= 0]]
    return found
