"""Measures of how far made rows are from real ones, on arrays: distances of distributions, fidelity, variety.

Feature spaces, samples and which rows are compared belong to other modules.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
    """How two sets of rows cover each other; a row covers what is nearer than its k-th nearest neighbour.

    Attributes
    ----------
    precision
        Share of made rows that some real row covers.
    recall
        Share of real rows that some made row covers.
    density
        Real rows that cover a made row, mean over made rows, divided by k; around 1 for real rows.
    coverage
        Share of real rows that cover some made row.
    """

    precision: float
    recall: float
    density: float
    coverage: float


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
        squared = _squared_distances(a[block], b)
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
        squared = _squared_distances(rows[start : start + step], rows)
        own = np.arange(len(squared))
        squared[own, start + own] = np.inf
        radii[start : start + step] = np.partition(squared, k - 1, axis=1)[:, k - 1]
    return radii


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squared = a @ b.T
    squared *= -2
    squared += (a**2).sum(axis=1)[:, None]
    squared += (b**2).sum(axis=1)
    np.maximum(squared, 0, out=squared)
    return np.asarray(squared)


def inception_score(probabilities: np.ndarray) -> float:
    """Exponential of the mean KL divergence of each row's class probabilities from their mean.

    1 where a classifier says the same of all rows, the number of classes where it is sure of every row and
    the classes are equally frequent. Not a distance to real rows: compare with what these score.

    Parameters
    ----------
    probabilities
        float (n, k), rows summing to 1.

    References
    ----------
    Salimans et al., Improved Techniques for Training GANs, NeurIPS 2016, section 4.
    """
    p = probabilities.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(p > 0, np.log(p / p.mean(axis=0)), 0.0)
    return float(np.exp((p * logs).sum(axis=1).mean()))
