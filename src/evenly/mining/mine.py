"""Mining hard examples: score the training table, set wrong labels aside, take the hard rows."""

from __future__ import annotations

import json
import logging
import math
import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from evenly.classifiers import Classifier, build_classifier
from evenly.classifiers.devices import pinned_threads
from evenly.features import Featurizer
from evenly.mining.guard import Suspicion, suspicion
from evenly.mining.scores import (
    Scores,
    calibrated,
    family_folds,
    family_names,
    independent_rows,
    is_spare_copy,
    out_of_fold,
    refitting_judge,
    regression_judge,
    scores_of,
)
from evenly.params.mining import MiningSettings
from evenly.params.models import MODELS
from evenly.plans import MinePlan, TrainPlan
from evenly.samples import SampleTable

logger = logging.getLogger(__name__)

_DIGITS = 6


@dataclass(frozen=True)
class Mined:
    """What mining found.

    Under `mining` in the `details` of the hard rows stand `loss`, `prediction`, `confidence`, `margin`,
    `why`, and `suspect` where the label is probably wrong.
    """

    hard: SampleTable  # the hard rows, by id, as they are in the pool
    pool: SampleTable  # the rows that were scored, by id
    scores: Scores  # of the rows of `pool`
    suspicion: Suspicion  # about the rows of `pool`
    is_hard: np.ndarray  # which rows of `pool` are in `hard`, bool
    left_out: dict[str, int]  # rows of the training table that are not in `pool`, by reason
    settings: MiningSettings


def mine(
    classifier: Classifier, table: SampleTable, plan: MinePlan, trained: TrainPlan, featurizer: Featurizer
) -> Mined:
    """Find the hard rows of a training table.

    Copies of rows that are in the table themselves are passed over, and so are rows known as vectors only
    where the model reads texts or pictures.

    Parameters
    ----------
    classifier, table
        Fitted on the balanced training table: real, augmented and generated rows.
    trained
        How the classifier was trained, to train it anew without a fold.
    featurizer
        Samples to vectors, for the guard's quick model.
    """
    pool, left_out = _pool(table.sorted_by_id(), trained)
    names = family_names(pool)
    fold = family_folds(pool, names, plan.guard.folds, plan.seed)
    with pinned_threads(plan.threads), warnings.catch_warnings():
        # A quick model need not converge to the last digit.
        warnings.filterwarnings("ignore", message="lbfgs failed to converge")
        vectors = featurizer.transform(pool) if len(pool) else np.zeros((0, 1), dtype=np.float32)
        judge = regression_judge(vectors, pool.codes, len(pool.classes), plan.seed)
        quick = calibrated(out_of_fold(pool, fold, judge), pool.codes)
    if plan.scores == "quick":
        probabilities = quick
    elif plan.scores == "out_of_fold":
        unfitted = partial(build_classifier, trained, pool.schema, featurizer)
        probabilities = out_of_fold(pool, fold, refitting_judge(pool, unfitted))
    else:
        probabilities = classifier.predict_proba(pool)
    scores = scores_of(probabilities, pool.codes)
    found = suspicion(quick, pool.codes, independent_rows(pool, names), plan.guard)
    eligible = ~found.suspect if plan.suspects == "drop" else np.ones(len(pool), dtype=bool)
    rows = hard_rows(scores, pool.codes, eligible, plan)
    if not len(rows):
        logger.warning("no row of the training table is hard by this rule; a second round has nothing to add")
    is_hard = np.zeros(len(pool), dtype=bool)
    is_hard[rows] = True
    return Mined(
        hard=_described(pool, rows, scores, found, plan),
        pool=pool,
        scores=scores,
        suspicion=found,
        is_hard=is_hard,
        left_out=left_out,
        settings=plan,
    )


def _pool(table: SampleTable, trained: TrainPlan) -> tuple[SampleTable, dict[str, int]]:
    """Rows that can be scored, and how many of the others there are."""
    copies = is_spare_copy(table)
    unreadable = np.zeros(len(table), dtype=bool)
    if MODELS[trained.model].is_network and table.modality in ("text", "image"):
        payload = table.texts if table.modality == "text" else table.images
        unreadable = np.array([value is None for value in payload], dtype=bool) & ~copies
    left_out = {"copies": int(copies.sum()), "vectors_only": int(unreadable.sum())}
    return table.take(~copies & ~unreadable), left_out


def hard_rows(
    scores: Scores, codes: np.ndarray, eligible: np.ndarray, settings: MiningSettings
) -> np.ndarray:
    """Positions of the hard rows among n with these labels, rising, int64 (m,), by rule, share and cap.

    Only `eligible` rows, bool (n,), may be taken, and shares are shares of these. Among equally hard rows the
    earlier one goes first.
    """
    allowed = eligible & scores.known
    misses = allowed & scores.misclassified(codes)
    candidates = np.flatnonzero(misses if settings.by == "misclassified" else allowed)
    hardness = -scores.margin if settings.by == "margin" else scores.loss
    hardest = candidates[np.argsort(-hardness[candidates], kind="stable")]
    if settings.top_fraction != "all":
        hardest = hardest[: math.ceil(settings.top_fraction * len(hardest))]
    if settings.max_per_class is not None:
        rows = np.bincount(codes[allowed], minlength=int(codes.max(initial=0)) + 1)
        cap = settings.max_per_class  # a number, or a share of the class's rows, rounded up
        caps = np.full(len(rows), cap) if isinstance(cap, int) else np.ceil(cap * rows)
        own = codes[hardest]
        places = pd.Series(own).groupby(own).cumcount().to_numpy()  # among those of its class, from 0
        hardest = hardest[places < caps[own]]
    return np.sort(hardest)


#: Why a row is hard, by the rule.
_WHY = {
    "misclassified": "taken for {} with probability {confidence:.2f}",
    "loss": "loss {loss:.2f} is among the highest",
    "margin": "margin {margin:.2f} is among the lowest",
}


def _described(
    pool: SampleTable, rows: np.ndarray, scores: Scores, found: Suspicion, plan: MinePlan
) -> SampleTable:
    """Give the hard rows with what was found about each in their details."""
    import pyarrow as pa

    hard = pool.take(rows)
    details = []
    for row, earlier in zip(rows.tolist(), hard.column("details"), strict=True):
        numbers = {name: float(getattr(scores, name)[row]) for name in ("loss", "confidence", "margin")}
        prediction = pool.classes[scores.predicted[row]]
        mining: dict[str, Any] = {name: round(value, _DIGITS) for name, value in numbers.items()}
        mining |= {"prediction": prediction, "why": _WHY[plan.by].format(prediction, **numbers)}
        if found.suspect[row]:
            mining["suspect"] = True
        known = json.loads(earlier) if earlier else {}
        details.append(json.dumps(known | {"mining": mining}, sort_keys=True, ensure_ascii=False))
    return hard.with_column("details", pa.array(details, pa.string()))
