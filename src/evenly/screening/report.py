"""What the screening did, in numbers; the page and pictures for people are in `evenly.screening.pages`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evenly.imbalance import gini, imbalance_ratio
from evenly.screening.context import Context
from evenly.screening.diversity import compression_ratio, distinct_n, variance_ratio


@dataclass(frozen=True)
class Fates:
    """What became of each candidate.

    Attributes
    ----------
    labels_before, labels
        object (n,): label as the candidate came, and as it stands.
    origins
        object (n,).
    kept, moved
        bool (n,): kept; and kept in another class than it came.
    rules
        Rules that each candidate failed, the primary one first.
    """

    labels_before: np.ndarray
    labels: np.ndarray
    origins: np.ndarray
    kept: np.ndarray
    moved: np.ndarray
    rules: list[list[str]]


def screening_report(
    fates: Fates,
    context: Context,
    skipped: Mapping[str, list[str]],
    measured: Mapping[str, Mapping[str, Any]],
    requested: Mapping[str, int] | None,
) -> dict[str, Any]:
    """Counts by class, rule and origin, imbalance before and after, diversity, warnings, what was skipped.

    `candidates` is always `kept` + `rejected`, in all and class by class; `relabelled` of the kept ones
    changed their class. `rules[rule].primary` adds up to `rejected`.
    """
    rejected = ~fates.kept
    primary = [rules[0] if out else None for rules, out in zip(fates.rules, rejected, strict=True)]
    classes = _by_class(fates, context.classes, primary, requested)
    real = context.train.samples.counts
    after = {name: n + classes[name]["gained"] for name, n in real.items()}
    return {
        "candidates": len(fates.kept),
        "kept": int(fates.kept.sum()),
        "relabelled": int(fates.moved.sum()),
        "rejected": int(rejected.sum()),
        "classes": classes,
        "origins": {
            origin: {
                "candidates": int((fates.origins == origin).sum()),
                "kept": int((fates.kept & (fates.origins == origin)).sum()),
            }
            for origin in sorted(set(fates.origins))
        },
        "rules": _by_rule(fates, primary),
        "relabelled_from": _moves(fates),
        "imbalance": {
            "ratio": {"before": imbalance_ratio(real), "after": imbalance_ratio(after)},
            "gini": {"before": gini(real), "after": gini(after)},
        },
        "diversity": _diversity(fates, context),
        "measured": {name: dict(values) for name, values in measured.items() if values},
        "skipped": {name: list(why) for name, why in skipped.items() if why},
        "warnings": _warnings(classes, context),
    }


def _by_class(
    fates: Fates,
    classes: tuple[str, ...],
    primary: list[str | None],
    requested: Mapping[str, int] | None,
) -> dict[str, dict[str, Any]]:
    """What became of each class's candidates, and what the class gained in all."""
    found = {}
    for name in classes:
        own, gained = fates.labels_before == name, int((fates.kept & (fates.labels == name)).sum())
        wanted = int(own.sum()) if requested is None else requested.get(name, 0)
        found[name] = {
            "candidates": int(own.sum()),
            "kept": int((own & fates.kept).sum()),
            "rejected": int((own & ~fates.kept).sum()),
            "moved_away": int((own & fates.moved).sum()),
            "moved_here": int((fates.moved & (fates.labels == name)).sum()),
            "gained": gained,
            "requested": wanted,
            "shortfall": max(0, wanted - gained),
            "rejected_for": dict(
                sorted(Counter(rule for rule, o in zip(primary, own, strict=True) if o and rule).items())
            ),
        }
    return found


def _by_rule(fates: Fates, primary: list[str | None]) -> dict[str, dict[str, int]]:
    first = Counter(rule for rule in primary if rule is not None)
    every = Counter(
        rule for rules, kept in zip(fates.rules, fates.kept, strict=True) if not kept for rule in rules
    )
    return {rule: {"primary": first[rule], "any": every[rule]} for rule in sorted(every)}


def _moves(fates: Fates) -> dict[str, dict[str, int]]:
    moves: dict[str, dict[str, int]] = {}
    for row in np.flatnonzero(fates.moved):
        target = moves.setdefault(fates.labels_before[row], {})
        target[fates.labels[row]] = target.get(fates.labels[row], 0) + 1
    return {source: dict(sorted(target.items())) for source, target in sorted(moves.items())}


def _diversity(fates: Fates, context: Context) -> dict[str, Any]:
    """How varied the kept rows are, beside as many real rows of the same classes."""
    rows = np.flatnonzero(fates.kept)
    if not len(rows):
        return {}
    shown, train = context.shown(rows), context.train
    present = sorted(set(fates.labels[rows]))
    ratio = variance_ratio(shown.vectors, context.codes(rows), train.vectors, train.samples.codes)
    found: dict[str, Any] = {} if ratio is None else {"variance_ratio": ratio}
    if context.modality == "text":
        matched = _as_many(fates.labels[rows], train.samples.labels, present, context.seed)
        if matched is not None:
            kept_texts = [shown.texts[k] for k in matched[0]]
            real_texts = [train.texts[k] for k in matched[1]]
            for name, texts in (("kept", kept_texts), ("real", real_texts)):
                found[name] = {
                    "texts": len(texts),
                    **{f"distinct_{n}": distinct_n(texts, n) for n in (1, 2, 3)},
                    "compression_ratio": compression_ratio(texts),
                }
    return found


def _as_many(
    labels: np.ndarray, real: np.ndarray, classes: list[str], seed: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """As many rows of each class from both sides: measures of diversity depend on the number of texts."""
    rng = np.random.default_rng([seed, 6])
    left, right = [], []
    for name in classes:
        a, b = np.flatnonzero(labels == name), np.flatnonzero(real == name)
        n = min(len(a), len(b))
        left.append(np.sort(rng.permutation(a)[:n]))
        right.append(np.sort(rng.permutation(b)[:n]))
    chosen = np.concatenate(left), np.concatenate(right)
    return chosen if len(chosen[0]) else None


def _warnings(classes: Mapping[str, Mapping[str, Any]], context: Context) -> list[str]:
    settings = context.settings
    found = []
    for name, numbers in classes.items():
        wanted, gained = numbers["requested"], numbers["gained"]
        if not wanted or (gained >= settings.warn_below and gained >= settings.warn_below_share * wanted):
            continue
        reasons = sorted(numbers["rejected_for"].items(), key=lambda item: (-item[1], item[0]))
        why = ", ".join(f"{rule} {n}" for rule, n in reasons[:3])
        found.append(f"Class {name} gains {gained} of {wanted} samples{f' ({why})' if why else ''}.")
    return found
