"""Scores of cross-validation: the rows of a whole repetition scored as one, and on resamples of all rows.

A fold holds so few rows of a scarce class that means over folds are noisy, and resampling one fold misses
part of its noise. Pooled, every row counts once (Forman & Scholz 2010 recommend the same for F1).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evenly.evaluation.decisions import deployment_weights, rule_of
from evenly.evaluation.intervals import resampled
from evenly.evaluation.metrics import HEADLINE, Predictions
from evenly.experiments.runs import Run
from evenly.files import read_csv, reading
from evenly.resamples import RESAMPLES


@dataclass(frozen=True)
class Pooled:
    """A metric on all rows, mean over repetitions, and the same on resamples of the rows, float64 (B,)."""

    value: float
    drawn: np.ndarray


def pooled(runs: Mapping[int, Run], seeds: Sequence[int], rule: str, metric: str) -> Pooled | None:
    """Score whole repetitions of folds by seed; None where a run does not tell its predictions."""
    repetitions: dict[int, list[Run]] = defaultdict(list)
    for seed in sorted(seeds):
        repetitions[(seed - 1) // runs[seed].folds].append(runs[seed])
    if metric not in HEADLINE or not all(runs[seed].predictions and runs[seed].rules for seed in seeds):
        return None
    found = [_scores([_read(run, rule) for run in members], metric) for members in repetitions.values()]
    values = np.mean(found, axis=0)
    if np.isnan(values[0]):
        return None  # such as costs, which runs tell by themselves
    return Pooled(float(values[0]), values[1:])


@dataclass(frozen=True)
class _Rows:
    """Test rows of one fold as a rule reads them out."""

    names: list[str]
    y: np.ndarray
    stated: np.ndarray
    decided: np.ndarray
    #: What each row counts.
    weight: np.ndarray
    rare: int
    #: Shares of the classes where the model is used; None where the rows are like that.
    deployment: np.ndarray | None


def _read(run: Run, rule: str) -> _Rows:
    rules: Mapping[str, Any] = run.rules
    classes: list[str] = rules["classes"]
    place = {name: k for k, name in enumerate(classes)}
    file = f"reports/predictions.csv of {run.name}"
    rows = read_csv(run.predictions, file, ("id", "label"))
    with reading(file):
        y = np.array([place[row["label"]] for row in rows])
        p = np.array([[float(row[f"p_{name}"]) for name in classes] for row in rows])
        weight = np.array([float(row.get("weight", 1)) for row in rows])
    decision = rule_of(rules, rule)
    deployment = None if rules["deployment"] is None else np.array(rules["deployment"])
    return _Rows(
        [row["id"] for row in rows],
        y,
        decision.probabilities(p),
        decision.decisions(p),
        weight,
        place[rules["rare"]],
        deployment,
    )


def _scores(folds: Sequence[_Rows], metric: str) -> np.ndarray:
    """The metric on the rows of all folds, then on each resample of them, float64 (1 + B,)."""
    y = np.concatenate([fold.y for fold in folds])
    stated, decided = (np.concatenate([getattr(f, name) for f in folds]) for name in ("stated", "decided"))
    predictions = Predictions(y, stated, decided, rare=folds[0].rare)
    each = np.concatenate([fold.weight for fold in folds])
    if folds[0].deployment is not None:
        each = deployment_weights(folds[0].deployment, y, each)
    names = [name for fold in folds for name in fold.names]
    value = predictions.values(each, (metric,))[metric]
    (drawn,) = resampled([predictions], names, (metric,), each)
    return np.append(value, drawn.get(metric, np.full(RESAMPLES, np.nan)))
