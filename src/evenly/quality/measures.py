"""Measures of how far made rows are from real ones: distances, fidelity, variety, use.

Where the vectors come from is decided in `features`; which rows are compared, in `compare`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import rel_entr
from sklearn.metrics.pairwise import euclidean_distances

from evenly.samples import SampleTable
from evenly.screening.checks.opinions import fitted_opinion
from evenly.screening.checks.realism import discriminator_scores

_BLOCK = 1 << 22  # numbers of a block of distances or kernel values


def frechet_distance(real: np.ndarray, made: np.ndarray) -> float:
    """Squared Fréchet distance of the normal distributions with the rows' means and covariances.

    ‖μ_r − μ_m‖² + Tr(Σ_r + Σ_m − 2 (Σ_r Σ_m)^½), which is called FID where the features are Inception's. It
    is larger for fewer rows, also between samples of one distribution: compare equal numbers only.

    Parameters
    ----------
    real, made
        float (n, d) and (m, d), at least two rows each.

    References
    ----------
    Heusel et al., GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium,
    NeurIPS 2017, equation 6.
    """
    a, b = real.astype(np.float64), made.astype(np.float64)
    difference = a.mean(axis=0) - b.mean(axis=0)
    roots = [_square_root(np.atleast_2d(np.cov(rows, rowvar=False))) for rows in (a, b)]
    # Tr (Σ_r Σ_m)^½ is the sum of the singular values of Σ_r^½ Σ_m^½: no root of an unsymmetric matrix.
    shared = np.linalg.svd(roots[0] @ roots[1], compute_uv=False).sum()
    total = sum(float((root**2).sum()) for root in roots)
    return max(0.0, float(difference @ difference) + total - 2 * float(shared))


def _square_root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    root: np.ndarray = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def kernel_distance(real: np.ndarray, made: np.ndarray) -> float:
    """Squared maximum mean discrepancy, unbiased, with the kernel (x·y/d + 1)³: KID on Inception's features.

    Around 0, and below it as often as above, for samples of one distribution, whatever their number.

    Parameters
    ----------
    real, made
        float (n, d) and (m, d), at least two rows each.

    References
    ----------
    Bińkowski et al., Demystifying MMD GANs, ICLR 2018, section 4.
    """
    a, b = real.astype(np.float64), made.astype(np.float64)
    within = sum(
        (_kernel_sum(rows, rows) - float((_kernel((rows**2).sum(axis=1), rows.shape[1])).sum()))
        / (len(rows) * (len(rows) - 1))
        for rows in (a, b)
    )
    return within - 2 * _kernel_sum(a, b) / (len(a) * len(b))


def _kernel(products: np.ndarray, dimension: int) -> np.ndarray:
    return np.asarray((products / dimension + 1) ** 3)


def _kernel_sum(a: np.ndarray, b: np.ndarray) -> float:
    step = max(1, _BLOCK // len(b))
    blocks = (a[start : start + step] @ b.T for start in range(0, len(a), step))
    return sum(float(_kernel(block, a.shape[1]).sum()) for block in blocks)


@dataclass(frozen=True)
class Manifolds:
    """How two sets of rows cover each other; a row covers what is nearer than its k-th nearest neighbour."""

    precision: float  # Share of made rows that some real row covers
    recall: float  # Share of real rows that some made row covers
    #: Real rows that cover a made row, mean over made rows, divided by k; around 1 for real rows.
    density: float
    coverage: float  # Share of real rows that cover some made row


def manifold_measures(real: np.ndarray, made: np.ndarray, k: int) -> Manifolds:
    """Precision, recall, density and coverage.

    Parameters
    ----------
    real, made
        float (n, d) and (m, d), both more than k rows.
    k
        Which neighbour's distance is a row's radius; 3 in the first paper, 5 in the second.

    References
    ----------
    Kynkäänniemi et al., Improved Precision and Recall Metric for Assessing Generative Models, NeurIPS 2019,
    equations 1 and 2. Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, ICML 2020,
    equations 3 and 5.
    """
    a, b = real.astype(np.float64), made.astype(np.float64)
    real_radii, made_radii = _squared_radii(a, k), _squared_radii(b, k)
    covering = np.zeros(len(b), dtype=np.int64)
    covered, nearest = np.zeros(len(a), dtype=bool), np.empty(len(a))
    step = max(1, _BLOCK // len(b))
    for start in range(0, len(a), step):
        block = slice(start, start + step)
        squared = euclidean_distances(a[block], b, squared=True)
        covering += (squared < real_radii[block, None]).sum(axis=0)
        covered[block] = (squared < made_radii).any(axis=1)
        nearest[block] = squared.min(axis=1)
    return Manifolds(
        precision=float((covering > 0).mean()),
        recall=float(covered.mean()),
        density=float(covering.mean()) / k,
        coverage=float((nearest < real_radii).mean()),
    )


def _squared_radii(rows: np.ndarray, k: int) -> np.ndarray:
    """Squared distance of each row to its k-th nearest other row."""
    if not 1 <= k < len(rows):
        raise ValueError(f"k must be between 1 and {len(rows) - 1}, not {k}")
    radii = np.empty(len(rows))
    step = max(1, _BLOCK // len(rows))
    for start in range(0, len(rows), step):
        squared = euclidean_distances(rows[start : start + step], rows, squared=True)
        own = np.arange(len(squared))
        squared[own, start + own] = np.inf
        radii[start : start + step] = np.partition(squared, k - 1, axis=1)[:, k - 1]
    return radii


def inception_score(probabilities: np.ndarray) -> float:
    """Exponential of the mean KL divergence of each row's class probabilities from their mean.

    1 where a classifier says the same of all rows, the number of classes where it is sure of every row and
    the classes are equally frequent. Not a distance to real rows: compare with what these score.
    """
    p = probabilities.astype(np.float64)
    return float(np.exp(rel_entr(p, p.mean(axis=0)).sum(axis=1).mean()))


def total_variation(real: Sequence[object], made: Sequence[object]) -> float:
    """Half the sum of absolute differences of the values' shares, in 0..1; a missing value is a value too."""
    counts, others = Counter(real), Counter(made)
    shares = ((counts[value] / len(real), others[value] / len(made)) for value in counts | others)
    return 0.5 * math.fsum(abs(a - b) for a, b in shares)


def number_distance(real: np.ndarray, made: np.ndarray) -> float:
    """Wasserstein distance of two columns of numbers, in standard deviations of the real one.

    Missing values (NaN) are left out. A real column of one value counts in its own unit; where one column
    is all missing and the other is not, the distance is 1.
    """
    from scipy.stats import wasserstein_distance

    real, made = real[~np.isnan(real)], made[~np.isnan(made)]
    if not len(real) or not len(made):
        return float(bool(len(real)) != bool(len(made)))
    deviation = float(real.std())
    return float(wasserstein_distance(real, made)) / (deviation if deviation > 0 else 1.0)


def column_distances(real: SampleTable, made: SampleTable) -> dict[str, float]:
    """Distance of each feature column: `number_distance` for numbers, `total_variation` for all others."""
    left, right = real.features_frame(), made.features_frame()
    found = {}
    for feature in real.schema.features:
        if feature.kind in ("number", "integer"):
            pair = (side[feature.name].to_numpy(np.float64, na_value=np.nan) for side in (left, right))
            found[feature.name] = number_distance(*pair)
        else:
            values = (list(side.column(feature.name)) for side in (real, made))
            found[feature.name] = total_variation(*values)
    return found


def correlation_difference(real: np.ndarray, made: np.ndarray) -> float | None:
    """Mean absolute difference of the correlations of all pairs of columns."""
    varied = np.flatnonzero(real.max(axis=0) > real.min(axis=0))
    if len(varied) < 2:
        return None
    matrices = [_correlations(rows[:, varied].astype(np.float64)) for rows in (real, made)]
    pairs = np.triu_indices(len(varied), 1)
    return float(np.abs(matrices[0] - matrices[1])[pairs].mean())


def _correlations(rows: np.ndarray) -> np.ndarray:
    centred = rows - rows.mean(axis=0)
    norms = np.sqrt((centred**2).sum(axis=0))
    # A constant column is told by its values: its centred ones may differ from zero by rounding.
    centred[:, rows.max(axis=0) == rows.min(axis=0)] = 0
    centred /= np.where(norms > 0, norms, 1.0)
    return np.asarray(centred.T @ centred)


def balanced_accuracy_across(
    vectors: np.ndarray, codes: np.ndarray, others: np.ndarray, other_codes: np.ndarray
) -> float | None:
    """Mean recall over classes of a classifier fitted on some rows and asked about others.

    A logistic regression in which every class weighs the same. Fitted on made rows and asked about real ones
    this is TSTR, the other way round TRTS (Esteban et al., 2017, 1706.02633).
    """
    present = np.unique(codes)
    known = np.isin(other_codes, present)
    if len(present) < 2 or not known.any():
        return None
    classes = int(max(codes.max(), other_codes.max())) + 1
    opinion = fitted_opinion(vectors, codes, classes, others[known])
    hits = opinion.probabilities.argmax(axis=1) == other_codes[known]
    return float(np.mean([hits[other_codes[known] == code].mean() for code in np.unique(other_codes[known])]))


def discriminator_auc(real: np.ndarray, made: np.ndarray, seed: int) -> float:
    """Area under the ROC curve of a classifier that tells made from real rows, out of fold.

    0.5 where it cannot (or a little less by chance), 1 where it always can.
    """
    from sklearn.metrics import roc_auc_score

    low, high = discriminator_scores(made, real, np.ones(len(real)), seed)
    return float(roc_auc_score(np.repeat([0, 1], [len(low), len(high)]), np.concatenate([low, high])))
