from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluated_runs import Run
from rich.console import Console
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from evenly.confusion import balanced_accuracy, outcomes
from evenly.errors import ParameterError
from evenly.evaluation.decisions import DecisionRule, tuned_offsets
from evenly.evaluation.evaluate import decision_costs, rare_class
from evenly.evaluation.metrics import Predictions, wanted_threshold
from evenly.evaluation.outputs import metrics_json
from evenly.evaluation.results import Evaluation
from evenly.evaluation.summary import print_summary
from evenly.files import write_json
from evenly.params.base import settings_from
from evenly.params.evaluation import EvaluateSettings


def settings(**values: Any) -> EvaluateSettings:
    return settings_from(EvaluateSettings, {"bootstrap": 200, **values}, "params.yaml: evaluate")


def test_the_rare_class_has_numbers_of_its_own_wherever_results_are(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    found = metrics_json(evaluation)
    rare = evaluation.per_class[3]
    assert found["test"]["rare_class"] == rare.name == "d"
    for name in ("f1", "recall", "precision", "average_precision"):
        assert found["test"][f"rare_{name}"] == pytest.approx(getattr(rare, name), abs=1e-6)
        assert found["test"][f"rare_{name}_low"] < found["test"][f"rare_{name}_high"]
        assert all(f"rare_{name}" in rule for rule in found["decision_rules"].values())
    write_json(found, tmp_path / "metrics" / "evaluate.json")
    out = io.StringIO()
    print_summary(tmp_path / "metrics" / "evaluate.json", Console(file=out, width=100))
    for words in ("rare: class d", "Rare-class F1", "Rare-class AP", "which gives class d"):
        assert words in " ".join(out.getvalue().split()), words


def test_the_numbers_of_the_rare_class_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    y, p = generator.integers(3, size=200), generator.dirichlet(np.ones(3), size=200)
    found = {name: float(value) for name, value in Predictions(y, p, rare=2).values().items()}
    precision, recall, f1, _ = precision_recall_fscore_support(
        y == 2, p.argmax(axis=1) == 2, average="binary"
    )
    theirs = average_precision_score(y == 2, p[:, 2])
    for name, value in (
        ("precision", precision),
        ("recall", recall),
        ("f1", f1),
        ("average_precision", theirs),
    ):
        assert found[f"rare_{name}"] == pytest.approx(value, abs=1e-8), name


def test_the_rare_class_can_be_set_and_must_be_one(long_tail: Run) -> None:
    assert rare_class(None, ("a", "b", "c"), np.array([5, 2, 0])) == 1
    assert metrics_json(long_tail.evaluate(settings=settings(rare_class="b")))["test"]["rare_class"] == "b"
    with pytest.raises(
        ParameterError, match=r"evaluate\.rare_class is 'bb', which is no class; did you mean"
    ):
        rare_class("bb", ("a", "bbb"), np.array([1, 1]))


def test_a_wanted_precision_is_chosen_on_validation_and_read_out_on_test(evaluation: Evaluation) -> None:
    for point in evaluation.operating_points:
        assert point.threshold is not None
        assert point.precision is not None
        assert point.recall is not None
        scores = evaluation.final.probabilities[:, 3]
        taken, positive = scores >= point.threshold, evaluation.test.codes == 3
        assert point.recall.value == pytest.approx((taken & positive).sum() / positive.sum())
        assert point.precision.value == pytest.approx((taken & positive).sum() / taken.sum())
    assert [point.of for point in evaluation.operating_points] == ["precision", "recall"]


def test_the_threshold_keeps_as_much_as_the_wanted_share_allows() -> None:
    positive = np.array([True, True, False, True, False])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.1])
    assert wanted_threshold(positive, scores, 1.0, "precision") == 0.8
    assert wanted_threshold(positive, scores, 0.75, "precision") == 0.6
    assert wanted_threshold(positive, scores, 1.0, "recall") == 0.6
    assert wanted_threshold(~positive, scores, 0.9, "precision") is None


def test_costs_are_a_metric_with_an_interval_and_what_thresholds_are_tuned_for(long_tail: Run) -> None:
    costs = {"d": {"a": 20, "b": 20, "c": 20}, "a": {"d": 1}, "b": {"d": 1}, "c": {"d": 1}}
    plain = long_tail.evaluate(settings=settings(costs=costs, tune_for="macro_f1", threshold_shrinkage=0))
    found = long_tail.evaluate(settings=settings(costs=costs, threshold_shrinkage=0))
    cost = found.final.test["expected_cost"]
    y, predicted = found.test.codes, found.final.probabilities.argmax(axis=1)
    expected = np.where((y == 3) & (predicted != 3), 20, np.where((y != 3) & (predicted == 3), 1, 0)).mean()
    assert cost.value == pytest.approx(expected, abs=1e-8)
    assert cost.low < cost.value < cost.high
    tuned, other = (next(r for r in e.rules if r.rule.name == "tuned_thresholds") for e in (found, plain))
    assert tuned.metrics["expected_cost"].value < other.metrics["expected_cost"].value < cost.value
    assert tuned.gain["expected_cost"].high < 0
    assert "expected_cost" in metrics_json(found)["decision_rules"]["tuned_thresholds"]["validation"]


def test_a_column_says_what_a_mistake_on_each_row_costs(long_tail: Run) -> None:
    costs = decision_costs("s1", long_tail.test)
    assert costs is not None
    amounts = long_tail.test.features_frame()["s1"].to_numpy()
    rows = np.arange(len(amounts))
    assert np.all(costs[rows, long_tail.test.codes] == 0)
    np.testing.assert_allclose(costs[rows, (long_tail.test.codes + 1) % 4], amounts)
    with pytest.raises(ParameterError, match=r"evaluate\.costs is 'price', no column of numbers"):
        decision_costs("price", long_tail.test)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"e": {"a": 1}}, "names 'e', which is no class"),
        ({"a": {"x": 1}}, "names 'x', which is no class"),
    ],
)
def test_costs_of_classes_that_are_not_there_are_refused(
    long_tail: Run, wrong: dict[str, dict[str, float]], words: str
) -> None:
    with pytest.raises(ParameterError, match=words):
        decision_costs(wrong, long_tail.test)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"costs": {"a": 1}}, "what is said of class a is no mapping"),
        ({"costs": {"a": {"b": "much"}}}, "the cost of b for a must be a number"),
        ({"costs": []}, "give {true class: {predicted class: cost}}"),
        ({"tune_for": "auroc"}, "tune_for"),
        ({"wanted_precision": 1.5}, "wanted_precision"),
    ],
)
def test_settings_that_say_nothing_are_refused_by_key(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        settings(**values)


def test_numbers_as_classes_of_costs_become_text() -> None:
    assert settings(costs={0: {1: 2}}, rare_class=1).costs == {"0": {"1": 2.0}}


def test_tuning_for_costs_without_costs_is_one_sentence(long_tail: Run) -> None:
    with pytest.raises(ParameterError, match=r"tune_for is expected_cost, but .* says none"):
        long_tail.evaluate(settings=settings(tune_for="expected_cost"))


@pytest.mark.parametrize("seed", range(5))
def test_thresholds_are_as_good_as_any_for_what_they_are_tuned_for(seed: int) -> None:
    """Two classes: every cut is tried."""
    generator = np.random.default_rng(seed)
    y = (generator.uniform(size=80) < 0.2).astype(int)
    p1 = 1 / (1 + np.exp(-(generator.normal(size=80) + 2 * y - 2)))
    p = np.column_stack([1 - p1, p1])
    costs = np.array([[0, 1.0], [7.0, 0]])[y]
    cuts = [(p1 > cut).astype(int) for cut in np.append(p1, -1)]
    rule = DecisionRule("tuned_thresholds", tuned_offsets(y, p, shrinkage=0, objective=None, costs=costs))
    rows = np.arange(80)
    assert costs[rows, rule.decisions(p)].sum() == pytest.approx(min(costs[rows, cut].sum() for cut in cuts))
    rule = DecisionRule("tuned_thresholds", tuned_offsets(y, p, shrinkage=0, objective=balanced_accuracy))
    best = max(float(balanced_accuracy(outcomes(y, cut, 2))) for cut in cuts)
    assert float(balanced_accuracy(outcomes(y, rule.decisions(p), 2))) == pytest.approx(best)
