"""The linear model on words and characters of texts, which is the default for texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evenly.classifiers import build_classifier, load_classifier
from evenly.classifiers.estimators import fit_estimator
from evenly.errors import ModelError, RecipeError
from evenly.features import fit_featurizer
from evenly.params.features import FeatureSettings, TextFeatures
from evenly.params.models import LogisticRegressionSettings
from evenly.plans import TrainPlan
from evenly.samples import SampleTable, Schema, concatenate, samples_from_columns

PlanMaker = Callable[..., TrainPlan]
WORDS = [a + b for a in ("ba", "do", "fi", "gu", "ke", "lo", "mi", "nu") for b in ("r", "st", "x", "lm", "p")]


def texts(texts: list[str], labels: list[str], name: str = "t") -> SampleTable:
    columns = {"id": [f"{name}{k:04}" for k in range(len(texts))], "label": labels, "text": texts}
    return samples_from_columns(columns, Schema("text", ("a", "b")))


def sentences(rows: int, wrong: float = 0.0, seed: int = 0, share: float = 0.5) -> SampleTable:
    """Random words, one of which tells the class; some labels are wrong."""
    rng = np.random.default_rng(seed)
    labels = rng.random(rows) < share
    found = [" ".join([*rng.choice(WORDS, 6), "yes" if label else "nay"]) for label in labels]
    flipped = labels ^ (rng.random(rows) < wrong)
    return texts(found, ["b" if label else "a" for label in flipped], f"s{seed}-")


def test_a_model_of_terms_needs_no_featurizer_and_is_the_same_when_read_back(
    plan_for: PlanMaker, tmp_path: Path
) -> None:
    plan = plan_for("logistic_regression", reads="terms")
    train, validation = sentences(200), sentences(120, seed=1)
    for name in ("one", "two"):
        classifier = build_classifier(plan, train.schema, None)
        assert classifier.fit(train, validation).metrics["val/macro_f1"] > 0.97
        classifier.save(tmp_path / name)
    files = [
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in ("one", "two")
    ]
    assert files[0] == files[1]
    assert {path.suffix for path in files[0]} == {".json", ".npz", ".skops"}
    loaded = load_classifier(tmp_path / "one")
    np.testing.assert_array_equal(loaded.predict_proba(validation), classifier.predict_proba(validation))
    assert loaded.predict_proba(validation.take([])).shape == (0, 2)


def test_rare_words_decide_that_few_dimensions_do_not_hold(plan_for: PlanMaker) -> None:
    train, validation = sentences(300), sentences(200, seed=1)
    vectors = fit_featurizer(train, FeatureSettings(text=TextFeatures(dimensions=2)), seed=0)
    scores = {}
    for reads in ("vectors", "terms", "both"):
        classifier = build_classifier(plan_for("logistic_regression", reads=reads), train.schema, vectors)
        scores[reads] = classifier.fit(train, validation).metrics["val/macro_f1"]
    assert scores["vectors"] < 0.9 < 0.97 < min(scores["terms"], scores["both"])


def test_chinese_is_read_without_spaces(plan_for: PlanMaker) -> None:
    balance = ["我想查询银行卡的余额", "请帮我查一下账户余额", "银行卡余额是多少"]
    weather = ["今天天气很好适合出门", "明天的天气怎么样", "周末天气会下雨吗"]
    train = texts([*balance, *weather], list("aaabbb"))
    classifier = build_classifier(plan_for("logistic_regression", reads="terms"), train.schema, None)
    classifier.fit(train, train.take([]))
    new = texts(["余额还剩多少呢", "后天天气好不好"], ["a", "b"])
    assert classifier.predict_proba(new).argmax(axis=1).tolist() == [0, 1]


def penalty(plan: TrainPlan, train: SampleTable, validation: SampleTable) -> tuple[float, str]:
    classifier = build_classifier(plan, train.schema, None)
    note = classifier.fit(train, validation).notes[0]
    return float(note.split()[2].rstrip(",")), note


@pytest.mark.parametrize("validation", [150, 20])
def test_wrong_labels_ask_for_a_stronger_penalty_than_right_ones(
    plan_for: PlanMaker, validation: int
) -> None:
    plan = plan_for("logistic_regression", reads="terms")
    clean, note = penalty(plan, sentences(240), sentences(validation, seed=1))
    noisy, _ = penalty(plan, sentences(240, wrong=0.3), sentences(validation, wrong=0.3, seed=1))
    assert noisy < 10 < clean
    where = "150 validation rows" if validation == 150 else "3 folds of the training rows"
    assert note.endswith(f"by the loss on {where}.")
    fixed = build_classifier(plan_for("logistic_regression", reads="terms", C=2.5), sentences(2).schema, None)
    assert not fixed.fit(sentences(60), sentences(20)).notes


def test_copies_of_a_row_are_held_out_together(plan_for: PlanMaker) -> None:
    """Parted from their copies, rows under random labels would be known by heart."""
    rng = np.random.default_rng(0)
    vectors, codes = rng.normal(size=(60, 200)).astype(np.float32), rng.integers(0, 2, 60)
    rows = np.repeat(vectors, 4, axis=0), np.repeat(codes, 4), np.ones(240)
    plan = plan_for("logistic_regression", reads="terms")
    nothing = vectors[:0], codes[:0], np.ones(0)
    together = fit_estimator(plan, rows, nothing, np.repeat(np.arange(60), 4)).estimator.C
    assert together < fit_estimator(plan, rows, nothing).estimator.C


def test_class_weights_and_row_weights_reach_the_terms(plan_for: PlanMaker) -> None:
    train, validation = sentences(300, wrong=0.2, share=0.1), sentences(150, wrong=0.2, seed=1)
    means = {}
    for loss in ("cross_entropy", "weighted"):
        plan = plan_for("logistic_regression", reads="terms", loss=loss)
        classifier = build_classifier(plan, train.schema, None)
        classifier.fit(train, validation)
        means[loss] = classifier.predict_proba(validation)[:, 1].mean()
    assert means["cross_entropy"] + 0.1 < means["weighted"]
    np.testing.assert_allclose(classifier.effective_prior, 0.5)
    weight = np.where(train.labels == "b", 1e-9, 1.0)
    classifier = build_classifier(plan_for("logistic_regression", reads="terms"), train.schema, None)
    classifier.fit(train, validation.take([]), sample_weight=weight)
    assert classifier.predict_proba(validation)[:, 1].max() < 0.01


def test_rows_without_a_text_are_refused_where_terms_are_read_and_said_where_vectors_are(
    plan_for: PlanMaker,
) -> None:
    train = sentences(60)
    vectors = fit_featurizer(train, FeatureSettings(), seed=0)
    made = train.take([0]).with_column("id", ["made"])
    for name, column in vectors.payload(vectors.transform(train.take([1]))).items():
        made = made.with_column(name, column)
    rows = concatenate([train, made])
    terms = build_classifier(plan_for("logistic_regression", reads="terms"), train.schema, vectors)
    with pytest.raises(ModelError, match=r"Row 'made' \(real\) has no text.*reads: vectors"):
        terms.fit(rows, train)
    notes = build_classifier(plan_for("logistic_regression"), train.schema, vectors).fit(rows, train).notes
    assert notes[-1].startswith("1 of 61 training rows are vectors without a text")


def test_what_auto_reads_is_resolved_by_data_and_recipe() -> None:
    auto = LogisticRegressionSettings()
    assert auto.resolved("table", vector_rows=False, encoder=False).reads == "vectors"
    assert auto.resolved("text", vector_rows=False, encoder=False).reads == "terms"
    assert auto.resolved("text", vector_rows=False, encoder=True).reads == "both"
    assert auto.resolved("text", vector_rows=True, encoder=True).reads == "vectors"
    terms = LogisticRegressionSettings(reads="terms")
    with pytest.raises(RecipeError, match="image data have no terms"):
        terms.resolved("image", vector_rows=False, encoder=False)
    with pytest.raises(RecipeError, match="vectors without a text; say auto or vectors, or use random_over"):
        terms.resolved("text", vector_rows=True, encoder=False)
