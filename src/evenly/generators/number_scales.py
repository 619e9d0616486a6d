"""How a column of numbers is normalised for a network and restored: by the modes of a Gaussian mixture, or by
quantiles.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evenly.params.generative import Numbers

#: Rows that a mixture is fitted on at most.
MOST_FITTED = 5000
#: Components with a smaller weight are dropped.
LIGHTEST = 0.005
#: Points of the quantile function that are kept at most.
QUANTILES = 1000
#: A normal quantile is never farther out than this.
FARTHEST = 3.5


@dataclass(frozen=True)
class ModeScale:
    """Mode-specific normalisation: which mode of a mixture, and (x − mean) / 4 deviations of that mode.

    References
    ----------
    Xu et al., Modeling Tabular Data using Conditional GAN, NeurIPS 2019 (1907.00503), section 4.2.
    """

    #: Of the modes, float64 (modes,).
    means: np.ndarray
    deviations: np.ndarray
    weights: np.ndarray
    #: Training range.
    low: float
    high: float

    @property
    def modes(self) -> int:
        """How many modes there are."""
        return len(self.means)

    def normalised(
        self, values: np.ndarray, absent: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw each mode from the posterior, and scale to −1..1 there; absent ones are 0 in mode 0."""
        filled = np.where(absent, self.means[0], values)
        modes = np.zeros(len(values), dtype=np.int64)
        if self.modes > 1:
            z = (filled[:, None] - self.means) / self.deviations
            log_density = np.log(self.weights) - np.log(self.deviations) - 0.5 * z**2
            density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
            cumulative = np.cumsum(density / density.sum(axis=1, keepdims=True), axis=1)
            drawn = rng.random(len(values))[:, None] > cumulative
            modes = np.minimum(drawn.sum(axis=1), self.modes - 1)
        scaled = np.clip((filled - self.means[modes]) / (4 * self.deviations[modes]), -1, 1)
        return np.where(absent, 0.0, scaled), np.where(absent, 0, modes)

    def restored(self, scaled: np.ndarray, modes: np.ndarray) -> np.ndarray:
        """Numbers, in the training range."""
        values = np.clip(scaled, -1, 1) * 4 * self.deviations[modes] + self.means[modes]
        clipped: np.ndarray = np.clip(values, self.low, self.high)
        return clipped


@dataclass(frozen=True)
class QuantileScale:
    """The normal quantile of a number's rank: standard normal in training, whatever the distribution."""

    values: np.ndarray  # Training numbers, ascending and distinct, float64 (q,)
    scores: np.ndarray  # The normal quantile of the middle of each one's ranks, float64 (q,)

    modes: ClassVar = 1

    def normalised(
        self, values: np.ndarray, absent: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Interpolate between the training numbers."""
        scaled = np.interp(np.where(absent, self.values[0], values), self.values, self.scores)
        return np.where(absent, 0.0, scaled), np.zeros(len(values), dtype=np.int64)

    def restored(self, scaled: np.ndarray, modes: np.ndarray) -> np.ndarray:
        """Numbers, in the training range."""
        values: np.ndarray = np.interp(scaled, self.scores, self.values)
        return values


def fit_scale(values: np.ndarray, numbers: Numbers, max_modes: int, seed: int) -> ModeScale | QuantileScale:
    """Fit a column's normalisation."""
    if not len(values):
        values = np.zeros(1)
    return _fitted_modes(values, max_modes, seed) if numbers == "modes" else _fitted_quantiles(values)


def _fitted_modes(values: np.ndarray, max_modes: int, seed: int) -> ModeScale:
    """A variational mixture, whose prior empties the components that are not needed."""
    low, high = float(values.min()), float(values.max())
    distinct = len(np.unique(values))
    centre, spread = float(values.mean()), float(values.std())
    one = ModeScale(np.array([centre]), np.array([spread or 1.0]), np.ones(1), low, high)
    components = min(max_modes, distinct, len(values) // 2)
    if components < 2 or not np.isfinite(spread) or spread == 0:
        return one
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import BayesianGaussianMixture

    rows = values
    if len(values) > MOST_FITTED:
        rows = np.random.default_rng([seed, 4]).choice(values, MOST_FITTED, replace=False)
    mixture = BayesianGaussianMixture(
        n_components=components,
        weight_concentration_prior_type="dirichlet_process",
        weight_concentration_prior=0.001,
        max_iter=100,
        random_state=seed % 2**32,
    )
    with warnings.catch_warnings():
        # Not quite converged is good enough: the modes only serve to scale.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(((rows - centre) / spread)[:, None])
    kept = mixture.weights_ > LIGHTEST
    means = mixture.means_[kept, 0] * spread + centre
    deviations = np.sqrt(mixture.covariances_[kept, 0, 0]) * spread
    return ModeScale(means, deviations, mixture.weights_[kept] / mixture.weights_[kept].sum(), low, high)


def _fitted_quantiles(values: np.ndarray) -> QuantileScale:
    from scipy.special import ndtri

    distinct, counts = np.unique(values, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / len(values)
    if len(distinct) > QUANTILES:
        kept = np.unique(np.linspace(0, len(distinct) - 1, QUANTILES).round().astype(np.int64))
        distinct, middle = distinct[kept], middle[kept]
    return QuantileScale(distinct, np.clip(ndtri(middle), -FARTHEST, FARTHEST))
