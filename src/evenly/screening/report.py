"""What becomes of every candidate: written down check by check, and counted at the end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from evenly.imbalance import gini, imbalance_ratio
from evenly.params.screening import FilterSettings
from evenly.samples import SampleTable
from evenly.screening.calibration import Calibration
from evenly.screening.checks import FINAL
from evenly.screening.checks.realism import variance_ratio
from evenly.screening.checks.texts import compression_ratio, distinct_n
from evenly.screening.context import Context, Outcome, Verdict
from evenly.screening.review import Review


class Fates:
    """What is known of n candidates so far.

    Attributes
    ----------
    kept
        bool (n,): not rejected up to now.
    reasons
        For each candidate why it failed, the primary reason first.
    opinions
        Sentences of the checks on the candidates as a whole.
    """

    def __init__(self, context: Context) -> None:
        n = len(context.candidates)
        self.context = context
        self.kept = np.ones(n, dtype=bool)
        self.reasons: list[list[dict[str, Any]]] = [[] for _ in range(n)]
        self.opinions: list[str] = []
        self._trusted = np.zeros(n, dtype=bool)
        self._notes: list[dict[str, Any]] = [{} for _ in range(n)]
        self._moved_by = np.full(n, None, dtype=object)
        self._skipped: dict[str, list[str]] = {name: ["disabled"] for name in context.settings.disable}
        self._measured: dict[str, dict[str, Any]] = {}
        self._warnings: list[str] = []
        self._genuine: dict[str, Any] = {}

    def apply_review(self, decisions: Mapping[int, Review]) -> None:
        """Take over what people said, by position of the candidate."""
        for row, decision in decisions.items():
            if decision.verdict == "drop":
                self.kept[row] = False
                self.reasons[row].append({"rule": "review"})
                continue
            self._trusted[row] = True
            if decision.label is not None and decision.label != self.context.labels[row]:
                self.context.labels[row] = decision.label
                self._moved_by[row] = "review"
        self._measured["review"] = {"decisions": len(decisions)}

    def take_calibration(self, calibration: Calibration) -> None:
        """Take over how many genuine rows pass, and what is off for which classes."""
        self._genuine = dict(calibration.report)
        for check, sentences in calibration.off.items():
            self._skipped.setdefault(check, []).extend(sentences)

    def record(self, name: str, rows: np.ndarray, outcome: Outcome) -> None:
        """Take over what the check of this name found about these rows."""
        for found in outcome.verdicts:
            for k in np.flatnonzero(found.failed):
                row = int(rows[k])
                self.reasons[row].append(_reason(name, found, int(k)))
                self.kept[row] &= self._trusted[row] and name not in FINAL
        if outcome.labels is not None:
            for k in np.flatnonzero([label is not None for label in outcome.labels]):
                row = rows[k]
                if not self._trusted[row]:
                    self.context.labels[row] = outcome.labels[k]
                    self._moved_by[row] = name
        for position, note in zip(rows, outcome.notes, strict=False):
            self._notes[position] |= note
        known = self._skipped.setdefault(name, [])
        known += [why for why in outcome.skipped if why not in known]
        self._measured.setdefault(name, {}).update(outcome.measured)
        self._warnings += outcome.warnings
        self.opinions += outcome.opinions

    def annotated(self) -> SampleTable:
        """The candidates with what was found about each in `details`, under `screening`."""
        details = []
        for row, before in enumerate(self.context.candidates.column("details")):
            note = self._note(row)
            if note:
                merged = _parsed(before) | {"screening": note}
                before = json.dumps(merged, sort_keys=True, ensure_ascii=False)
            details.append(before)
        return self.context.candidates.with_column("details", strings(details))

    def _note(self, row: int) -> dict[str, Any]:
        """What the table says about a candidate; nothing about one that was simply kept unjudged."""
        note = dict(self._notes[row])
        if self.reasons[row]:
            note["overruled" if self.kept[row] else "rejected_for"] = self.reasons[row]
        if self._moved_by[row] is not None:
            note |= {
                "label_before": self.context.candidates.labels[row],
                "moved_by": self._moved_by[row],
                "moved_to": self.context.labels[row],
            }
        return note

    def report(self, requested: Mapping[str, int] | None) -> dict[str, Any]:
        """Counts by class, rule and origin, imbalance before and after, diversity, warnings, skipped checks.

        `candidates` is always `kept` + `rejected`, in all and class by class; `relabelled` of the kept ones
        changed their class. `rules[rule].primary` adds up to `rejected`. Of each class so many samples were
        `requested`; by default as many as there are candidates.
        """
        context, kept, origins = self.context, self.kept, self.context.candidates.origins
        before, labels = context.candidates.labels, context.labels
        moved = (labels != before) & kept
        rules = [list(dict.fromkeys(reason["rule"] for reason in reasons)) for reasons in self.reasons]
        primary = [None if stays else failed[0] for failed, stays in zip(rules, kept, strict=True)]
        classes = self._by_class(moved, primary, requested)
        real = context.train.samples.counts
        after = {name: n + classes[name]["gained"] for name, n in real.items()}
        primaries = _counts(rule for rule in primary if rule is not None)
        mentioned = _counts(rule for row in np.flatnonzero(~kept) for rule in rules[row])
        return {
            "candidates": len(kept),
            "kept": int(kept.sum()),
            "relabelled": int(moved.sum()),
            "rejected": int((~kept).sum()),
            "classes": classes,
            "genuine": self._genuine,
            "origins": {
                origin: {
                    "candidates": int((origins == origin).sum()),
                    "kept": int((kept & (origins == origin)).sum()),
                }
                for origin in sorted(set(origins))
            },
            "rules": {rule: {"primary": primaries.get(rule, 0), "any": n} for rule, n in mentioned.items()},
            "relabelled_from": {
                name: _counts(labels[moved & (before == name)]) for name in sorted(set(before[moved]))
            },
            "imbalance": {
                "ratio": {"before": imbalance_ratio(real), "after": imbalance_ratio(after)},
                "gini": {"before": gini(real), "after": gini(after)},
            },
            "diversity": _diversity(np.flatnonzero(kept), context),
            "measured": {name: values for name, values in self._measured.items() if values},
            "skipped": {name: why for name, why in self._skipped.items() if why},
            "warnings": [*_shortfalls(classes, context.settings), *self._warnings],
        }

    def _by_class(
        self, moved: np.ndarray, primary: list[str | None], requested: Mapping[str, int] | None
    ) -> dict[str, dict[str, Any]]:
        """What became of each class's candidates, and what the class gained in all."""
        classes = {}
        for name in self.context.classes:
            own, here = self.context.candidates.labels == name, self.context.labels == name
            gained = int((self.kept & here).sum())
            wanted = int(own.sum()) if requested is None else requested.get(name, 0)
            classes[name] = {
                "candidates": int(own.sum()),
                "kept": int((own & self.kept).sum()),
                "rejected": int((own & ~self.kept).sum()),
                "moved_away": int((own & moved).sum()),
                "moved_here": int((moved & here).sum()),
                "gained": gained,
                "requested": wanted,
                "shortfall": max(0, wanted - gained),
                "rejected_for": _counts(rule for rule, o in zip(primary, own, strict=True) if o and rule),
            }
        return classes


def _reason(rule: str, found: Verdict, k: int) -> dict[str, Any]:
    reason: dict[str, Any] = {"rule": rule}
    if found.detail[k] is not None:
        reason["detail"] = str(found.detail[k])
    for key, value in (("score", found.score[k]), ("threshold", found.threshold[k])):
        if np.isfinite(value):
            reason[key] = float(f"{value:.6g}")
    if found.matched[k] is not None:
        reason["matched"] = str(found.matched[k])
    return reason


def _parsed(details: str | None) -> dict[str, Any]:
    """What a producer wrote, which stays."""
    if details is None:
        return {}
    try:
        known = json.loads(details)
    except ValueError:
        known = details
    return known if isinstance(known, dict) else {"producer": known}


def strings(values: Iterable[str | None]) -> Any:
    """An Arrow array of strings, also where there is none."""
    import pyarrow as pa

    return pa.array(list(values), type=pa.string())


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _shortfalls(classes: Mapping[str, Mapping[str, Any]], settings: FilterSettings) -> Iterator[str]:
    """A warning for each class that gained too little, with its commonest reasons."""
    for name, numbers in classes.items():
        wanted, gained = numbers["requested"], numbers["gained"]
        if wanted and (gained < settings.warn_below or gained < settings.warn_below_share * wanted):
            reasons = sorted(numbers["rejected_for"].items(), key=lambda item: (-item[1], item[0]))
            why = ", ".join(f"{rule} {n}" for rule, n in reasons[:3])
            yield f"Class {name} gains {gained} of {wanted} samples{f' ({why})' if why else ''}."


def _diversity(rows: np.ndarray, context: Context) -> dict[str, Any]:
    """How varied these candidates are, beside as many real rows of the same classes."""
    if not len(rows):
        return {}
    kept, train = context.side(rows), context.train
    ratio = variance_ratio(kept.vectors, context.codes(rows), train.vectors, train.samples.codes)
    measures: dict[str, Any] = {} if ratio is None else {"variance_ratio": ratio}
    if context.modality == "text":
        own, real = _as_many(context.labels[rows], train.samples.labels, context.seed)
        for name, side, chosen in (("kept", kept, own), ("real", train, real)):
            if texts := [side.texts[k] for k in chosen]:
                measures[name] = {
                    "texts": len(texts),
                    **{f"distinct_{n}": distinct_n(texts, n) for n in (1, 2, 3)},
                    "compression_ratio": compression_ratio(texts),
                }
    return measures


def _as_many(labels: np.ndarray, real: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As many rows of each class from both sides: measures of diversity depend on the number of texts."""
    rng = np.random.default_rng([seed, 6])
    left, right = [], []
    for name in sorted(set(labels)):
        a, b = np.flatnonzero(labels == name), np.flatnonzero(real == name)
        n = min(len(a), len(b))
        left.append(np.sort(rng.permutation(a)[:n]))
        right.append(np.sort(rng.permutation(b)[:n]))
    return np.concatenate(left), np.concatenate(right)
