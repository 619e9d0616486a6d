"""Resampling of arrays and frames: the samplers of the pipeline with the interface of imbalanced-learn."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
from imblearn.base import BaseSampler
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.under_sampling.base import BaseCleaningSampler, BaseUnderSampler
from imblearn.utils import check_target_type
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import validate_data

from evenly.errors import DataError, RecipeError
from evenly.features.columns import fit_columns
from evenly.imbalance import tiers
from evenly.params.base import settings_from
from evenly.params.features import TableFeatures
from evenly.params.recipes import TierSettings
from evenly.params.resampling import LIBRARY, RESAMPLERS, ResampleSettings
from evenly.planning import target_counts
from evenly.plans import ResamplePlan
from evenly.resampling.resample import resample as resampled
from evenly.samples import Feature, SampleTable, Schema
from evenly.wording import nearest_names

#: The recipes of params.yaml that only resample.
RECIPES: dict[str, dict[str, Any]] = {
    "random_oversampling": {"method": "random_over"},
    "smote": {"method": "smote", "k_neighbors": 5},
    "borderline_smote": {"method": "borderline_smote", "k_neighbors": 5},
    "svm_smote": {"method": "svm_smote", "k_neighbors": 5},
    "kmeans_smote": {"method": "kmeans_smote", "k_neighbors": 2},
    "adasyn": {"method": "adasyn", "k_neighbors": 5},
    "smote_tomek": {"method": "smote_tomek", "k_neighbors": 5, "clean": "all"},
    "smote_enn": {"method": "smote_enn", "k_neighbors": 5, "clean": "all"},
    "random_undersampling": {"method": "random_under"},
    "tomek_links": {"method": "tomek"},
    "edited_nearest_neighbours": {"method": "enn"},
}
#: A sparse matrix is searched for neighbours as a dense one of float32, of no more numbers than this.
_MOST_DENSE = 5 * 10**8


@dataclass(frozen=True)
class Lineage:
    """Where each resulting row comes from: positions in the given rows, int64 (n,), −1 where there is none.

    A row x lies at parent + weight · (neighbour − parent); weights are NaN where there is no neighbour.
    """

    parents: np.ndarray
    neighbours: np.ndarray
    weights: np.ndarray

    @property
    def between(self) -> np.ndarray:
        """Which rows lie between two, bool (n,)."""
        return self.neighbours >= 0

    @classmethod
    def of(cls, table: SampleTable) -> Lineage:
        """Read it off a table whose ids are positions."""
        real, parents = table.is_real, table.column("parent")
        ends = [
            np.array([-1 if name is None else int(name) for name in names], dtype=np.int64)
            for names in (np.where(real, table.ids, parents), table.column("neighbour"))
        ]
        return cls(ends[0], ends[1], table.column("neighbour_weight").astype(np.float64))


def resample(
    X: Any, y: Any, recipe: str | Mapping[str, Any] = "smote", *, random_state: int = 0
) -> tuple[Any, Any]:
    """Resample rows as a recipe of the pipeline does.

    Parameters
    ----------
    X : array-like, sparse matrix or DataFrame of shape (n, d)
        Training rows, and only those. Columns of frames may be numbers, booleans, dates, text or categories,
        with gaps; where a method makes rows between rows, categories are voted on by the neighbours.
    y : array-like of shape (n,)
        Their classes.
    recipe : str or mapping
        A recipe of params.yaml that only resamples (`smote`, `adasyn`, `smote_tomek`,
        `random_undersampling`, …), the method of one (`random_over`), or what stands under its `resample`:
        `{"method": "smote", "k_neighbors": 3, "targets": {"fixed": 200}}`.
    random_state : int
        The seed.

    Returns
    -------
    X, y
        Of the kinds given: the rows that remain, in their order, then the new ones.

    Raises
    ------
    EvenlyError
        When there is no such recipe, or the rows cannot be resampled by it.

    See Also
    --------
    SMOTE : The same as a sampler, which knows the parents of the new rows.

    Examples
    --------
    >>> import evenly
    >>> X, y = evenly.resample([[0.0], [1.0], [2.0], [9.0], [8.0]], [0, 0, 0, 1, 1], "random_oversampling")
    >>> sorted(y)
    [0, 0, 0, 1, 1, 1]
    """
    settings = _settings(recipe)
    sampler = _OfRecipe(settings, random_state)
    absent = np.flatnonzero(pd.isna(np.asarray(y, dtype=object)).ravel())
    if len(absent):
        raise DataError(
            f"y has no class in row {absent[0]} (counted from 0); fill it in or leave the row out."
        )
    frame = X
    if not isinstance(X, pd.DataFrame) and not sparse.issparse(X):
        try:
            array = np.asarray(X, dtype=getattr(X, "dtype", None))
        except ValueError:  # rows of different lengths
            array = np.asarray(X, dtype=object)
        if array.ndim != 2:
            raise DataError(
                f"X has the shape {array.shape}, but samplers take one row for each sample: give a frame, or "
                "an array of shape (n, d)."
            )
        if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            frame = pd.DataFrame(array).infer_objects()
    try:
        found, labels = sampler.fit_resample(frame, y)
    except (ValueError, TypeError) as error:
        why = " ".join(str(error).split()).replace("_OfRecipe", "resample").rstrip(".")
        raise DataError(f"X and y cannot be resampled: {why}.") from error
    if frame is not X:
        found = found.to_numpy(dtype=getattr(X, "dtype", None) if array.dtype.kind != "O" else object)
        found = found.tolist() if isinstance(X, list) else found
    return found, labels


def _settings(recipe: str | Mapping[str, Any]) -> ResampleSettings:
    if isinstance(recipe, str):
        if recipe not in RECIPES and recipe not in RESAMPLERS:
            raise RecipeError(
                f"There is no recipe {recipe!r} that only resamples; "
                f"{nearest_names(recipe, [*RECIPES, *RESAMPLERS])} Others run in the pipeline."
            )
        recipe = RECIPES.get(recipe, {"method": recipe})
    if not isinstance(recipe, Mapping):
        raise RecipeError(f"A recipe is a name or a mapping, not {type(recipe).__name__}.")
    settings = settings_from(ResampleSettings, recipe, "recipe")
    if settings.method == LIBRARY:
        raise RecipeError("recipe.method imblearn is for the pipeline; call the sampler's own fit_resample.")
    if settings.targets is not None and settings.spec.default_targets is None:
        raise RecipeError(f"recipe.targets has no meaning with {settings.method!r}; take the key out.")
    return settings


# -- rows in feature space ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _NumberSpace:
    """Featurizer of rows that are numbers throughout: each column divided by its standard deviation."""

    rows: Any

    def transform(self, samples: SampleTable) -> np.ndarray:
        """Vectors of given rows, and of rows between them."""
        lineage, vectors = Lineage.of(samples), self._vectors
        out: np.ndarray = vectors[lineage.parents]
        between = np.flatnonzero(lineage.between)
        step = vectors[lineage.neighbours[between]] - out[between]
        out[between] += lineage.weights[between, None].astype(np.float32) * step
        return out

    @property
    def _vectors(self) -> np.ndarray:
        if sparse.issparse(self.rows) and self.rows.shape[0] * self.rows.shape[1] > _MOST_DENSE:
            raise DataError(
                f"X has {self.rows.shape[0]:,} × {self.rows.shape[1]:,} numbers, too many to search for "
                "neighbours; bring them to fewer columns (TruncatedSVD), or choose a method that copies or "
                "removes by lot."
            )
        dense = (self.rows.toarray() if sparse.issparse(self.rows) else self.rows).astype(np.float64)
        spread = dense.std(axis=0)
        vectors: np.ndarray = ((dense - dense.mean(axis=0)) / np.where(spread > 0, spread, 1)).astype(
            np.float32
        )
        return vectors

    def mixed(self, samples: SampleTable) -> None:
        """None: lineage says it all."""

    def payload(self, vectors: np.ndarray) -> dict[str, pa.Array]:
        """No columns: the rows are made from their lineage."""
        return {}


def _described(codes: np.ndarray, names: list[str]) -> dict[str, pa.Array]:
    """Ids (positions), labels and origins of rows."""
    n = len(codes)
    ids = [f"{row:0{len(str(n))}d}" for row in range(n)]
    labels = pa.array([names[code] for code in codes.tolist()], pa.string())
    return {"id": pa.array(ids, pa.string()), "label": labels, "origin": pa.array(["real"] * n, pa.string())}


def _feature(name: str, column: pd.Series) -> tuple[Feature, pa.Array, np.ndarray | None]:
    """A column of a frame as a feature; of a category, the values that its codes stand for."""
    kind = column.dtype
    if pd.api.types.is_bool_dtype(kind):
        return Feature(name, "boolean"), pa.array(column.astype("boolean"), pa.bool_()), None
    if pd.api.types.is_complex_dtype(kind):
        raise DataError(f"Column {column.name!r} of X has complex numbers; give their parts as two columns.")
    dates = pd.api.types.is_datetime64_any_dtype(kind)
    if not ((dates and column.notna().any()) or pd.api.types.is_numeric_dtype(kind)):
        codes, values = pd.factorize(column)
        texts = [None if code < 0 else str(code) for code in codes.tolist()]
        return Feature(name, "category"), pa.array(texts, pa.string()), np.asarray(values, dtype=object)
    if dates:
        column = (column - column.min()) / pd.Timedelta(days=1)
    numbers = column.astype("float64").to_numpy()
    whole = pd.api.types.is_integer_dtype(kind)
    if whole:
        filled = column.fillna(0).astype("int64").to_numpy()
        return Feature(name, "integer"), pa.array(filled, pa.int64(), mask=np.isnan(numbers)), None
    return Feature(name, "number"), pa.array(numbers, pa.float64()), None


def _mended(column: pd.Series, rows: np.ndarray, values: pd.Series) -> pd.Series:
    """A column with other values in some rows, and the type that it had."""
    joined = pd.concat([column.drop(column.index[rows]), values.set_axis(rows)])
    return joined.sort_index()


def _values(made: pd.Series, column: pd.Series, values: np.ndarray | None) -> pd.Series:
    """A feature column of made rows in the type of the frame's column."""
    if values is not None:
        cells = [None if code is None else values[int(code)] for code in made]
        return pd.Series(cells, dtype=column.dtype)
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return (pd.to_timedelta(made, unit="D") + column.min()).astype(column.dtype)
    return made.astype(column.dtype)


class _Sampler(BaseSampler):  # type: ignore[misc]
    """What all samplers here do: the pipeline's resampling, on rows in memory."""

    _recipe = ""

    def _check_X_y(  # noqa: N802, the name in imbalanced-learn
        self, X: Any, y: Any
    ) -> tuple[Any, Any, bool]:
        if isinstance(X, pd.DataFrame) and not _is_numeric(X):
            y, binarize = check_target_type(y, indicate_one_vs_all=True)
            validate_data(self, X=X, y=y, reset=True, skip_check_array=True)
            y = np.asarray(y)
            if len(y) != len(X):
                raise ValueError(f"X has {len(X)} rows, and y {len(y)}; give a class for each row.")
            return X, y, binarize
        checked: tuple[Any, Any, bool] = super()._check_X_y(X, y)
        return checked

    def _fit_resample(self, X: Any, y: np.ndarray) -> tuple[Any, Any]:
        classes, codes = np.unique(y, return_inverse=True)
        names = [str(one) for one in classes]
        if len(set(names)) < len(names):
            names = [str(code) for code in range(len(names))]
        state = getattr(self, "random_state", None)
        seed = state if isinstance(state, Integral) else check_random_state(state).randint(2**31 - 1)
        plan = self._plan(dict(zip(names, np.bincount(codes).tolist(), strict=True)), classes, int(seed))
        described = _described(codes, names)
        columns: list[tuple[Feature, pa.Array, np.ndarray | None]] = []
        if isinstance(X, pd.DataFrame):
            columns = [_feature(f"f{k}", X.iloc[:, k]) for k in range(X.shape[1])]
        features = tuple(feature for feature, _, _ in columns)
        arrays = {feature.name: array for feature, array, _ in columns}
        samples = SampleTable(pa.table(described | arrays), Schema("table", tuple(names), features))
        space: Any = fit_columns(samples, TableFeatures()) if columns else _NumberSpace(X)
        table, report = resampled(samples, plan, space)
        for message in report.messages():
            warnings.warn(message, UserWarning, stacklevel=4)
        lineage = Lineage.of(table)
        self.parents_, self.neighbours_ = lineage.parents, lineage.neighbours
        self.weights_, self.made_ = lineage.weights, ~table.is_real
        if not RESAMPLERS[plan.method].interpolates:
            self.sample_indices_ = lineage.parents
        if not columns:
            return _combined(X, lineage), classes[table.codes]
        frame = X.iloc[lineage.parents].reset_index(drop=True)
        between = np.flatnonzero(lineage.between)
        if len(between):
            made = table.take(between).features_frame()
            series = [
                _mended(frame.iloc[:, k], between, _values(made[f"f{k}"], X.iloc[:, k], values))
                for k, (_, _, values) in enumerate(columns)
            ]
            frame = pd.concat(series, axis=1)
            frame.columns = X.columns
        return frame, classes[table.codes]

    def _plan(self, counts: dict[str, int], classes: np.ndarray, seed: int) -> ResamplePlan:
        """The plan of the pipeline that parameters and `sampling_strategy_` come to."""
        settings = ResampleSettings.model_validate(RECIPES[self._recipe])
        names = list(counts)
        clean: str | tuple[str, ...] = settings.clean
        asked = {names[k]: self.sampling_strategy_.get(one) for k, one in enumerate(classes.tolist())}
        asked = {name: n for name, n in asked.items() if n is not None}
        if settings.spec.rule is not None:
            asked = {name: counts[name] + n for name, n in asked.items()}
        elif settings.spec.cleaning is not None:
            clean, asked = tuple(asked), {}
        return ResamplePlan(
            method=settings.method,
            targets=asked,
            k_neighbors=getattr(self, "k_neighbors", settings.k_neighbors),
            clean_neighbors=getattr(self, "n_neighbors", settings.clean_neighbors),
            clean=clean,
            seed=seed,
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        interpolates = RESAMPLERS[RECIPES[self._recipe]["method"]].interpolates if self._recipe else True
        tags.sampler_tags.sample_indices = not interpolates
        return tags


def _is_numeric(frame: pd.DataFrame) -> bool:
    """Whether all columns are numbers without gaps."""
    types = pd.api.types
    numeric = all(types.is_numeric_dtype(kind) and not types.is_bool_dtype(kind) for kind in frame.dtypes)
    return numeric and not frame.isna().to_numpy().any()


def _combined(X: Any, lineage: Lineage) -> Any:
    """The rows of a lineage, in the type of X; integers are rounded."""
    rows = X[lineage.parents]
    between = np.flatnonzero(lineage.between)
    if not len(between):
        return rows
    ends = [X[side[between]].astype(np.float64) for side in (lineage.parents, lineage.neighbours)]
    weights = lineage.weights[between]
    if sparse.issparse(X):
        made = ends[0] + sparse.diags_array(weights) @ (ends[1] - ends[0])
        made.data = made.data if X.dtype.kind == "f" else np.rint(made.data)
        rest = np.flatnonzero(~lineage.between)
        stacked = sparse.vstack([rows[rest], made.astype(X.dtype)], format="csr")
        return stacked[np.argsort(np.concatenate([rest, between]))].asformat(X.format)
    made = ends[0] + weights[:, None] * (ends[1] - ends[0])
    rows[between] = made if X.dtype.kind == "f" else np.rint(made)
    return rows


class _OfRecipe(_Sampler):
    """A sampler by the settings of a recipe, whose targets name classes as texts."""

    _sampling_type = "over-sampling"

    _parameter_constraints: ClassVar[dict[str, Any]] = {"random_state": ["random_state"]}

    def __init__(self, settings: Any = None, random_state: int = 0) -> None:
        super().__init__()
        self.settings = settings
        self.random_state = random_state

    def _plan(self, counts: dict[str, int], classes: np.ndarray, seed: int) -> ResamplePlan:
        settings, goal = self.settings, {}
        default = settings.spec.default_targets
        if default is not None:
            size = tiers(counts, TierSettings())
            goal = target_counts(settings.targets or default, counts, counts, size, "recipe.targets")
        return ResamplePlan(**{k: v for k, v in settings if k != "targets"}, targets=goal, seed=seed)


# -- the samplers -------------------------------------------------------------------------------------------


class _Interpolating(_Sampler):
    """Of the SMOTE family."""

    _sampling_type = "over-sampling"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseOverSampler._parameter_constraints,
        "k_neighbors": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self, *, sampling_strategy: Any = "auto", random_state: Any = 0, k_neighbors: int = 5
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.random_state = random_state
        self.k_neighbors = k_neighbors


class _Over(_Interpolating, BaseOverSampler):  # type: ignore[misc]
    """Of the SMOTE family, without cleaning."""


class SMOTE(_Over):
    """Rows between a row and one of its nearest neighbours of the same class.

    Columns are divided by their standard deviation before neighbours are searched. Frames may hold text,
    categories, booleans, dates and gaps: neighbours vote on what is no number, as in SMOTENC. What a class
    cannot be given (it has a single row, or fewer than `k_neighbors`) is made in the nearest way there is,
    with a warning that says so. Other classes do not change the random numbers of a class.

    Parameters
    ----------
    sampling_strategy : str, float, dict or callable, default="auto"
        As in imbalanced-learn; `auto` brings all classes to the largest.
    random_state : int, RandomState instance or None, default=0
        The seed; the same rows and seed give the same result.
    k_neighbors : int, default=5
        Neighbours to choose from.

    Attributes
    ----------
    parents_ : ndarray of shape (n_resampled,), int64
        For each row that comes out, the row of X that it is or was made from.
    neighbours_ : ndarray of shape (n_resampled,), int64
        The row of X at the other end, −1 where the row does not lie between two.
    weights_ : ndarray of shape (n_resampled,), float64
        λ of x = parent + λ · (neighbour − parent), NaN where the row does not lie between two.
    made_ : ndarray of shape (n_resampled,), bool
        Whether the row is new.

    References
    ----------
    Chawla et al., "SMOTE: synthetic minority over-sampling technique", 2002.

    Examples
    --------
    >>> import evenly
    >>> sampler = evenly.SMOTE(random_state=0, k_neighbors=1)
    >>> X, y = sampler.fit_resample([[0.0], [1.0], [2.0], [9.0], [8.0]], [0, 0, 0, 1, 1])
    >>> sampler.parents_[-1] in (3, 4)
    True
    """

    _recipe = "smote"


class BorderlineSMOTE(_Over):
    """SMOTE from the rows of which half or more, but not all, of 10 neighbours are of other classes.

    Parameters and attributes are those of `SMOTE`; plain SMOTE where a class has no such row. Han, Wang and
    Mao, "Borderline-SMOTE", 2005.
    """

    _recipe = "borderline_smote"


class SVMSMOTE(_Over):
    """SMOTE from the support vectors of a support vector machine on all classes.

    Parameters and attributes are those of `SMOTE`; weights are −½ to 0 where it reaches beyond a safe row.
    Nguyen, Cooper and Kamei, "Borderline over-sampling for imbalanced data classification", 2009.
    """

    _recipe = "svm_smote"


class KMeansSMOTE(_Over):
    """SMOTE inside clusters in which the class is common, with two neighbours unless told otherwise.

    Parameters and attributes are those of `SMOTE`; plain SMOTE where no cluster has enough rows of a class.
    Last, Douzas and Bacao, "Oversampling for imbalanced learning based on k-means and SMOTE", 2017.
    """

    _recipe = "kmeans_smote"

    def __init__(
        self, *, sampling_strategy: Any = "auto", random_state: Any = 0, k_neighbors: int = 2
    ) -> None:
        super().__init__(
            sampling_strategy=sampling_strategy, random_state=random_state, k_neighbors=k_neighbors
        )


class ADASYN(_Over):
    """SMOTE with more rows where more of a row's neighbours are of other classes.

    Parameters and attributes are those of `SMOTE`; plain SMOTE where a class has no neighbour of another. He
    et al., "ADASYN: adaptive synthetic sampling approach for imbalanced learning", 2008.
    """

    _recipe = "adasyn"


class RandomOverSampler(_Sampler, BaseOverSampler):  # type: ignore[misc]
    """Copies of rows of the smaller classes, drawn by lot.

    Parameters and attributes are those of `SMOTE`, without neighbours; `sample_indices_` is `parents_`.
    """

    _recipe = "random_oversampling"

    def __init__(self, *, sampling_strategy: Any = "auto", random_state: Any = 0) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.random_state = random_state


class RandomUnderSampler(_Sampler, BaseUnderSampler):  # type: ignore[misc]
    """Rows of the larger classes left out by lot.

    Parameters and attributes are those of `SMOTE`, without neighbours; `sample_indices_` is `parents_`, and
    `sampling_strategy="auto"` brings all classes to the smallest.
    """

    _recipe = "random_undersampling"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseUnderSampler._parameter_constraints,
        "random_state": ["random_state"],
    }

    def __init__(self, *, sampling_strategy: Any = "auto", random_state: Any = 0) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.random_state = random_state


class TomekLinks(_Sampler, BaseCleaningSampler):  # type: ignore[misc]
    """Rows removed that are, with a row of another class, each other's nearest neighbour (Tomek 1976).

    Attributes are those of `SMOTE`; `sample_indices_` is `parents_`.

    Parameters
    ----------
    sampling_strategy : str, list or callable, default="auto"
        Classes that may lose rows; `auto` are all but the smallest.
    """

    _recipe = "tomek_links"

    def __init__(self, *, sampling_strategy: Any = "auto") -> None:
        super().__init__(sampling_strategy=sampling_strategy)


class EditedNearestNeighbours(_Sampler, BaseCleaningSampler):  # type: ignore[misc]
    """Rows removed that have a row of another class among their nearest neighbours (Wilson 1972).

    Attributes are those of `SMOTE`; `sample_indices_` is `parents_`.

    Parameters
    ----------
    sampling_strategy : str, list or callable, default="auto"
        Classes that may lose rows; `auto` are all but the smallest.
    n_neighbors : int, default=3
        Neighbours that must all agree.
    """

    _recipe = "edited_nearest_neighbours"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseCleaningSampler._parameter_constraints,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, *, sampling_strategy: Any = "auto", n_neighbors: int = 3) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.n_neighbors = n_neighbors


class SMOTETomek(_Interpolating):
    """SMOTE, then the rows of all classes removed that form a Tomek link with another class.

    Parameters and attributes are those of `SMOTE`. Batista, Prati and Monard, "A study of the behavior of
    several methods for balancing machine learning training data", 2004.
    """

    _recipe = "smote_tomek"


class SMOTEENN(_Interpolating):
    """SMOTE, then the rows of all classes removed that one of their three nearest neighbours disagrees with.

    Parameters and attributes are those of `SMOTE`. Batista, Prati and Monard, "A study of the behavior of
    several methods for balancing machine learning training data", 2004.
    """

    _recipe = "smote_enn"
