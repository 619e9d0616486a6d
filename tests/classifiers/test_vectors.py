from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.ensemble._hist_gradient_boosting import binning

from evenly.classifiers import build_classifier, load_classifier
from evenly.classifiers.classifier import HOLDS_ROWS, read_manifest, write_sealed
from evenly.classifiers.estimators import _bins_of_weighted_rows, fit_estimator
from evenly.classifiers.weights import origin_weights, rows_per_class, smoothed_prior
from evenly.errors import ModelError, RecipeError
from evenly.evaluation.decisions import prior_offsets
from evenly.features import Featurizer, fit_featurizer
from evenly.params.features import FeatureSettings
from evenly.params.losses import CrossEntropySettings, FocalSettings, LossSettings
from evenly.params.models import ModelName
from evenly.plans import TrainPlan, write_plan
from evenly.samples import SampleTable, Schema, samples_from_columns, write_samples

VECTOR_MODELS: list[ModelName] = [
    "logistic_regression",
    "random_forest",
    "hist_gradient_boosting",
    "catboost",
    "lightgbm",
    "xgboost",
]
EXTRAS = ("catboost", "lightgbm", "xgboost")
#: They draw as many rows of every class by themselves.
BALANCED_MODELS: list[ModelName] = ["easy_ensemble", "balanced_random_forest", "rusboost"]
PlanMaker = Callable[..., TrainPlan]
Wine = tuple[SampleTable, SampleTable]


@pytest.fixture(autouse=True)
def _extras_where_installed(request: pytest.FixtureRequest) -> None:
    callspec = getattr(request.node, "callspec", None)
    if callspec and callspec.params.get("model") in EXTRAS and "missing" not in request.node.name:
        pytest.importorskip(callspec.params["model"])


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("model", [*VECTOR_MODELS, *BALANCED_MODELS])
def test_a_loaded_model_stands_alone_and_gives_identical_probabilities(
    wine: Wine, wine_featurizer: Featurizer, plan_for: PlanMaker, tmp_path: Path, model: ModelName
) -> None:
    train, validation = wine
    classifier = build_classifier(plan_for(model), train.schema, wine_featurizer)
    summary = classifier.fit(train, validation)
    assert summary.metrics["val/macro_f1"] > 0.85
    assert summary.metrics["train/macro_f1"] > 0.9
    classifier.save(tmp_path / "model")
    (tmp_path / "model").rename(tmp_path / "moved")
    loaded = load_classifier(tmp_path / "moved")
    expected = classifier.predict_proba(validation)
    np.testing.assert_array_equal(loaded.predict_proba(validation), expected)
    np.testing.assert_array_equal(loaded.effective_prior, classifier.effective_prior)
    assert expected.dtype == np.float64
    np.testing.assert_allclose(expected.sum(axis=1), 1)
    assert loaded.predict_proba(validation.take([])).shape == (0, 3)
    loaded.save(tmp_path / "copy")
    np.testing.assert_array_equal(load_classifier(tmp_path / "copy").predict_proba(validation), expected)


FIT_AND_SAVE = """
import sys
from evenly.classifiers import build_classifier
from evenly.features import load_featurizer
from evenly.plans import TrainPlan, read_plan
from evenly.samples import read_samples


def fit_and_save(folder, out, models):
    train, validation = read_samples(f"{folder}/train.parquet"), read_samples(f"{folder}/val.parquet")
    for model in models:
        plan = read_plan(TrainPlan, f"{folder}/{model}.json")
        classifier = build_classifier(plan, train.schema, load_featurizer(f"{folder}/featurizer"))
        classifier.fit(train, validation)
        classifier.save(f"{out}/{model}")


if __name__ == "__main__":
    fit_and_save(sys.argv[1], sys.argv[2], sys.argv[3:])
"""


def test_two_processes_write_the_same_bytes(
    wine: Wine, wine_featurizer: Featurizer, plan_for: PlanMaker, tmp_path: Path
) -> None:
    models = [m for m in (*VECTOR_MODELS, *BALANCED_MODELS) if m not in EXTRAS or importlib.util.find_spec(m)]
    write_samples(wine[0], tmp_path / "train.parquet")
    write_samples(wine[1], tmp_path / "val.parquet")
    wine_featurizer.save(tmp_path / "featurizer")
    for model in models:
        write_plan(
            plan_for(model, **({"trees": 3} if model == "random_forest" else {})), tmp_path / f"{model}.json"
        )
    here: dict[str, Any] = {"__name__": "here"}
    exec(FIT_AND_SAVE, here)
    here["fit_and_save"](tmp_path, tmp_path / "one", models)
    command = [sys.executable, "-c", FIT_AND_SAVE, str(tmp_path), str(tmp_path / "two"), *models]
    subprocess.run(command, check=True)
    first = folder_bytes(tmp_path / "one")
    assert len(first) >= 3 * len(models)
    assert first == folder_bytes(tmp_path / "two")


@pytest.mark.parametrize("model", VECTOR_MODELS)
def test_class_weights_raise_the_probability_of_rare_classes(
    wine: Wine, wine_featurizer: Featurizer, plan_for: PlanMaker, model: ModelName
) -> None:
    train, validation = wine
    rare = np.flatnonzero(train.labels == "c")[4:]
    tailed = train.take(np.setdiff1d(np.arange(len(train)), rare))
    means = {}
    for loss in ("cross_entropy", "class_balanced", "weighted"):
        small = {"rounds": 3} if "boost" in model else {}
        deep = {"max_depth": 2} if model == "random_forest" else {}
        plan = plan_for(model, loss=loss, **small, **deep)
        classifier = build_classifier(plan, train.schema, wine_featurizer)
        classifier.fit(tailed, validation)
        means[loss] = classifier.predict_proba(validation)[:, 2].mean()
        if loss == "weighted":
            np.testing.assert_allclose(classifier.effective_prior, 1 / 3)
    assert means["cross_entropy"] < means["class_balanced"] < means["weighted"] + 0.05
    assert means["cross_entropy"] < means["weighted"]


@pytest.mark.parametrize("model", VECTOR_MODELS)
def test_a_class_without_a_row_keeps_its_column(
    wine: Wine, wine_featurizer: Featurizer, plan_for: PlanMaker, tmp_path: Path, model: ModelName
) -> None:
    train, validation = wine
    classifier = build_classifier(plan_for(model, loss="weighted"), train.schema, wine_featurizer)
    classifier.fit(train.take(train.labels != "b"), validation)
    classifier.save(tmp_path / "model")
    probabilities = load_classifier(tmp_path / "model").predict_proba(validation)
    assert probabilities.shape == (len(validation), 3)
    assert (probabilities[:, 1] == 0).all() and (probabilities[:, [0, 2]].max(axis=0) > 0.8).all()
    assert (classifier.effective_prior > 0).all()


@pytest.mark.parametrize("model", [*VECTOR_MODELS, *BALANCED_MODELS])
def test_classes_of_one_row_can_be_fitted(
    wine: Wine, wine_featurizer: Featurizer, plan_for: PlanMaker, model: ModelName
) -> None:
    train, validation = wine
    rows = [int(np.flatnonzero(train.labels == name)[0]) for name in "abc"]
    classifier = build_classifier(plan_for(model), train.schema, wine_featurizer)
    classifier.fit(train.take(rows), validation)
    assert np.isfinite(classifier.predict_proba(validation)).all()


@pytest.mark.parametrize("model", VECTOR_MODELS)
def test_rows_of_weight_zero_teach_nothing(
    wine: Wine, wine_featurizer: Featurizer, plan_for: PlanMaker, model: ModelName
) -> None:
    train, validation = wine
    plan = plan_for(model)
    weight = np.where(train.labels == "a", 1e-9, 1.0)
    classifier = build_classifier(plan, train.schema, wine_featurizer)
    classifier.fit(train, validation.take(validation.labels != "a"), sample_weight=weight)
    assert not (classifier.predict_proba(validation).argmax(axis=1) == 0).any()


def tailed(wine: Wine) -> SampleTable:
    """The training rows of wine, with five of the class c."""
    return wine[0].take(np.setdiff1d(np.arange(len(wine[0])), np.flatnonzero(wine[0].labels == "c")[5:]))


@pytest.mark.parametrize("model", BALANCED_MODELS)
def test_balanced_ensembles_speak_of_balanced_classes_until_the_prior_is_adjusted(
    wine: Wine, wine_featurizer: Featurizer, plan_for: PlanMaker, model: ModelName
) -> None:
    train = tailed(wine)
    small = {"max_depth": 2, "min_samples_leaf": 8} if "forest" in model else {"rounds": 10}
    balanced = build_classifier(plan_for(model, **small), train.schema, wine_featurizer)
    balanced.fit(train, wine[1])
    np.testing.assert_allclose(balanced.effective_prior, 1 / 3)
    natural = smoothed_prior(rows_per_class(train.codes, 3))
    scores = balanced.predict_proba(train)
    adjusted = np.exp(np.log(scores) + prior_offsets(natural, balanced.effective_prior))
    adjusted /= adjusted.sum(axis=1, keepdims=True)
    assert natural[2] < 0.07 and scores[:, 2].mean() > 0.2
    assert abs(adjusted[:, 2].mean() - natural[2]) < abs(scores[:, 2].mean() - natural[2]) / 2
    part = build_classifier(plan_for(model, **small), train.schema, wine_featurizer)
    part.fit(train.take(train.labels != "b"), wine[1])
    assert part.effective_prior[0] == pytest.approx(part.effective_prior[2]) and part.effective_prior[1] > 0
    assert (part.predict_proba(train)[:, 1] == 0).all()


@pytest.mark.parametrize("model", BALANCED_MODELS)
def test_balanced_ensembles_do_not_depend_on_the_number_of_threads(
    wine: Wine, wine_featurizer: Featurizer, plan_for: PlanMaker, model: ModelName
) -> None:
    found = []
    for threads in (1, 2):
        plan = plan_for(model).model_copy(update={"threads": threads})
        classifier = build_classifier(plan, wine[0].schema, wine_featurizer)
        classifier.fit(*wine)
        found.append(classifier.predict_proba(wine[1]))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


def test_a_balanced_ensemble_takes_no_second_balancing_and_no_weights_that_it_would_ignore(
    wine: Wine, wine_featurizer: Featurizer, plan_for: PlanMaker
) -> None:
    for model in BALANCED_MODELS:
        with pytest.raises(RecipeError, match=f"weighted does not exist for {model}, which balances the cl"):
            build_classifier(plan_for(model, loss="weighted"), wine[0].schema, wine_featurizer)
        with pytest.raises(RecipeError, match=f"{model} does not take image data"):
            build_classifier(plan_for(model), Schema("image", ("a", "b")), None)
    weight = np.where(wine[0].labels == "a", 0.5, 1.0)
    fitted = build_classifier(plan_for("easy_ensemble"), wine[0].schema, wine_featurizer)
    with pytest.raises(ModelError, match=r"easy_ensemble takes no weights of rows.*synthetic_weight"):
        fitted.fit(*wine, sample_weight=weight)
    forest = build_classifier(plan_for("balanced_random_forest"), wine[0].schema, wine_featurizer)
    forest.fit(*wine, sample_weight=weight)
    np.testing.assert_allclose(forest.effective_prior, [0.2, 0.4, 0.4])


def test_boosting_on_few_rows_shrinks_its_leaves_instead_of_predicting_one_class(
    wine: Wine, wine_featurizer: Featurizer, plan_for: PlanMaker
) -> None:
    train, validation = wine
    few = train.take(np.concatenate([np.flatnonzero(train.labels == name)[:9] for name in "abc"]))
    classifier = build_classifier(plan_for("hist_gradient_boosting"), train.schema, wine_featurizer)
    summary = classifier.fit(few, validation)
    assert summary.metrics["val/macro_f1"] > 0.7
    assert summary.notes == (
        "min_samples_leaf is 9 instead of 20: with 27 training rows no tree could split otherwise.",
    )
    assert not classifier.fit(train, validation).notes


@pytest.mark.parametrize("model", ["hist_gradient_boosting", *EXTRAS])
def test_boosting_keeps_the_round_with_the_best_validation_loss(
    wine: Wine, wine_featurizer: Featurizer, plan_for: PlanMaker, model: ModelName
) -> None:
    train, validation = wine
    shuffled = np.random.default_rng(0).permutation(len(validation))
    labels = validation.labels.copy()
    labels[shuffled[:20]] = labels[shuffled[20:40]]  # noise that confident trees are punished for
    noisy = validation.with_column("label", list(labels))
    plan = plan_for(model, patience=200, rounds=80, learning_rate=0.3)
    kept = build_classifier(plan, train.schema, wine_featurizer).fit(train, noisy)
    assert kept.steps == 80 and kept.best_step is not None and kept.best_step < 60
    exact = plan_for(model, rounds=kept.best_step + 1, patience=200, learning_rate=0.3)
    unstopped = build_classifier(exact, train.schema, wine_featurizer).fit(train, noisy)
    assert unstopped.metrics["val/loss"] == pytest.approx(kept.metrics["val/loss"])
    stopped = build_classifier(
        plan_for(model, rounds=80, patience=3, learning_rate=0.3), train.schema, wine_featurizer
    )
    assert stopped.fit(train, noisy).steps < 80


def test_without_validation_rows_all_rounds_are_run(
    wine: Wine, wine_featurizer: Featurizer, plan_for: PlanMaker
) -> None:
    train, validation = wine
    classifier = build_classifier(plan_for("hist_gradient_boosting", rounds=7), train.schema, wine_featurizer)
    summary = classifier.fit(train, validation.take([]))
    assert (summary.steps, summary.best_step) == (7, 6)
    assert not any(name.startswith("val/") for name in summary.metrics)


def test_texts_and_images_are_fitted_as_vectors(digits: Wine, plan_for: PlanMaker, tmp_path: Path) -> None:
    schema = Schema("text", ("cold", "warm"))
    words = {
        "cold": ["snow and ice", "frost in the night", "ice cold frost"],
        "warm": ["sun and sand", "hot sun", "sand"],
    }
    rows = [(label, text) for label, texts in words.items() for text in texts] * 4
    texts = samples_from_columns(
        {
            "id": [str(i) for i in range(len(rows))],
            "label": [r[0] for r in rows],
            "text": [r[1] for r in rows],
        },
        schema,
    )
    for table, model in ((texts, "logistic_regression"), (digits[0], "random_forest")):
        featurizer = fit_featurizer(table, FeatureSettings(), seed=0)
        classifier = build_classifier(plan_for(model), table.schema, featurizer)
        summary = classifier.fit(table, table)
        classifier.save(tmp_path / model)
        assert summary.metrics["val/macro_f1"] > 0.95
        np.testing.assert_array_equal(
            load_classifier(tmp_path / model).predict_proba(table), classifier.predict_proba(table)
        )


def test_an_unconverged_regression_says_so(
    wine: Wine, wine_featurizer: Featurizer, plan_for: PlanMaker
) -> None:
    plan = plan_for("logistic_regression", max_iter=1)
    summary = build_classifier(plan, wine[0].schema, wine_featurizer).fit(*wine)
    assert "had not converged after 1 iterations" in summary.notes[0]


# -- refusals --


@pytest.mark.parametrize("model", VECTOR_MODELS)
@pytest.mark.parametrize("loss", ["focal", "ldam", "balanced_softmax", "logit_adjusted"])
def test_losses_that_do_not_exist_for_a_model_are_refused_by_name(
    wine: Wine, wine_featurizer: Featurizer, plan_for: PlanMaker, model: ModelName, loss: str
) -> None:
    with pytest.raises(
        RecipeError, match=f"loss {loss} does not exist for {model}; it takes class_balanced, cross_en"
    ):
        build_classifier(plan_for(model, loss=loss), wine[0].schema, wine_featurizer)


def test_samplers_smoothing_and_modalities_are_refused_by_name(
    wine: Wine, wine_featurizer: Featurizer, plan_for: PlanMaker
) -> None:
    schema = wine[0].schema
    with pytest.raises(RecipeError, match="sampler square_root does not exist for random_forest"):
        build_classifier(plan_for("random_forest", sampler="square_root"), schema, wine_featurizer)
    smooth = LossSettings(cross_entropy=CrossEntropySettings(label_smoothing=0.1))
    with pytest.raises(RecipeError, match="random_forest has no label smoothing"):
        build_classifier(plan_for("random_forest", losses=smooth), schema, wine_featurizer)
    with pytest.raises(RecipeError, match="small_cnn does not take table data; choose one of balanced_"):
        build_classifier(plan_for("small_cnn"), schema, None)
    wrong = LossSettings(focal=FocalSettings(alpha={"nine": 2.0}))
    with pytest.raises(RecipeError, match=r"losses\.focal\.alpha names 'nine'"):
        build_classifier(plan_for("small_cnn", loss="focal", losses=wrong), Schema("image", ("a", "b")), None)


def test_fewer_than_two_classes_are_refused(
    wine: Wine, wine_featurizer: Featurizer, plan_for: PlanMaker
) -> None:
    train, validation = wine
    classifier = build_classifier(plan_for("logistic_regression"), train.schema, wine_featurizer)
    with pytest.raises(ModelError, match="rows of the class 'a' alone"):
        classifier.fit(train.take(train.labels == "a"), validation)
    with pytest.raises(ModelError, match="has no rows"):
        classifier.fit(train.take([]), validation)


@pytest.fixture
def saved(wine: Wine, wine_featurizer: Featurizer, plan_for: PlanMaker, tmp_path: Path) -> Path:
    classifier = build_classifier(plan_for("random_forest"), wine[0].schema, wine_featurizer)
    classifier.fit(*wine)
    classifier.save(tmp_path / "model")
    return tmp_path / "model"


def test_a_file_that_names_foreign_types_is_not_loaded(saved: Path) -> None:
    path = saved / "estimator.skops"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["schema.json"] = members["schema.json"].replace(b"RandomForestClassifier", b"Popen", 1)
    members["schema.json"] = members["schema.json"].replace(b"sklearn.ensemble._forest", b"subprocess", 1)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    write_sealed(json.loads((saved / "model.json").read_text()), saved)
    with pytest.raises(
        ModelError, match=r"names the type subprocess\.Popen, which no random_forest consists of"
    ):
        load_classifier(saved)


def test_folders_that_hold_no_whole_model_are_one_sentence(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist; give the folder of a trained model"):
        load_classifier(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"holds no model: there is no model\.json"):
        load_classifier(tmp_path / "empty")
    (saved / "estimator.skops").write_bytes(b"torn")
    with pytest.raises(ModelError, match=r"damaged folder: estimator\.skops has changed"):
        load_classifier(saved)
    (saved / "estimator.skops").unlink()
    with pytest.raises(
        ModelError, match=r"damaged folder: estimator\.skops does not exist; copy the model anew"
    ):
        load_classifier(saved)
    manifest = json.loads((saved / "model.json").read_text())
    (saved / "model.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(ModelError, match="has format 99, this version reads 2"):
        load_classifier(saved)
    (saved / "model.json").write_text("{")
    with pytest.raises(ModelError, match="is damaged"):
        load_classifier(saved)


def test_another_library_version_is_a_warning(saved: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest = json.loads((saved / "model.json").read_text())
    manifest["libraries"]["scikit-learn"] = "0.1"
    write_sealed(manifest, saved)
    load_classifier(saved)
    assert "scikit-learn 0.1, now" in caplog.text


@pytest.mark.parametrize("model", [*EXTRAS, "tabicl"])
def test_a_missing_extra_is_one_sentence(
    wine: Wine,
    wine_featurizer: Featurizer,
    plan_for: PlanMaker,
    monkeypatch: pytest.MonkeyPatch,
    model: ModelName,
) -> None:
    monkeypatch.setitem(sys.modules, model, None)
    classifier = build_classifier(plan_for(model), wine[0].schema, wine_featurizer)
    with pytest.raises(ModelError, match=rf"pip install 'evenly\[{model}\]'"):
        classifier.fit(*wine)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint of TabICL whose weights nobody has trained."""
    pytest.importorskip("tabicl")
    import torch
    from tabicl._model.tabicl import TabICL

    config = {"embed_dim": 16, "col_num_blocks": 1, "col_nhead": 2, "col_num_inds": 4, "row_num_blocks": 1}
    config |= {"row_nhead": 2, "row_num_cls": 2, "icl_num_blocks": 1, "icl_nhead": 2}
    torch.manual_seed(1)
    network = TabICL(**config)
    for value in network.parameters():  # what starts at zero would make all rows alike
        torch.nn.init.normal_(value, std=0.3) if value.ndim > 1 else None
    path = tmp_path_factory.mktemp("tabicl") / "tiny.ckpt"
    torch.save({"config": config, "state_dict": network.state_dict()}, path)
    return path


def test_tabicl_keeps_rows_and_weights_in_its_folder(
    wine: Wine, wine_featurizer: Featurizer, plan_for: PlanMaker, tmp_path: Path, checkpoint: Path
) -> None:
    train, validation = wine
    mine = tmp_path / "mine.ckpt"
    mine.write_bytes(checkpoint.read_bytes())
    plan = plan_for("tabicl", pretrained=str(mine), members=2)
    classifier = build_classifier(plan, train.schema, wine_featurizer)
    classifier.fit(train, validation)
    classifier.save(tmp_path / "model")
    mine.unlink()
    expected = classifier.predict_proba(validation)
    np.testing.assert_allclose(expected.sum(axis=1), 1)
    assert len(np.unique(expected[:, 0])) > 5
    loaded = load_classifier(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(validation), expected)
    loaded.save(tmp_path / "copy")
    assert folder_bytes(tmp_path / "copy") == folder_bytes(tmp_path / "model")
    assert read_manifest(tmp_path / "model").details[HOLDS_ROWS]
    (tmp_path / "model" / "estimator.ckpt").write_bytes(b"no weights")
    with pytest.raises(ModelError, match=r"estimator\.ckpt"):
        load_classifier(tmp_path / "model")


def test_tabicl_is_refused_without_weights_and_for_rows_that_weigh(
    wine: Wine,
    wine_featurizer: Featurizer,
    plan_for: PlanMaker,
    tmp_path: Path,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, validation = wine

    def fitted(pretrained: Path | str, weight: np.ndarray | None = None) -> None:
        plan = plan_for("tabicl", pretrained=str(pretrained), members=1)
        build_classifier(plan, train.schema, wine_featurizer).fit(train, validation, sample_weight=weight)

    damaged = tmp_path / "damaged.ckpt"
    damaged.write_bytes(checkpoint.read_bytes()[:500])
    with pytest.raises(ModelError, match=r"^models\.tabicl\.pretrained: \S+damaged\.ckpt is no checkpoint"):
        fitted(damaged)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for missing in (tmp_path / "none.ckpt", "nobody/nothing"):
        with pytest.raises(ModelError, match=rf"^models\.tabicl\.pretrained: {missing} is no file here"):
            fitted(missing)
    with pytest.raises(ModelError, match="tabicl takes no weights of rows"):
        fitted(checkpoint, np.linspace(1, 2, len(train)))


def test_importing_the_package_is_light() -> None:
    heavy = "[m for m in ('torch', 'sklearn', 'pandas', 'cv2', 'catboost', 'skops') if m in sys.modules]"
    code = f"import sys, evenly.classifiers; found = {heavy}; assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)


def weighted_rows(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(count, 4)).astype(np.float32)
    vectors[::7, 1], vectors[:, 2] = np.nan, np.round(vectors[:, 2])
    codes = np.where(vectors[:, 0] + vectors[:, 3] > 1, 2, (vectors[:, 3] > 0).astype(np.int64))
    return vectors, codes, rng.uniform(0.1, 3, count)


def test_boosted_trees_get_no_weights_where_all_are_equal(
    plan_for: PlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[object] = []
    fit = HistGradientBoostingClassifier.fit

    def noted(self: Any, x: Any, y: Any, weight: object = None, **more: Any) -> object:
        passed.extend([weight, more.get("sample_weight_val")])
        return fit(self, x, y, weight, **more)

    monkeypatch.setattr(HistGradientBoostingClassifier, "fit", noted)
    vectors, codes, _ = weighted_rows(900)
    train, held_out = (vectors, codes, np.ones(900)), (vectors[:100], codes[:100], np.full(100, 1.2))
    plain = fit_estimator(plan_for("hist_gradient_boosting"), train, held_out).estimator
    assert passed == [None, None]
    more = dict(zip(("X_val", "y_val", "sample_weight_val"), held_out, strict=True))
    weighted = HistGradientBoostingClassifier(**plain.get_params()).fit(*train, **more)
    assert passed[2] is not None
    np.testing.assert_array_equal(plain.predict_proba(vectors), weighted.predict_proba(vectors))


def test_boosted_trees_on_weighted_rows_are_those_of_scikit_learn(
    plan_for: PlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, codes, weight = weighted_rows(900)
    weight[:50] = 0
    counts: list[int] = []
    percentile = binning._weighted_percentile
    monkeypatch.setattr(
        binning, "_weighted_percentile", lambda *a, **k: counts.append(1) or percentile(*a, **k)
    )
    none = (vectors[:0], codes[:0], weight[:0])
    ours = fit_estimator(plan_for("hist_gradient_boosting"), (vectors, codes, weight), none).estimator
    assert not counts  # one pass a column is ours
    theirs = HistGradientBoostingClassifier(**ours.get_params()).fit(vectors, codes, weight)
    assert len(counts) > 500
    np.testing.assert_array_equal(ours.predict_proba(vectors), theirs.predict_proba(vectors))


def test_boosted_trees_need_no_private_name_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(binning, "_weighted_percentile")
    with _bins_of_weighted_rows():
        assert not hasattr(binning, "_weighted_percentile")


@pytest.mark.parametrize(
    ("by", "outcome"),
    [
        (
            "evenly.api.model",
            "{'sklearn.svm._classes.LinearSVC', 'sklearn.impute._knn.KNNImputer'} <= {*trusted}",
        ),
        ("evenly.cli", "not {'sklearn.gaussian_process', 'pytest'} & {*sys.modules}"),
    ],
    ids=["a program that may use skops itself", "a stage or a command"],
)
def test_estimators_are_read_without_torch_and_in_stages_without_all_of_scikit_learn(
    saved: Path, by: str, outcome: str
) -> None:
    code = (
        f"import sys, {by}\n"
        "from pathlib import Path\n"
        "from evenly.classifiers.estimator_files import load_estimator\n"
        "from evenly.params.models import RandomForestSettings\n"
        f"estimator = load_estimator(RandomForestSettings(), Path({str(saved)!r}))\n"
        "assert 'torch' not in sys.modules\n"
        "from skops.io._trusted_types import SKLEARN_ESTIMATOR_TYPE_NAMES as trusted\n"
        f"assert {outcome}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("model", ["logistic_regression"])
def test_training_rows_of_weight_two_are_doubled_rows(
    wine: Wine, wine_featurizer: Featurizer, plan_for: PlanMaker, model: ModelName
) -> None:
    train, validation = wine
    weights = np.random.default_rng(2).integers(1, 4, len(train))
    weighed = train.with_column("sample_weight", weights.astype(float))
    copies = train.table.take(np.repeat(np.arange(len(train)), weights))
    place = copies.column_names.index("id")
    doubled = SampleTable(
        copies.set_column(place, "id", [[str(k) for k in range(len(copies))]]), train.schema
    )
    found = []
    for rows in (weighed, doubled, train):
        classifier = build_classifier(plan_for(model), rows.schema, wine_featurizer)
        classifier.fit(rows, validation, sample_weight=origin_weights(rows, 1))
        found.append((classifier.predict_proba(validation), classifier.effective_prior))
    for one, other in zip(found[0], found[1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert np.abs(found[0][0] - found[2][0]).max() > 1e-3
