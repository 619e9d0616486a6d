"""The checks `outlier`, `realism` and `collapse`: do candidates lie where and as real rows do.

Each score is given to real rows as well, and a candidate that is odder than all but a few of these goes.
"""

from __future__ import annotations

import numpy as np

from evenly.screening.context import Context, Outcome, drawn_rows, limited, verdict

_OWN = 10_000  # real rows of a class that its candidates are measured by at most
_REFERENCES = 2000  # real rows on which a small class's distances are imitated at most
_ROWS = 10_000  # real rows, and candidates, that a score of realism is made from at most
_TILE = 1 << 22  # scores held at once
_FOLDS = 3
_PENALTY = 0.1  # scikit-learn's C: the inverse strength of regularisation


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
    labels, vectors = context.codes(rows), context.side(rows).vectors
    score = np.full(len(rows), np.nan)
    limit = np.full(len(rows), np.nan)
    skipped = []
    imitated: dict[int, float] = {}
    for code in np.unique(labels):
        own = real[codes == code]
        own = own[drawn_rows(len(own), _OWN, context.seed, 11)]
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
    found = limited(context, rows, "outlier", failed, score=score, threshold=limit)
    return Outcome((found,), skipped=tuple(skipped))


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


def unrealistic(context: Context, rows: np.ndarray) -> Outcome:
    """Candidates that look less real than `quantile` of the real training rows do.

    Only real rows of the candidates' classes are looked at, each class weighing as it does among the
    candidates: what is scarce must not look unreal by being scarce.
    """
    rules = context.settings.realism
    if rules is None:
        return Outcome()
    codes, real_codes = context.codes(rows), context.train.samples.codes
    counts = np.bincount(codes, minlength=len(context.classes))
    known = np.flatnonzero(counts[real_codes])
    if len(known) <= rules.neighbours + 1:
        return Outcome(skipped=("too few real training rows of the candidates' classes",))
    known = known[drawn_rows(len(known), _ROWS, context.seed, 8)]
    real, real_codes = context.train.vectors[known], real_codes[known]
    weights = (counts / np.maximum(1, np.bincount(real_codes, minlength=len(counts))))[real_codes]
    vectors = context.side(rows).vectors
    if rules.score == "manifold":
        scores = realism_scores(vectors, real, rules.neighbours)
        usual = realism_scores(real, real, rules.neighbours, exclude_self=True)
    else:
        scores, usual = discriminator_scores(vectors, real, weights, context.seed)
    limit = float(np.quantile(usual, rules.quantile, weights=weights, method="inverted_cdf"))
    failed = scores < limit
    if rules.score == "manifold":
        found = limited(
            context, rows, "realism", failed, score=scores, threshold=limit, above=False, detail=rules.score
        )
    else:  # depends on the candidates as a whole, which genuine rows are not
        found = verdict(failed, score=scores, threshold=limit, detail=rules.score)
    measured = {
        "mean_score": float(scores.mean()),
        "real_mean_score": float(np.average(usual, weights=weights)),
    }
    return Outcome((found,), measured=measured)


def realism_scores(
    vectors: np.ndarray, real: np.ndarray, neighbours: int, exclude_self: bool = False
) -> np.ndarray:
    """How well vectors lie within the real rows: max over real rows r of (radius of r) / (distance to r).

    The radius of a real row is its distance to its k-th nearest neighbour; rows with a radius above the
    median stand alone and are left out (Kynkäänniemi et al. 2019, Improved Precision and Recall Metric for
    Assessing Generative Models, equation 3). The score, float64 (n,), is 1 or more inside the manifold,
    infinite on a real row. With `exclude_self`, vector i is real row i, which then does not count for it.
    """
    from evenly.features.neighbours import nearest_neighbours

    radii = nearest_neighbours(real, real, neighbours, exclude_self=True)[0][:, -1].astype(np.float64)
    dense = np.flatnonzero(radii <= np.median(radii))
    points, squares = real[dense].astype(np.float64), radii[dense] ** 2
    norms = (points**2).sum(axis=1)
    out = np.empty(len(vectors))
    step = max(1, _TILE // len(dense))
    for start in range(0, len(vectors), step):
        part = vectors[start : start + step].astype(np.float64)
        distances = norms - 2 * part @ points.T
        distances += (part**2).sum(axis=1)[:, None]
        # Below what rounding leaves of a distance it is none.
        distances[distances < 1e-12 * norms] = 0
        if exclude_self:
            own = np.searchsorted(dense, np.arange(start, start + len(part)))
            inside = np.flatnonzero(dense[np.minimum(own, len(dense) - 1)] == start + np.arange(len(part)))
            distances[inside, own[inside]] = np.inf
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(distances > 0, squares / distances, np.inf)
        out[start : start + len(part)] = np.sqrt(ratios.max(axis=1))
    return out


def discriminator_scores(
    vectors: np.ndarray, real: np.ndarray, weights: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Probability of being real, for made and for real rows, float64 (n,) and (m,).

    It comes from classifiers that have not seen the row and take both sorts for as likely; `weights` are what
    each real row counts.
    """
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng([seed, 9])
    x = np.concatenate([vectors, real]).astype(np.float32)
    centre, scale = x.mean(axis=0), x.std()
    x = (x - centre) / (scale if scale > 0 else 1.0)
    y = np.repeat([0, 1], [len(vectors), len(real)])
    row_weights = np.concatenate(
        [np.full(len(vectors), 0.5 / len(vectors)), 0.5 * weights / weights.sum()]
    ) * len(x)
    fold = np.empty(len(x), dtype=np.int64)
    for part in (np.arange(len(vectors)), np.arange(len(vectors), len(x))):
        fold[rng.permutation(part)] = np.arange(len(part)) % _FOLDS
    out = np.empty(len(x))
    for k in range(_FOLDS):
        fitted = np.flatnonzero(fold != k)
        if len(fitted) > 2 * _ROWS:
            fitted = np.sort(rng.choice(fitted, 2 * _ROWS, replace=False))
        model = LogisticRegression(C=_PENALTY, max_iter=200, tol=1e-3)
        model.fit(x[fitted], y[fitted], sample_weight=row_weights[fitted])
        out[fold == k] = model.predict_proba(x[fold == k])[:, 1]
    return out[: len(vectors)], out[len(vectors) :]


def collapsed(context: Context, rows: np.ndarray) -> Outcome:
    """Warn of classes whose candidates have a small share of the real rows' variance.

    Copies among candidates are rejected one by one elsewhere; this tells that the generator is at fault.
    """
    rules = context.settings.collapse
    train = context.train
    ratios = variance_ratios(
        context.side(rows).vectors, context.codes(rows), train.vectors, train.samples.codes, rules.min_rows
    )
    flat = {context.classes[code]: ratio for code, ratio in ratios.items() if ratio < rules.variance}
    warnings = tuple(
        f"Class {name}: its candidates vary {ratio:.0%} as much as its real rows; their producer may have "
        "collapsed."
        for name, ratio in flat.items()
    )
    return Outcome(measured={"classes": len(ratios), "collapsed": sorted(flat)}, warnings=warnings)


def variance_ratio(
    vectors: np.ndarray, codes: np.ndarray, real: np.ndarray, real_codes: np.ndarray
) -> float | None:
    """Total variance within classes over that of the real rows, the mean of the classes' ratios.

    1 where the rows spread as the real ones do; interpolation gives about two thirds (Blagus & Lusa 2013).
    None where no class has two rows on either side, or real rows that differ.
    """
    ratios = variance_ratios(vectors, codes, real, real_codes)
    return float(np.mean(list(ratios.values()))) if ratios else None


def variance_ratios(
    vectors: np.ndarray, codes: np.ndarray, real: np.ndarray, real_codes: np.ndarray, fewest: int = 2
) -> dict[int, float]:
    """The ratio of each class of `fewest` rows (at least 2) on both sides, the real ones not all alike."""
    ratios = {}
    for code in np.intersect1d(codes, real_codes):
        own, reference = vectors[codes == code], real[real_codes == code]
        if min(len(own), len(reference)) >= max(2, fewest):
            spread = float(reference.var(axis=0, ddof=1, dtype=np.float64).sum())
            if spread > 0:
                ratios[int(code)] = float(own.var(axis=0, ddof=1, dtype=np.float64).sum()) / spread
    return ratios
