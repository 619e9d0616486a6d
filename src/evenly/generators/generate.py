"""From a plan to a sample table of generated rows, whatever the modality."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from evenly.classifiers.classifier import Log, no_log
from evenly.classifiers.devices import deterministic, pinned_threads
from evenly.errors import RecipeError
from evenly.features import Featurizer, fit_featurizer
from evenly.features.ngramsets import folded_text
from evenly.generators.fitting import fit_generator
from evenly.generators.judging import RealClassifier, class_outcomes
from evenly.generators.language_model import LanguageModel, Written
from evenly.generators.report import generation_metrics, text_metrics
from evenly.generators.sampling import class_stream, evenly_spaced, hardest_first, hold_out_rows
from evenly.generators.subjects import Made, Subject, latent_subject
from evenly.groups import by_class, by_group
from evenly.params.features import FeatureSettings, ImageFeatures
from evenly.params.generative import LanguageModelSettings
from evenly.plans import GeneratePlan
from evenly.samples import SampleTable, concatenate, samples_from_columns

#: Texts of a class that the features are fitted on, at most.
MOST_FITTED_TEXTS = 500
#: Features of images whose generator is judged again and again: quick ones.
_PIXELS = FeatureSettings(image=ImageFeatures(method="pixels"))


@dataclass(frozen=True)
class Generated:
    """What a generation came to."""

    samples: SampleTable | None  # The new rows, by class in class order; None where there are none
    metrics: dict[str, Any]  # The content of metrics/generate.json
    seconds: dict[str, float]  # Wall-clock seconds of `training` and `sampling`


def generate(
    train: SampleTable,
    plan: GeneratePlan,
    log: Log = no_log,
    sheets: Path | None = None,
    featurizer: Featurizer | None = None,
) -> Generated:
    """Train the generator of a plan on the real training rows of all classes, and sample it.

    The same rows, plan and number of threads give the same bytes; the order of the rows does not matter. For
    a trained generator the rows of a class do not depend on what is asked of other classes, and a smaller
    count gives the first rows of a larger one (unless `hard` chooses among them). A plan by group takes
    groups for classes: the generator is conditioned on them, and its rows carry their class and attribute.

    Parameters
    ----------
    train
        Training rows. Synthetic ones among them are not looked at.
    log
        Receives losses and judgement of every checkpoint.
    sheets
        Folder for sample grids of images, one a checkpoint; None draws none.
    featurizer
        Gives the vectors that table rows are judged by, and on which a classifier of the real rows decides
        what is hard or looks like another class; None fits one on the real training rows.

    Returns
    -------
    Generated
        Rows of origin `gan`, `vae` or `language_model`, with ids `<origin>:<class>:<number>`. Rows that start
        from real ones have `parent`, between two also `neighbour` and `neighbour_weight`; `details` has the
        mode.
    """
    if plan.balance_on == "group":
        flat = plan.model_copy(update={"balance_on": "class"})
        made = generate(by_group(train), flat, log, sheets, featurizer)
        rows = None if made.samples is None else by_class(made.samples, train.schema)
        return replace(made, samples=rows)
    real = train.take(train.is_real).sorted_by_id()
    _check(real, plan)
    wanted = {name: plan.counts[name] for name in real.classes if plan.counts.get(name)}
    if not wanted:
        return Generated(None, generation_metrics(plan, real, {}, None, 0, {}), {})
    with pinned_threads(plan.threads), deterministic(plan.seed):
        if real.modality == "text":
            return _texts(real, plan, wanted, log, featurizer)
        return _latent(real, plan, wanted, log, sheets, featurizer)


def _check(real: SampleTable, plan: GeneratePlan) -> None:
    modality = plan.generator.modality
    if modality != real.modality:
        raise RecipeError(
            f"The generator {plan.generator.name} makes {modality} data and the data set is of modality "
            f"{real.modality}; choose another generate.kind in the recipe."
        )
    for label, count in plan.counts.items():
        if count and not real.counts.get(label):
            raise RecipeError(
                f"Class {label!r} is to get {count} generated rows but has no real training row to learn "
                "from; leave it out of the recipe's generate.targets."
            )


def _latent(
    real: SampleTable,
    plan: GeneratePlan,
    wanted: Mapping[str, int],
    log: Log,
    sheets: Path | None,
    featurizer: Featurizer | None,
) -> Generated:
    """Images and tables, by GAN or VAE."""
    started = time.perf_counter()
    features = featurizer or fit_featurizer(real, _PIXELS, plan.seed)
    subject = latent_subject(real, plan, features, sheets)
    fit = fit_generator(subject.model, plan.generator, log, subject.watch)
    trained = time.perf_counter()
    classifier = _classifier(real, features)
    tables = [_class_table(real, plan, subject, classifier, label, count) for label, count in wanted.items()]
    samples = concatenate(tables)
    outcomes = class_outcomes(samples, real, features, classifier)
    metrics = generation_metrics(plan, real, samples.counts, fit, len(subject.held_out), outcomes)
    return Generated(samples, metrics, _seconds(started, trained))


def _class_table(
    real: SampleTable,
    plan: GeneratePlan,
    subject: Subject,
    classifier: RealClassifier | None,
    label: str,
    count: int,
) -> SampleTable:
    """Rows of one class; with `hard`, chosen among candidates."""
    chooses = plan.sampling.hard > 0 and classifier is not None
    drawn = round(count * plan.sampling.candidates_factor) if chooses else count
    code = real.classes.index(label)
    made = subject.made(label, code, drawn, plan)
    table = _table(real, plan, made, subject.payload(made.rows, label), label)
    if not chooses or classifier is None:
        return table
    # Probability of the class less the largest other one: 0 on the decision boundary.
    probabilities = classifier.probabilities(table)
    margins = probabilities[:, code] - np.delete(probabilities, code, axis=1).max(axis=1)
    return table.take(hardest_first(margins, count, plan.sampling.hard))


def _table(
    real: SampleTable, plan: GeneratePlan, made: Made, payload: Mapping[str, pa.Array], label: str
) -> SampleTable:
    n = len(made.rows)
    mode = plan.sampling.mode if made.neighbours is not None or made.parents is None else "near"
    details = json.dumps({"mode": mode}, separators=(",", ":"))
    columns: dict[str, pa.Array] = {
        "id": pa.array([f"{plan.kind}:{label}:{k + 1}" for k in range(n)], pa.string()),
        "label": pa.array([label] * n, pa.string()),
        "origin": pa.array([plan.kind] * n, pa.string()),
        "details": pa.array([details] * n, pa.string()),
    }
    if made.parents is not None:
        parents = pa.array(made.parents)
        columns["parent"] = real.table.column("id").take(parents).combine_chunks()
        for name in ("group", "attribute", "sample_weight"):
            if real.has(name):
                columns[name] = real.table.column(name).take(parents).combine_chunks()
    if made.neighbours is not None:
        columns["neighbour"] = real.table.column("id").take(pa.array(made.neighbours)).combine_chunks()
        columns["neighbour_weight"] = pa.array(made.weights, pa.float64())
    return SampleTable(pa.table(columns | dict(payload)), real.schema)


def _texts(
    real: SampleTable, plan: GeneratePlan, wanted: Mapping[str, int], log: Log, featurizer: Featurizer | None
) -> Generated:
    """Texts, by a language model."""
    started = time.perf_counter()
    settings = plan.generator
    assert isinstance(settings, LanguageModelSettings)
    rows, held_out = hold_out_rows(real.codes, settings.hold_out, plan.seed)
    model = LanguageModel(real.take(rows), real.take(held_out), settings, plan.seed)
    fit = fit_generator(model, settings, log, lambda step: None)
    trained = time.perf_counter()
    known = {folded_text(text or "") for text in real.texts}
    written: dict[str, Written] = {}
    for label, count in wanted.items():
        rng = class_stream(plan.seed, label, "sampling")
        written[label] = model.write(real.classes.index(label), count, known, rng)
    samples = _text_table(real, plan, written)
    some = evenly_spaced(real.codes, MOST_FITTED_TEXTS)
    features = featurizer or fit_featurizer(real.take(some), FeatureSettings(), plan.seed)
    outcomes = class_outcomes(samples, real, features, _classifier(real, features)) if len(samples) else {}
    metrics = generation_metrics(plan, real, samples.counts, fit, len(held_out), outcomes)
    metrics |= text_metrics(written)
    return Generated(samples if len(samples) else None, metrics, _seconds(started, trained))


def _text_table(real: SampleTable, plan: GeneratePlan, written: Mapping[str, Written]) -> SampleTable:
    columns: dict[str, list[Any]] = {"id": [], "label": [], "origin": [], "details": [], "text": []}
    for label, made in written.items():
        n = len(made.texts)
        columns["id"] += [f"{plan.kind}:{label}:{k + 1}" for k in range(n)]
        columns["label"] += [label] * n
        columns["origin"] += [plan.kind] * n
        columns["details"] += ['{"copy":true}' if copy else None for copy in made.copies]
        columns["text"] += made.texts
    return samples_from_columns(columns, real.schema)


def _classifier(real: SampleTable, features: Featurizer) -> RealClassifier | None:
    return RealClassifier(real, features) if len(np.unique(real.codes)) > 1 else None


def _seconds(started: float, trained: float) -> dict[str, float]:
    return {"training": trained - started, "sampling": time.perf_counter() - trained}
