"""How wide limits must be for genuine rows to pass, and how many of them do.

Every real training row is screened as a candidate of its own class by checks that do not know it. Limits that
many genuine rows of a class do not keep say little about its candidates: they are widened for that class, or
switched off where no width helps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evenly.params.screening import FilterSettings
from evenly.samples import SampleTable
from evenly.screening.checks import PHASES
from evenly.screening.checks.duplicates import REPEATS
from evenly.screening.checks.opinions import AGREEMENT
from evenly.screening.context import Context, Side

_ROWS = 200  # genuine rows of a class at most
_FOLDS = ((500, 12), (2000, 8))  # up to so many training rows, so many folds
_MANY = 4  # folds beyond
#: From so many rows on a class's own rows tell its limits; smaller classes are taken together.
GENUINE_ROWS = 10
_POOL = 20  # rows that small classes need together
_FEWEST = 5  # rows that tell anything
_CLASSIFIER = 0.6  # of the genuine rows that may fail, those that `agreement` may turn away
_CAUTION = (
    0.75  # of those rows as many are counted on: limits from few rows are too narrow as often as too wide
)
_REPEATS = 2  # genuine rows of a class that repeat others, by chance
_NEVER = -np.inf


@dataclass(frozen=True)
class Calibration:
    """What genuine rows tell about the limits.

    Attributes
    ----------
    allowances
        By the name of a limit, float (classes,): how far beyond it candidates of a class may be.
    passing
        By the name of a limit, the share of genuine rows that keep to it, widened without their fold.
    report
        For the metrics: how many genuine rows pass all checks, over all and by class.
    off
        By the name of a check, sentences that say for which classes one of its limits is off, and why.
    """

    allowances: Mapping[str, np.ndarray]
    passing: Mapping[str, float]
    report: Mapping[str, Any]
    off: Mapping[str, list[str]]


def calibrate(
    real: Mapping[str, Side],
    settings: FilterSettings,
    seed: int,
    wanted: Mapping[str, int],
) -> Calibration:
    """Screen genuine training rows out of fold and widen limits until enough of them pass.

    Parameters
    ----------
    real
        The real rows of the three splits.
    settings
        The checks; `genuine_pass` of a class's rows are to pass them together.
    seed
        Settles draws and folds.
    wanted
        Number of candidates by class: genuine rows like these are reported over all.
    """
    train = real["train"]
    held, fold = _held_out(train.samples, seed)
    found = _Excesses(train.samples.codes[held], len(train.samples.classes))
    for k in range(int(fold.max(initial=-1)) + 1):
        inside = held[fold == k]
        if len(inside) < len(train):
            found.record(np.flatnonzero(fold == k), _fold_context(real, inside, settings, seed))
    limits = _Limits(found, settings)
    allowances, why = limits.allowances(np.ones(len(held), dtype=bool))
    passes = np.zeros((len(held), len(found.limits)), dtype=bool)
    for k in range(int(fold.max(initial=-1)) + 1):
        own = fold == k
        passes[own] = found.matrix()[own] <= limits.allowances(~own)[0][found.codes[own]]
    return Calibration(
        {name: allowances[:, j] for j, name in enumerate(found.limits)},
        {name: float(passes[:, j].mean()) for j, name in enumerate(found.limits)} if len(held) else {},
        _report(found, passes, train.samples.classes, settings, wanted),
        {
            check: [f"class {train.samples.classes[code]}: {text}" for code, text in sentences]
            for check, sentences in why.items()
        },
    )


def _held_out(train: SampleTable, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of genuine rows to screen, and the fold of each; rows of one group share theirs."""
    rng = np.random.default_rng([seed, 12])
    folds = next((n for most, n in _FOLDS if len(train) <= most), _MANY)
    names = train.column("group") if "group" in train.table.column_names else np.full(len(train), None)
    units = np.array([f"g{g}" if g is not None else f"r{k}" for k, g in enumerate(names)], dtype=object)
    by_unit: dict[str, int] = {}
    fold = np.empty(len(train), dtype=np.int64)
    held = []
    for code in np.unique(train.codes):
        own = rng.permutation(np.flatnonzero(train.codes == code))
        start = int(rng.integers(folds))
        turn = start
        for row in own:
            if units[row] not in by_unit:
                by_unit[units[row]] = turn % folds
                turn += 1
            fold[row] = by_unit[units[row]]
        held.append(own[:_ROWS])
    rows = np.sort(np.concatenate(held)) if held else np.empty(0, dtype=np.int64)
    return rows, np.unique(fold[rows], return_inverse=True)[1] if len(rows) else rows


@dataclass(frozen=True)
class _Known:
    """A featurizer for rows whose vectors are known."""

    vectors: np.ndarray

    def transform(self, samples: SampleTable) -> np.ndarray:
        return self.vectors


def _fold_context(
    real: Mapping[str, Side], inside: np.ndarray, settings: FilterSettings, seed: int
) -> Context:
    """Some training rows as candidates, beside the others; vectors hardly differ without a fold's rows."""
    train = real["train"]
    sides = {**real, "train": train.take(np.setdiff1d(np.arange(len(train)), inside))}
    return Context(train.samples.take(inside), sides, settings, _Known(train.vectors[inside]), seed)


class _Excesses:
    """How far genuine rows are beyond each limit, and which fail where no limit can be widened."""

    def __init__(self, codes: np.ndarray, classes: int) -> None:
        self.codes, self.classes = codes, classes
        self.limits: list[str] = []
        self.fixed: dict[str, np.ndarray] = {}
        self._columns: list[np.ndarray] = []

    def record(self, rows: np.ndarray, context: Context) -> None:
        """Screen the candidates of a context, which are these genuine rows."""
        everything = np.arange(len(rows))
        for name, verdicts in _genuine_verdicts(context, everything):
            for found in verdicts:
                if found.limit is None:
                    failed = self.fixed.setdefault(name, np.zeros(len(self.codes), dtype=bool))
                    failed[rows] |= found.failed
                    continue
                if found.limit not in self.limits:
                    self.limits.append(found.limit)
                    self._columns.append(np.full(len(self.codes), _NEVER))
                column = self._columns[self.limits.index(found.limit)]
                column[rows] = np.maximum(column[rows], found.excess)

    def matrix(self) -> np.ndarray:
        """Float (rows, limits)."""
        return np.stack(self._columns, axis=1) if self._columns else np.empty((len(self.codes), 0))


def _genuine_verdicts(context: Context, rows: np.ndarray) -> Iterator[tuple[str, Any]]:
    for phase in PHASES:
        for step in phase:
            if (
                step.genuine
                and context.modality in step.modalities
                and step.name not in context.settings.disable
            ):
                yield step.name, step.check(context, rows).verdicts


class _Limits:
    """Widens limits class by class."""

    def __init__(self, found: _Excesses, settings: FilterSettings) -> None:
        self.found, self.settings = found, settings
        self.excess = found.matrix()
        self.sizes = np.bincount(found.codes, minlength=found.classes)
        self.small = np.flatnonzero(self.sizes < GENUINE_ROWS)

    def allowances(self, known: np.ndarray) -> tuple[np.ndarray, dict[str, list[tuple[int, str]]]]:
        """Float (classes, limits), from the genuine rows that are known, bool; and why a limit is off."""
        found, excess = self.found, self.excess
        out = np.zeros((found.classes, len(found.limits)))
        why: dict[str, list[tuple[int, str]]] = {}
        if not self.settings.genuine_pass:
            return out, why
        shares = self._shares(known)
        repeats = np.array([_REPEATS if name in REPEATS else 0 for name in found.limits])
        # What is the same for all classes is bounded by what all of their rows need.
        endless = np.full(len(found.limits), np.inf)
        overall = _widths(excess[known], shares, repeats, endless)
        overall[[name == AGREEMENT for name in found.limits]] = np.inf
        pooled = known & np.isin(found.codes, self.small)
        for code in range(found.classes):
            own = known & (found.codes == code)
            enough = self.sizes[code] >= GENUINE_ROWS
            pool = not enough and self.sizes[self.small].sum() >= _POOL
            rows = pooled if pool else own if self.sizes[code] >= _FEWEST else known
            out[code] = _widths(excess[rows], shares, repeats, overall)
            for j, name in enumerate(found.limits):
                text = None
                if np.isinf(out[code, j]):
                    struck = int(np.isinf(excess[rows, j]).sum())
                    text = f"{struck} of {int(rows.sum())} genuine rows fail it, whatever its width"
                if name == AGREEMENT:
                    text = self._distrust(excess[own, j], pool) or text
                    if text:
                        out[code, j] = np.inf
                if text:
                    check, _, what = name.partition(": ")
                    why.setdefault(check, []).append((code, f"{text}: {what} off" if what else text))
        return out, why

    def _shares(self, known: np.ndarray) -> np.ndarray:
        """The share of genuine rows that may be beyond each limit, float (limits,); 0 where none is.

        Labels are hard to tell and all else is easy: the classifier gets the larger part.
        """
        excess = self.excess[known]
        live = ((excess > 0) & np.isfinite(excess)).any(axis=0)
        classifier = np.array([name == AGREEMENT for name in self.found.limits], dtype=bool)
        weights = np.where(classifier, _CLASSIFIER, 0.0)
        others = live & ~classifier
        weights[others] = (1 - _CLASSIFIER) / max(1, others.sum())
        return _CAUTION * (1 - self.settings.genuine_pass) * weights / (weights.sum() or 1)

    def _distrust(self, excess: np.ndarray, pool: bool) -> str | None:
        """Why the classifier is not asked about a class, if so."""
        rules = self.settings.agreement
        passing = float((excess <= 0).mean()) if len(excess) else 0.0
        if passing < rules.min_real_pass:
            return f"{passing:.0%} of its real rows pass out of fold, less than {rules.min_real_pass:.0%}"
        if len(excess) < _FEWEST and not pool:
            return f"{len(excess)} real rows do not tell how sure the classifier must be"
        return None


def _widths(
    excess: np.ndarray, shares: np.ndarray, spared_repeats: np.ndarray, most_widened: np.ndarray
) -> np.ndarray:
    """How far each limit must give way, float (limits,), for its share of rows like these to be beyond it.

    Of n + 1 rows, k = share · (n + 1) may be beyond: the k-th farthest of n is the limit, since a fresh row
    has as good a chance as any to be farther (conformal prediction, Vovk et al. 2005). Where k is below 1, no
    row is far enough: an exponential tail of scale s is exceeded k times as often s · log(1 / k) farther
    out. A limit that too many rows miss without any distance is off, and infinite; one that no row misses
    gives way by `most_widened` at most.
    """
    n, limits = excess.shape
    endless = np.isposinf(excess)
    out = np.zeros(limits)
    spared = math.floor(shares.sum() * (n + 1)) - 1
    while endless.any(axis=1).sum() > max(0, spared):
        counts = np.where(endless.sum(axis=0) > spared_repeats, endless.sum(axis=0), 0)
        if not counts.any():
            break
        worst = int(counts.argmax())
        out[worst], endless[:, worst] = np.inf, False
    for j in np.flatnonzero((shares > 0) & np.isfinite(out)):
        values = np.sort(excess[np.isfinite(excess[:, j]), j])[::-1]
        if not len(values):
            continue
        k = shares[j] * (n + 1)
        place = max(0, math.floor(k) - 1 - int(endless[:, j].sum()))
        farthest = float(values[min(place, len(values) - 1)])
        out[j] = max(0.0, farthest - (math.log(k) * _tail(values) if k < 1 else 0.0))
        if farthest <= 0:
            out[j] = min(out[j], most_widened[j])
    return out


def _tail(values: np.ndarray) -> float:
    """Mean distance from the median of the values above it: the scale of an exponential tail."""
    above = values[values > np.median(values)]
    return float((above - np.median(values)).mean()) if len(above) else 0.0


def _report(
    found: _Excesses,
    passes: np.ndarray,
    classes: tuple[str, ...],
    settings: FilterSettings,
    wanted: Mapping[str, int],
) -> dict[str, Any]:
    """How many genuine rows pass everything, and what strikes the others."""
    all_passed = np.asarray(passes.all(axis=1))
    struck: dict[str, np.ndarray] = dict(found.fixed)
    for j, name in enumerate(found.limits):
        check = name.partition(":")[0]
        struck[check] = struck.get(check, np.zeros(len(found.codes), dtype=bool)) | ~passes[:, j]
    for failed in found.fixed.values():
        all_passed &= ~failed
    by_class = {}
    for code, name in enumerate(classes):
        own = found.codes == code
        if own.any():
            by_class[name] = {"rows": int(own.sum()), "passing": float(all_passed[own].mean())}
    weights = np.array([wanted.get(name, 0) for name in by_class], dtype=np.float64)
    shares = np.array([numbers["passing"] for numbers in by_class.values()])
    report: dict[str, Any] = {"wanted": settings.genuine_pass, "rows": len(found.codes)}
    if len(shares):
        report["passing"] = float(np.average(shares, weights=weights if weights.any() else None))
    report["classes"] = by_class
    report["struck_by"] = {name: float(rows.mean()) for name, rows in sorted(struck.items()) if rows.any()}
    return report
