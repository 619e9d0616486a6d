"""The screening itself: the checks in order of cost, and one recorded fate for every candidate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from evenly.params.screening import CheckName, FilterSettings
from evenly.samples import Modality, SampleTable
from evenly.screening import (
    agreement,
    closeness,
    collapse,
    duplicates,
    image_rules,
    judge,
    memorised,
    outliers,
    realism,
    table_rules,
    text_rules,
)
from evenly.screening.context import Check, Context, Featurizer, Judge, Outcome, Verdict, verdict
from evenly.screening.report import Fates, screening_report
from evenly.screening.verdicts import Review, applicable

#: What each check looks at, by modality; a check runs on the modalities named here.
_Checks = Mapping[CheckName, Mapping[Modality, Check]]


def _everywhere(check: Check) -> Mapping[Modality, Check]:
    return {"text": check, "image": check, "table": check}


def _for_vectors(check: Check) -> Mapping[Modality, Check]:
    return {"image": check, "table": check}


def _for_moved(check: Check) -> Mapping[Modality, Check]:
    """The check, on texts that have been moved to another class since they first passed it."""

    def checked(context: Context, rows: np.ndarray) -> Outcome:
        moved = np.flatnonzero(context.labels[rows] != context.candidates.labels[rows])
        found = check(context, rows[moved]).verdicts
        return Outcome(tuple(_spread(each, moved, len(rows)) for each in found))

    return {"text": checked}


def _spread(found: Verdict, rows: np.ndarray, n: int) -> Verdict:
    """A verdict on some of n rows as one on all of them."""
    wide = verdict(
        found.rule, np.zeros(n, dtype=bool), score=np.full(n, np.nan), threshold=np.full(n, np.nan)
    )
    wide.failed[rows], wide.matched[rows], wide.detail[rows] = found.failed, found.matched, found.detail
    score, threshold = wide.score.copy(), wide.threshold.copy()
    score[rows], threshold[rows] = found.score, found.threshold
    return replace(wide, score=score, threshold=threshold)


#: The phases in order of cost. Every check of a phase looks at all candidates that the phases before have
#: left.
_PHASES: tuple[_Checks, ...] = (
    {"format": {"text": text_rules.badly_formed, "image": image_rules.badly_drawn}},
    {
        "length": {"text": text_rules.badly_long},
        "script": {"text": text_rules.foreign_script},
        "keywords": {"text": text_rules.without_keywords},
        "schema": {"table": table_rules.badly_filled},
        "constraints": {"table": table_rules.violating},
        "duplicate": _everywhere(duplicates.copies_of_real),
        "near_duplicate": _everywhere(duplicates.near_real),
        "closeness": _everywhere(closeness.close_to_held_out),
        "memorised": _for_vectors(memorised.memorised),
        "collapse": _for_vectors(collapse.collapsed),
    },
    {"agreement": _everywhere(agreement.disagreeing)},
    {
        "length": _for_moved(text_rules.badly_long),
        "keywords": _for_moved(text_rules.without_keywords),
        "outlier": _everywhere(outliers.outlying),
        "realism": _for_vectors(realism.unrealistic),
    },
    {"duplicate": _everywhere(duplicates.copies_of_candidates)},
    {"near_duplicate": _everywhere(duplicates.near_candidates)},
    {"judge": _everywhere(judge.judged)},
)

#: What a person's word does not overrule: rows that exist already, or that would leak.
_FINAL = frozenset({"duplicate", "near_duplicate", "closeness"})


@dataclass(frozen=True)
class Screening:
    """What became of the candidates.

    Attributes
    ----------
    kept
        Rows to train on, by id, with the label that they have now; a row that was moved to another class,
        or kept against a check by a person's word, says so in `details`.
    rejected
        The other rows, by id, as they came; `details` holds under `screening` every reason: rule, detail,
        score, threshold, and the id of the sample matched. The first reason is the primary one.
    report
        Ready for JSON; counts by class, rule and origin, warnings, and what was not checked and why.
    real
        The real training rows, by id.
    kept_vectors, real_vectors
        float32 (n, d), of `kept` and of `real`.
    """

    kept: SampleTable
    rejected: SampleTable
    report: dict[str, Any]
    real: SampleTable
    kept_vectors: np.ndarray
    real_vectors: np.ndarray


def screen(
    candidates: SampleTable,
    *,
    train: SampleTable,
    validation: SampleTable,
    test: SampleTable,
    settings: FilterSettings,
    featurizer: Featurizer,
    seed: int,
    judge: Judge | None = None,
    review: Mapping[str, Review] | None = None,
    requested: Mapping[str, int] | None = None,
) -> Screening:
    """Decide for every candidate whether it is kept, moved to another class, or rejected, and why.

    Parameters
    ----------
    candidates
        Synthetic samples of any origins. Their order does not matter; among near-duplicates the lower id
        stays.
    train, validation, test
        The splits; of `train` the real rows are used.
    settings
        The checks and their thresholds.
    featurizer
        Vectors of samples.
    seed
        Settles folds and draws.
    judge
        Marks samples; needed where `settings.judge` is given.
    review
        What people said about single candidates, by id. `keep` overrules every check except those for
        duplicates and leaks; `relabel` does so with another label; `drop` rejects.
    requested
        Number of new samples that each class should have got, for the shortfalls in the report; by
        default the number of candidates.

    Returns
    -------
    Screening
        Every candidate is in `kept` or in `rejected`, and in one of them only.
    """
    candidates = candidates.sorted_by_id()
    real = {"train": train.take(train.is_real).sorted_by_id(), "validation": validation.sorted_by_id()}
    real["test"] = test.sorted_by_id()
    context = Context(candidates, real, settings, featurizer, seed, judge)
    fates = _Fates(context)
    fates.apply_review(applicable(review or {}, candidates))
    alive = np.flatnonzero(~fates.failed)
    for phase in _PHASES:
        shown = alive
        for name, by_modality in phase.items():
            check = by_modality.get(context.modality)
            if check is not None and name not in settings.disable and len(shown):
                fates.record(name, shown, check(context, shown))
        alive = alive[~fates.failed[alive]]
    return fates.screening(requested)


@dataclass
class _Fates:
    """What is known of the candidates so far."""

    context: Context
    failed: np.ndarray = field(init=False)
    reasons: list[list[dict[str, Any]]] = field(init=False)
    notes: list[dict[str, Any]] = field(init=False)
    moved_by: np.ndarray = field(init=False)
    trusted: np.ndarray = field(init=False)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        n = len(self.context.candidates)
        self.failed = np.zeros(n, dtype=bool)
        self.trusted = np.zeros(n, dtype=bool)
        self.reasons = [[] for _ in range(n)]
        self.notes = [{} for _ in range(n)]
        self.moved_by = np.full(n, None, dtype=object)
        self.skipped = {name: ["disabled"] for name in self.context.settings.disable}

    def apply_review(self, decisions: Mapping[int, Review]) -> None:
        for row, decision in decisions.items():
            if decision.verdict == "drop":
                self.failed[row] = True
                self.reasons[row].append({"rule": "review"})
                continue
            self.trusted[row] = True
            if decision.label is not None and decision.label != self.context.labels[row]:
                self.context.labels[row] = decision.label
                self.moved_by[row] = "review"
        self.measured["review"] = {"decisions": len(decisions)}

    def record(self, name: str, rows: np.ndarray, outcome: Outcome) -> None:
        """Take over what a check found about the rows it was shown."""
        for found in outcome.verdicts:
            for k in np.flatnonzero(found.failed):
                row = int(rows[k])
                self.reasons[row].append(_reason(found, int(k)))
                self.failed[row] |= found.rule in _FINAL or not self.trusted[row]
        if outcome.labels is not None:
            for k in np.flatnonzero([label is not None for label in outcome.labels]):
                row = rows[k]
                if not self.trusted[row]:
                    self.context.labels[row] = outcome.labels[k]
                    self.moved_by[row] = name
        for position, note in zip(rows, outcome.notes, strict=False):
            self.notes[position] |= note
        known = self.skipped.setdefault(name, [])
        known += [why for why in outcome.skipped if why not in known]
        self.measured.setdefault(name, {}).update(outcome.measured)
        self.warnings += outcome.warnings

    def screening(self, requested: Mapping[str, int] | None) -> Screening:
        context = self.context
        candidates = context.candidates
        kept_rows, rejected_rows = np.flatnonzero(~self.failed), np.flatnonzero(self.failed)
        details = _details(candidates, [self._note(row) for row in range(len(candidates))])
        annotated = candidates.with_column("details", details)
        kept = annotated.take(kept_rows).with_column("label", _strings(context.labels[kept_rows]))
        fates = Fates(
            labels_before=candidates.labels,
            labels=context.labels,
            origins=candidates.origins,
            kept=~self.failed,
            moved=(context.labels != candidates.labels) & ~self.failed,
            rules=[list(dict.fromkeys(reason["rule"] for reason in reasons)) for reasons in self.reasons],
        )
        report = screening_report(fates, context, self.skipped, self.measured, requested)
        report["warnings"] += self.warnings
        return Screening(
            kept,
            annotated.take(rejected_rows),
            report,
            context.train.samples,
            context.shown(kept_rows).vectors,
            context.train.vectors,
        )

    def _note(self, row: int) -> dict[str, Any] | None:
        """What the table says about a candidate; nothing about one that was simply kept unjudged."""
        note = dict(self.notes[row])
        if self.reasons[row]:
            note["rejected_for" if self.failed[row] else "overruled"] = self.reasons[row]
        if self.moved_by[row] is not None:
            moved = {"label_before": self.context.candidates.labels[row], "moved_by": self.moved_by[row]}
            note |= moved | {"moved_to": self.context.labels[row]}
        return note or None


def _reason(found: Verdict, k: int) -> dict[str, Any]:
    reason: dict[str, Any] = {"rule": found.rule}
    if found.detail[k] is not None:
        reason["detail"] = str(found.detail[k])
    for key, value in (("score", found.score[k]), ("threshold", found.threshold[k])):
        if np.isfinite(value):
            reason[key] = float(f"{value:.6g}")
    if found.matched[k] is not None:
        reason["matched"] = str(found.matched[k])
    return reason


def _details(candidates: SampleTable, notes: list[dict[str, Any] | None]) -> Any:
    """The candidates' details with the notes added under `screening`; what a producer wrote stays."""
    merged: list[str | None] = []
    for before, note in zip(candidates.column("details"), notes, strict=True):
        if note is None:
            merged.append(before)
            continue
        known = _parsed(before)
        merged.append(json.dumps(known | {"screening": note}, sort_keys=True, ensure_ascii=False))
    return _strings(merged)


def _parsed(details: str | None) -> dict[str, Any]:
    if details is None:
        return {}
    try:
        known = json.loads(details)
    except ValueError:
        known = details
    return known if isinstance(known, dict) else {"producer": known}


def _strings(values: Any) -> Any:
    import pyarrow as pa

    return pa.array(list(values), type=pa.string())
