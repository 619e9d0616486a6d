"""From a plan, or from a saved folder, to the classifier that it names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evenly.errors import ModelError, RecipeError
from evenly.params.models import MODELS, check_combination
from evenly.plans import TrainPlan
from evenly.samples import Schema

if TYPE_CHECKING:
    from evenly.classifiers.protocol import Classifier
    from evenly.features import Featurizer


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
    if MODELS[plan.model].reads == "texts":
        from evenly.classifiers.texts import TextClassifier

        return TextClassifier(plan, schema)
    if MODELS[plan.model].reads == "images":
        from evenly.classifiers.images import ImageClassifier

        return ImageClassifier(plan, schema, featurizer)
    from evenly.classifiers.vectors import VectorClassifier

    if featurizer is None:
        raise RecipeError(f"The model {plan.model} works on vectors; give it the featurizer of the data set.")
    return VectorClassifier(plan, schema, featurizer)


def load_classifier(folder: str | Path) -> Classifier:
    """Read a classifier that `save` wrote; the folder needs nothing beside it.

    Raises
    ------
    ModelError
        When the folder holds no model, or one that is damaged, of another format, or not to be trusted.
    """
    from evenly.classifiers.storage import read_manifest

    folder = Path(folder)
    if not folder.is_dir():
        raise ModelError(
            f"{folder} does not exist; give the folder of a trained model, such as models/train."
        )
    manifest = read_manifest(folder)
    if MODELS[manifest.plan.model].reads == "texts":
        from evenly.classifiers.texts import TextClassifier

        return TextClassifier.load(manifest, folder)
    if MODELS[manifest.plan.model].reads == "images":
        from evenly.classifiers.images import ImageClassifier

        return ImageClassifier.load(manifest, folder)
    from evenly.classifiers.vectors import VectorClassifier

    return VectorClassifier.load(manifest, folder)
