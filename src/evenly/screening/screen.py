"""The screening itself: every candidate goes through the checks in their order, and meets one fate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from evenly.params.screening import FilterSettings
from evenly.samples import SampleTable
from evenly.screening.calibration import calibrate
from evenly.screening.checks import PHASES
from evenly.screening.context import Context, Featurizer, Judge, Side
from evenly.screening.report import Fates, strings
from evenly.screening.review import Review, applicable


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
    opinions
        Sentences of the checks on the candidates as a whole.
    real
        The real training rows, by id.
    kept_vectors, real_vectors
        float32 (n, d), of `kept` and of `real`.
    """

    kept: SampleTable
    rejected: SampleTable
    report: dict[str, Any]
    opinions: list[str]
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
    splits = {"train": train.take(train.is_real), "validation": validation, "test": test}
    real = {}
    for name, samples in splits.items():
        samples = samples.sorted_by_id()
        real[name] = Side(samples, partial(featurizer.transform, samples))
    context = Context(candidates, real, settings, featurizer, seed, judge)
    fates = Fates(context)
    if len(candidates):
        calibration = calibrate(real, settings, seed, candidates.counts)
        context.allowances, context.genuine_pass = calibration.allowances, calibration.passing
        fates.take_calibration(calibration)
    fates.apply_review(applicable(review or {}, candidates))
    for phase in PHASES:
        rows = np.flatnonzero(fates.kept)
        for step in phase:
            if context.modality in step.modalities and step.name not in settings.disable and len(rows):
                fates.record(step.name, rows, step.check(context, rows))
    kept, annotated = np.flatnonzero(fates.kept), fates.annotated()
    return Screening(
        kept=annotated.take(kept).with_column("label", strings(context.labels[kept])),
        rejected=annotated.take(~fates.kept),
        report=fates.report(requested),
        opinions=fates.opinions,
        real=context.train.samples,
        kept_vectors=context.side(kept).vectors,
        real_vectors=context.train.vectors,
    )
