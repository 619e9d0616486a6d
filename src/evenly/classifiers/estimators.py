"""The estimators behind vector models: made from settings, fitted, and kept in files that hold no pickle."""

from __future__ import annotations

import importlib
import io
import json
import logging
import pkgutil
import threading
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from evenly.classifiers.classifier import REMEDY
from evenly.errors import ModelError
from evenly.params.models import (
    AnyModelSettings,
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
    XgBoostSettings,
)
from evenly.params.named import OWN_PACKAGES, imported_class, made_estimator, named_packages, takes_weights
from evenly.plans import TrainPlan

logger = logging.getLogger(__name__)

SKOPS_FILE = "estimator.skops"
#: Files of the libraries that have a format of their own.
OWN_FILES: dict[ModelName, str] = {
    "catboost": "estimator.cbm",
    "lightgbm": "estimator.txt",
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
#: What every estimator keeps its numbers and settings in.
_PLAIN = {f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "NoneType", "str", "tuple")}
#: Types of the standard library that estimators of others hold.
_HARMLESS = {"collections.OrderedDict", "collections.defaultdict", "collections.Counter"}
_PLAIN |= {f"numpy.{name}" for name in ("ndarray", "bool", "float32", "float64", "int32", "int64", "uint64")}
#: No tree splits unless each side can have this share of the training rows.
LARGEST_LEAF = 1 / 3

#: Values of C from the weakest start on, tried in steps of one: about half a power of ten each.
_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
#: C on vectors, and where the walk begins that chooses it for terms.
_PENALTY = 10.0
_GAIN = 0.01  # of the held-out loss, relative: what a further step of the walk must bring
_ENOUGH = 100  # validation rows to choose by; with fewer, the training rows are folded
_FOLDS = 3

#: Vectors float32 (n, d), dense or sparse, classes int64 (n,), weights float64 (n,).
Weighted = tuple[Any, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Fitted:
    """A fitted estimator, which gives `predict_proba` over the classes `present`, int64 (m,), ascending.

    `best_round` (from 0) of the boosting `rounds` was kept; `notes` say what was done otherwise than the
    settings say, and why.
    """

    estimator: Any
    present: np.ndarray
    best_round: int | None = None
    rounds: int = 0
    notes: tuple[str, ...] = ()


def fit_estimator(
    plan: TrainPlan, train: Weighted, validation: Weighted, families: np.ndarray | None = None
) -> Fitted:
    """Fit the estimator that a plan names.

    The validation rows are of classes that training has, and only choose the number of boosting rounds or a
    penalty. Training rows of one of the `families`, int64 (n,), are not parted when such rows are few.
    """
    present = np.unique(train[1])
    numbered = [(x, np.searchsorted(present, codes), weight) for x, codes, weight in (train, validation)]
    if isinstance(plan.settings, LogisticRegressionSettings):
        return _logistic_regression(plan.settings, numbered[0], numbered[1], present, families, plan.seed)
    return _FITS[type(plan.settings)](plan.settings, plan, *numbered, present)


def _unweighted(rows: Weighted) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Rows, without weights where all weigh the same."""
    return rows[0], rows[1], None if _all_equal(rows[2]) else rows[2]


def _all_equal(weight: np.ndarray) -> bool:
    return bool(np.allclose(weight, weight[:1], rtol=1e-9, atol=0))


def save_estimator(estimator: Any, model: ModelName, folder: Path) -> None:
    """Write an estimator into a folder; the same fit gives the same bytes.

    Raises
    ------
    ModelError
        When an estimator of others holds what cannot be written without pickle.
    """
    if model in OWN_FILES:
        estimator.save_model(str(folder / OWN_FILES[model]))
        return
    try:
        content = _skops().dumps(estimator)
    except Exception as error:
        if model != "sklearn":
            raise
        raise ModelError(
            f"A {type(estimator).__name__} cannot be saved without pickle ({error}); choose another model."
        ) from error
    (folder / SKOPS_FILE).write_bytes(_canonical_skops(content))


def load_estimator(settings: AnyModelSettings, folder: Path, trust: Collection[str] = ()) -> Any:
    """Read an estimator that `save_estimator` wrote, if it names no types that such a model does not have.

    One of a class that others wrote is read if its package is one of `trust`, or named by params.yaml here.
    """
    model = settings.kind
    path = folder / OWN_FILES.get(model, SKOPS_FILE)
    if not path.exists():
        raise ModelError(f"{path} does not exist; {REMEDY}.")
    if model in OWN_FILES:
        library = _library(model)
        try:
            return _READERS[model](library, str(path))
        except Exception as error:  # its own error class is only known where it is installed
            first = " ".join(str(error).split())[:200]
            raise ModelError(f"{path} cannot be read by {model} ({first}); {REMEDY}.") from error
    skops = _skops()
    try:
        if isinstance(settings, SklearnSettings):
            return skops.load(path, trusted=_types_of_others(path, settings, {*trust, *named_packages()}))
        trusted = set(CONSISTS_OF[model])
        untrusted = set(skops.get_untrusted_types(file=path))
        unknown = sorted((_named_classes(path) - trusted - _PLAIN) | (untrusted - trusted))
        if unknown:
            raise ModelError(
                f"{path} names the type {unknown[0]}, which no {model} consists of; it is not loaded. "
                "Use a model from a source that you trust."
            )
        estimator = skops.load(path, trusted=sorted(trusted & untrusted))
        found = f"{type(estimator).__module__}.{type(estimator).__qualname__}"
        if found != CONSISTS_OF[model][0]:
            raise ModelError(f"{path} holds a {found}, which is no {model}; {REMEDY}.")
        return estimator
    except ModelError:
        raise
    except Exception as error:  # skops raises whatever the damage happens to break
        raise ModelError(f"{path} is damaged ({error}); {REMEDY}.") from error


def _skops() -> Any:
    """`skops.io`, whose import walks through all modules of scikit-learn: but for copies of other libraries.

    One of them would bring torch.
    """
    listed = pkgutil.iter_modules

    def own_modules(path: Any = None, prefix: str = "") -> Any:
        return (found for found in listed(path, prefix) if found.name != "sklearn.externals")

    with patch.object(pkgutil, "iter_modules", own_modules):
        import skops.io
    return skops.io


def _types_of_others(path: Path, settings: SklearnSettings, packages: set[str]) -> list[str]:
    """Types in a file that skops does not trust by itself, all of them classes of trusted packages."""
    found: list[str] = _skops().get_untrusted_types(file=path)
    for name in (*found, settings.estimator or ""):
        package = name.partition(".")[0]
        if package not in packages | OWN_PACKAGES and name not in _HARMLESS:
            raise ModelError(
                f"{path} holds a {name}, whose package is neither scikit-learn nor named in params.yaml here "
                f"(models.sklearn.class), so it is not loaded. If you trust where the model is from: "
                f"`evenly predict --trust {package}`, evenly.load(..., trust={package!r})."
            )
        if name in found and not isinstance(imported_class(name, str(path)), type):
            raise ModelError(f"{path} names {name}, which is no class; it is not loaded.")
    return found


def _named_classes(path: Path) -> set[str]:
    """Classes that a skops file names."""
    found: set[str] = set()
    with zipfile.ZipFile(path) as archive:
        left: list[Any] = [json.loads(archive.read("schema.json"))]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            if "__class__" in node:
                found.add(f"{node.get('__module__')}.{node['__class__']}")
            left.extend(node.values())
        elif isinstance(node, list):
            left.extend(node)
    return found


def _logistic_regression(
    settings: LogisticRegressionSettings,
    train: Weighted,
    validation: Weighted,
    present: np.ndarray,
    families: np.ndarray | None,
    seed: int,
) -> Fitted:
    fit = partial(_regression, settings.max_iter)
    notes: tuple[str, ...] = ()
    if settings.C != "auto":
        model = fit(settings.C, train)
    elif not settings.reads_terms:
        model = fit(_PENALTY, train)
    elif len(validation[1]) >= _ENOUGH:
        models: dict[float, Any] = {}

        def held_out_loss(penalty: float) -> float:
            models[penalty] = fit(penalty, train, *list(models.values())[-1:])
            return _log_loss(models[penalty], validation)

        model = models[_chosen_penalty(held_out_loss)]
        notes = (f"C is {model.C:g}, by the loss on {len(validation[1]):,} validation rows.",)
    else:
        parts = _folds(train, families, seed)
        penalty = _chosen_penalty(
            lambda penalty: sum(_log_loss(fit(penalty, inside), outside) for inside, outside in parts)
        )
        model = fit(penalty, train)
        notes = (f"C is {penalty:g}, by the loss on {_FOLDS} folds of the training rows.",) if parts else ()
    if int(np.max(model.n_iter_)) >= settings.max_iter:
        notes += (
            f"Logistic regression had not converged after {settings.max_iter} iterations; raise "
            "models.logistic_regression.max_iter.",
        )
    return Fitted(model, present, notes=notes)


def _regression(max_iter: int, penalty: float, rows: Weighted, start: Any = None) -> Any:
    """Logistic regression fitted on rows, from the coefficients of another one where there is one."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=penalty, max_iter=max_iter, warm_start=start is not None)
    if start is not None:
        model.coef_, model.intercept_ = start.coef_.copy(), start.intercept_.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(*rows)
    return model.set_params(warm_start=False)


def _chosen_penalty(held_out_loss: Callable[[float], float]) -> float:
    """Walk from the usual C to weaker penalties, or else to stronger ones, as long as the loss falls."""
    start = best = _PENALTIES.index(_PENALTY)
    least = held_out_loss(_PENALTY)
    for step in (1, -1):
        while best == start or step * (best - start) > 0:
            place = best + step
            if not 0 <= place < len(_PENALTIES):
                break
            loss = held_out_loss(_PENALTIES[place])
            if not loss < least * (1 - _GAIN):
                break
            best, least = place, loss
        if best != start:
            break
    return _PENALTIES[best]


def _log_loss(model: Any, rows: Weighted) -> float:
    """Weighted mean of the negative log-likelihood of rows, those of classes that the model knows."""
    vectors, codes, weight = rows
    known = np.flatnonzero(np.isin(codes, model.classes_) & (weight > 0))
    if not len(known):
        return 0.0
    probabilities = model.predict_proba(vectors[known])
    true = probabilities[np.arange(len(known)), np.searchsorted(model.classes_, codes[known])]
    losses = -np.log(np.maximum(true, np.finfo(np.float64).tiny))
    return float(np.average(losses, weights=weight[known]))


def _folds(rows: Weighted, families: np.ndarray | None, seed: int) -> list[tuple[Weighted, Weighted]]:
    """Part rows into training and held-out ones, a family never on both sides; none of a single class."""
    from sklearn.model_selection import StratifiedGroupKFold

    vectors, codes, weight = rows
    groups = np.arange(len(codes)) if families is None else families
    if len(np.unique(groups)) < 2 * _FOLDS:
        return []
    parts = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        cut = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed % 2**32)
        for inside, outside in cut.split(codes, codes, groups):
            if len(np.unique(codes[inside])) > 1:
                pair = [(vectors[part], codes[part], weight[part]) for part in (inside, outside)]
                parts.append((pair[0], pair[1]))
    return parts


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

    vectors, codes, weight = train
    if not _all_equal(weight):
        raise ModelError(
            "easy_ensemble takes no weights of rows, and these rows weigh differently (columns.weight of the "
            "data set, train.synthetic_weight of the recipe); choose balanced_random_forest or rusboost."
        )
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
        probabilities = np.asarray(estimator.predict_proba(vectors[:_ENOUGH]))
        known = list(estimator.classes_)
    except Exception as error:  # whatever a class raises that others have written
        why = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise ModelError(f"{name} cannot be fitted on these rows: {why}.") from error
    k = len(present)
    if known != list(range(k)) or probabilities.shape != (min(len(codes), _ENOUGH), k):
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
    library = _library("catboost")
    stops = len(validation[1]) > 0
    model = library.CatBoostClassifier(
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
    held_out = library.Pool(validation[0], validation[1], weight=validation[2]) if stops else None
    model.fit(library.Pool(vectors, codes, weight=weight), eval_set=held_out)
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
    library = _library("lightgbm")
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
    rows = library.Dataset(vectors, codes, weight=weight)
    stops = len(validation[1]) > 0
    watched = [library.Dataset(held_out[0], held_out[1], weight=held_out[2], reference=rows)] if stops else []
    rounds: list[int] = []
    callbacks = [lambda state: rounds.append(state.iteration)]
    callbacks += [library.early_stopping(settings.patience, verbose=False)] if stops else []
    trees = library.train(options, rows, settings.rounds, valid_sets=watched, callbacks=callbacks)
    best = trees.best_iteration if stops else trees.num_trees() // trees.num_model_per_iteration()
    kept = library.Booster(model_str=trees.model_to_string(num_iteration=best))
    return Fitted(Boosters(kept), present, max(0, best - 1), len(rounds), notes)


def _xgboost(
    settings: XgBoostSettings, plan: TrainPlan, train: Weighted, validation: Weighted, present: np.ndarray
) -> Fitted:
    library = _library("xgboost")
    (vectors, codes, weight), held_out = _unweighted(train), _unweighted(validation)
    stops = len(validation[1]) > 0
    model = library.XGBClassifier(
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


def _library(model: ModelName) -> Any:
    """The library that a model is of, imported."""
    try:
        return importlib.import_module(model)
    except (ImportError, OSError):  # the latter where a library of the system is missing
        raise ModelError(
            f"The model {model} is not installed; run `pip install 'evenly[{model}]'` or choose another."
        ) from None


_READERS: dict[ModelName, Callable[[Any, str], Any]] = {
    "catboost": lambda library, path: library.CatBoostClassifier().load_model(path),
    "lightgbm": lambda library, path: Boosters(library.Booster(model_file=path)),
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
    EasyEnsembleSettings: _easy_ensemble,
    BalancedRandomForestSettings: _balanced_random_forest,
    RusBoostSettings: _rusboost,
    SklearnSettings: _sklearn,
}


def _canonical_skops(content: bytes) -> bytes:
    """Compress a skops file, its object ids numbered in order of appearance, and without times.

    skops names objects and array files by their address in memory, and the archive dates its members.
    """
    source = zipfile.ZipFile(io.BytesIO(content))
    numbers: dict[str, int] = {}

    def number(identifier: str) -> int:
        return numbers.setdefault(identifier, len(numbers))

    members: dict[str, str] = {}

    def renumbered(node: Any) -> Any:
        if isinstance(node, list):
            return [renumbered(item) for item in node]
        if not isinstance(node, dict):
            return node
        out: dict[str, Any] = {}
        for key, value in node.items():
            if key == "__id__":
                # Which constants Python keeps one copy of is chance: none of them shares its number.
                constant = node.get("__loader__") == "JsonNode"
                out[key] = number(f"constant {len(numbers)}" if constant else str(value))
            elif key == "file" and isinstance(value, str):
                stem, dot, ending = value.partition(".")
                members[value] = out[key] = f"{number(stem)}{dot}{ending}"
            else:
                out[key] = renumbered(value)
        return out

    schema = json.dumps(renumbered(json.loads(source.read("schema.json"))), indent=1)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for old, new in members.items():
            archive.writestr(_member(new), source.read(old))
        archive.writestr(_member("schema.json"), schema)
    return target.getvalue()


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    return info
