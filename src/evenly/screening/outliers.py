"""The check whether a candidate lies where the real rows of its class lie."""

from __future__ import annotations

import numpy as np

from evenly.screening.context import Context, Outcome, verdict

_OWN = 10_000  # real rows of a class that its candidates are measured by at most
_REFERENCES = 2000  # real rows on which a small class's distances are imitated at most


def outlying(context: Context, rows: np.ndarray) -> Outcome:
    """Candidates farther from the real rows of their class than real rows are from each other.

    Measured is the distance to the k-th nearest real row of the class (Ramaswamy et al. 2000), against
    the same distance among the class's own rows. A class of n rows, too few to tell, is measured by what
    its size would do to others: by the distances of rows of the larger classes to the k-th nearest of n
    rows drawn from their own class.
    """
    from evenly.features.neighbours import nearest_neighbours

    rules = context.settings.outlier
    real, codes = context.train.vectors, context.train.samples.codes
    labels, vectors = context.codes(rows), context.shown(rows).vectors
    score = np.full(len(rows), np.nan)
    limit = np.full(len(rows), np.nan)
    skipped = []
    imitated: dict[int, float] = {}
    for code in np.unique(labels):
        own = _some(real[codes == code], context.seed)
        chosen = labels == code
        if not len(own):
            skipped.append(f"class {context.classes[code]}: no real training row")
            continue
        if len(own) >= max(2, rules.min_real):
            k = min(rules.neighbours, len(own) - 1)
            among = nearest_neighbours(own, own, k, exclude_self=True)[0][:, -1]
            threshold = float(np.quantile(among, rules.quantile))
        else:
            k = min(rules.neighbours, len(own))
            if len(own) not in imitated:
                imitated[len(own)] = _imitated_quantile(context, len(own), k)
            threshold = imitated[len(own)]
            if np.isnan(threshold):
                skipped.append(
                    f"class {context.classes[code]}: {len(own)} real training rows, and no class has "
                    f"{rules.min_real} to measure by"
                )
                continue
        score[chosen] = nearest_neighbours(vectors[chosen], own, k)[0][:, -1]
        limit[chosen] = rules.slack * threshold
    failed = np.nan_to_num(score, nan=0.0) > np.nan_to_num(limit, nan=np.inf)
    found = (verdict("outlier", failed, score=score, threshold=limit),)
    return Outcome(found, skipped=tuple(skipped))


def _some(own: np.ndarray, seed: int) -> np.ndarray:
    """Rows of a class, drawn where there are very many: the time then grows no faster than their number."""
    if len(own) <= _OWN:
        return own
    return np.asarray(own[np.sort(np.random.default_rng([seed, 11]).choice(len(own), _OWN, replace=False))])


def _imitated_quantile(context: Context, size: int, k: int) -> float:
    """The quantile of distances, had the larger classes `size` rows only; NaN where there is none."""
    from evenly.features.neighbours import nearest_neighbours

    rules = context.settings.outlier
    real, codes = context.train.vectors, context.train.samples.codes
    rng = np.random.default_rng([context.seed, 5, size])
    sizes = np.bincount(codes, minlength=len(context.classes))
    large = np.flatnonzero(sizes >= max(rules.min_real, size + 1))
    distances = []
    for code in large:
        own = rng.permutation(np.flatnonzero(codes == code))
        others = own[size : size + max(1, _REFERENCES // len(large))]
        distances.append(nearest_neighbours(real[others], real[own[:size]], k)[0][:, -1])
    return float(np.quantile(np.concatenate(distances), rules.quantile)) if distances else float("nan")
