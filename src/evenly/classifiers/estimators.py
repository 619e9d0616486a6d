"""The estimators behind vector models: made from settings, and fitted."""

from __future__ import annotations

import importlib
import os
import shutil
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from evenly.classifiers.penalty import Weighted, fit_regression
from evenly.errors import ModelError
from evenly.params.models import (
    BalancedRandomForestSettings,
    CatBoostSettings,
    EasyEnsembleSettings,
    HistGradientBoostingSettings,
    LightGbmSettings,
    LogisticRegressionSettings,
    ModelName,
    RandomForestSettings,
    RusBoostSettings,
    SklearnSettings,
    TabIclSettings,
    XgBoostSettings,
)
from evenly.params.named import made_estimator, takes_weights
from evenly.plans import TrainPlan
from evenly.wording import first_line

#: Files of the libraries that have a format of their own.
OWN_FILES: dict[ModelName, str] = {
    "catboost": "estimator.cbm",
    "lightgbm": "estimator.txt",
    "tabicl": "estimator.npz",
    "xgboost": "estimator.json",
}
#: What CatBoost writes into a model that differs from run to run.
CATBOOST_VOLATILE = ("train_finish_time", "model_guid")
_BOOSTING = "sklearn.ensemble._hist_gradient_boosting."
_ENSEMBLE = "imblearn.ensemble."
_TREES = ("sklearn.tree._classes.DecisionTreeClassifier", "sklearn.tree._tree.Tree")
_UNDERSAMPLER = (
    "imblearn.under_sampling._prototype_selection._random_under_sampler.RandomUnderSampler",
    "collections.OrderedDict",
)
#: The classes that a file of each estimator may name, its own first; no others are loaded.
CONSISTS_OF: dict[ModelName, tuple[str, ...]] = {
    "logistic_regression": ("sklearn.linear_model._logistic.LogisticRegression",),
    "random_forest": ("sklearn.ensemble._forest.RandomForestClassifier", *_TREES),
    "easy_ensemble": (
        f"{_ENSEMBLE}_easy_ensemble.EasyEnsembleClassifier",
        "imblearn.pipeline.Pipeline",
        "sklearn.ensemble._weight_boosting.AdaBoostClassifier",
        *_UNDERSAMPLER,
        *_TREES,
    ),
    "balanced_random_forest": (
        f"{_ENSEMBLE}_forest.BalancedRandomForestClassifier",
        *_UNDERSAMPLER,
        *_TREES,
    ),
    "rusboost": (f"{_ENSEMBLE}_weight_boosting.RUSBoostClassifier", *_UNDERSAMPLER, *_TREES),
    "hist_gradient_boosting": (
        f"{_BOOSTING}gradient_boosting.HistGradientBoostingClassifier",
        f"{_BOOSTING}binning._BinMapper",
        f"{_BOOSTING}predictor.TreePredictor",
        *(f"sklearn._loss._loss.CyHalf{name}Loss" for name in ("Binomial", "Multinomial")),
        *(f"sklearn._loss.loss.Half{name}Loss" for name in ("Binomial", "Multinomial")),
        *(f"sklearn._loss.link.{name}" for name in ("Interval", "LogitLink", "MultinomialLogit")),
        "sklearn.preprocessing._label.LabelEncoder",
        "numpy.random._generator.Generator",
    ),
}
_TRIED = 100  # training rows of which probabilities are looked at
#: No tree splits unless each side can have this share of the training rows.
LARGEST_LEAF = 1 / 3


@dataclass(frozen=True)
class Fitted:
    """A fitted estimator, which gives `predict_proba` over the classes `present`, int64 (m,), ascending.

    `best_round` (from 0) of the boosting `rounds` was kept; `notes` say what was done otherwise than the
    settings say, and why; `holds_rows` whether the estimator, and thus its file, has training rows in it.
    """

    estimator: Any
    present: np.ndarray
    best_round: int | None = None
    rounds: int = 0
    notes: tuple[str, ...] = ()
    holds_rows: bool = False


def fit_estimator(
    plan: TrainPlan, train: Weighted, validation: Weighted, families: np.ndarray | None = None
) -> Fitted:
    """Fit the estimator that a plan names.

    The validation rows are of classes that training has, and only choose the number of boosting rounds or a
    penalty. Training rows of one of the `families`, int64 (n,), are not parted when such rows are few.
    """
    present = np.unique(train[1])
    train, validation = (
        (x, np.searchsorted(present, codes), weight) for x, codes, weight in (train, validation)
    )
    if isinstance(plan.settings, LogisticRegressionSettings):
        model, notes = fit_regression(plan.settings, train, validation, families, plan.seed)
        return Fitted(model, present, notes=notes)
    fitted = _FITS[type(plan.settings)](plan.settings, plan, train, validation, present)
    return replace(fitted, holds_rows=_holds_rows(fitted.estimator, train[0]))


#: Attributes in which estimators keep rows that they were fitted on, and maybe scaled before.
_ROWS = ("_fit_X", "support_vectors_", "X_train_", "X_fit_", "X_")


def _holds_rows(estimator: Any, vectors: Any) -> bool:
    """Whether an estimator has kept rows, as k-NN does: under a known name, or two that equal training rows.

    Classes that others wrote may have them anywhere. What keeps scaled rows under another name is missed.
    """
    known: set[bytes] = set()
    waiting, seen = [("", estimator)], set()
    while waiting:
        name, value = waiting.pop()
        if id(value) in seen or isinstance(value, (str, bytes, type)) or value is None:
            continue
        seen.add(id(value))
        matrix = len(getattr(value, "shape", ())) == 2 and value.shape[0] > 0
        if matrix and name in _ROWS:
            return True
        plain = matrix and isinstance(value, np.ndarray) and isinstance(vectors, np.ndarray)
        if plain and value.dtype.kind == "f" and value.shape[1] == vectors.shape[1]:
            known = known or _as_bytes(vectors)
            if len(known & _as_bytes(value)) > 1:
                return True
        if isinstance(value, Mapping):
            waiting += [(str(key), item) for key, item in value.items()]
        elif isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.dtype == object):
            waiting += [("", item) for item in value]
        elif hasattr(value, "__dict__"):
            waiting += list(vars(value).items())
    return False


def _as_bytes(rows: np.ndarray) -> set[bytes]:
    return {row.tobytes() for row in rows.astype(np.float32)}


def _unweighted(rows: Weighted) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Rows, without weights where all weigh the same."""
    return rows[0], rows[1], None if _all_equal(rows[2]) else rows[2]


def _all_equal(weight: np.ndarray) -> bool:
    return bool(np.allclose(weight, weight[:1], rtol=1e-9, atol=0))


def _forest(settings: RandomForestSettings, plan: TrainPlan) -> dict[str, Any]:
    return {
        "n_estimators": settings.trees,
        "max_depth": settings.max_depth,
        "min_samples_leaf": settings.min_samples_leaf,
        "random_state": plan.seed,
        "n_jobs": plan.threads,
    }


def _random_forest(
    settings: RandomForestSettings, plan: TrainPlan, train: Weighted, _: Weighted, present: np.ndarray
) -> Fitted:
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(**_forest(settings, plan))
    vectors, codes, weight = train
    return Fitted(model.fit(vectors, codes, weight), present)


def _hist_gradient_boosting(
    settings: HistGradientBoostingSettings,
    plan: TrainPlan,
    train: Weighted,
    validation: Weighted,
    present: np.ndarray,
) -> Fitted:
    from sklearn.ensemble import HistGradientBoostingClassifier

    # Equal weights are passed as none: scikit-learn would take slow paths for them.
    (vectors, codes, weight), held_out = _unweighted(train), _unweighted(validation)
    leaf, notes = _possible_leaf(settings.min_samples_leaf, len(codes))
    stops = len(validation[1]) > 0
    model = HistGradientBoostingClassifier(
        learning_rate=settings.learning_rate,
        max_iter=settings.rounds,
        max_leaf_nodes=settings.max_leaf_nodes,
        min_samples_leaf=leaf,
        l2_regularization=settings.l2,
        early_stopping=stops,
        n_iter_no_change=settings.patience,
        random_state=plan.seed,
    )
    more = dict(zip(("X_val", "y_val", "sample_weight_val"), held_out, strict=True)) if stops else {}
    with _bins_of_weighted_rows():
        model.fit(vectors, codes, weight, **more)
    rounds = int(model.n_iter_)
    best = _cut_to_best_round(model) if stops else rounds - 1
    return Fitted(model, present, best, rounds, notes)


@contextmanager
def _bins_of_weighted_rows() -> Iterator[None]:
    """Let scikit-learn bin weighted rows at the same thresholds, a column's 254 in one pass, not in 254."""
    from sklearn.ensemble._hist_gradient_boosting import binning

    asked = threading.local()

    def weighted_percentile(column: np.ndarray, weight: np.ndarray, rank: float, average: bool = True) -> Any:
        # The column comes sorted and without rows of no weight, once for each rank.
        if getattr(asked, "column", None) is not column:
            asked.column, asked.cumulated = column, np.cumsum(weight)
        cumulated, last = asked.cumulated, len(column) - 1
        wanted = rank / 100 * cumulated[-1]
        place = min(np.searchsorted(cumulated, wanted), last)
        if cumulated[place] - wanted > np.finfo(column.dtype).eps:
            return column[place]
        return (column[place] + column[min(place + 1, last)]) / 2

    # The name is private: a library without it bins as it does, slower and with the same trees.
    named = hasattr(binning, "_weighted_percentile")
    with patch.object(binning, "_weighted_percentile", weighted_percentile) if named else nullcontext():
        yield


def _possible_leaf(wanted: int, rows: int) -> tuple[int, tuple[str, ...]]:
    """Smallest leaf with which so many rows can be split at all, and a note where that is not the wanted."""
    leaf = min(wanted, max(1, int(rows * LARGEST_LEAF)))
    if leaf == wanted:
        return leaf, ()
    why = f"with {rows} training rows no tree could split otherwise"
    return leaf, (f"min_samples_leaf is {leaf} instead of {wanted}: {why}.",)


def _cut_to_best_round(model: Any) -> int:
    """Drop the trees after the round with the best validation score, which the library keeps; that round."""
    # validation_score_[0] belongs to the constant prediction before the first tree. At least one tree stays.
    best = max(1, int(np.argmax(model.validation_score_)))
    del model._predictors[best:]
    return best - 1


def _easy_ensemble(
    settings: EasyEnsembleSettings, plan: TrainPlan, train: Weighted, _: Weighted, present: np.ndarray
) -> Fitted:
    import joblib
    from imblearn.ensemble import EasyEnsembleClassifier
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.tree import DecisionTreeClassifier

    vectors, codes = _unweighing(plan.model, train, "balanced_random_forest or rusboost")
    tree = DecisionTreeClassifier(max_depth=settings.max_depth)
    model = EasyEnsembleClassifier(
        settings.subsets,
        AdaBoostClassifier(tree, n_estimators=settings.rounds),
        random_state=plan.seed,
        n_jobs=plan.threads,
    )
    with joblib.parallel_config(backend="threading"):
        _fit_balanced(model, plan.model, vectors, codes)
    # Its subsets are so small that to predict in more processes takes longer than to predict.
    return Fitted(model.set_params(n_jobs=None), present)


def _unweighing(model: ModelName, train: Weighted, others: str) -> tuple[Any, np.ndarray]:
    """Rows of a model that cannot weigh them, if they need not be weighed."""
    if not _all_equal(train[2]):
        raise ModelError(
            f"{model} takes no weights of rows, and these rows weigh differently (columns.weight of the "
            f"data set, train.synthetic_weight of the recipe); choose {others}."
        )
    return train[:2]


def _balanced_random_forest(
    settings: BalancedRandomForestSettings, plan: TrainPlan, train: Weighted, _: Weighted, present: np.ndarray
) -> Fitted:
    from imblearn.ensemble import BalancedRandomForestClassifier

    model = BalancedRandomForestClassifier(**_forest(settings, plan))
    return Fitted(_fit_balanced(model, plan.model, *train), present)


def _rusboost(
    settings: RusBoostSettings, plan: TrainPlan, train: Weighted, _: Weighted, present: np.ndarray
) -> Fitted:
    from imblearn.ensemble import RUSBoostClassifier
    from sklearn.tree import DecisionTreeClassifier

    model = RUSBoostClassifier(
        DecisionTreeClassifier(max_depth=settings.max_depth),
        n_estimators=settings.rounds,
        learning_rate=settings.learning_rate,
        random_state=plan.seed,
    )
    return Fitted(_fit_balanced(model, plan.model, *train), present)


def _fit_balanced(model: Any, name: ModelName, *train: np.ndarray) -> Any:
    """Fit an ensemble that draws balanced rows, and forget which rows it drew, which nothing asks for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using the fractional value max_samples")
        try:
            model.fit(*train)
        except ValueError as error:
            if "worse than random" not in str(error):
                raise
            raise ModelError(
                f"{name} found no tree of this depth that is better than chance on these rows; raise "
                f"models.{name}.max_depth, or choose balanced_random_forest."
            ) from error
    for drawn in ("samplers_", "pipelines_"):
        if hasattr(model, drawn):
            setattr(model, drawn, [])
    return model


def _sklearn(
    settings: SklearnSettings, plan: TrainPlan, train: Weighted, _: Weighted, present: np.ndarray
) -> Fitted:
    estimator, name = made_estimator(settings, plan.seed, plan.threads), settings.title
    vectors, codes, weight = train
    weights = {} if _all_equal(weight) else {"sample_weight": weight}
    if weights and not takes_weights(estimator):
        raise ModelError(f"{name} takes no weights of rows, and these rows weigh differently.")
    try:
        estimator.fit(vectors, codes, **weights)
        probabilities = np.asarray(estimator.predict_proba(vectors[:_TRIED]))
        known = list(estimator.classes_)
    except Exception as error:  # whatever a class raises that others have written
        why = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise ModelError(f"{name} cannot be fitted on these rows: {why}.") from error
    k = len(present)
    if known != list(range(k)) or probabilities.shape != (min(len(codes), _TRIED), k):
        raise ModelError(f"{name} gives no probability for each of the {k} classes; choose another model.")
    if not np.isfinite(probabilities).all() or not (probabilities.sum(axis=1) > 0).all():
        raise ModelError(f"{name} gives probabilities that are no numbers; choose other options or features.")
    return Fitted(estimator, present)


def _catboost(
    settings: CatBoostSettings,
    plan: TrainPlan,
    train: Weighted,
    validation: Weighted,
    present: np.ndarray,
) -> Fitted:
    catboost = library("catboost")
    stops = len(validation[1]) > 0
    model = catboost.CatBoostClassifier(
        iterations=settings.rounds,
        learning_rate=settings.learning_rate,
        depth=settings.depth,
        l2_leaf_reg=settings.l2,
        loss_function="MultiClass",
        random_seed=plan.seed,
        thread_count=plan.threads,
        early_stopping_rounds=settings.patience if stops else None,
        use_best_model=stops,
        allow_writing_files=False,
        verbose=False,
    )
    vectors, codes, weight = train
    held_out = catboost.Pool(validation[0], validation[1], weight=validation[2]) if stops else None
    model.fit(catboost.Pool(vectors, codes, weight=weight), eval_set=held_out)
    metadata = model.get_metadata()
    for key in CATBOOST_VOLATILE:
        del metadata[key]
    best = int(model.get_best_iteration()) if stops else int(model.tree_count_) - 1
    rounds = len(model.get_evals_result()["learn"]["MultiClass"])
    return Fitted(model, present, best, rounds)


class Boosters:
    """LightGBM's trees with the interface of scikit-learn: what its own class cannot be read back as."""

    def __init__(self, trees: Any) -> None:
        self.trees = trees
        self.n_features_in_ = int(trees.num_feature())
        self.classes_ = np.arange(max(2, trees.num_model_per_iteration()))

    def predict_proba(self, vectors: np.ndarray) -> np.ndarray:
        """Probabilities, float64 (n, k)."""
        found = np.asarray(self.trees.predict(vectors))
        return np.column_stack([1 - found, found]) if found.ndim == 1 else found

    def save_model(self, path: str) -> None:
        """Write the library's text."""
        self.trees.save_model(path)


def _lightgbm(
    settings: LightGbmSettings, plan: TrainPlan, train: Weighted, validation: Weighted, present: np.ndarray
) -> Fitted:
    lightgbm = library("lightgbm")
    (vectors, codes, weight), held_out = _unweighted(train), _unweighted(validation)
    leaf, notes = _possible_leaf(settings.min_samples_leaf, len(codes))
    classes = {"objective": "multiclass", "num_class": len(present)}
    options = {
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.max_leaf_nodes,
        "min_data_in_leaf": leaf,
        "lambda_l2": settings.l2,
        "seed": plan.seed,
        "num_threads": plan.threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
        **({"objective": "binary"} if len(present) == 2 else classes),
    }
    rows = lightgbm.Dataset(vectors, codes, weight=weight)
    stops = len(validation[1]) > 0
    watched = (
        [lightgbm.Dataset(held_out[0], held_out[1], weight=held_out[2], reference=rows)] if stops else []
    )
    rounds: list[int] = []
    callbacks = [lambda state: rounds.append(state.iteration)]
    callbacks += [lightgbm.early_stopping(settings.patience, verbose=False)] if stops else []
    trees = lightgbm.train(options, rows, settings.rounds, valid_sets=watched, callbacks=callbacks)
    best = trees.best_iteration if stops else trees.num_trees() // trees.num_model_per_iteration()
    kept = lightgbm.Booster(model_str=trees.model_to_string(num_iteration=best))
    return Fitted(Boosters(kept), present, max(0, best - 1), len(rounds), notes)


def _xgboost(
    settings: XgBoostSettings, plan: TrainPlan, train: Weighted, validation: Weighted, present: np.ndarray
) -> Fitted:
    xgboost = library("xgboost")
    (vectors, codes, weight), held_out = _unweighted(train), _unweighted(validation)
    stops = len(validation[1]) > 0
    model = xgboost.XGBClassifier(
        n_estimators=settings.rounds,
        learning_rate=settings.learning_rate,
        max_depth=settings.max_depth,
        reg_lambda=settings.l2,
        random_state=plan.seed,
        n_jobs=plan.threads,
        early_stopping_rounds=settings.patience if stops else None,
        eval_metric="logloss" if len(present) == 2 else "mlogloss",
    )
    more = {"eval_set": [held_out[:2]], "sample_weight_eval_set": [held_out[2]]} if stops else {}
    model.fit(vectors, codes, sample_weight=weight, verbose=False, **more)
    rounds = int(model.get_booster().num_boosted_rounds())
    return Fitted(model, present, int(model.best_iteration) if stops else rounds - 1, rounds)


class InContext:
    """TabICL with the rows that it reads whenever it predicts; its own class can be kept by pickle alone."""

    def __init__(self, rows: Mapping[str, np.ndarray], checkpoint: Path) -> None:
        self._rows, self._checkpoint = rows, checkpoint
        self._model = library("tabicl").TabICLClassifier(
            n_estimators=int(rows["members"]),
            random_state=int(rows["seed"]),
            model_path=checkpoint,
            allow_auto_download=False,
        )
        self._model.fit(rows["vectors"], rows["codes"])
        self.classes_, self.n_features_in_ = self._model.classes_, rows["vectors"].shape[1]

    def predict_proba(self, vectors: np.ndarray) -> np.ndarray:
        """Probabilities, float64 (n, k)."""
        return np.asarray(self._model.predict_proba(vectors), dtype=np.float64)

    def save_model(self, path: str) -> None:
        """Write the rows, and the weights beside them."""
        np.savez(path, **self._rows)  # type: ignore[arg-type]
        shutil.copyfile(self._checkpoint, Path(path).with_suffix(".ckpt"))


def _tabicl(
    settings: TabIclSettings, plan: TrainPlan, train: Weighted, _: Weighted, present: np.ndarray
) -> Fitted:
    version = library(plan.model).TabICLClassifier().checkpoint_version
    vectors, codes = _unweighing(plan.model, train, "another model")
    checkpoint = _checkpoint(settings.pretrained, version)
    rows = {"vectors": vectors, "codes": codes, "members": settings.members, "seed": plan.seed % 2**32}
    try:
        return Fitted(
            InContext({name: np.asarray(value) for name, value in rows.items()}, checkpoint), present
        )
    except Exception as error:  # torch raises whatever the damage happens to break
        why = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise ModelError(
            f"models.tabicl.pretrained: {checkpoint} is no checkpoint that TabICL classifies with ({why}); "
            "name another file, or a hub id."
        ) from error


def _checkpoint(pretrained: str, file: str) -> Path:
    """The checkpoint at a path, or this file of a hub id."""
    path = Path(pretrained).expanduser()
    if path.is_file():
        return path
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import hf_hub_download

    name, _, revision = pretrained.partition("@")
    try:
        return Path(hf_hub_download(name, file, revision=revision or None))
    except Exception as error:  # of the HTTP client, the name service, the disk
        raise ModelError(
            f"models.tabicl.pretrained: {pretrained} is no file here, and {file} cannot be had from the hub "
            f"({first_line(error)}); run once where there is a network, or name a checkpoint file."
        ) from error


def library(model: ModelName) -> Any:
    """The library that a model is of, imported."""
    try:
        return importlib.import_module(model)
    except (ImportError, OSError):  # the latter where a library of the system is missing
        raise ModelError(
            f"The model {model} is not installed; run `pip install 'evenly[{model}]'` or choose another."
        ) from None


READERS: dict[ModelName, Callable[[Any, str], Any]] = {
    "catboost": lambda library, path: library.CatBoostClassifier().load_model(path),
    "lightgbm": lambda library, path: Boosters(library.Booster(model_file=path)),
    "tabicl": lambda _, path: InContext(
        dict(np.load(path, allow_pickle=False)), Path(path).with_suffix(".ckpt")
    ),
    "xgboost": lambda library, path: _loaded_xgboost(library, path),
}


def _loaded_xgboost(library: Any, path: str) -> Any:
    model = library.XGBClassifier()
    model.load_model(path)
    return model


_FITS: dict[type, Callable[..., Fitted]] = {
    RandomForestSettings: _random_forest,
    HistGradientBoostingSettings: _hist_gradient_boosting,
    CatBoostSettings: _catboost,
    LightGbmSettings: _lightgbm,
    XgBoostSettings: _xgboost,
    TabIclSettings: _tabicl,
    EasyEnsembleSettings: _easy_ensemble,
    BalancedRandomForestSettings: _balanced_random_forest,
    RusBoostSettings: _rusboost,
    SklearnSettings: _sklearn,
}
