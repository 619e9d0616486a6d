"""Classifiers: fitted on a sample table, give class probabilities for others, saved as folders.

Read in the order of use: `classifier` says what every one can do and keeps in its folder; `vectors` and
`networkclassifier` (with `images` and `texts`) are the kinds there are; `networks/` and `training/` are what
the latter are made of.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from evenly.classifiers.classifier import REMEDY, Classifier, FitSummary, Log, Manifest, read_manifest
from evenly.errors import EvenlyError, ModelError, RecipeError
from evenly.params.models import MODELS, check_combination
from evenly.plans import TrainPlan
from evenly.samples import Schema

if TYPE_CHECKING:
    from evenly.features import Featurizer

__all__ = ["Classifier", "FitSummary", "Log", "build_classifier", "load_classifier"]


def build_classifier(plan: TrainPlan, schema: Schema, featurizer: Featurizer | None) -> Classifier:
    """Make the unfitted classifier of a plan.

    Parameters
    ----------
    plan
        Model, settings, loss and optimisation.
    schema
        Of the samples that it will be fitted on.
    featurizer
        What turns these samples into vectors. Vector models need it, image networks take its shape over.

    Raises
    ------
    RecipeError
        When model, loss, sampler and modality do not go together, or a vector model gets no featurizer.
    """
    check_combination(plan.model, schema.modality, plan.loss, plan.sampler, plan.losses)
    alpha = plan.losses.focal.alpha
    if plan.loss == "focal" and isinstance(alpha, dict):
        unknown = sorted(set(alpha) - set(schema.classes))
        if unknown:
            raise RecipeError(
                f"losses.focal.alpha names {unknown[0]!r}; classes are {', '.join(schema.classes)}."
            )
    reads = MODELS[plan.model].reads
    if (asked := _asked_by(plan)) is not None:
        return asked(plan, schema)
    if reads == "texts":
        from evenly.classifiers.texts import TextClassifier

        return TextClassifier(plan, schema)
    if reads == "images":
        from evenly.classifiers.images import ImageClassifier

        return ImageClassifier(plan, schema, featurizer)
    from evenly.classifiers.vectors import VectorClassifier

    if featurizer is None and getattr(plan.settings, "reads", "vectors") != "terms":
        raise RecipeError(f"The model {plan.model} works on vectors; give it the featurizer of the data set.")
    return VectorClassifier(plan, schema, featurizer)


def load_classifier(folder: str | Path, cache: Path | None = None, trust: Collection[str] = ()) -> Classifier:
    """Read a classifier that `save` wrote; the folder needs nothing beside it.

    `cache` is the folder for vectors of an encoder, as in `evenly.features.load_featurizer`. `trust` names
    packages of which an estimator may be besides scikit-learn and those that params.yaml here names.

    Raises
    ------
    ModelError
        When the folder holds no model, or one that is damaged, of another format, or not to be trusted.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    try:
        return _loaded(manifest, folder, cache, trust)
    except EvenlyError:
        raise
    except Exception as error:  # libraries raise whatever the damage happens to break
        why = " ".join(str(error).split())[:200]
        raise ModelError(f"{folder} is damaged ({type(error).__name__}: {why}); {REMEDY}.") from error


def _asked_by(plan: TrainPlan) -> type[Classifier] | None:
    """The class of a model that is asked, which stands on a floor above; None where one is fitted."""
    module, _, name = MODELS[plan.model].asked_by.partition(":")
    found: type[Classifier] | None = getattr(import_module(module), name) if module else None
    return found


def _loaded(manifest: Manifest, folder: Path, cache: Path | None, trust: Collection[str]) -> Classifier:
    """Read the classifier that a manifest is of."""
    reads = MODELS[manifest.plan.model].reads
    if (asked := _asked_by(manifest.plan)) is not None:
        return asked.load(manifest, folder)
    if reads == "texts":
        from evenly.classifiers.texts import TextClassifier

        return TextClassifier.load(manifest, folder)
    if reads == "images":
        from evenly.classifiers.images import ImageClassifier

        return ImageClassifier.load(manifest, folder)
    from evenly.classifiers.vectors import VectorClassifier

    return VectorClassifier.load(manifest, folder, cache, trust)
