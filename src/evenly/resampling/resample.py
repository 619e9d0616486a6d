"""Bringing the assembled training table to the counts of its plan: adding, thinning out and cleaning.

Cleaning is our own because imbalanced-learn loops over rows in Python, and stops where a class would be
emptied or the table has fewer rows than neighbours.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from evenly.errors import DataError
from evenly.features.featurizer import Featurizer
from evenly.features.neighbours import nearest_neighbours
from evenly.groups import by_class, by_group
from evenly.params.resampling import RESAMPLERS
from evenly.plans import ResamplePlan
from evenly.resampling.growth import Growth
from evenly.resampling.library import library_resampled
from evenly.resampling.report import ClassOutcome, ResampleReport
from evenly.resampling.selection import random_stream
from evenly.samples import SampleTable, concatenate

logger = logging.getLogger(__name__)


def resample(
    samples: SampleTable, plan: ResamplePlan, featurizer: Featurizer
) -> tuple[SampleTable, ResampleReport]:
    """Resample the assembled training table.

    Nothing but these rows is looked at, and their order does not matter. New rows name their parent, which
    may be any row of the table; interpolated ones also their neighbour and the weight λ of
    x = parent + λ·(neighbour − parent): in 0..1, or in −½..0 where SVM-SMOTE reaches beyond a safe row.
    A plan by group takes groups for classes throughout: neighbours are looked for within a group, rows of
    other groups are foreign, those of the same class included, and new rows have their parent's attribute.

    Parameters
    ----------
    samples
        Real, kept generated and augmented rows (`assemble`).
    featurizer
        Of the training rows; it is used only where the method works in feature space.

    Returns
    -------
    table : SampleTable
        The given rows that remain, ordered by id, then the new ones class by class.
    report : ResampleReport
        What was done to each class, and why where it is not what was asked.
    """
    if plan.balance_on == "group":
        flat = plan.model_copy(update={"balance_on": "class"})
        table, report = resample(by_group(samples), flat, featurizer)
        return by_class(table, samples.schema), replace(report, unit="group")
    unknown = sorted(set(plan.targets) - set(samples.classes))
    if unknown:
        raise DataError(f"The resampling plan names the class {unknown[0]!r}, which the data does not have.")
    if not len(samples):
        raise DataError("There is no training row to resample.")
    samples = samples.sorted_by_id()
    report = ResampleReport(plan.method, {name: ClassOutcome(n) for name, n in samples.counts.items()})
    if plan.sampler is not None:
        table = library_resampled(samples, plan, featurizer, report)
    elif RESAMPLERS[plan.method].thins:
        table = _thinned(samples, plan, report)
    else:
        spec = RESAMPLERS[plan.method]
        growth = Growth(samples, plan, featurizer)
        table = samples if spec.rule is None else _grown(growth, report)
        if spec.cleaning is not None:
            table = _cleaned(table, growth, report)
    for name, n in table.counts.items():
        report.classes[name].after = n
    for message in report.messages():
        logger.info(message)
    return table, report


def _thinned(samples: SampleTable, plan: ResamplePlan, report: ResampleReport) -> SampleTable:
    """Take rows away from classes above their target, by lot and without regard to feature space."""
    keep = np.ones(len(samples), dtype=bool)
    for name, target in plan.targets.items():
        rows = np.flatnonzero(samples.codes == samples.classes.index(name))
        surplus = max(0, len(rows) - target)
        rng = random_stream(plan.seed, plan.method, name)
        keep[rng.choice(rows, surplus, replace=False)] = False
        report.classes[name].removed = surplus
    return samples.take(keep)


def _grown(growth: Growth, report: ResampleReport) -> SampleTable:
    """Add rows to classes below their target, behind those that are there."""
    taken = set(growth.samples.ids)
    tables = [growth.samples]
    for name, outcome in report.classes.items():
        outcome.asked = max(0, growth.plan.targets.get(name, 0) - outcome.before)
        if outcome.asked and outcome.before:
            tables.append(growth.rows(name, outcome, taken))
        elif outcome.asked:
            outcome.reasons.append("no_rows")
    return concatenate(tables)


def _cleaned(table: SampleTable, growth: Growth, report: ResampleReport) -> SampleTable:
    """Take away Tomek links, or rows that their neighbours disagree with, where classes may lose rows."""
    plan, old = growth.plan, len(growth.samples)
    present = [name for name, outcome in report.classes.items() if outcome.before]
    if len(present) < 2:
        report.classes[present[0]].reasons.append("one_class")
        return table
    vectors = growth.space.vectors
    if len(table) > old:
        added = growth.featurizer.transform(table.take(np.arange(old, len(table))))
        vectors = np.concatenate([vectors, added])
    may_lose = _cleanable(plan.clean, report)
    candidates = np.isin(table.labels, may_lose)
    if RESAMPLERS[plan.method].cleaning == "tomek":
        marked = tomek_links(vectors, table.codes) & candidates
    else:
        k = min(plan.clean_neighbors, len(table) - 1)
        if k < plan.clean_neighbors:
            for name in may_lose:
                report.classes[name].reasons.append("fewer_clean_neighbours")
        marked = edited_rows(vectors, table.codes, candidates, k)
    for name in may_lose:
        own = table.codes == table.classes.index(name)
        if marked[own].all():
            marked[own] = False
            report.classes[name].reasons.append("would_empty_class")
        report.classes[name].removed = int(marked[own].sum())
    return table.take(~marked)


def _cleanable(clean: str | tuple[str, ...], report: ResampleReport) -> list[str]:
    """Classes that cleaning may take rows from, by size before resampling; the first of equals counts."""
    sizes = {name: outcome.before for name, outcome in report.classes.items() if outcome.before}
    if isinstance(clean, tuple):
        return [name for name in sizes if name in clean]
    if clean == "majority":
        return [max(sizes, key=sizes.__getitem__)]
    if clean == "not_minority":
        smallest = min(sizes, key=sizes.__getitem__)
        return [name for name in sizes if name != smallest]
    return list(sizes)


def tomek_links(vectors: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Mark rows that are, with a row of another class, each other's nearest neighbour (Tomek 1976)."""
    _, near = nearest_neighbours(vectors, vectors, 1, exclude_self=True)
    nearest = near[:, 0]
    mutual = nearest[nearest] == np.arange(len(codes))
    return np.asarray(mutual & (codes[nearest] != codes))


def edited_rows(vectors: np.ndarray, codes: np.ndarray, candidates: np.ndarray, k: int) -> np.ndarray:
    """Mark candidates with a row of another class among their `k` nearest (Wilson 1972, all must agree)."""
    rows = np.flatnonzero(candidates)
    marked = np.zeros(len(codes), dtype=bool)
    if len(rows):
        everyone = len(rows) == len(codes)
        queries = vectors if everyone else vectors[rows]
        _, near = nearest_neighbours(queries, vectors, k, exclude_self=everyone or rows)
        marked[rows] = (codes[near] != codes[rows][:, None]).any(axis=1)
    return marked
