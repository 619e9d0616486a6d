"""What a model thinks of rows whose label is known, and how to ask models that have not seen them.

A synthetic row tells a model the answer for the row it was made from. A model that is to judge a row must
therefore see neither the row nor any relative of it: relatives stand in the same fold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evenly.classifiers import Classifier
from evenly.samples import SampleTable
from evenly.screening.checks.opinions import rows_within

_SMALLEST = float(np.finfo(np.float64).eps)
_PENALTY = 1.0  # scikit-learn's C: the inverse strength of regularisation
_FITTED_ROWS = 30_000
_ITERATIONS = 300
_LOG_HEATS = (-3.0, 3.0)  # of 1/T: beyond, a handful of rows speaks
_TOLERANCE = 1e-3  # an opinion needs no more digits

#: From positions of rows to fit on and positions of rows to judge, to probabilities of the latter, (m, k).
Judge = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Scores:
    """How n rows fare with a model; what stands where `known` is false means nothing."""

    loss: np.ndarray  # float64: −log of the probability of the label, nats, at most about 36
    margin: np.ndarray  # float64: probability of the label minus the highest of the others, −1…1
    predicted: np.ndarray  # int64: the most probable class as a position
    confidence: np.ndarray  # float64: its probability
    known: np.ndarray  # bool: there is an opinion at all

    def misclassified(self, codes: np.ndarray) -> np.ndarray:
        """Rows given to another class than their label, bool (n,)."""
        return np.asarray(self.known & (self.predicted != codes))


def scores_of(probabilities: np.ndarray, codes: np.ndarray) -> Scores:
    """Scores of rows from class probabilities, (n, k), a row of NaN where there is no opinion."""
    n = np.arange(len(codes))
    known = ~np.isnan(probabilities).any(axis=1)
    filled = np.where(known[:, None], probabilities, 0.0)
    own = filled[n, codes]
    others = filled.copy()
    others[n, codes] = -np.inf
    predicted = filled.argmax(axis=1)
    return Scores(
        loss=-np.log(np.clip(own, _SMALLEST, 1)),
        margin=own - (others.max(axis=1) if filled.shape[1] > 1 else 0.0),
        predicted=predicted,
        confidence=filled[n, predicted],
        known=known,
    )


def out_of_fold(samples: SampleTable, fold: np.ndarray, judge: Judge) -> np.ndarray:
    """Probabilities of every row by a model fitted without its fold, float64 (n, k).

    Rows between a row of the fold and one outside are left out of the fit as well. A row is NaN where no row
    of its class, or of no two classes, is left to fit on.
    """
    codes, fold_of = samples.codes, dict(zip(samples.ids, fold.tolist(), strict=True))
    # The fold that an interpolated row leans towards, −1 where there is none.
    leans = np.array([fold_of.get(name, -1) for name in samples.column("neighbour")], dtype=np.int64)
    probabilities = np.full((len(samples), len(samples.classes)), np.nan)
    for k in np.unique(fold):
        outside = np.flatnonzero((fold != k) & (leans != k))
        seen = np.unique(codes[outside])
        inside = np.flatnonzero((fold == k) & np.isin(codes, seen))
        if len(seen) > 1 and len(inside):
            probabilities[inside] = judge(outside, inside)
    return probabilities


def calibrated(probabilities: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Give probabilities ∝ p^(1/T), float64 (n, k), with the T that makes the labels most likely.

    Temperature scaling (Guo et al. 2017, arXiv 1706.04599), fitted on the rows themselves, whose
    probabilities are out of fold. A regularised model on few rows is far too careful; odds between its
    classes would mean little. Rows of NaN stay.
    """
    from scipy.optimize import minimize_scalar

    known = ~np.isnan(probabilities).any(axis=1)
    out = probabilities.copy()
    if not known.any():
        return out
    logits = np.log(np.clip(probabilities[known], _SMALLEST, 1))
    logits -= logits.max(axis=1, keepdims=True)
    of_label = logits[np.arange(len(logits)), codes[known]]

    def loss(log_heat: float) -> float:
        heat = np.exp(log_heat)
        return float(np.mean(np.log(np.exp(logits * heat).sum(axis=1)) - of_label * heat))

    heat = np.exp(minimize_scalar(loss, bounds=_LOG_HEATS, method="bounded", options={"xatol": 1e-4}).x)
    powers = np.exp(logits * heat)
    out[known] = powers / powers.sum(axis=1, keepdims=True)
    return out


def regression_judge(vectors: np.ndarray, codes: np.ndarray, classes: int, seed: int) -> Judge:
    """Judge by multinomial logistic regression on vectors, float32 (n, d).

    Of very many rows a part is fitted on, to which the largest classes give way; all are judged.
    """
    from sklearn.linear_model import LogisticRegression

    def judge(outside: np.ndarray, inside: np.ndarray) -> np.ndarray:
        model = LogisticRegression(C=_PENALTY, max_iter=_ITERATIONS, tol=_TOLERANCE)
        fitted = outside[rows_within(codes[outside], _FITTED_ROWS, seed)]
        model.fit(vectors[fitted], codes[fitted])
        probabilities = np.zeros((len(inside), classes))
        probabilities[:, model.classes_] = model.predict_proba(vectors[inside])
        return probabilities

    return judge


def refitting_judge(samples: SampleTable, unfitted: Callable[[], Classifier]) -> Judge:
    """Judge by a classifier made anew for every fold, and trained to the end: no row says when to stop."""
    nothing = samples.take(np.arange(0))

    def judge(outside: np.ndarray, inside: np.ndarray) -> np.ndarray:
        model = unfitted()
        model.fit(samples.take(outside), nothing)
        return model.predict_proba(samples.take(inside))

    return judge


def family_names(samples: SampleTable) -> np.ndarray:
    """Give the name of each row's family, object array (n,).

    A family is a row with all that was made from it, however many steps away; rows of one `group` are one
    family.
    """
    parents = dict(zip(samples.ids, samples.column("parent"), strict=True))
    groups = dict(zip(samples.ids, samples.column("group"), strict=True))
    names = np.empty(len(samples), dtype=object)
    for row, name in enumerate(samples.ids):
        group = groups[name]
        seen = {name}
        while (parent := parents.get(name)) is not None and parent not in seen:
            name = parent
            group = groups.get(name) or group
            seen.add(name)
        names[row] = f"group {group}" if group is not None else f"row {name}"
    return names


def is_spare_copy(samples: SampleTable) -> np.ndarray:
    """Mask of the copies of rows that are there themselves, bool (n,)."""
    here = set(samples.ids)
    present = np.array([parent in here for parent in samples.column("parent")], dtype=bool)
    return np.asarray((samples.origins == "duplicate") & present)


def family_folds(samples: SampleTable, names: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Deal the families of every class to the folds in turn, int64 (n,).

    A family's turn is a hash of its name, so that the order of the rows does not matter. A family with
    several labels is dealt with that of its first row by id.
    """
    label_of: dict[str, int] = {}
    for row in np.argsort(samples.ids.astype(str), kind="stable"):
        label_of.setdefault(names[row], int(samples.codes[row]))
    dealt: dict[str, int] = {}
    turns = np.zeros(len(samples.classes), dtype=np.int64)

    def turn(name: str) -> tuple[int, str]:
        digest = hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little"), name

    for name in sorted(label_of, key=turn):
        code = label_of[name]
        # Classes begin at different folds, so that the small ones do not all meet in the first.
        dealt[name] = int((turns[code] + code) % folds)
        turns[code] += 1
    return np.fromiter((dealt[name] for name in names), dtype=np.int64, count=len(samples))


def independent_rows(samples: SampleTable, names: np.ndarray) -> np.ndarray:
    """Number of families among the rows of each class, int64 (k,)."""
    codes = [code for code, _ in set(zip(samples.codes.tolist(), names, strict=True))]
    return np.bincount(np.array(codes, dtype=np.int64), minlength=len(samples.classes))
