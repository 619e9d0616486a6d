"""Logistic regression, and the walk that chooses its penalty by held-out loss."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from evenly.params.models import LogisticRegressionSettings

#: Vectors float32 (n, d), dense or sparse, classes int64 (n,), weights float64 (n,).
Weighted = tuple[Any, np.ndarray, np.ndarray]

#: Values of C from the weakest start on, tried in steps of one: about half a power of ten each.
_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
#: C on vectors, and where the walk begins that chooses it for terms.
_PENALTY = 10.0
_GAIN = 0.01  # of the held-out loss, relative: what a further step of the walk must bring
_ENOUGH = 100  # validation rows to choose by; with fewer, the training rows are folded
_FOLDS = 3


def fit_regression(
    settings: LogisticRegressionSettings,
    train: Weighted,
    validation: Weighted,
    families: np.ndarray | None,
    seed: int,
) -> tuple[Any, tuple[str, ...]]:
    """Fit on training rows, with the penalty that does best on held-out ones; and notes on how it went."""
    fit = partial(_regression, settings.max_iter)
    notes: tuple[str, ...] = ()
    if settings.C != "auto":
        model = fit(settings.C, train)
    elif not settings.reads_terms:
        model = fit(_PENALTY, train)
    elif len(validation[1]) >= _ENOUGH:
        models: dict[float, Any] = {}

        def held_out_loss(penalty: float) -> float:
            models[penalty] = fit(penalty, train, *list(models.values())[-1:])
            return _log_loss(models[penalty], validation)

        model = models[_chosen_penalty(held_out_loss)]
        notes = (f"C is {model.C:g}, by the loss on {len(validation[1]):,} validation rows.",)
    else:
        parts = _folds(train, families, seed)
        penalty = _chosen_penalty(
            lambda penalty: sum(_log_loss(fit(penalty, inside), outside) for inside, outside in parts)
        )
        model = fit(penalty, train)
        notes = (f"C is {penalty:g}, by the loss on {_FOLDS} folds of the training rows.",) if parts else ()
    if int(np.max(model.n_iter_)) >= settings.max_iter:
        notes += (
            f"Logistic regression had not converged after {settings.max_iter} iterations; raise "
            "models.logistic_regression.max_iter.",
        )
    return model, notes


def _regression(max_iter: int, penalty: float, rows: Weighted, start: Any = None) -> Any:
    """Logistic regression fitted on rows, from the coefficients of another one where there is one."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=penalty, max_iter=max_iter, warm_start=start is not None)
    if start is not None:
        model.coef_, model.intercept_ = start.coef_.copy(), start.intercept_.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(*rows)
    return model.set_params(warm_start=False)


def _chosen_penalty(held_out_loss: Callable[[float], float]) -> float:
    """Walk from the usual C to weaker penalties, or else to stronger ones, as long as the loss falls."""
    start = best = _PENALTIES.index(_PENALTY)
    least = held_out_loss(_PENALTY)
    for step in (1, -1):
        while best == start or step * (best - start) > 0:
            place = best + step
            if not 0 <= place < len(_PENALTIES):
                break
            loss = held_out_loss(_PENALTIES[place])
            if not loss < least * (1 - _GAIN):
                break
            best, least = place, loss
        if best != start:
            break
    return _PENALTIES[best]


def _log_loss(model: Any, rows: Weighted) -> float:
    """Weighted mean of the negative log-likelihood of rows, those of classes that the model knows."""
    vectors, codes, weight = rows
    known = np.flatnonzero(np.isin(codes, model.classes_) & (weight > 0))
    if not len(known):
        return 0.0
    probabilities = model.predict_proba(vectors[known])
    true = probabilities[np.arange(len(known)), np.searchsorted(model.classes_, codes[known])]
    losses = -np.log(np.maximum(true, np.finfo(np.float64).tiny))
    return float(np.average(losses, weights=weight[known]))


def _folds(rows: Weighted, families: np.ndarray | None, seed: int) -> list[tuple[Weighted, Weighted]]:
    """Part rows into training and held-out ones, a family never on both sides; none of a single class."""
    from sklearn.model_selection import StratifiedGroupKFold

    vectors, codes, weight = rows
    groups = np.arange(len(codes)) if families is None else families
    if len(np.unique(groups)) < 2 * _FOLDS:
        return []
    parts = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        cut = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed % 2**32)
        for inside, outside in cut.split(codes, codes, groups):
            if len(np.unique(codes[inside])) > 1:
                pair = [(vectors[part], codes[part], weight[part]) for part in (inside, outside)]
                parts.append((pair[0], pair[1]))
    return parts
