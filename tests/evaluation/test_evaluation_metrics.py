from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from evenly import confusion
from evenly.evaluation import metrics
from evenly.evaluation.metrics import HEADLINE, Predictions


@st.composite
def classified(draw: st.DrawFn, *, most: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """True classes (n,) and probabilities (n, k); classes may be absent, scores may be tied."""
    n, k = draw(st.integers(2, most)), draw(st.integers(2, 6))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    present = generator.choice(k, size=draw(st.integers(1, k)), replace=False)
    y = generator.choice(present, size=n)
    p = generator.dirichlet(np.full(k, draw(st.sampled_from([0.2, 1.0, 5.0]))), size=n)
    if draw(st.booleans()):
        p = np.round(p, 1) + 1e-9
        p /= p.sum(axis=1, keepdims=True)
    return y, p


def agreement(ours: object, theirs: object) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)  # type: ignore[arg-type]


@given(classified())
def test_count_metrics_agree_with_scikit_learn_over_the_classes_in_y(
    data: tuple[np.ndarray, np.ndarray],
) -> None:
    y, p = data
    predicted = p.argmax(axis=1)
    present = np.unique(y)
    arguments = {"labels": present, "zero_division": 0}
    o = confusion.outcomes(y, predicted, p.shape[1])

    agreement(confusion.accuracy(o), sk.accuracy_score(y, predicted))
    agreement(confusion.precisions(o)[present], sk.precision_score(y, predicted, average=None, **arguments))
    agreement(confusion.recalls(o)[present], sk.recall_score(y, predicted, average=None, **arguments))
    agreement(confusion.f1_scores(o)[present], sk.f1_score(y, predicted, average=None, **arguments))
    agreement(confusion.macro_f1(o), sk.f1_score(y, predicted, average="macro", **arguments))
    agreement(confusion.weighted_f1(o), sk.f1_score(y, predicted, average="weighted", **arguments))
    agreement(confusion.macro_precision(o), sk.precision_score(y, predicted, average="macro", **arguments))
    agreement(confusion.balanced_accuracy(o), sk.recall_score(y, predicted, average="macro", **arguments))
    if len(np.union1d(y, predicted)) > 1:
        agreement(confusion.matthews_correlation(o), sk.matthews_corrcoef(y, predicted))


@given(classified())
def test_score_metrics_agree_with_scikit_learn(data: tuple[np.ndarray, np.ndarray]) -> None:
    y, p = data
    k = p.shape[1]
    agreement(metrics.log_losses(y, p).mean(), sk.log_loss(y, p, labels=np.arange(k)))
    agreement(
        metrics.brier_scores(y, p).mean(),
        sk.brier_score_loss(y, p, labels=np.arange(k), scale_by_half=False),
    )
    for c in np.unique(y):
        auroc, precision = metrics.Ranking(y == c, p[:, c]).auroc_and_average_precision()
        agreement(precision, sk.average_precision_score(y == c, p[:, c]))
        if np.all(y == c):
            assert np.isnan(auroc)
        else:
            agreement(auroc, sk.roc_auc_score(y == c, p[:, c]))


@given(classified(), st.integers(0, 2**32 - 1))
def test_weighted_metrics_agree_with_scikit_learn(data: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    y, p = data
    w = np.random.default_rng(seed).uniform(0.1, 3, size=len(y))
    predicted = p.argmax(axis=1)
    found = Predictions(y, p).values(w)
    arguments = {"labels": np.unique(y), "zero_division": 0, "sample_weight": w}
    agreement(found["accuracy"], sk.accuracy_score(y, predicted, sample_weight=w))
    agreement(found["macro_f1"], sk.f1_score(y, predicted, average="macro", **arguments))
    if len(np.union1d(y, predicted)) > 1:
        agreement(found["mcc"], sk.matthews_corrcoef(y, predicted, sample_weight=w))
    agreement(found["nll"], sk.log_loss(y, p, labels=np.arange(p.shape[1]), sample_weight=w))
    present = np.unique(y)
    if len(present) > 1:
        each = [sk.roc_auc_score(y == c, p[:, c], sample_weight=w) for c in present]
        agreement(found["auroc"], np.mean(each))


@given(classified(), st.integers(0, 2**32 - 1))
def test_a_row_of_weight_two_counts_like_two_rows(data: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    y, p = data
    times = np.random.default_rng(seed).integers(1, 4, size=len(y))
    names = [name for name in HEADLINE if "calibration" not in name]  # bins are those of the unweighted rows
    weighted = Predictions(y, p).values(times.astype(float), names)
    repeated = Predictions(np.repeat(y, times), np.repeat(p, times, axis=0)).values(None, names)
    for name in names:
        agreement(weighted[name], repeated[name])


@given(classified(), st.integers(0, 2**32 - 1))
def test_metrics_do_not_depend_on_the_order_of_rows_or_classes(
    data: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    y, p = data
    generator = np.random.default_rng(seed)
    predicted = p.argmax(axis=1)
    rows, classes = generator.permutation(len(y)), generator.permutation(p.shape[1])
    position = np.argsort(classes)  # class c becomes column position[c]
    before = Predictions(y, p, predicted).values()
    # The decisions are permuted with the classes: where two classes tie, argmax would follow the new order.
    after = Predictions(position[y][rows], p[:, classes][rows], position[predicted][rows]).values()
    for name in HEADLINE:
        if name != "calibration_error" or len(np.unique(p.max(axis=1))) == len(y):
            np.testing.assert_allclose(after[name], before[name], rtol=1e-7, atol=1e-9, err_msg=name)


@given(classified())
def test_every_headline_metric_stays_in_its_bounds(data: tuple[np.ndarray, np.ndarray]) -> None:
    bounds = {"mcc": (-1, 1), "nll": (0, np.inf), "brier": (0, 2)}
    for name, value in Predictions(*data).values().items():
        low, high = bounds.get(name, (0, 1))
        if not np.isnan(value):
            assert low - 1e-12 <= value <= high + 1e-12, name


def test_perfect_predictions_score_perfectly() -> None:
    y = np.array([0, 1, 2, 1, 0, 2])
    costs = (1 - np.eye(3))[y]
    found = Predictions(y, np.eye(3)[y], rare=2, costs=costs).values()
    for name, value in found.items():
        assert value == pytest.approx(1.0 if HEADLINE[name].higher_is_better else 0.0, abs=1e-12), name


def test_g_mean_and_worst_recall_by_hand() -> None:
    y = np.array([0, 0, 0, 0, 1, 1])
    o = confusion.outcomes(y, np.array([0, 0, 0, 1, 1, 0]), 2)
    assert confusion.g_mean(o) == pytest.approx(np.sqrt(0.75 * 0.5))
    assert confusion.worst_class_recall(o) == 0.5


def test_a_class_never_found_makes_the_g_mean_zero() -> None:
    o = confusion.outcomes(np.array([0, 1, 2]), np.array([0, 1, 1]), 3)
    assert confusion.g_mean(o) == 0
    assert confusion.worst_class_recall(o) == 0


def test_a_class_without_rows_is_left_out_of_the_means() -> None:
    y, predicted = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    o = confusion.outcomes(y, predicted, 3)
    assert np.isnan(confusion.recalls(o)[2])
    assert confusion.balanced_accuracy(o) == pytest.approx(0.75)
    assert confusion.macro_f1(o) == pytest.approx((2 / 3 + 1) / 2)


def test_the_matthews_correlation_of_a_constant_prediction_is_zero() -> None:
    o = confusion.outcomes(np.array([0, 1, 1]), np.array([1, 1, 1]), 2)
    assert confusion.matthews_correlation(o) == 0


def test_a_ranking_metric_that_does_not_exist_is_nan() -> None:
    found = Predictions(np.zeros(5, dtype=int), np.full((5, 2), 0.5)).values()
    assert np.isnan(found["auroc"])
    assert found["average_precision"] == 1


def test_binary_auroc_is_the_usual_one() -> None:
    generator = np.random.default_rng(0)
    y = generator.integers(2, size=200)
    p1 = np.clip(0.3 * y + generator.uniform(size=200) * 0.7, 0, 1)
    found = Predictions(y, np.column_stack([1 - p1, p1])).values()
    agreement(found["auroc"], sk.roc_auc_score(y, p1))


def test_precision_recall_curve_is_the_one_of_scikit_learn() -> None:
    generator = np.random.default_rng(1)
    y, scores = generator.integers(2, size=300) == 1, np.round(generator.uniform(size=300), 2)
    precision, recall = metrics.precision_recall_curve(y, scores)
    theirs = sk.precision_recall_curve(y, scores)
    agreement(precision, theirs[0][:-1][::-1])
    agreement(recall, theirs[1][:-1][::-1])


def test_a_probability_of_zero_for_the_truth_costs_much_but_not_infinitely() -> None:
    losses = metrics.log_losses(np.array([0]), np.array([[0.0, 1.0]]))
    assert losses[0] == pytest.approx(-np.log(np.finfo(float).eps))
