"""Models on vectors as classifiers: whatever the modality, the featurizer makes the vectors, or the texts'
own terms do, sparse.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evenly.classifiers.classifier import (
    FEATURIZER,
    HOLDS_ROWS,
    REMEDY,
    Classifier,
    FitSummary,
    Log,
    no_log,
    texts_of,
)
from evenly.classifiers.devices import pinned_threads
from evenly.classifiers.estimator_files import load_estimator, save_estimator
from evenly.classifiers.estimators import Fitted, fit_estimator
from evenly.classifiers.weights import (
    as_trained_weights,
    check_rows,
    families,
    inverse_frequency_weights,
    loss_weights,
    reweighted_prior,
    rows_per_class,
)
from evenly.confusion import balanced_accuracy, macro_f1, outcomes
from evenly.errors import ModelError
from evenly.features import Featurizer, load_featurizer
from evenly.features.tfidf import TermWeights, fit_term_weights, load_term_weights
from evenly.params.models import MODELS
from evenly.plans import TrainPlan
from evenly.samples import SampleTable, Schema

_NO_TERMS = (
    "has no text, whose terms logistic_regression reads here; say models.logistic_regression.reads: vectors."
)

TERMS = "terms"
#: Of dense vectors beside terms, whose length is 1: with 0.5, terms outweigh them in classes of few rows.
VECTOR_LENGTH = 2.0


class VectorClassifier(Classifier):
    """An estimator on vectors.

    Losses that weigh classes become weights of rows. Classes without a training row get the probability 0.

    Parameters
    ----------
    plan
        With a vector model as its model.
    schema
        Of the samples.
    featurizer
        Samples to vectors.
    """

    def __init__(self, plan: TrainPlan, schema: Schema, featurizer: Featurizer | None = None) -> None:
        super().__init__(plan, schema)
        self._featurizer = featurizer
        self._terms: TermWeights | None = None
        self._fitted: Fitted | None = None

    @property
    def _reads(self) -> str:
        """`vectors`, `terms` or `both`."""
        reads = getattr(self.plan.settings, "reads", "vectors")
        return "vectors" if reads == "auto" else reads

    @property
    def featurizer(self) -> Featurizer:
        """Samples to vectors."""
        if self._featurizer is None:
            raise RuntimeError("the classifier has no featurizer")
        return self._featurizer

    @property
    def fitted(self) -> Fitted:
        """The fitted estimator."""
        if self._fitted is None:
            raise RuntimeError("the classifier has not been fitted")
        return self._fitted

    def fit(
        self,
        train: SampleTable,
        validation: SampleTable,
        log: Log = no_log,
        sample_weight: np.ndarray | None = None,
        checkpoints: Path | None = None,
    ) -> FitSummary:
        """Fit the estimator; see `Classifier.fit`. One entry goes to the log, at the end."""
        check_rows(train)
        plan, k, spec = self.plan, len(self.classes), MODELS[self.plan.model]
        counts = rows_per_class(train.codes, k, sample_weight)
        by_class = loss_weights(plan.loss, plan.losses, self.classes, counts)
        weight = by_class[train.codes] if sample_weight is None else by_class[train.codes] * sample_weight
        # What balances by itself draws every class as often, and then weighs its rows.
        drawn = inverse_frequency_weights(rows_per_class(train.codes, k)) if spec.balances else by_class
        self._prior = reweighted_prior(counts, drawn)
        # Rows of classes that training does not know cannot say when to stop.
        known = np.flatnonzero(counts[validation.codes] > 0) if len(validation) else np.arange(0)
        held_out_weight = None if validation.weights is None else validation.weights[known]
        as_trained = as_trained_weights(self._prior, validation.codes[known], held_out_weight)
        if self._reads != "vectors":
            # Copies of a text say nothing new of how frequent its terms are.
            texts = sorted(set(texts_of(train, _NO_TERMS)))
            self._terms = fit_term_weights(texts, plan.settings.max_terms)  # type: ignore[attr-defined]
        with pinned_threads(plan.threads):
            vectors, held_out = self._vectors(train), self._vectors(validation)
            self._fitted = fit_estimator(
                plan,
                (vectors, train.codes, weight),
                (held_out[known], validation.codes[known], as_trained),
                families(train),
            )
            scores = {
                f"{part}/{name}": value
                for part, x, rows in (("train", vectors, train), ("val", held_out, validation))
                for name, value in scores_of(rows, self._probabilities(x)).items()
            }
        log(0, scores)
        notes = self._fitted.notes
        if plan.model == "logistic_regression":
            notes += _textless(train)
        return FitSummary(self._fitted.best_round, self._fitted.rounds, scores, notes)

    def predict_proba(self, samples: SampleTable) -> np.ndarray:
        """Class probabilities, float64 (n, k)."""
        with pinned_threads(self.plan.threads):
            return self._probabilities(self._vectors(samples))

    def _saved_parts(self, folder: Path) -> dict[str, Any]:
        save_estimator(self.fitted.estimator, self.plan.model, folder)
        if self._terms is not None:
            (folder / TERMS).mkdir()
            self._terms.save(folder / TERMS)
        if self._reads != "terms":
            self.featurizer.save(folder / FEATURIZER)
        present = [int(code) for code in self.fitted.present]
        return {"present": present} | ({HOLDS_ROWS: True} if self.fitted.holds_rows else {})

    def _restore(self, details: Mapping[str, Any], folder: Path) -> None:
        needed = {FEATURIZER: self._reads != "terms", TERMS: self._reads != "vectors"}
        for name in (name for name, is_needed in needed.items() if is_needed):
            if not (folder / name).is_dir():
                raise ModelError(f"{folder / name} does not exist; {REMEDY}.")
        columns = 0
        if needed[FEATURIZER]:
            self._featurizer = load_featurizer(folder / FEATURIZER, self._cache)
            columns += self._featurizer.dimension
        if needed[TERMS]:
            self._terms = load_term_weights(folder / TERMS)
            columns += self._terms.dimension
        present = np.asarray(details["present"], dtype=np.int64)
        estimator = load_estimator(self.plan.settings, folder, self._trust)
        known = len(estimator.classes_)
        # CatBoost forgets how many there were, but not their names; classes of others may say nothing.
        names = getattr(estimator, "feature_names_", ()) if self.plan.model == "catboost" else ()
        taken = len(names) or getattr(estimator, "n_features_in_", columns)
        if taken != columns or list(estimator.classes_) != list(range(len(present))):
            raise ModelError(
                f"{folder} is put together of several models: its estimator takes {taken} numbers "
                f"and knows {known} classes, the rest has {columns} and {len(present)}; {REMEDY}."
            )
        if not (np.diff(present) > 0).all() or present[0] < 0 or present[-1] >= len(self.classes):
            raise ModelError(f"{folder} is damaged: it names classes by {list(present)}; {REMEDY}.")
        self._fitted = Fitted(estimator, present, holds_rows=bool(details.get(HOLDS_ROWS)))

    def _vectors(self, samples: SampleTable) -> Any:
        """What the estimator sees of samples, (n, d), sparse where terms are in it."""
        if not len(samples):
            return np.zeros((0, 1), dtype=np.float32)
        if self._reads == "vectors":
            return self.featurizer.transform(samples)
        assert self._terms is not None
        terms = self._terms.transform(texts_of(samples, _NO_TERMS))
        if self._reads == "terms":
            return terms
        from scipy.sparse import csr_matrix, hstack

        dense = self.featurizer.transform(samples) * np.float32(VECTOR_LENGTH)
        return hstack([terms, csr_matrix(dense)], format="csr")

    def _probabilities(self, vectors: Any) -> np.ndarray:
        """Probabilities of all classes, from an estimator that knows those with training rows."""
        out = np.zeros((vectors.shape[0], len(self.classes)))
        if vectors.shape[0]:
            out[:, self.fitted.present] = self.fitted.estimator.predict_proba(vectors)
            out /= out.sum(axis=1, keepdims=True)
        return out


def _textless(train: SampleTable) -> tuple[str, ...]:
    """A note where texts are read as vectors because some rows of the recipe have no text."""
    missing = sum(text is None for text in train.texts) if train.modality == "text" else 0
    if not missing:
        return ()
    return (
        f"{missing:,} of {len(train):,} training rows are vectors without a text, so that the model reads "
        "vectors of all rows, not terms; a run without the technique and with "
        "-S models.logistic_regression.reads=vectors shows what the technique alone does.",
    )


def scores_of(rows: SampleTable, probabilities: np.ndarray) -> dict[str, float]:
    """`loss` (mean negative log-likelihood), `macro_f1`, `balanced_accuracy` of probabilities (n, k)."""
    codes, weights = rows.codes, rows.weights
    if not len(codes):
        return {}
    guesses = outcomes(codes, probabilities.argmax(axis=1), probabilities.shape[1], weights)
    true = probabilities[np.arange(len(codes)), codes]
    return {
        "loss": float(np.average(-np.log(np.maximum(true, np.finfo(np.float64).tiny)), weights=weights)),
        "macro_f1": float(macro_f1(guesses)),
        "balanced_accuracy": float(balanced_accuracy(guesses)),
    }
