"""Resampling arrays and frames in a notebook: like imbalanced-learn, as the pipeline does it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import parametrize_with_checks
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

import evenly
from evenly.api.samplers import RECIPES
from evenly.errors import EvenlyError
from evenly.features import fit_featurizer
from evenly.params.features import FeatureSettings
from evenly.params.project import read_params
from evenly.plans import ResamplePlan
from evenly.resampling.resample import resample
from evenly.samples import Feature, Schema, samples_from_columns

PARAMS = Path(__file__).parents[2] / "params.yaml"
RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(size=(60, 3)) + np.repeat([0.0, 1.0], [48, 12])[:, None]
LABELS = np.repeat(["big", "small"], [48, 12])
FRAME = pd.DataFrame(
    {
        "number": NUMBERS[:, 0],
        "integer": RNG.integers(0, 9, 60),
        "label": RNG.choice(["x", "y"], 60),
        "category": pd.Categorical(RNG.choice(["u", "v", "w"], 60), categories=["u", "v", "w", "never"]),
        "flag": RNG.random(60) > 0.5,
        "day": pd.date_range("2024-01-01", periods=60),
        "gaps": pd.array([None if row % 7 == 0 else row for row in range(60)], dtype="Int64"),
        "absent": [None if row % 5 == 0 else "pq"[row % 2] for row in range(60)],
    },
    index=range(100, 160),
)

SAMPLERS = [
    evenly.SMOTE,
    evenly.BorderlineSMOTE,
    evenly.SVMSMOTE,
    evenly.KMeansSMOTE,
    evenly.ADASYN,
    evenly.RandomOverSampler,
    evenly.RandomUnderSampler,
    evenly.TomekLinks,
    evenly.EditedNearestNeighbours,
    evenly.SMOTETomek,
    evenly.SMOTEENN,
]


CHECKS = parametrize_with_checks([kind() for kind in SAMPLERS])


@pytest.mark.filterwarnings("ignore:Class")
@pytest.mark.parametrize(("estimator", "check"), list(CHECKS.args[1]), ids=CHECKS.kwargs["ids"])
def test_samplers_pass_the_checks_of_imbalanced_learn(estimator: Any, check: Any) -> None:
    check(estimator)


def test_every_sampler_is_public_and_every_public_name_is_there() -> None:
    assert {kind.__name__ for kind in SAMPLERS} < set(evenly.__all__)
    assert all(getattr(evenly, name) is not None and name in dir(evenly) for name in evenly.__all__)
    with pytest.raises(AttributeError, match="no attribute 'SMOT'"):
        evenly.SMOT  # noqa: B018


def test_importing_evenly_imports_nothing_heavy() -> None:
    heavy = ("torch", "pandas", "sklearn", "numpy", "pyarrow", "pydantic", "imblearn")
    code = f"import sys, evenly; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_recipes_are_those_of_params_yaml_that_only_resample() -> None:
    found = {
        name: recipe.resample.model_dump(exclude_defaults=True)
        for name, recipe in read_params(PARAMS).recipes.items()
        if recipe.resample and recipe.producers == ("resample",) and recipe.balance_on == "class"
    }
    names = {name: {"k_neighbors": 5, **keys} for name, keys in RECIPES.items()}
    assert {name: {"k_neighbors": 5, **keys} for name, keys in found.items()} == names


@pytest.mark.parametrize("kind", [evenly.SMOTE, evenly.ADASYN, evenly.SMOTETomek])
def test_new_rows_lie_where_their_parents_neighbours_and_weights_say(kind: Any) -> None:
    for given in (NUMBERS, sparse.csr_array(NUMBERS), pd.DataFrame(NUMBERS, columns=list("abc"))):
        sampler = kind(random_state=3)
        found, labels = sampler.fit_resample(given, LABELS)
        assert type(found) is type(given)
        rows = found.toarray() if sparse.issparse(found) else np.asarray(found)
        made = sampler.made_
        parents, ends = NUMBERS[sampler.parents_[made]], NUMBERS[sampler.neighbours_[made]]
        expected = parents + sampler.weights_[made, None] * (ends - parents)
        np.testing.assert_allclose(rows[made], expected)
        np.testing.assert_array_equal(rows[~made], NUMBERS[sampler.parents_[~made]])
        assert made.sum() > 20 and (sampler.neighbours_[~made] == -1).all()
        assert (LABELS[sampler.parents_] == labels).all() and (
            LABELS[sampler.neighbours_[made]] == "small"
        ).all()


def test_rows_are_those_that_the_pipeline_makes() -> None:
    schema = Schema("table", ("big", "small"), tuple(Feature(name, "number") for name in "abc"))
    columns: dict[str, Any] = {"id": [f"{row:02d}" for row in range(60)], "label": LABELS.tolist()}
    columns |= {name: NUMBERS[:, k].tolist() for k, name in enumerate("abc")}
    samples = samples_from_columns(columns, schema)
    plan = ResamplePlan(
        method="adasyn", targets={"small": 48}, k_neighbors=5, clean_neighbors=3, clean="all", seed=4
    )
    table, _ = resample(samples, plan, fit_featurizer(samples, FeatureSettings(), 0))
    found, _ = evenly.resample(NUMBERS, LABELS, "adasyn", random_state=4)
    np.testing.assert_allclose(found, table.features_frame().to_numpy())


@pytest.mark.filterwarnings("ignore:Class")
@pytest.mark.parametrize("recipe", RECIPES)
def test_frames_of_any_columns_come_back_as_they_were_with_rows_of_the_same_kinds(recipe: str) -> None:
    classes = pd.Series(LABELS, index=FRAME.index, name="class")
    found, labels = evenly.resample(FRAME, classes, recipe)
    assert list(found.columns) == list(FRAME.columns) and found.dtypes.equals(FRAME.dtypes)
    assert isinstance(labels, pd.Series) and labels.name == "class" and len(labels) == len(found)
    known = {name: set(FRAME[name].dropna()) for name in ("label", "category", "flag", "absent")}
    assert all(set(found[name].dropna()) <= values for name, values in known.items())
    within = found["day"].between(FRAME["day"].min(), FRAME["day"].max())
    assert within.all() or recipe == "svm_smote"  # which reaches beyond safe rows
    if RECIPES[recipe]["method"] in ("tomek", "enn", "random_under", "random_over"):
        whole = pd.concat([FRAME, classes], axis=1)
        rows = pd.concat([found, labels], axis=1)
        assert len(rows.merge(whole.drop_duplicates())) == len(rows)


def test_a_sampler_stands_in_a_pipeline_of_imbalanced_learn() -> None:
    pipeline = make_pipeline(evenly.SMOTE(k_neighbors=3), LogisticRegression())
    assert cross_val_score(pipeline, NUMBERS, LABELS, cv=3).min() > 0.5
    pipeline.set_params(smote__k_neighbors=2).fit(NUMBERS, LABELS)
    assert len(pipeline["smote"].parents_) == 96


@pytest.mark.parametrize(
    ("recipe", "counts"),
    [
        ("random_under", [12, 12]),
        ({"method": "smote", "k_neighbors": 2, "targets": {"fixed": 50}}, [50, 50]),
        ({"method": "random_over", "targets": {"classes": {"small": 20}}}, [48, 20]),
    ],
)
def test_a_recipe_is_a_name_or_what_stands_under_resample(recipe: Any, counts: list[int]) -> None:
    _, labels = evenly.resample(NUMBERS, LABELS, recipe)
    assert np.unique(labels, return_counts=True)[1].tolist() == counts


def test_arrays_with_gaps_and_of_integers_texts_and_booleans_keep_their_type() -> None:
    gaps = np.where(RNG.random((60, 3)) < 0.1, np.nan, NUMBERS)
    for given in (gaps, np.rint(NUMBERS * 9).astype(int), FRAME[["number", "label"]].to_numpy(), NUMBERS > 0):
        found, labels = evenly.resample(given, LABELS)
        assert found.dtype == given.dtype and len(found) == len(labels) == 96
    assert isinstance(evenly.resample(NUMBERS.tolist(), LABELS.tolist())[0], list)


def test_a_column_of_dates_without_any_date_stays_one() -> None:
    given = FRAME.assign(day=pd.Series(pd.NaT, index=FRAME.index, dtype="datetime64[s]"))
    found, _ = evenly.resample(given, LABELS)
    assert found.dtypes.equals(given.dtypes) and found["day"].isna().all()


def test_what_a_class_cannot_be_given_is_made_otherwise_and_said() -> None:
    labels = np.where(np.arange(60) == 59, "alone", "many")
    with pytest.warns(UserWarning, match="Class 'alone' has a single row: it was duplicated"):
        found, _ = evenly.resample(NUMBERS, labels)
    np.testing.assert_array_equal(found[60:], np.repeat(NUMBERS[59:], 58, axis=0))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((NUMBERS, LABELS, "smot"), "no recipe 'smot' that only resamples; did you mean 'smote'"),
        ((NUMBERS, LABELS, "focal"), "no recipe 'focal' that only resamples"),
        ((NUMBERS, LABELS, None), "A recipe is a name or a mapping, not NoneType"),
        ((NUMBERS, LABELS, {"method": "smote", "k": 3}), "recipe: k is not a known key"),
        ((NUMBERS, LABELS, {"method": "imblearn", "class": "NearMiss"}), "call the sampler's own"),
        ((NUMBERS, LABELS, {"method": "tomek", "targets": "match_majority"}), "no meaning with 'tomek'"),
        ((NUMBERS, LABELS, {"method": "smote", "targets": {"classes": {"q": 9}}}), "names 'q'; classes are"),
        ((NUMBERS, LABELS[:9]), "inconsistent numbers of samples|for each row"),
        ((FRAME, LABELS[:9]), "X has 60 rows, and y 9"),
        ((NUMBERS[:, 0], LABELS), r"X has the shape \(60,\)"),
        ((None, LABELS), r"X has the shape \(\)"),
        (([[1.0, 2.0], [3.0]] * 30, LABELS), r"X has the shape \(60,\)"),
        (([[1.0, [2.0]], [3.0, 4.0]] * 30, LABELS), "unhashable type"),
        ((FRAME.assign(flag=1j), LABELS), "Column 'flag' of X has complex numbers"),
        ((NUMBERS, ["a"] * 60), "more than 1 class"),
        ((NUMBERS, [None, *LABELS[1:]]), "y has no class in row 0"),
        ((NUMBERS, NUMBERS[:, 0]), "continuous"),
        ((FRAME.set_axis(["a"] * 8, axis=1), LABELS), "unique column names"),
    ],
)
def test_what_cannot_be_resampled_is_one_sentence(values: tuple[Any, ...], message: str) -> None:
    with pytest.raises(EvenlyError, match=message) as caught:
        evenly.resample(*values)
    assert "\n" not in str(caught.value)


def test_a_sparse_matrix_too_wide_to_search_is_refused_but_copied() -> None:
    wide = sparse.csr_matrix((60, 10_000_000))
    with pytest.raises(EvenlyError, match=r"60 × 10,000,000 numbers.*TruncatedSVD"):
        evenly.resample(wide, LABELS)
    assert evenly.resample(wide, LABELS, "random_oversampling")[0].shape == (96, 10_000_000)
