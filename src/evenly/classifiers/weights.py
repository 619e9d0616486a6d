"""Weights of classes, and the class prior that a model's scores carry after training with them.

Arithmetic on class counts; what is done with the weights lives with the losses and the estimators.
"""

from __future__ import annotations

import numpy as np

from evenly.errors import ModelError
from evenly.params.losses import LossName, LossSettings
from evenly.params.training import SamplerName
from evenly.samples import SampleTable


def check_rows(train: SampleTable) -> None:
    """Refuse a training table that has rows of fewer than two classes, naming the only one."""
    present = [name for name, count in train.counts.items() if count]
    if len(present) < 2:
        found = f"rows of the class {present[0]!r} alone" if present else "no rows"
        raise ModelError(f"The training table has {found}; a classifier needs rows of at least two classes.")


def rows_per_class(codes: np.ndarray, classes: int, sample_weight: np.ndarray | None = None) -> np.ndarray:
    """Rows of each of k classes, or the sum of their weights, float64 (k,), from codes int64 (n,)."""
    return np.bincount(codes, weights=sample_weight, minlength=classes).astype(np.float64)


def families(train: SampleTable) -> np.ndarray:
    """Number rows so that copies and offspring have the number of their parent, int64 (n,)."""
    parents = train.column("parent")
    own = [parent or identifier for parent, identifier in zip(parents, train.ids, strict=True)]
    return np.asarray(np.unique(own, return_inverse=True)[1])


def origin_weights(rows: SampleTable, synthetic_weight: float) -> np.ndarray | None:
    """Give what rows count in training, float64 (n,); None where every row weighs 1.

    That is the weight that the data set gives them, times `synthetic_weight` for those that are neither real
    nor copies.
    """
    if synthetic_weight == 1:
        return rows.weights
    own = 1.0 if rows.weights is None else rows.weights
    return np.asarray(np.where(np.isin(rows.origins, ("real", "duplicate")), 1.0, synthetic_weight) * own)


def smoothed_prior(counts: np.ndarray) -> np.ndarray:
    """Class shares in which a class without a row counts as half a row, so that its logarithm exists."""
    return normalised_prior(np.where(counts > 0, counts, 0.5))


def normalised_prior(shares: np.ndarray) -> np.ndarray:
    """Shares that sum to 1, float64 (k,)."""
    prior: np.ndarray = shares / shares.sum()
    return prior


def sampled_counts(counts: np.ndarray, sampler: SamplerName) -> np.ndarray:
    """Rows of each class that batches show when a sampler draws from `counts` rows; the sum stays.

    A class is drawn in proportion to n_c (`uniform`), √n_c (`square_root`) or equally often
    (`class_balanced`); a class without a row is never drawn.
    """
    exponent = {"uniform": 1.0, "square_root": 0.5, "class_balanced": 0.0}[sampler]
    shares = np.where(counts > 0, np.maximum(counts, 1e-12) ** exponent, 0.0)
    drawn: np.ndarray = counts.sum() * shares / shares.sum()
    return drawn


def inverse_frequency_weights(counts: np.ndarray, power: float = 1.0) -> np.ndarray:
    """Class weights n_c^−power, normalised to a mean of 1 over the rows: Σ_c n_c w_c = Σ_c n_c.

    With `power` 1 these are the weights n / (k n_c) of the classes that have rows; 1 for a class without.
    """
    return _normalised(np.where(counts > 0, counts, 1.0) ** -power, counts)


def effective_number_weights(counts: np.ndarray, beta: float) -> np.ndarray:
    """Class weights (1 − β) / (1 − β^n_c), normalised to a mean of 1 over the rows.

    β = 0 gives every class the same weight, β → 1 the inverse frequency. The paper normalises the sum over
    classes to k instead, which changes the scale of the loss with the imbalance and nothing else.

    References
    ----------
    Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019 (1901.05555), equation 4.
    """
    filled = np.where(counts > 0, counts, 1.0)
    # 1 − β^n = −expm1(n log β) keeps its digits where β^n is close to 1.
    covered = -np.expm1(filled * np.log(beta)) if beta > 0 else np.ones_like(filled)
    return _normalised(1.0 / covered, counts)


def loss_weights(
    loss: LossName, settings: LossSettings, classes: tuple[str, ...], counts: np.ndarray
) -> np.ndarray:
    """Constant class weights of a loss, float64 (k,), with a mean of 1 over the rows; ones where it has none.

    The weights of LDAM are not constant and belong to its objective.
    """
    if loss == "weighted":
        return inverse_frequency_weights(counts, settings.weighted.power)
    if loss == "class_balanced":
        return effective_number_weights(counts, settings.class_balanced.beta)
    if loss == "focal":
        alpha = settings.focal.alpha
        if alpha == "inverse_frequency":
            return inverse_frequency_weights(counts)
        if isinstance(alpha, dict):
            return _normalised(np.array([alpha.get(name, 1.0) for name in classes]), counts)
    return np.ones(len(classes))


def reweighted_prior(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Prior that scores carry when rows weigh by their class: shares × weights, normalised.

    Minimising Σ w_y · −log p(y|x) fits the posterior of a population in which class c has the share π_c w_c /
    Σ π w.
    """
    return normalised_prior(smoothed_prior(counts) * weights)


def as_trained_weights(
    prior: np.ndarray, codes: np.ndarray, sample_weight: np.ndarray | None = None
) -> np.ndarray:
    """Weights of held-out rows that give every class the share that it has in what is minimised, the `prior`.

    With natural shares, boosting would stop before it has learnt the tail of balanced training rows.
    """
    shares = smoothed_prior(rows_per_class(codes, len(prior), sample_weight))
    by_class = (prior / shares)[codes]
    return np.asarray(by_class if sample_weight is None else by_class * sample_weight / sample_weight.mean())


def _normalised(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    present = counts > 0
    scale = counts.sum() / (counts * weights).sum()
    return np.where(present, weights * scale, 1.0)
