from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evenly.evaluation.intervals import (
    bootstrap_draws,
    bootstrap_weights,
    metric_intervals,
    paired_differences,
    wilson_interval,
)
from evenly.evaluation.metrics import HEADLINE, Predictions


def scored(rows: int, classes: int, seed: int, skill: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    y = generator.integers(classes, size=rows)
    scores = generator.normal(size=(rows, classes))
    scores[np.arange(rows), y] += skill
    p = np.exp(scores)
    return y, p / p.sum(axis=1, keepdims=True)


def test_every_resample_has_as_many_rows_as_there_are() -> None:
    chunks = list(bootstrap_weights(rows=1500, resamples=2000, seed=0))
    weights = np.concatenate(chunks)
    assert len(chunks) > 1
    assert weights.shape == (2000, 1500)
    assert np.all(weights.sum(axis=1) == 1500)
    # A row is missing from a resample with probability (1 − 1/n)ⁿ ≈ 1/e.
    assert (weights == 0).mean() == pytest.approx(np.exp(-1), abs=0.002)


@given(st.integers(2, 80), st.integers(2, 5), st.integers(0, 2**31))
def test_every_interval_holds_its_estimate_and_stays_in_bounds(rows: int, classes: int, seed: int) -> None:
    one = Predictions(*scored(rows, classes, seed))
    (draws,) = bootstrap_draws([one], resamples=200, seed=seed)
    intervals = metric_intervals(one.values(), draws)
    for name, interval in intervals.items():
        assert interval.low <= interval.value <= interval.high, name
        if name not in ("mcc", "nll", "brier"):
            assert interval.low >= 0, name
            assert interval.high <= 1 + 1e-6, name


def test_bootstrap_agrees_with_the_standard_error_of_a_share() -> None:
    y, p = scored(800, 3, 0)
    one = Predictions(y, p)
    (draws,) = bootstrap_draws([one], resamples=4000, seed=1)
    accuracy = float(one.values()["accuracy"])
    assert draws["accuracy"].std() == pytest.approx(np.sqrt(accuracy * (1 - accuracy) / 800), rel=0.06)
    assert draws["accuracy"].mean() == pytest.approx(accuracy, abs=0.002)


def test_resampled_metrics_are_those_of_the_resampled_rows() -> None:
    y, p = scored(60, 3, 2)
    one = Predictions(y, p)
    names = [name for name in HEADLINE if "calibration" not in name]
    (draws,) = bootstrap_draws([one], resamples=20, seed=3, names=names)
    weights = np.concatenate(list(bootstrap_weights(60, 20, 3)))
    for b in range(20):
        rows = np.repeat(np.arange(60), weights[b].astype(int))
        for name, value in Predictions(y[rows], p[rows]).values(None, names).items():
            assert draws[name][b] == pytest.approx(value, abs=2e-6), name


def test_the_same_seed_gives_the_same_intervals_and_another_one_others() -> None:
    one = Predictions(*scored(100, 3, 4))
    first, again, other = (bootstrap_draws([one], resamples=200, seed=seed)[0] for seed in (5, 5, 6))
    assert all(np.array_equal(first[name], again[name], equal_nan=True) for name in first)
    assert not np.array_equal(first["macro_f1"], other["macro_f1"])


def test_a_model_does_not_differ_from_itself() -> None:
    one = Predictions(*scored(100, 3, 7))
    (draws,) = bootstrap_draws([one], resamples=200, seed=0)
    for interval in paired_differences(one.values(), draws, one.values(), draws).values():
        assert (interval.low, interval.value, interval.high) == (0, 0, 0)
        assert not interval.excludes_zero


def test_pairing_finds_a_difference_that_separate_intervals_would_hide() -> None:
    y, p = scored(400, 3, 8, skill=1.0)
    better = p.copy()
    mistakes = np.flatnonzero(p.argmax(axis=1) != y)[:15]
    better[mistakes] = np.eye(3)[y[mistakes]]
    pair = [Predictions(y, p), Predictions(y, better)]
    draws = bootstrap_draws(pair, resamples=1000, seed=0)
    values = [one.values() for one in pair]
    alone = [metric_intervals(v, d)["accuracy"] for v, d in zip(values, draws, strict=True)]
    assert alone[0].high > alone[1].low
    difference = paired_differences(values[1], draws[1], values[0], draws[0])["accuracy"]
    assert difference.excludes_zero
    assert difference.value == pytest.approx(15 / 400)


def test_many_cells_cost_the_ranking_metrics_resamples_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("evenly.evaluation.intervals._RANKING_BUDGET", 1)
    monkeypatch.setattr("evenly.evaluation.intervals._CHUNK_CELLS", 100 * 50)
    (draws,) = bootstrap_draws([Predictions(*scored(50, 3, 9))], resamples=1000, seed=0)
    assert len(draws["auroc"]) == 200
    assert len(draws["macro_f1"]) == 1000


@pytest.mark.parametrize(("name", "least"), [("accuracy", 0.91), ("macro_f1", 0.90), ("auroc", 0.90)])
def test_intervals_cover_the_true_value_about_as_often_as_they_say(name: str, least: float) -> None:
    truth = float(Predictions(*scored(200_000, 3, 100)).values()[name])
    covered = 0
    for seed in range(200):
        one = Predictions(*scored(150, 3, seed))
        (draws,) = bootstrap_draws([one], resamples=200, seed=seed, names=[name])
        interval = metric_intervals(one.values(None, [name]), draws)[name]
        covered += interval.low <= truth <= interval.high
    assert least <= covered / 200 <= 0.99


def test_the_calibration_interval_leans_towards_zero_for_calibrated_scores() -> None:
    """The error of calibrated scores is sampling noise; resampling adds to it: percentiles lie above."""
    for seed in range(20):
        generator = np.random.default_rng(seed)
        p = generator.dirichlet(np.ones(3), size=300)
        y = (p.cumsum(axis=1) > generator.uniform(size=(300, 1))).argmax(axis=1)
        one = Predictions(y, p)
        (draws,) = bootstrap_draws([one], resamples=200, seed=seed, names=["calibration_error"])
        interval = metric_intervals(one.values(), draws)["calibration_error"]
        assert np.percentile(draws["calibration_error"], 2.5) > 0.8 * interval.value
        assert interval.low < 0.6 * interval.value


@given(st.integers(1, 500), st.data())
def test_wilson_agrees_with_scipy(rows: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, rows))
    low, high = wilson_interval(np.array([float(hits)]), np.array([float(rows)]))
    theirs = stats.binomtest(hits, rows).proportion_ci(method="wilson")
    assert low[0] == pytest.approx(theirs.low, abs=1e-9)
    assert high[0] == pytest.approx(theirs.high, abs=1e-9)


def test_wilson_knows_nothing_without_rows() -> None:
    low, high = wilson_interval(np.array([0.0]), np.array([0.0]))
    assert (low[0], high[0]) == (0, 1)
