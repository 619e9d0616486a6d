from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evenly.confusion import macro_f1
from evenly.evaluation import bounds
from evenly.evaluation.intervals import (
    bootstrap_draws,
    bootstrap_weights,
    metric_intervals,
    paired_differences,
    resampled,
)
from evenly.evaluation.metrics import HEADLINE, Predictions
from evenly.resamples import Blocks


def scored(rows: int, classes: int, seed: int, skill: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    y = generator.integers(classes, size=rows)
    scores = generator.normal(size=(rows, classes))
    scores[np.arange(rows), y] += skill
    p = np.exp(scores)
    return y, p / p.sum(axis=1, keepdims=True)


def test_a_gain_of_decisions_covers_what_six_rows_did_not_show() -> None:
    """Two thresholds of a class of 6 rows in 300: 95% intervals of the gain in balanced accuracy."""

    def drawn(y: np.ndarray, seed: int) -> list[np.ndarray]:
        x = np.random.default_rng(seed).normal(size=len(y)) + 2.5 * y
        return [(x > cut).astype(int) for cut in (2.4, 2.0)]

    def recall_means(y: np.ndarray, taken: np.ndarray) -> float:
        return float(np.mean([(taken[y == k] == k).mean() for k in (0, 1)]))

    many = np.repeat([0, 1], 200_000)
    true = np.subtract(*[recall_means(many, taken) for taken in drawn(many, 0)][::-1])
    y, covered = np.repeat([0, 1], [294, 6]), 0
    for seed in range(1, 61):
        pair = [Predictions(y, np.eye(2)[taken], taken) for taken in drawn(y, seed)]
        draws = bootstrap_draws(pair, resamples=200, seed=seed, names=["balanced_accuracy"])
        values = [one.values(names=["balanced_accuracy"]) for one in pair]
        gain = paired_differences(values[1], draws[1], values[0], draws[0])["balanced_accuracy"]
        covered += gain.low <= true <= gain.high
    assert covered >= 54  # percentiles of the rows alone: 38


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
    intervals = metric_intervals(one.values(), {}, one.weighted())
    assert set(intervals) == {name for name, value in one.values().items() if not np.isnan(value)}
    for name, interval in intervals.items():
        assert interval.low <= interval.value <= interval.high, name
        if name not in ("mcc", "nll", "brier"):
            assert interval.low >= -1e-9, name
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
            assert draws[name][b] == pytest.approx(value, abs=2e-6, nan_ok=True), name


@pytest.mark.parametrize("classes", [2, 4])
def test_rows_in_blocks_of_one_score_as_rows(classes: int) -> None:
    y, p = scored(300, classes, 2)
    generator = np.random.default_rng(0)
    each, weights = generator.uniform(0.5, 2, 300), generator.exponential(size=(5, 300)).astype(np.float32)
    one = Predictions(y, p, rare=1, costs=generator.uniform(size=(300, classes)))
    found = one.values(weights, blocks=Blocks(np.arange(300), each, 300))
    for name, values in one.values(weights * each).items():
        assert found[name] == pytest.approx(values, rel=1e-4, abs=1e-6), name


def test_many_rows_drawn_in_blocks_leave_as_much_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard errors of scores and of gains over the first; 4,000 rows in 500 blocks, 1 row in 9 rare."""
    y, p = scored(4000, 3, 0, skill=1.2)
    y, p = y[keep := (y > 0) | (np.arange(4000) % 3 == 0)], p[keep]
    names = [name for name in HEADLINE if name != "expected_cost"]

    def errors() -> dict[str, np.ndarray]:
        pair = [Predictions(y, p, rare=0), Predictions(y, p, (p * [2, 1, 1]).argmax(axis=1), rare=0)]
        one, other = bootstrap_draws(pair, resamples=600, seed=1, names=names)
        shared = resampled(pair[:1], [f"row-{k}" for k in range(len(y))], names)[0]
        spread = [[d[n].std() for n in names] for d in (one, other, shared)]
        gains = [(other[n] - one[n]).std() for n in names if HEADLINE[n].of_decisions]
        return {"scores": np.array(spread), "gains": np.array(gains)}

    by_row = errors()
    for module in ("evenly.resamples", "evenly.evaluation.intervals"):
        monkeypatch.setattr(f"{module}.MOST_ROWS", 1000)
        monkeypatch.setattr(f"{module}.BLOCKS", 500)
    for kind, spread in errors().items():
        assert np.abs(np.log(spread / by_row[kind])).max() < 0.25, kind
        assert np.abs(np.log(spread / by_row[kind])).mean() < 0.08, kind


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


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "auroc", "nll", "mcc", "calibration_error"])
def test_intervals_cover_the_true_value_at_least_as_often_as_they_say(name: str) -> None:
    truth = float(Predictions(*scored(100_000, 3, 100)).values(None, [name])[name])
    covered = 0
    for seed in range(200):
        one = Predictions(*scored(150, 3, seed))
        interval = metric_intervals(one.values(None, [name]), {}, one.weighted())[name]
        covered += interval.low <= truth <= interval.high
    assert covered >= 0.93 * 200


@pytest.mark.parametrize("name", ["macro_f1", "worst_class_recall", "balanced_accuracy", "mcc"])
@pytest.mark.parametrize("recall", [0.5, 0.8, 0.97])
def test_intervals_cover_with_six_rows_of_the_rare_class(name: str, recall: float) -> None:
    """At 50 to 1 the percentiles of a bootstrap hold the truth in 57% to 70% of the samples."""
    counts, hit = np.array([294, 6]), np.array([0.97, recall])
    y = np.repeat([0, 1], counts)
    expected = Predictions(np.array([0, 0, 1, 1]), np.array([[1.0, 0], [0, 1], [1, 0], [0, 1]])).weighted(
        np.array([294 * 0.97, 294 * 0.03, 6 * (1 - recall), 6 * recall])
    )
    truth = float(HEADLINE[name].value(expected))
    generator, covered = np.random.default_rng(0), 0
    for _ in range(300):
        right = generator.uniform(size=300) < hit[y]
        one = Predictions(y, np.eye(2)[np.where(right, y, 1 - y)])
        low, high = HEADLINE[name].ends(one.weighted())  # type: ignore[misc]
        covered += low <= truth <= high
    assert covered >= 0.92 * 300


@pytest.mark.parametrize(("rare", "recall"), [(6, 0.02), (6, 0.5), (15, 0.02), (50, 0.5)])
def test_intervals_of_weighted_f1_know_that_class_sizes_are_a_sample(rare: int, recall: float) -> None:
    """With the sizes taken as given, they hold the truth in 77% of the samples of 6 and 15 rows."""
    share = np.array([300 - rare, rare]) / 300
    cells = (share[:, None] * np.array([[0.999, 0.001], [1 - recall, recall]])).ravel()
    y, predicted = np.array([0, 0, 1, 1]), np.eye(2)[[0, 1, 0, 1]]
    truth = float(Predictions(y, predicted).values(cells)["weighted_f1"])
    generator, covered = np.random.default_rng(0), 0
    for _ in range(200):
        counts = generator.multinomial(300, cells)
        one = Predictions(np.repeat(y, counts), np.repeat(predicted, counts, axis=0))
        low, high = HEADLINE["weighted_f1"].ends(one.weighted())  # type: ignore[misc]
        covered += low <= truth + 1e-12 and truth <= high + 1e-12
    assert covered >= 0.92 * 200


@pytest.mark.parametrize("name", ["balanced_accuracy", "macro_precision", "macro_f1", "g_mean"])
def test_intervals_of_ten_classes_hold_where_mistakes_are_rare(name: str) -> None:
    """A few mistakes more than usual, each in a class of its own, must not rule out what is true."""
    counts = np.array([51, 45, 39, 34, 30, 26, 23, 20, 17, 15])
    rates = np.full((10, 10), 0.01 / 9) + np.eye(10) * (0.99 - 0.01 / 9)
    y, predicted = np.divmod(np.arange(100), 10)
    decided = np.eye(10)[predicted]
    truth = float(Predictions(y, decided).values((rates * counts[:, None]).ravel())[name])
    generator, covered = np.random.default_rng(1), 0
    for _ in range(200):
        drawn = np.array([generator.multinomial(n, p) for n, p in zip(counts, rates, strict=True)]).ravel()
        one = Predictions(np.repeat(y, drawn), np.repeat(decided, drawn, axis=0))
        low, high = HEADLINE[name].ends(one.weighted())  # type: ignore[misc]
        covered += low <= truth <= high
    assert covered >= 0.92 * 200


def test_six_rows_that_were_all_found_leave_room() -> None:
    y = np.repeat([0, 1], [294, 6])
    one = Predictions(y, np.eye(2)[y])
    found = metric_intervals(one.values(), {}, one.weighted())
    for name in ("macro_f1", "worst_class_recall", "balanced_accuracy", "mcc"):
        assert found[name].value == 1
        assert found[name].low < 0.85, name
    assert found["calibration_error"].high > 0.005


def test_calibrated_scores_have_intervals_from_zero() -> None:
    """A mean of absolute gaps is above zero in every sample; the estimate and its interval are not."""
    found = []
    for seed in range(30):
        generator = np.random.default_rng(seed)
        p = generator.dirichlet(np.ones(3), size=300)
        y = (p.cumsum(axis=1) > generator.uniform(size=(300, 1))).argmax(axis=1)
        one = Predictions(y, p)
        for name in ("calibration_error", "class_calibration_error"):
            found.append(metric_intervals(one.values(None, [name]), {}, one.weighted())[name].ends)
    values, lows, _ = np.array(found).T
    assert np.mean(lows == 0) >= 0.9
    assert np.median(values) < 0.02


@given(st.integers(1, 500), st.data())
def test_intervals_of_shares_agree_with_scipy(rows: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, rows))
    low, high = bounds.exact_interval(np.array([hits]), np.array([rows]))
    theirs = stats.binomtest(hits, rows).proportion_ci(method="exact")
    assert low[0] == pytest.approx(theirs.low, abs=1e-8)
    assert high[0] == pytest.approx(theirs.high, abs=1e-8)


def test_nothing_is_known_without_rows() -> None:
    low, high = bounds.exact_interval(np.array([0.0]), np.array([0.0]))
    assert (low[0], high[0]) == (0, 1)


def test_a_difference_of_shares_has_the_interval_of_the_published_example() -> None:
    """Newcombe 1998, method 10, is MOVER with Wilson's intervals: 56/70 against 48/80."""
    shares = np.array([56 / 70, 48 / 80])
    ends = [stats.binomtest(hits, rows).proportion_ci(method="wilson") for hits, rows in ((56, 70), (48, 80))]
    # A difference is a sum with the second share turned round: its ends change places.
    low = np.array([ends[0].low, -ends[1].high])
    high = np.array([ends[0].high, -ends[1].low])
    found = bounds.combined(shares * [1, -1], low, high, np.ones(2))
    assert found == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_a_sum_of_rare_events_has_the_exact_interval_of_poisson() -> None:
    """With equal weights, Fay and Feuer's interval is Garwood's."""
    rows, events = 100_000, 7
    values = np.zeros(rows)
    values[:events] = 1.0
    sample = Predictions(np.zeros(rows, dtype=int), np.tile([0.9, 0.1], (rows, 1))).weighted()
    found = np.array(bounds.mean_ends(sample, values, 0.0)) * rows
    theirs = [stats.chi2.ppf(0.025, 2 * events) / 2, stats.chi2.ppf(0.975, 2 * events + 2) / 2]
    np.testing.assert_allclose(found, theirs, rtol=3e-4)


@given(st.integers(2, 60), st.integers(2, 5), st.integers(0, 2**31), st.floats(0.1, 10))
def test_rows_of_equal_weight_count_as_rows(rows: int, classes: int, seed: int, weight: float) -> None:
    one = Predictions(*scored(rows, classes, seed))
    plain, weighted = one.weighted(), one.weighted(np.full(rows, weight))
    for name, metric in HEADLINE.items():
        if metric.ends is not None and not np.isnan(metric.value(plain)):
            assert metric.ends(weighted) == pytest.approx(metric.ends(plain), abs=1e-6), name


def test_a_metric_of_a_confusion_matrix_moves_as_its_parts_do() -> None:
    """Any function of it has an interval; that of macro F1 is much like its own."""
    one = Predictions(*scored(200, 3, 5)).weighted()
    own, moved = bounds.macro_f1_ends(one), bounds.moved_ends(one, macro_f1)
    assert moved == pytest.approx(own, abs=0.03)
