"""A classifier of one's own by its dotted path: planned, fitted, saved, loaded where it is trusted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenly.classifiers import build_classifier, load_classifier
from evenly.classifiers.classifier import HOLDS_ROWS, read_manifest, write_sealed
from evenly.errors import EvenlyError, ModelError, ParameterError, RecipeError
from evenly.features import Featurizer, fit_featurizer
from evenly.files import read_json
from evenly.params.base import read_yaml, settings_from
from evenly.params.datasets import DatasetEntry
from evenly.params.features import FeatureSettings
from evenly.params.models import SklearnSettings
from evenly.params.named import made_estimator
from evenly.params.project import PARAMS_FILE, Params
from evenly.planning import make_plans
from evenly.plans import TrainPlan, read_plan, write_plan
from evenly.samples import SampleTable, Schema, samples_from_columns

Wine = tuple[SampleTable, SampleTable]
Make = Callable[..., TrainPlan]
ROOT = Path(__file__).parents[2]
OWN = '''
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class Shares(ClassifierMixin, BaseEstimator):
    """The shares of the classes, for every row."""

    def __init__(self, floor=0.0):
        self.floor = floor

    def fit(self, x, y):
        self.classes_, counts = np.unique(y, return_counts=True)
        self.shares_ = np.maximum(counts / counts.sum(), self.floor)
        return self

    def predict_proba(self, x):
        return np.tile(self.shares_ / self.shares_.sum(), (len(x), 1))

    def predict(self, x):
        return self.classes_[self.predict_proba(x).argmax(axis=1)]


class Hoarder(Shares):
    def fit(self, x, y):
        self.notes = {"first": [x[:20].astype(np.float64)]}
        return super().fit(x, y)


class Numb(Shares):
    def predict_proba(self, x):
        return np.full((len(x), len(self.classes_)), np.nan)


class Narrow(Shares):
    def predict_proba(self, x):
        return np.ones((len(x), 1))


class Sulking(Shares):
    def fit(self, x, y):
        raise ValueError("not today")


def function():
    pass
'''


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of classifiers in the working folder, which params.yaml there does not name."""
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    yield name
    sys.modules.pop(name, None)


def settings(path: str | None, **options: Any) -> SklearnSettings:
    return settings_from(SklearnSettings, {"class": path, "options": options}, "models.sklearn")


def planned(plan_for: Make, path: str, weighing: str = "cross_entropy", /, **options: Any) -> TrainPlan:
    plan = plan_for("logistic_regression", loss=weighing)
    return plan.model_copy(update={"model": "sklearn", "settings": settings(path, **options)})


NEIGHBOURS = "sklearn.neighbors.KNeighborsClassifier"
CALIBRATED = "sklearn.calibration.CalibratedClassifierCV"
PLAIN: list[tuple[str, dict[str, Any]]] = [
    (NEIGHBOURS, {"n_neighbors": 3, "algorithm": "kd_tree"}),
    ("sklearn.naive_bayes.GaussianNB", {}),
    ("sklearn.svm.SVC", {"probability": True}),
    ("sklearn.ensemble.ExtraTreesClassifier", {"n_estimators": 5}),
    ("sklearn.ensemble.GradientBoostingClassifier", {"n_estimators": 3}),
    ("sklearn.neural_network.MLPClassifier", {"hidden_layer_sizes": [4], "max_iter": 5}),
    ("sklearn.gaussian_process.GaussianProcessClassifier", {}),
    ("sklearn.linear_model.SGDClassifier", {"loss": "log_loss"}),
    ("sklearn.discriminant_analysis.LinearDiscriminantAnalysis", {}),
    (CALIBRATED, {"estimator": {"class": "sklearn.svm.LinearSVC", "options": {"C": 0.5}}}),
    ("imblearn.ensemble.BalancedBaggingClassifier", {"n_estimators": 2}),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("path", "options"), PLAIN, ids=lambda value: str(value).rpartition(".")[2][:30])
def test_a_classifier_of_scikit_learn_is_fitted_saved_and_loaded_the_same(
    wine: Wine,
    wine_featurizer: Featurizer,
    plan_for: Make,
    tmp_path: Path,
    path: str,
    options: dict[str, Any],
) -> None:
    plan = planned(plan_for, path, **options)
    write_plan(plan, tmp_path / "plan.json")
    assert read_plan(TrainPlan, tmp_path / "plan.json") == plan
    classifier = build_classifier(plan, wine[0].schema, wine_featurizer)
    summary = classifier.fit(*wine)
    classifier.save(tmp_path / "model")
    expected = classifier.predict_proba(wine[1])
    np.testing.assert_array_equal(load_classifier(tmp_path / "model").predict_proba(wine[1]), expected)
    np.testing.assert_allclose(expected.sum(axis=1), 1)
    again = build_classifier(plan, wine[0].schema, wine_featurizer)
    again.fit(*wine)
    again.save(tmp_path / "again")
    files = [(tmp_path / folder / "estimator.skops").read_bytes() for folder in ("model", "again")]
    assert files[0] == files[1] and summary.metrics["val/loss"] > 0
    keeps_rows = any(name in path for name in ("KNeighbors", "SVC", "GaussianProcess"))
    assert read_manifest(tmp_path / "model").details.get(HOLDS_ROWS, False) == keeps_rows


@pytest.mark.parametrize("own", ["Shares", "Hoarder"])
def test_a_class_of_ones_own_that_keeps_training_rows_is_found_out(
    wine: Wine, wine_featurizer: Featurizer, plan_for: Make, own_module: str, own: str
) -> None:
    classifier = build_classifier(planned(plan_for, f"{own_module}.{own}"), wine[0].schema, wine_featurizer)
    classifier.fit(*wine)
    classifier.save("model")
    again = load_classifier(Path("model"), trust=[own_module])
    again.save("again")
    for folder in ("model", "again"):
        assert read_manifest(Path(folder)).details.get(HOLDS_ROWS, False) == (own == "Hoarder")


@pytest.mark.parametrize("kind", ["texts", "digits"])
def test_texts_and_images_are_vectors_for_it(digits: Any, plan_for: Make, kind: str) -> None:
    words = {
        "cold": ["snow and ice", "frost in the night", "ice"],
        "warm": ["sun and sand", "hot sun", "sand"],
    }
    rows = [(label, text) for label, texts in words.items() for text in texts]
    columns = {"id": list("abcdef"), "label": [row[0] for row in rows], "text": [row[1] for row in rows]}
    train = digits[0] if kind == "digits" else samples_from_columns(columns, Schema("text", tuple(words)))
    featurizer = fit_featurizer(train, FeatureSettings(), 0)
    classifier = build_classifier(planned(plan_for, NEIGHBOURS, n_neighbors=1), train.schema, featurizer)
    classifier.fit(train, train.take([]))
    assert (classifier.predict_proba(train).argmax(axis=1) == train.codes).mean() > 0.95


def test_a_loss_that_weighs_classes_comes_as_weights_of_rows(
    wine: Wine, wine_featurizer: Featurizer, plan_for: Make
) -> None:
    few = wine[0].take(np.concatenate([np.flatnonzero(wine[0].labels != "c"), [0, 1, 2, 3]]).astype(int)[:80])
    found = []
    for loss in ("cross_entropy", "weighted"):
        classifier = build_classifier(
            planned(plan_for, "sklearn.naive_bayes.GaussianNB", loss), few.schema, wine_featurizer
        )
        classifier.fit(few, few.take([]))
        found.append(classifier)
    assert found[0].effective_prior.max() > found[1].effective_prior.max() == pytest.approx(1 / 2, abs=0.3)
    assert not np.allclose(*(classifier.predict_proba(wine[1]) for classifier in found))


def test_seed_and_threads_of_params_yaml_go_where_the_class_takes_them_and_its_options_win() -> None:
    forest = made_estimator(settings("sklearn.ensemble.RandomForestClassifier"), seed=7, threads=2)
    assert (forest.random_state, forest.n_jobs) == (7, 2)
    told = made_estimator(settings("sklearn.ensemble.RandomForestClassifier", random_state=3), seed=7)
    assert told.random_state == 3
    inner = {"class": "sklearn.tree.DecisionTreeClassifier", "options": {"max_depth": 2}}
    bag = made_estimator(settings("sklearn.ensemble.BaggingClassifier", estimator=inner), seed=7)
    assert (bag.estimator.max_depth, bag.estimator.random_state, bag.random_state) == (2, 7, 7)


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        (None, {}, r"models.sklearn.class is null; name a classifier, such as sklearn"),
        (
            "no_such_package.Classifier",
            {},
            "No module named .*pip install no_such_package",
        ),
        ("sklearn.neighbors.KNeighbours", {}, "sklearn.neighbors has no KNeighbours"),
        ("sklearn.neighbours.KNeighborsClassifier", {}, "cannot be imported: No module named"),
        ("math.sqrt", {}, "is no class with a fit"),
        ("collections.OrderedDict", {}, "is no class with a fit"),
        ("sklearn.preprocessing.StandardScaler", {}, "is no classifier by scikit-learn's rules"),
        ("sklearn.linear_model.LinearRegression", {}, "is no classifier"),
        (
            "sklearn.svm.LinearSVC",
            {},
            "gives no probabilities .*CalibratedClassifierCV.*class: sklearn.svm",
        ),
        (NEIGHBOURS, {"n_neighbour": 2}, "options do not suit KNeighborsClassifier: .*n_neighbour"),
        (NEIGHBOURS, {"n_neighbors": -2}, "options do not suit KNeighborsClassifier: .*n_neighbors"),
        (
            CALIBRATED,
            {"estimator": {"class": "sklearn.svm.LinearSVQ"}},
            "estimator.class .*no LinearSVQ",
        ),
        (
            CALIBRATED,
            {"estimator": {"class": NEIGHBOURS, "options": {"k": 1}}},
            "estimator.options do not",
        ),
        (
            "sklearn.svm.SVC",
            {"probability": True, "class_weight": "balanced"},
            "leave it out and say `loss: wei",
        ),
    ],
)
def test_what_is_no_classifier_is_one_sentence_before_any_work(
    path: str | None, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        made_estimator(settings(path, **options))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["KNeighborsClassifier", "sklearn.", "os.system('x').y", "a b.c"])
def test_a_path_without_dots_or_with_more_is_refused_with_its_key(path: str) -> None:
    with pytest.raises(ParameterError, match=r"models.sklearn.*write a dotted path"):
        settings(path)


def test_a_module_that_breaks_while_it_is_imported_is_one_sentence(own_module: str, tmp_path: Path) -> None:
    (tmp_path / "own_broken.py").write_text("x = (")
    with pytest.raises(RecipeError, match=r"'own_broken.Any' cannot be imported: .*never closed"):
        made_estimator(settings("own_broken.Any"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Sulking", "Sulking cannot be fitted on these rows: not today"),
        ("Numb", "Numb gives probabilities that are no numbers"),
        ("Narrow", "Narrow gives no probability for each of the 3 classes"),
    ],
)
def test_a_class_that_fails_at_its_work_is_one_sentence(
    wine: Wine, wine_featurizer: Featurizer, plan_for: Make, own_module: str, name: str, message: str
) -> None:
    plan = planned(plan_for, f"{own_module}.{name}")
    with pytest.raises(ModelError, match=message):
        build_classifier(plan, wine[0].schema, wine_featurizer).fit(*wine)


def test_a_class_of_ones_own_is_loaded_where_params_yaml_names_it_or_the_user_trusts_it(
    wine: Wine, wine_featurizer: Featurizer, plan_for: Make, own_module: str, tmp_path: Path
) -> None:
    classifier = build_classifier(planned(plan_for, f"{own_module}.Shares"), wine[0].schema, wine_featurizer)
    classifier.fit(*wine)
    classifier.save(tmp_path / "model")
    del sys.modules[own_module]
    with pytest.raises(ModelError, match=rf"holds a {own_module}.Shares, .*--trust {own_module}`"):
        load_classifier(tmp_path / "model")
    assert own_module not in sys.modules  # nothing of it has run
    expected = classifier.predict_proba(wine[1])
    trusted = load_classifier(tmp_path / "model", trust=[own_module])
    np.testing.assert_array_equal(trusted.predict_proba(wine[1]), expected)
    for where in (
        f"models: {{sklearn: {{class: {own_module}.Shares}}}}",
        f"model: {{name: sklearn, class: {own_module}.Other}}",
        f"recipes: {{mine: {{model: {{name: sklearn, class: {own_module}.Shares}}}}}}",
    ):
        (tmp_path / PARAMS_FILE).write_text(where)
        np.testing.assert_array_equal(load_classifier(tmp_path / "model").predict_proba(wine[1]), expected)
    (tmp_path / PARAMS_FILE).write_text(f"recipes: {{mine: {{description: {own_module}.Shares}}}}")
    with pytest.raises(ModelError, match="is not loaded"):
        load_classifier(tmp_path / "model")


def test_a_folder_that_names_another_class_than_it_holds_runs_neither(
    wine: Wine, wine_featurizer: Featurizer, plan_for: Make, own_module: str, tmp_path: Path
) -> None:
    plan = planned(plan_for, "sklearn.naive_bayes.GaussianNB")
    classifier = build_classifier(plan, wine[0].schema, wine_featurizer)
    classifier.fit(*wine)
    classifier.save(tmp_path / "model")
    content = read_json(tmp_path / "model" / "model.json")
    content["plan"]["settings"]["class"] = f"{own_module}.Shares"
    write_sealed(content, tmp_path / "model")
    with pytest.raises(ModelError, match=rf"holds a {own_module}.Shares"):
        load_classifier(tmp_path / "model")
    assert own_module not in sys.modules


def test_a_file_that_names_a_function_of_a_trusted_package_is_not_loaded(
    wine: Wine, wine_featurizer: Featurizer, plan_for: Make, tmp_path: Path
) -> None:
    from sklearn.datasets import fetch_openml
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    from evenly.classifiers.estimator_files import load_estimator, save_estimator

    bomb = make_pipeline(FunctionTransformer(fetch_openml), GaussianNB())
    save_estimator(bomb, "sklearn", tmp_path)
    with pytest.raises(ModelError, match="fetch_openml, which is no class; it is not loaded"):
        load_estimator(settings("sklearn.pipeline.Pipeline"), tmp_path)


def test_a_class_that_only_pickle_could_keep_is_refused_when_it_is_saved(
    wine: Wine, wine_featurizer: Featurizer, plan_for: Make, tmp_path: Path
) -> None:
    from sklearn.naive_bayes import GaussianNB

    from evenly.classifiers.estimator_files import save_estimator

    model = GaussianNB()
    model.kept_ = (line for line in ())
    with pytest.raises(ModelError, match="A GaussianNB cannot be saved without pickle"):
        save_estimator(model, "sklearn", tmp_path)


KNN = {"name": "sklearn", "class": NEIGHBOURS}


def plans(wine: Wine, balancing: str = "none", **changes: Any) -> TrainPlan:
    values = read_yaml(ROOT / PARAMS_FILE) | {"balancing": balancing, "dataset": "wine"} | changes
    params = settings_from(Params, values, PARAMS_FILE)
    entry = settings_from(
        DatasetEntry, {"modality": "table", "builtin": "wine", "licence": "x"}, "datasets.yaml"
    )
    return make_plans(wine[0].counts, wine[0].schema, params, entry, {}).train


def test_params_yaml_names_it_at_the_top_under_models_or_in_a_recipe(wine: Wine) -> None:
    own = {"name": "sklearn", "class": NEIGHBOURS, "options": {"n_neighbors": 2}}
    top = plans(wine, model=own)
    assert (top.model, top.settings.title) == ("sklearn", "KNeighborsClassifier")
    models = read_yaml(ROOT / PARAMS_FILE)["models"]
    models["sklearn"] = {"class": NEIGHBOURS, "options": {"n_neighbors": 2}}
    recipes = read_yaml(ROOT / PARAMS_FILE)["recipes"] | {"mine": {"model": own}}
    assert plans(wine, model="sklearn", models=models) == top == plans(wine, "mine", recipes=recipes)
    forest = plans(wine, model={"name": "random_forest", "trees": 7})
    assert forest.settings.trees == 7  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "sklearn"}, "models.sklearn.class is null"),
        ({"model": {"name": "sklearn", "class": "KNN"}}, "params.yaml: models.sklearn.*write a dotted path"),
        ({"model": {"name": "sklearn", "klass": NEIGHBOURS}}, "models.sklearn.klass is not a known key"),
        ({"model": {"class": NEIGHBOURS}}, "params.yaml: model"),
        (
            {"model": KNN, "loss": "weighted"},
            "Classifier takes none",
        ),
        ({"model": KNN, "balancing": "hard_examples"}, "a second round"),
        (
            {"model": KNN, "loss": "focal"},
            "loss focal does not exist for skl",
        ),
    ],
)
def test_what_params_yaml_gets_wrong_is_one_sentence(
    wine: Wine, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(EvenlyError, match=message):
        plans(wine, **changes)
