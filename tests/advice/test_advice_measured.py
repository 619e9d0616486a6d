"""`python -m bench.advice`: nothing is learned from the set that it is judged on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import advice as bench
from evenly.advice.shape import DataShape
from evenly.params.project import read_params

SETTINGS = read_params(Path(__file__).resolve().parents[2] / "params.yaml")
COUNT = len(bench.TECHNIQUES)


def result(best: int, smallest: int = 20, *, family: str = "one", noise: float = 0.0) -> bench.Result:
    """A set on which one technique is .1 better than all others under every seed."""
    scores = np.full((COUNT, len(bench.SEEDS)), 0.7)
    scores[best] += 0.1
    scores = scores + noise * np.arange(len(bench.SEEDS))
    shape = DataShape(
        "table",
        "hist_gradient_boosting",
        {"a": 400, "b": smallest},
        held_out=30,
        dimensions=12,
    )
    return bench.Result(bench.BenchSet(family, 400 / smallest), scores, scores, scores, shape)


def test_there_are_thirty_sets_with_names_of_their_own() -> None:
    assert len(bench.SETS) >= 30
    assert len({one.name for one in bench.SETS}) == len(bench.SETS)


def test_a_fixed_order_is_learned_without_the_set_and_without_its_family() -> None:
    results = [result(4, family="a"), result(4, family="a"), result(2, family="b"), result(2, family="c")]
    taken = bench.strategies(results, SETTINGS)
    # Without itself, the first set has one 4 and two 2 to learn from; without its family, no 4 at all.
    assert taken["fixed order, other sets"] == [2, 2, 4, 4]
    assert taken["fixed order, other families"] == [2, 2, 4, 4]


def test_a_threshold_is_found_where_the_best_technique_depends_on_the_shape() -> None:
    results = [result(3, smallest) for smallest in (4, 5, 6)] + [result(0, smallest) for smallest in (50, 60)]
    choice = bench.learned_split(results)
    assert [choice(one) for one in results] == [3, 3, 3, 0, 0]


def test_what_all_techniques_of_a_seed_have_in_common_does_not_count_in_pairs() -> None:
    one = result(1, noise=0.2)  # all seeds differ by more than the techniques do
    assert one.near.all()
    assert one.near_in_pairs.tolist() == [k == 1 for k in range(COUNT)]
    assert one.regret[0] == pytest.approx(0.1)


def test_first_advice_is_what_the_command_would_say() -> None:
    first = [bench.first_advice(result(0, smallest), SETTINGS)[0] for smallest in (20, 60)]
    assert [bench.TECHNIQUES[k] for k in first] == ["offline_augmentation", "none"]


def test_only_training_rows_of_loaded_sets_are_thinned() -> None:
    one = next(one for one in bench.SETS if one.name == "wine, 8:1")
    train, validation, test = bench.split_rows(one, 1)
    assert max(train.counts.values()) / min(train.counts.values()) > 5
    assert max(test.counts.values()) / min(test.counts.values()) < 2
    assert not {*train.ids} & ({*validation.ids} | {*test.ids})


def test_seeds_of_made_sets_draw_other_rows() -> None:
    one = bench.BenchSet("made", 5, rows=40)
    columns = [part.column("x0") for seed in (1, 2) for part in bench.split_rows(one, seed)]
    assert len(np.unique(np.concatenate(columns))) == sum(map(len, columns))


def test_the_report_has_every_set_and_technique() -> None:
    text = bench.report([result(0), result(4, family="two")], SETTINGS)
    assert "| one, 20:1 | 20 |" in text and "| two, 20:1 | 20 |" in text
    assert all(f"`{technique}`" in text for technique in bench.TECHNIQUES)


def test_the_best_on_other_seeds_is_not_the_best_by_luck() -> None:
    scores = np.full((COUNT, 3), 0.7)
    scores[[0, 1, 2], [0, 1, 2]] += 0.3  # each is best under one seed alone
    shape = DataShape("table", "random_forest", {"a": 400, "b": 20}, held_out=30, dimensions=12)
    one = bench.Result(bench.BenchSet("luck", 20), scores, scores, scores, shape)
    assert one.regret[5] == pytest.approx(0.1)
    assert one.regret_on_others[5] == pytest.approx(0.0)
    scores[4] = 0.9
    assert one.regret_on_others[5] == pytest.approx(0.2)
