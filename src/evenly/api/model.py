"""A trained model that predicts rows in memory: frames, arrays, texts, images."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.base import BaseEstimator, ClassifierMixin

from evenly.classifiers import load_classifier
from evenly.classifiers.classifier import kept_folder, vectors_at_hand
from evenly.datasets.conforming import conforming_features, unseen_values
from evenly.datasets.images import checked_images
from evenly.datasets.rows import filled
from evenly.datasets.tabular import RawTable
from evenly.datasets.unlabelled import Unlabelled
from evenly.errors import DataError, ParameterError
from evenly.evaluation.decisions import RULES_FILE, DecisionRule, read_rule
from evenly.features.images import encode_images
from evenly.samples import Schema
from evenly.wording import first_names

_BATCH = 4096


def load(folder: str | Path, rule: str = "chosen", *, trust: str | Collection[str] = ()) -> Model:
    """Load a trained model from its folder.

    Parameters
    ----------
    folder : str or Path
        Such as `models/train`, or `model` of an exported run.
    rule : str
        How to decide: by the rule that the evaluation has `chosen` on validation rows (where there are no
        rules, for the most probable class), for the most probable class (`argmax`), or by another rule that
        stands in rules.json beside the folder.
    trust : str or collection of str
        Packages, besides scikit-learn and those that params.yaml in the working folder names, of which the
        model's class may be. A model of such a class runs that package's code: name one only where you trust
        who made the model.

    Returns
    -------
    Model
        A fitted classifier in the manner of scikit-learn.

    Raises
    ------
    ModelError
        When the folder holds no model, a damaged one, or one that is not to be trusted.

    Examples
    --------
    >>> import evenly
    >>> model = evenly.load("models/train")  # doctest: +SKIP
    >>> model.predict(frame)  # doctest: +SKIP
    """
    kept = kept_folder(Path(folder))
    classifier = load_classifier(kept, vectors_at_hand(), trust={trust} if isinstance(trust, str) else trust)
    found = None if rule == "argmax" else read_rule(rule, kept)
    if found is None and rule not in ("argmax", "chosen"):
        raise ParameterError(
            f"There is no {kept.parent / RULES_FILE} of this model, so that there is no rule {rule!r}; "
            "`dvc repro` makes it, rule='argmax' does without."
        )
    return Model(classifier, found)


class Model(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A trained model; `load` gives one.

    Attributes
    ----------
    classes_ : ndarray of shape (k,), str
        Class names, in the order of the columns of `predict_proba`.
    rule : str
        The decision rule: `argmax`, `tuned_thresholds`, …
    effective_prior_ : ndarray of shape (k,)
        The class shares that the scores carry.
    """

    def __init__(self, classifier: Any, decision: DecisionRule | None = None) -> None:
        self.classifier = classifier
        self.decision = decision

    @property
    def classes_(self) -> np.ndarray:
        """Class names, in the order of the columns of `predict_proba`."""
        return np.array(self.classifier.classes)

    @property
    def rule(self) -> str:
        """The decision rule."""
        return "argmax" if self.decision is None else self.decision.name

    @property
    def effective_prior_(self) -> np.ndarray:
        """The class shares that the scores carry."""
        return np.array(self.classifier.effective_prior)

    def __sklearn_is_fitted__(self) -> bool:
        """Always."""
        return True

    def fit(self, X: Any, y: Any) -> Model:
        """Refuse: models are trained by the pipeline."""
        raise ParameterError("A loaded model is trained already; `dvc repro` trains another one.")

    def predict(self, X: Any) -> np.ndarray:
        """Predict classes, by the decision rule.

        Parameters
        ----------
        X : DataFrame, array-like, or list of texts, paths or images
            Tables: a frame with the columns of the training (others are ignored), a list of mappings, or an
            array with a column for each of them. Texts: a sequence, or a frame with a column `text`. Images:
            paths, encoded bytes, uint8 arrays of shape (height, width), (height, width, 3) or of many such,
            or a frame with a column `image`.

        Returns
        -------
        ndarray of shape (n,), str

        Raises
        ------
        DataError
            Naming the column or row that the model cannot take.
        """
        scores = self._scores(X)
        decided = scores.argmax(axis=1) if self.decision is None else self.decision.decisions(scores)
        return np.asarray(self.classes_[decided])

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities, as the decision rule states them.

        Tuned thresholds decide and leave probabilities as they are, so that the largest of a row need not be
        that of the class predicted.

        Parameters
        ----------
        X
            As for `predict`.

        Returns
        -------
        ndarray of shape (n, k), float64
        """
        scores = self._scores(X)
        return scores if self.decision is None else self.decision.probabilities(scores)

    def _scores(self, X: Any) -> np.ndarray:
        rows = _rows(X, self.classifier.schema)
        for remark in rows.remarks:
            warnings.warn(remark, UserWarning, stacklevel=3)
        parts = [self.classifier.predict_proba(batch) for batch in rows.batches(_BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.classes_)))


def _where(row: int) -> str:
    return f"Row {row} (counted from 0)"


def _rows(X: Any, schema: Schema) -> Unlabelled:
    """Rows for a model of this schema."""
    try:
        several = not isinstance(X, str | bytes | Path | Mapping | Set) and len(X) >= 0
    except TypeError:  # a single value, a generator, a sparse matrix
        several = False
    if not several:
        raise DataError(
            f"The model predicts many rows at once, and this is a {type(X).__name__}; give a list, "
            "an array or a frame."
        )
    columns: Mapping[str, Any]
    remarks: tuple[str, ...] = ()
    if schema.modality == "table":
        columns, schema = conforming_features(_table(X, schema), schema)
        remarks = tuple(unseen_values(columns, schema))
    else:
        values = X
        if isinstance(X, pd.DataFrame):
            if schema.modality not in X.columns:
                raise DataError(
                    f"The frame has no column {schema.modality!r}, which the model needs; its columns are "
                    f"{first_names(map(str, X.columns))}."
                )
            values = X[schema.modality]
        listed = list(values)
        if schema.modality == "text":
            for row, value in enumerate(listed):
                if not (isinstance(value, str) or (pd.api.types.is_scalar(value) and pd.isna(value))):
                    raise DataError(
                        f"{_where(row)} is of type {type(value).__name__}, and the model takes texts."
                    )
            texts = pa.array([value if isinstance(value, str) else None for value in listed], pa.string())
            columns = {"text": filled(texts, "text", "text", _where, trim=False)}
        else:

            def images(start: int, stop: int) -> dict[str, pa.Array]:
                part = listed[start:stop]
                read = checked_images(
                    lambda k: _encoded(part[k], start + k),
                    len(part),
                    lambda k: _image_name(part[k], start + k),
                )
                return {"image": pa.array(read, pa.binary())}

            return Unlabelled([str(row) for row in range(len(listed))], schema, (), images, _where)
    size = len(next(iter(columns.values())))
    return Unlabelled(
        [str(row) for row in range(size)],
        schema,
        remarks,
        lambda start, stop: {name: column.slice(start, stop - start) for name, column in columns.items()},
        _where,
    )


def _table(X: Any, schema: Schema) -> RawTable:
    """The columns that a model needs, of a frame, mappings, or an array with them in their order."""
    names = [feature.name for feature in schema.features]
    if not isinstance(X, pd.DataFrame):
        if len(X) and isinstance(X[0], Mapping):
            X = pd.DataFrame(list(X))
        else:
            array = X if isinstance(X, np.ndarray) else np.asarray(X, dtype=object)
            if array.ndim != 2 or array.shape[1] != len(names):
                raise DataError(
                    f"X has the shape {array.shape}, and the model takes {len(names)} columns: give a frame "
                    f"with {first_names(names)}, or an array of shape (n, {len(names)}) in this order."
                )
            X = pd.DataFrame(array, columns=names).infer_objects()
    X = X.rename(columns=str)
    missing = [name for name in names if name not in X.columns]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DataError(
            f"The frame has no column {missing[0]!r}{more}, which the model needs; its columns are "
            f"{first_names(X.columns)}."
        )
    arrays = {}
    for name in names:
        column = X[name]
        if isinstance(column, pd.DataFrame):
            raise DataError(f"The frame has the column {name!r} several times; leave one.")
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype(column.cat.categories.dtype)
        try:
            arrays[name] = pa.Array.from_pandas(column)
        except (pa.ArrowException, TypeError, ValueError):
            texts = [None if pd.isna(value) else str(value) for value in column]
            arrays[name] = pa.array(texts, pa.string())
    return RawTable(pa.table(arrays), "X", _where)


def _image_name(image: Any, row: int) -> str:
    return f"{image} ({_where(row)})" if isinstance(image, str | Path) else _where(row)


def _encoded(image: Any, row: int) -> bytes:
    """Encoded bytes of an image: as they are, of a file, or of pixels."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | Path):
        try:
            return Path(image).read_bytes()
        except OSError as error:
            raise DataError(f"{_where(row)} names the image {image}: {error.strerror}.") from None
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (3,)):
        raise DataError(
            f"{_where(row)} is an array of {pixels.dtype} with the shape {pixels.shape}; give pixels of 0 to "
            "255 as uint8 of the shape (height, width), or (height, width, 3) in the order red, green, blue."
        )
    return encode_images(pixels.reshape(1, *pixels.shape[:2], -1))[0]
