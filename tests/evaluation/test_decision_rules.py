from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from evenly.errors import ParameterError
from evenly.evaluation.decisions import (
    RULES,
    DecisionRule,
    deployment_shares,
    deployment_weights,
    fitted_rules,
    out_of_fold,
    prior_offsets,
    tuned_offsets,
)

Scores = tuple[np.ndarray, np.ndarray]


@st.composite
def scored(draw: st.DrawFn) -> Scores:
    n, k = draw(st.integers(4, 60)), draw(st.integers(2, 5))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    present = generator.choice(k, size=draw(st.integers(1, k)), replace=False)
    y = generator.choice(present, size=n)
    p = generator.dirichlet(np.full(k, 0.8), size=n)
    return y, p


def shares(k: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(k, 2.0))


def macro_f1(y: np.ndarray, p: np.ndarray, offsets: np.ndarray) -> float:
    predicted = (np.log(p) + offsets).argmax(axis=1)
    return float(f1_score(y, predicted, labels=np.unique(y), average="macro", zero_division=0))


# -- priors ---------------------------------


def test_the_deployment_prior_follows_the_setting() -> None:
    train, validation = np.array([90, 10]), np.array([3, 1])
    names = ("a", "b")
    assert deployment_shares("uniform", names, train, validation) == pytest.approx([0.5, 0.5])
    assert deployment_shares("train", names, train, validation) == pytest.approx([91 / 102, 11 / 102])
    assert deployment_shares("validation", names, train, validation) == pytest.approx([4 / 6, 2 / 6])
    assert deployment_shares({"b": 1, "a": 3}, names, train, validation) == pytest.approx([0.75, 0.25])


def test_a_class_without_validation_rows_still_has_a_share() -> None:
    assert np.all(deployment_shares("validation", ("a", "b"), np.array([5, 5]), np.array([9, 0])) > 0)


@pytest.mark.parametrize(
    ("prior", "words"), [({"a": 1.0}, "misses 'b'"), ({"a": 1.0, "b": 1.0, "x": 1.0}, "names 'x'")]
)
def test_a_prior_for_other_classes_is_refused_by_name(prior: dict[str, float], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        deployment_shares(prior, ("a", "b"), np.array([1, 1]), np.array([1, 1]))


@given(scored(), st.integers(0, 1000))
def test_adjusting_to_the_prior_the_scores_carry_changes_nothing(data: Scores, seed: int) -> None:
    _, p = data
    prior = shares(p.shape[1], seed)
    rule = DecisionRule("logit_adjustment", prior_offsets(prior, prior))
    np.testing.assert_allclose(rule.probabilities(p), p, rtol=1e-9)


@given(scored(), st.integers(0, 1000), st.integers(0, 1000))
def test_adjusting_there_and_back_gives_the_scores_again(data: Scores, one: int, two: int) -> None:
    _, p = data
    a, b = shares(p.shape[1], one), shares(p.shape[1], two)
    there = DecisionRule("logit_adjustment", prior_offsets(b, a)).probabilities(p)
    back = DecisionRule("logit_adjustment", prior_offsets(a, b)).probabilities(there)
    np.testing.assert_allclose(back, p, rtol=1e-6, atol=1e-12)


def test_adjusting_is_bayes_rule() -> None:
    likelihood, train, deployed = np.array([0.2, 0.5]), np.array([0.9, 0.1]), np.array([0.4, 0.6])
    at_train = likelihood * train / (likelihood * train).sum()
    at_deployment = likelihood * deployed / (likelihood * deployed).sum()
    rule = DecisionRule("logit_adjustment", prior_offsets(deployed, train))
    np.testing.assert_allclose(rule.probabilities(at_train[None])[0], at_deployment)


def test_a_class_that_training_never_saw_stays_neutral() -> None:
    assert prior_offsets(np.array([0.5, 0.5]), np.array([1.0, 0.0]))[1] == 0


@given(st.lists(st.integers(0, 50), min_size=2, max_size=6).filter(any), st.integers(0, 1000))
def test_class_weights_bring_rows_to_the_wanted_shares(rows: list[int], seed: int) -> None:
    counts, target = np.array(rows), shares(len(rows), seed)
    y = np.repeat(np.arange(len(rows)), counts)
    own = np.random.default_rng(seed).uniform(0.1, 3, len(y))
    for sample_weight in (None, own):
        weights = deployment_weights(target, y, sample_weight)
        got = np.bincount(y, weights, len(rows)) / weights.sum()
        present = counts > 0
        np.testing.assert_allclose(got[present], target[present] / target[present].sum())
        assert weights.mean() == pytest.approx(1)


def test_rules_from_rows_of_weight_two_are_those_from_doubled_rows() -> None:
    generator = np.random.default_rng(8)
    y, p = generator.integers(3, size=60), generator.dirichlet(np.ones(3), size=60)
    weights = generator.integers(1, 3, size=60)
    twice = np.repeat(np.arange(60), weights)
    fitting = {"effective": shares(3, 1), "deployment": shares(3, 2), "shrinkage": 0.0}
    weighed = fitted_rules(y, p, weights=weights.astype(float), **fitting)
    doubled = fitted_rules(y[twice], p[twice], weights=None, **fitting)
    plain = fitted_rules(y, p, weights=None, **fitting)
    for one, other in zip(weighed, doubled, strict=True):
        np.testing.assert_allclose(one.offsets, other.offsets)
        assert one.temperature == pytest.approx(other.temperature)
    assert any(
        not np.array_equal(one.offsets, other.offsets) for one, other in zip(weighed, plain, strict=True)
    )


# -- tuned thresholds ---------------------------------


@given(scored())
def test_thresholds_without_shrinkage_are_at_least_as_good_on_their_own_rows(data: Scores) -> None:
    y, p = data
    offsets = tuned_offsets(y, p, shrinkage=0)
    assert macro_f1(y, p, offsets) >= macro_f1(y, p, np.zeros(p.shape[1])) - 1e-9


@given(scored(), st.floats(0, 20))
def test_thresholds_of_classes_without_rows_stay_neutral(data: Scores, shrinkage: float) -> None:
    y, p = data
    offsets = tuned_offsets(y, p, shrinkage=shrinkage)
    assert np.all(offsets[~np.isin(np.arange(p.shape[1]), y)] == 0)


def test_two_classes_get_the_best_threshold_there_is() -> None:
    generator = np.random.default_rng(0)
    y = (generator.uniform(size=300) < 0.1).astype(int)
    p1 = 1 / (1 + np.exp(-(generator.normal(size=300) + 2 * y - 3)))
    p = np.column_stack([1 - p1, p1])
    best = max(
        float(f1_score(y, p1 > threshold, average="macro", zero_division=0))
        for threshold in np.append(p1, 0.5)
    )
    assert macro_f1(y, p, tuned_offsets(y, p, shrinkage=0)) == pytest.approx(best)


def test_shrinkage_pulls_scarce_classes_further_back() -> None:
    generator = np.random.default_rng(1)
    y = np.repeat([0, 1, 2], [200, 60, 4])
    scores = generator.normal(size=(264, 3)) + np.log([0.8, 0.19, 0.01])
    scores[np.arange(264), y] += 2
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    free, shrunk = tuned_offsets(y, p, shrinkage=0), tuned_offsets(y, p, shrinkage=6)
    np.testing.assert_allclose(shrunk, free * np.array([200 / 206, 60 / 66, 0.4]))


def test_thresholds_help_where_training_was_long_tailed_and_test_is_not() -> None:
    generator = np.random.default_rng(2)

    def rows(each: int) -> Scores:
        y = np.repeat(np.arange(4), each)
        scores = 2 * generator.normal(size=(len(y), 4)) + np.log([0.7, 0.2, 0.08, 0.02])
        scores[np.arange(len(y)), y] += 4
        return y, np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)

    offsets = tuned_offsets(*rows(50))
    y, p = rows(500)
    assert macro_f1(y, p, offsets) > macro_f1(y, p, np.zeros(4)) + 0.03


def test_thresholds_do_not_depend_on_the_order_of_rows() -> None:
    generator = np.random.default_rng(3)
    y, p = generator.integers(4, size=120), generator.dirichlet(np.ones(4), size=120)
    order = generator.permutation(120)
    np.testing.assert_allclose(tuned_offsets(y[order], p[order]), tuned_offsets(y, p))


# -- all rules ---------------------------------


def rules_for(deployment: np.ndarray) -> dict[str, DecisionRule]:
    generator = np.random.default_rng(4)
    y, p = generator.integers(3, size=90), generator.dirichlet(np.ones(3), size=90)
    effective = np.array([0.6, 0.3, 0.1])
    rules = fitted_rules(y, p, effective=effective, deployment=deployment, weights=None, shrinkage=5)
    return {rule.name: rule for rule in rules}


def test_argmax_comes_first_and_every_rule_has_a_name_for_people() -> None:
    rules = rules_for(np.array([0.5, 0.3, 0.2]))
    assert next(iter(rules)) == "argmax"
    assert set(rules) == set(RULES)


def test_the_uniform_adjustment_is_left_out_where_it_would_be_the_same() -> None:
    assert "logit_adjustment_uniform" not in rules_for(np.full(3, 1 / 3))


def test_thresholds_decide_and_leave_the_probabilities_alone() -> None:
    rule = rules_for(np.full(3, 1 / 3))["tuned_thresholds"]
    p = np.random.default_rng(5).dirichlet(np.ones(3), size=50)
    assert rule.offsets.any()
    assert np.array_equal(rule.probabilities(p), p)


def test_argmax_is_what_the_model_says() -> None:
    p = np.random.default_rng(6).dirichlet(np.ones(3), size=50)
    rule = rules_for(np.full(3, 1 / 3))["argmax"]
    assert np.array_equal(rule.decisions(p), p.argmax(axis=1))
    assert np.array_equal(rule.probabilities(p), p)


def test_what_rules_are_chosen_by_has_not_seen_its_own_rows() -> None:
    """On labels that have nothing to do with the scores, tuning pays in sample and not out of fold."""
    in_sample, held_out = [], []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        y, p = generator.integers(0, 3, 90), generator.dirichlet(np.ones(3), 90)
        fitting = {"effective": shares(3, 1), "deployment": shares(3, 2), "weights": None, "shrinkage": 0.0}
        rules = {rule.name: rule for rule in fitted_rules(y, p, **fitting)}
        read = out_of_fold(y, p, **fitting)
        # A rule that is made without the rows is the same in every fold.
        np.testing.assert_array_equal(read["argmax"][1], p.argmax(axis=1))
        np.testing.assert_array_equal(read["logit_adjustment"][1], rules["logit_adjustment"].decisions(p))
        tuned = rules["tuned_thresholds"].decisions(p)
        in_sample.append(f1_score(y, tuned, average="macro"))
        held_out.append(f1_score(y, read["tuned_thresholds"][1], average="macro"))
    assert np.mean(in_sample) > np.mean(held_out) + 0.04
