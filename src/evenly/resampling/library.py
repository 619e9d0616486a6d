"""Samplers of imbalanced-learn, and classes with their interface, on sample tables.

Rows that a sampler keeps stay what they are; rows that it makes get ids, an origin and, where
`sample_indices_` says it, a parent.
"""

from __future__ import annotations

import warnings

import numpy as np
import pyarrow as pa

from evenly.errors import DataError
from evenly.features.featurizer import Featurizer
from evenly.params.resampling import made_sampler
from evenly.plans import ResamplePlan
from evenly.resampling.growth import offspring
from evenly.resampling.report import ResampleReport
from evenly.samples import SampleTable, concatenate


def library_resampled(
    samples: SampleTable, plan: ResamplePlan, featurizer: Featurizer, report: ResampleReport
) -> SampleTable:
    """Resample by the sampler that the plan names, which must leave each class a row."""
    name = plan.sampler or ""
    vectors, codes = featurizer.transform(samples), samples.codes
    present = {samples.classes.index(one): n for one, n in plan.targets.items() if samples.counts[one]}
    sizes = np.bincount(codes, minlength=len(samples.classes))
    nearer = min if plan.thins else max
    targets = {code: nearer(n, int(sizes[code])) for code, n in present.items()}
    sampler = made_sampler(name, plan.options, plan.seed, targets)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found, labels = sampler.fit_resample(vectors, codes)
    except (ValueError, TypeError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(f"{name} cannot resample these rows: {reason}.") from error
    found, labels = np.asarray(found, dtype=np.float32), np.asarray(labels)
    if found.ndim != 2 or found.shape[1] != vectors.shape[1] or len(labels) != len(found):
        raise DataError(f"{name} gives back rows of another shape than it was given.")
    emptied = set(codes.tolist()) - set(labels.tolist())
    if emptied:
        raise DataError(f"{name} takes away every row of the class {samples.classes[min(emptied)]!r}.")
    parents = _parents(getattr(sampler, "sample_indices_", None), found, labels, vectors, codes)
    return _rebuilt(samples, name, found, labels, parents, vectors, featurizer, report)


def _parents(
    indices: np.ndarray | None, found: np.ndarray, labels: np.ndarray, vectors: np.ndarray, codes: np.ndarray
) -> np.ndarray:
    """The row that each resulting row is or was made from, int64 (n,); −1 where that is not known."""
    if indices is not None and len(indices) == len(found):
        parents = np.asarray(indices, dtype=np.int64)
    else:
        rows: dict[tuple[bytes, int], list[int]] = {}
        for i in range(len(codes) - 1, -1, -1):
            rows.setdefault((vectors[i].tobytes(), int(codes[i])), []).append(i)
        parents = np.full(len(found), -1, dtype=np.int64)
        for i, (vector, code) in enumerate(zip(found, labels, strict=True)):
            equal = rows.get((vector.tobytes(), int(code)))
            if equal:  # the last one stays: further rows like it are its copies
                parents[i] = equal.pop() if len(equal) > 1 else equal[0]
    return np.where((parents >= 0) & (codes[parents] == labels), parents, -1)


def _rebuilt(
    samples: SampleTable,
    name: str,
    found: np.ndarray,
    labels: np.ndarray,
    parents: np.ndarray,
    vectors: np.ndarray,
    featurizer: Featurizer,
    report: ResampleReport,
) -> SampleTable:
    """The rows that are there still, then copies, then what is new."""
    equal = (parents >= 0) & (found == vectors[parents]).all(axis=1)
    _, first = np.unique(np.where(equal, parents, -1), return_index=True)
    stays = np.zeros(len(found), dtype=bool)
    stays[first] = True
    stays &= equal
    taken = set(samples.ids)
    tables = [samples.take(np.sort(parents[stays]))]
    copies = np.flatnonzero(equal & ~stays)
    if len(copies):
        tables.append(offspring(samples, parents[copies], "duplicate", {}, taken=taken))
    new = np.flatnonzero(~equal)
    origin = name.rpartition(".")[2].lower()
    for known in (True, False):
        rows = new[(parents[new] >= 0) == known]
        if len(rows):
            # Rows of unknown parents take the label of a row of their class, and nothing else.
            like = parents[rows] if known else np.array([np.argmax(samples.codes == c) for c in labels[rows]])
            made = offspring(samples, like, origin, featurizer.payload(found[rows]), taken=taken)
            tables.append(made if known else _without_parents(made))
    for code, one in enumerate(samples.classes):
        outcome, own = report.classes[one], labels == code
        outcome.removed = outcome.before - int((stays & own).sum())
        outcome.copies = int((equal & ~stays & own).sum())
        outcome.made = int((~stays & own).sum())
        outcome.asked = outcome.made
        if outcome.made:
            outcome.method = origin if outcome.made > outcome.copies else "duplicate"
    return concatenate(tables)


def _without_parents(made: SampleTable) -> SampleTable:
    for name in ("parent", "group", "attribute", "sample_weight"):
        if made.has(name):
            made = made.with_column(name, pa.nulls(len(made), made.table.schema.field(name).type))
    return made
