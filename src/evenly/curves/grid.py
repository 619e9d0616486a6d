"""The grid behind the curves: every classifier on every step of every source and seed, in this process."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from evenly.classifiers.devices import pinned_threads
from evenly.classifiers.estimators import fit_estimator
from evenly.classifiers.weights import as_trained_weights, rows_per_class, smoothed_prior
from evenly.confusion import balanced_accuracy, macro_f1, outcomes, worst_class_recall
from evenly.curves.findings import Curve, Curves
from evenly.curves.sources import (
    CurveSettings,
    MetricName,
    Pool,
    SourceName,
    Variant,
    VectorRows,
    added_rows,
    variants,
    vector_rows,
)
from evenly.datasets.partition import draws, grouped, stratified
from evenly.errors import DataError
from evenly.experiments.history import Revision
from evenly.features import fit_featurizer
from evenly.params.base import settings_from
from evenly.params.models import ModelsSettings
from evenly.params.project import PARAMS_FILE, Params
from evenly.samples import SampleTable, Schema, concatenate, read_samples

Progress = Callable[[int, int], None]
#: The rows of a seed, where seeds split anew.
Resplit = Callable[[int], "tuple[Pool, Material]"]


@dataclass(frozen=True)
class Material:
    """Everything that a fit works on."""

    #: Validation rows say when boosting stops, test rows what came of it.
    train: VectorRows
    validation: VectorRows
    test: VectorRows
    #: Group of each test row (class and spurious attribute) as an integer, int64 (n,), −1 where it has none;
    #: None without an attribute.
    groups: np.ndarray | None
    classes: int
    models: ModelsSettings


@dataclass(frozen=True)
class _Cell:
    """One fit: its curve, seed, number of rows asked for, and the rows that are added."""

    variant: Variant
    source: SourceName | None
    seed: int
    step: int
    rows: VectorRows


def draw_curves(
    pool: Pool,
    material: Material,
    settings: CurveSettings,
    jobs: int = 1,
    progress: Progress | None = None,
    resplit: Resplit | None = None,
) -> Curves:
    """Fit the grid on the rows of `material` with those of `pool` that are added, in `jobs` processes.

    What varies over seeds is which synthetic rows are drawn and in which order, and the classifier's own
    randomness; the split does so only with `resplit`, which gives the rows of a seed. Steps of a seed are
    nested: each adds rows to those of the one before. The
    step without synthetic rows is fitted once for all sources. `progress` takes how many fits are done, of
    how many.
    """
    from joblib import Parallel, delayed

    if settings.metric == "worst_group_error" and material.groups is None:
        raise DataError("worst_group_error needs a spurious attribute: name its column as columns.attribute.")
    most = settings.most or _most(pool, settings)
    steps = {round(most * step / settings.steps) for step in range(settings.steps + 1)}
    if "run" in settings.sources:
        steps.add(min(most, len(pool.made)))  # where the curve of the run ends, others are to be seen as well
    rows = {seed: resplit(seed) if resplit else (pool, material) for seed in settings.seeds}
    cells = list(_cells({seed: one for seed, (one, _) in rows.items()}, settings, sorted(steps)))
    fit = delayed(partial(fitted_score, metric=settings.metric, rounds=settings.rounds))
    calls = (fit(rows[cell.seed][1], cell.variant, cell.seed, cell.rows) for cell in cells)
    fits = Parallel(n_jobs=jobs, return_as="generator")(calls)
    scores: dict[tuple[str, SourceName | None, int, int], float] = {}
    for done, (cell, score) in enumerate(zip(cells, fits, strict=True), start=1):
        scores[cell.variant.title, cell.source, cell.seed, cell.step] = score
        if progress is not None:
            progress(done, len(cells))
    # Where a seed has too few rows for a step, no seed has it.
    drawn = Counter((cell.source, cell.step) for cell in cells if cell.variant == cells[0].variant)
    curves = []
    for variant in variants(settings.models):
        for source in settings.sources:
            own = [k for k in sorted(steps) if k == 0 or drawn[source, k] == len(settings.seeds)]
            values = [
                [scores[variant.title, source if step else None, seed, step] for step in own]
                for seed in settings.seeds
            ]
            curves.append(Curve(variant, source, settings.seeds, tuple(own), np.array(values)))
    return Curves(settings.metric, tuple(curves))


def _most(pool: Pool, settings: CurveSettings) -> int:
    most = len(pool.made) if "run" in settings.sources and len(pool.made) else pool.to_balance()
    if not most:
        raise DataError(
            "The classes are balanced, so that no number of synthetic rows follows from them; say how many "
            "to go up to with --rows."
        )
    return most


def _cells(pools: Mapping[int, Pool], settings: CurveSettings, steps: list[int]) -> Iterator[_Cell]:
    drawn = {
        (source, seed): added_rows(source, pools[seed], steps[-1], seed, settings.in_order)
        for source in settings.sources
        for seed in settings.seeds
    }
    for variant in variants(settings.models):
        for seed in settings.seeds:
            yield _Cell(variant, None, seed, 0, pools[seed].rows.first(0))
            for source in settings.sources:
                rows = drawn[source, seed]
                for step in steps[1:]:
                    if step <= len(rows):
                        yield _Cell(variant, source, seed, step, rows.first(step))


def fitted_score(
    material: Material,
    variant: Variant,
    seed: int,
    added: VectorRows,
    metric: MetricName,
    rounds: int | None = None,
) -> float:
    """Fit a classifier on the training rows and those added; give its score on the test rows.

    With so many `rounds`, the validation rows are trained on as well.
    """
    plan = variant.plan(material.models, seed, rounds)
    rows = material.train.followed_by(
        material.validation.first(len(material.validation) if rounds else 0)
    ).followed_by(added)
    counts = rows_per_class(rows.codes, material.classes)
    # On rows that are trained on, the loss falls with every round, so that boosting does not stop.
    held_out = rows if rounds else material.validation
    known = np.flatnonzero(counts[held_out.codes] > 0)
    weight = as_trained_weights(smoothed_prior(counts), held_out.codes[known])
    with pinned_threads(1):
        fitted = fit_estimator(
            plan,
            (rows.vectors, rows.codes, np.ones(len(rows))),
            (held_out.vectors[known], held_out.codes[known], weight),
        )
        probabilities = fitted.estimator.predict_proba(material.test.vectors)
    predicted = fitted.present[probabilities.argmax(axis=1)]
    return score(material, predicted, metric)


def score(material: Material, predicted: np.ndarray, metric: MetricName) -> float:
    """A metric of the predicted classes of the test rows, int64 (n,)."""
    truth = material.test.codes
    if metric == "worst_group_error":
        assert material.groups is not None
        wrong, groups = predicted != truth, material.groups
        return max(float(wrong[groups == group].mean()) for group in np.unique(groups[groups >= 0]))
    if metric == "error":
        return float((predicted != truth).mean())
    found = outcomes(truth, predicted, material.classes)
    if metric == "macro_f1":
        return float(macro_f1(found))
    return 1.0 - float((worst_class_recall if metric == "worst_class_error" else balanced_accuracy)(found))


def read_material(revision: Revision, vector_cache: Path) -> tuple[Pool, Material]:
    """Read splits and kept rows of a revision, and turn them into vectors as its `featurize` has done.

    `vector_cache` is a folder for vectors of text encoders.
    """
    parts, made, params = _read(revision)
    return _material(parts, made, params, vector_cache)


def _read(revision: Revision) -> tuple[list[SampleTable], SampleTable, Params]:
    params = settings_from(Params, revision.yaml(PARAMS_FILE), f"{PARAMS_FILE} of {revision.name}")
    parts = [_table(revision, f"data/split/{part}.parquet") for part in ("train", "val", "test")]
    return parts, _table(revision, "data/filtered/kept.parquet", parts[0].schema), params


def _material(
    parts: Sequence[SampleTable], made: SampleTable, params: Params, vector_cache: Path
) -> tuple[Pool, Material]:
    train, validation, test = (parts[0].sorted_by_id(), *parts[1:])
    featurizer = fit_featurizer(train, params.features, params.seed, vector_cache)
    pool = Pool(train, vector_rows(train, featurizer), vector_rows(made, featurizer), featurizer)
    held_out, scored = (vector_rows(part, featurizer) for part in (validation, test))
    return pool, Material(pool.rows, held_out, scored, group_codes(test), len(train.classes), params.models)


def read_resplit(revision: Revision, vector_cache: Path) -> Resplit:
    """Read all rows of a revision, to be split anew by each seed: into parts of the sizes that they have.

    Made rows whose parent is in the test rows of a seed are not added under it.
    """
    tables, made, params = _read(revision)
    everything = concatenate(tables)
    shares = [len(table) / len(everything) for table in tables]
    names = everything.ids.astype(str).tolist()

    def resplit(seed: int) -> tuple[Pool, Material]:
        groups = everything.column("group")
        if all(group is None for group in groups):
            codes = stratified(everything.codes, draws(names, seed, "curve"), *shares[1:])
        else:
            units, of_row = np.unique(groups.astype(str), return_inverse=True)
            drawn = draws(units.tolist(), seed, "curve")
            codes = grouped(everything.codes, of_row, drawn, *shares[1:])
        parts = [everything.take(np.flatnonzero(codes == part)) for part in range(3)]
        clean = ~np.isin(made.column("parent").astype(str), parts[2].ids.astype(str))
        return _material(parts, made.take(np.flatnonzero(clean)), params, vector_cache)

    return resplit


def group_codes(samples: SampleTable) -> np.ndarray | None:
    """Group of each row, class and spurious attribute, int64 (n,): −1 without one; None where no row has."""
    attributes = samples.column("attribute")
    if all(value is None for value in attributes):
        return None
    pairs = list(zip(samples.labels, attributes, strict=True))
    named = sorted({pair for pair in pairs if pair[1] is not None})
    position = {pair: place for place, pair in enumerate(named)}
    return np.array([position.get(pair, -1) for pair in pairs], dtype=np.int64)


def _table(revision: Revision, path: str, schema: Schema | None = None) -> SampleTable:
    content = revision.read(path)
    if content is None:
        raise DataError(f"{revision.name} has no {path}; `dvc repro` makes it.")
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        file.write(content)
        file.flush()
        return read_samples(file.name, schema)
