"""The check that asks a judge for marks. Putting the question to a language model happens elsewhere."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from evenly.errors import RecipeError
from evenly.params.screening import JudgeRules
from evenly.screening.context import Context, JudgeScores, Outcome, verdict

MARKS = ("consistency", "completeness", "naturalness")


def judged(context: Context, rows: np.ndarray) -> Outcome:
    """Which candidates a judge marks below the threshold, by the weighted mean of its marks.

    A candidate that the judge gave no marks stays, and is noted as not judged. The report says how far judge
    and classifier agree: the share of candidates on which both say yes or both say no, the classifier's yes
    being that the label is its first choice.
    """
    rules = context.settings.judge
    if rules is None:
        return Outcome()
    if context.modality == "image":
        return Outcome(skipped=("images are not shown to a judge",))
    if context.judge is None:
        raise RecipeError(
            "params.yaml: filter.judge asks for a judge and there is none; set filter.judge to null."
        )
    candidates = context.candidates.take(rows).with_column("label", list(context.labels[rows]))
    scores = context.judge(candidates)
    marks = np.stack([getattr(scores, name) for name in MARKS]).astype(np.float64)
    if marks.shape != (3, len(rows)) or np.nanmin(marks, initial=1) < 1 or np.nanmax(marks, initial=10) > 10:
        raise ValueError(f"a judge gives every one of {len(rows)} samples three marks from 1 to 10")
    mean = weighted_mean(marks, rules)
    unmarked = np.isnan(mean)
    failed = ~unmarked & (mean < rules.threshold)
    measured: dict[str, Any] = {"judged": int((~unmarked).sum()), **scores.measured}
    if not unmarked.all():
        measured |= {f"mean_{name}": float(np.nanmean(row)) for name, row in zip(MARKS, marks, strict=True)}
        measured["mean_mark"] = float(mean[~unmarked].mean())
        known = (context.agreement[rows] > 0) & ~unmarked
        if known.any():
            first = context.agreement[rows][known] == 1
            measured["agreement_with_classifier"] = float((first == ~failed[known]).mean())
    details = np.empty(len(rows), dtype=object)
    details[:] = [", ".join(f"{name} {m:g}" for name, m in zip(MARKS, ms, strict=True)) for ms in marks.T]
    verdicts = (verdict("judge", failed, score=mean, threshold=rules.threshold, detail=details),)
    reasons = list(scores.failures) or [None] * len(rows)
    notes = [
        {"judge": {"not_judged": why or "no marks"} if none else dict(zip(MARKS, ms.tolist(), strict=True))}
        for none, why, ms in zip(unmarked, reasons, marks.T, strict=True)
    ]
    return Outcome(verdicts, notes=notes, skipped=_unjudged(unmarked, scores), measured=measured)


def weighted_mean(marks: np.ndarray, rules: JudgeRules) -> np.ndarray:
    """The mean of three marks (3, n) by the weights of the settings, float64 (n,); NaN where one lacks."""
    weights = np.array([getattr(rules, name) for name in MARKS])
    return np.asarray(weights @ marks / weights.sum())


def _unjudged(unmarked: np.ndarray, scores: JudgeScores) -> tuple[str, ...]:
    if not unmarked.any():
        return ()
    counts = Counter(why for why in scores.failures if why is not None)
    why = ", ".join(f"{reason.replace('_', ' ')} {n}" for reason, n in sorted(counts.items()))
    return (f"{unmarked.sum()} of {len(unmarked)} candidates not judged{f' ({why})' if why else ''}",)
