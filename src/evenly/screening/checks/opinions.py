"""The checks `agreement` and `judge`: what a classifier of real rows and a language model think.

Putting the question to a language model happens in `evenly.llm.judging`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evenly.errors import RecipeError
from evenly.screening.context import MARKS, Context, JudgeScores, Outcome, limited, verdict

#: Name of the limit of the check `agreement`.
AGREEMENT = "agreement"
_PENALTY = 10.0  # scikit-learn's C: the inverse strength of regularisation
_ROWS = 30_000  # real rows that the classifier is fitted on at most; the largest classes give way


@dataclass(frozen=True)
class Opinion:
    """What a classifier that has not seen a row thinks of it.

    `probabilities`, float (n, classes), sum to 1 as if all classes were equally frequent; a class that the
    classifier does not know has 0.
    """

    probabilities: np.ndarray

    def places(self, codes: np.ndarray) -> np.ndarray:
        """Place of each row's class, 1 for the most probable, the last where it is unknown; int64 (n,)."""
        n, classes = self.probabilities.shape
        own = self.probabilities[np.arange(n), codes][:, None]
        places = 1 + (self.probabilities > own).sum(axis=1)
        return np.asarray(np.where(own[:, 0] > 0, places, classes))

    def agrees(self, codes: np.ndarray, top: int, min_confidence: float | None) -> np.ndarray:
        """Whether the class is among the first `top`, or has that probability, bool (n,)."""
        agrees = self.places(codes) <= top
        if min_confidence is not None:
            agrees |= self.probabilities[np.arange(len(codes)), codes] >= min_confidence
        return agrees

    def odds(self, codes: np.ndarray, top: int, min_confidence: float | None) -> np.ndarray:
        """How probable the class is over what it would need to agree, float (n,): 1 or more where it does."""
        own = self.probabilities[np.arange(len(codes)), codes]
        others = self.probabilities.copy()
        others[np.arange(len(codes)), codes] = -1
        needed = np.sort(others, axis=1)[:, -min(top, others.shape[1] - 1)]
        if min_confidence is not None:
            needed = np.minimum(needed, min_confidence)
        return np.asarray(own / np.maximum(needed, np.finfo(np.float64).tiny))


def disagreeing(context: Context, rows: np.ndarray) -> Outcome:
    """Candidates whose label the classifier does not share, and where they go when they are moved.

    The classifier is a logistic regression on the vectors of the real training rows, every class weighing
    the same: a scarce class is what candidates are for, and must not lose by being scarce. What counts is the
    label's probability over that of the last class before which it must come; how little of it is enough, and
    whether the classifier is to be trusted with a class at all, genuine rows tell that it has not seen.
    """
    rules = context.settings.agreement
    train = context.train
    sample = rows_within(train.samples.codes, _ROWS, context.seed)
    vectors, codes = train.vectors[sample], train.samples.codes[sample]
    classes = len(context.classes)
    present = np.unique(codes)
    if len(present) < 2:
        return Outcome(skipped=("the real training rows are of one class",))
    top = min(rules.top_k, max(1, len(present) // 2))
    candidates, labels = context.side(rows).vectors, context.codes(rows)
    opinion = fitted_opinion(vectors, codes, classes, candidates)
    places = context.agreement[rows] = opinion.places(labels)
    agrees = opinion.agrees(labels, top, rules.min_confidence)
    first = opinion.probabilities.argmax(axis=1)
    details = np.full(len(rows), None, dtype=object)
    details[:] = [
        f"first is {context.classes[code]} ({row.max():.2f}), own class {row[label]:.2f}"
        for code, label, row in zip(first, labels, opinion.probabilities, strict=True)
    ]
    found = limited(
        context,
        rows,
        AGREEMENT,
        ~agrees,
        score=opinion.odds(labels, top, rules.min_confidence),
        threshold=1.0,
        above=False,
        detail=details,
    )
    moved = None
    if rules.relabel:
        sure = opinion.probabilities.max(axis=1) >= rules.relabel_confidence
        near = _majority(candidates, vectors, codes, rules.neighbours, classes)
        untrusted = np.flatnonzero(np.isinf(context.allowances.get(AGREEMENT, np.zeros(classes))))
        move = found.failed & sure & (near == first) & ~np.isin(first, untrusted)
        moved = np.full(len(rows), None, dtype=object)
        moved[move] = [context.classes[code] for code in first[move]]
        found = replace(found, failed=found.failed & ~move)
    measured: dict[str, Any] = {
        "candidates_agreeing": float(agrees.mean()),
        "top_k": top,
        "candidates_first": float((places == 1).mean()),
    }
    opinion_text = (
        f"A classifier of the real rows has the label of {agrees.mean():.0%} of the candidates among its "
        f"first {top} ({measured['candidates_first']:.0%} as the first)"
    )
    if AGREEMENT in context.genuine_pass:
        measured["real_rows_passing"] = context.genuine_pass[AGREEMENT]
        opinion_text += f"; {measured['real_rows_passing']:.0%} of genuine rows pass, out of fold"
    return Outcome((found,), labels=moved, measured=measured, opinions=(opinion_text + ".",))


def _majority(vectors: np.ndarray, real: np.ndarray, codes: np.ndarray, k: int, classes: int) -> np.ndarray:
    """Class of more than half of the k nearest real rows, int64 (n,), -1 where there is none."""
    from evenly.features.neighbours import nearest_neighbours

    k = min(k, len(real))
    _, indices = nearest_neighbours(vectors, real, k)
    votes = np.zeros((len(vectors), classes), dtype=np.int64)
    np.add.at(votes, (np.arange(len(vectors))[:, None], codes[indices]), 1)
    return np.where(2 * votes.max(axis=1) > k, votes.argmax(axis=1), -1)


def fitted_opinion(vectors: np.ndarray, codes: np.ndarray, classes: int, others: np.ndarray) -> Opinion:
    """The opinion on `others` of a classifier fitted on vectors, float32 (n, d), of two classes or more."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    model = LogisticRegression(C=_PENALTY, class_weight="balanced", max_iter=300, tol=1e-3)
    with threadpool_limits(1, user_api="blas"):  # more threads wait for each other on products this small
        model.fit(vectors, codes)
    probabilities = np.zeros((len(others), classes))
    if len(others):
        probabilities[:, model.classes_] = model.predict_proba(others)
    return Opinion(probabilities)


def rows_within(codes: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Rising positions of at most `most` rows: all of small classes, an equal number of each larger one."""
    sizes = np.bincount(codes)
    if sizes.sum() <= most:
        return np.arange(len(codes))
    rising = np.sort(sizes[sizes > 0])
    kept_below = np.concatenate([[0], np.cumsum(rising)[:-1]])
    limits = (most - kept_below) // (len(rising) - np.arange(len(rising)))
    limit = max(1, int(limits[np.argmax(limits < rising)]))
    rng = np.random.default_rng([seed, 4])
    chosen = [rng.permutation(np.flatnonzero(codes == code))[:limit] for code in np.flatnonzero(sizes)]
    return np.sort(np.concatenate(chosen))


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
    weights = np.array([getattr(rules, name) for name in MARKS])
    mean = np.asarray(weights @ marks / weights.sum())  # NaN where one of the marks lacks
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
    reasons = list(scores.failures) or [None] * len(rows)
    notes = [
        {"judge": {"not_judged": why or "no marks"} if none else dict(zip(MARKS, ms.tolist(), strict=True))}
        for none, why, ms in zip(unmarked, reasons, marks.T, strict=True)
    ]
    return Outcome(
        (verdict(failed, score=mean, threshold=rules.threshold, detail=details),),
        notes=notes,
        skipped=_unjudged(unmarked, scores),
        measured=measured,
        opinions=_judge_sentences(measured),
    )


def _unjudged(unmarked: np.ndarray, scores: JudgeScores) -> tuple[str, ...]:
    if not unmarked.any():
        return ()
    counts = Counter(why for why in scores.failures if why is not None)
    why = ", ".join(f"{reason.replace('_', ' ')} {n}" for reason, n in sorted(counts.items()))
    return (f"{unmarked.sum()} of {len(unmarked)} candidates not judged{f' ({why})' if why else ''}",)


def _judge_sentences(measured: dict[str, Any]) -> tuple[str, ...]:
    """What the judge thinks of the candidates, and how far the classifier thinks so too."""
    if "mean_mark" not in measured:
        return ()
    marks = ", ".join(f"{name} {measured[f'mean_{name}']:.1f}" for name in MARKS)
    cost = "at an unknown cost" if measured.get("cost") is None else f"for {measured['cost']:.4f}"
    by = f" by {measured['model']} {cost}" if "model" in measured else ""
    mean = f"{measured['judged']:,} candidates judged{by}: mean mark {measured['mean_mark']:.1f} ({marks})."
    if "agreement_with_classifier" not in measured:
        return (mean,)
    return (
        mean,
        f"Judge and classifier are of one opinion on {measured['agreement_with_classifier']:.0%} of them "
        "(the classifier's yes: the label is its first choice).",
    )
