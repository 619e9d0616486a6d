"""The check whether a candidate looks real, by the real rows around it or by a classifier of real and made.

Both give a score to real rows as well, and a candidate that scores less than all but a few of these goes.
"""

from __future__ import annotations

import numpy as np

from evenly.screening.context import Context, Outcome, verdict

_ROWS = 10_000  # real rows, and candidates, that a score is made from at most
_TILE = 1 << 22  # scores held at once
_FOLDS = 3
_PENALTY = 0.1  # scikit-learn's C: the inverse strength of regularisation


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
    if len(known) > _ROWS:
        known = np.sort(np.random.default_rng([context.seed, 8]).choice(known, _ROWS, replace=False))
    real, real_codes = context.train.vectors[known], real_codes[known]
    weights = (counts / np.maximum(1, np.bincount(real_codes, minlength=len(counts))))[real_codes]
    vectors = context.shown(rows).vectors
    if rules.score == "manifold":
        scores = realism_scores(vectors, real, rules.neighbours)
        usual = realism_scores(real, real, rules.neighbours, exclude_self=True)
    else:
        scores, usual = discriminator_scores(vectors, real, weights, context.seed)
    limit = _weighted_quantile(usual, weights, rules.quantile)
    found = verdict("realism", scores < limit, score=scores, threshold=limit, detail=rules.score)
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
    median stand alone and are left out.

    Parameters
    ----------
    vectors, real
        float32 (n, d) and (m, d), with m above `neighbours`.
    neighbours
        k.
    exclude_self
        Whether vector i is real row i, which then does not count for it.

    Returns
    -------
    numpy.ndarray
        float64 (n,), 1 or more inside the manifold, infinite on a real row.

    References
    ----------
    Kynkäänniemi et al., Improved Precision and Recall Metric for Assessing Generative Models, NeurIPS 2019,
    equation 3.
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
    """Probability of being real, by classifiers that have not seen the row and take both sorts for as likely.

    Parameters
    ----------
    vectors, real
        Made and real rows, float32 (n, d) and (m, d), at least three of each.
    weights
        What each real row counts, float (m,).
    seed
        Settles the folds, and which rows are fitted on where there are very many.

    Returns
    -------
    made, real : numpy.ndarray
        float64 (n,) and (m,).
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


def _weighted_quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """The least value with at least this share of the weight at or below it."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(len(order) - 1, int(np.searchsorted(below, share)))])
