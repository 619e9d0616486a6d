"""What counts as hard."""

from __future__ import annotations

import numpy as np
import pytest

from evenly.errors import ParameterError
from evenly.mining.mine import hard_rows
from evenly.mining.scores import calibrated, scores_of
from evenly.params.base import settings_from
from evenly.params.mining import MiningSettings

#: Labels 0 0 0 1 1 1; rows 1, 2 and 5 are given to the other class, row 2 with the least for its label.
P = np.array([[0.9, 0.1], [0.4, 0.6], [0.1, 0.9], [0.2, 0.8], [0.45, 0.55], [0.7, 0.3]])
LABELS = np.array([0, 0, 0, 1, 1, 1])
ALL = np.ones(6, dtype=bool)


def chosen(eligible: np.ndarray = ALL, **settings: object) -> list[int]:
    return hard_rows(
        scores_of(P, LABELS), LABELS, eligible, settings_from(MiningSettings, settings, "x")
    ).tolist()


def test_loss_is_in_nats_and_margin_against_the_best_other_class() -> None:
    scores = scores_of(P, LABELS)
    np.testing.assert_allclose(scores.loss[1], -np.log(0.4))
    np.testing.assert_allclose(scores.margin, [0.8, -0.2, -0.8, 0.6, 0.1, -0.4])
    assert scores.predicted.tolist() == [0, 1, 1, 1, 1, 0]


def test_misclassified_takes_every_miss() -> None:
    assert chosen() == [1, 2, 5]


def test_a_fraction_of_the_misses_takes_those_with_the_highest_loss() -> None:
    assert chosen(top_fraction=0.3) == [2]
    assert chosen(top_fraction=0.5) == [2, 5]


def test_the_highest_losses_are_a_share_of_all_rows() -> None:
    assert chosen(by="loss", top_fraction=0.5) == [1, 2, 5]


def test_the_lowest_margins_include_rows_that_are_right_but_near() -> None:
    assert chosen(by="margin", top_fraction=0.6) == [1, 2, 4, 5]


def test_caps_keep_the_hardest_of_each_class() -> None:
    assert chosen(by="loss", max_per_class=1) == [2, 5]
    assert chosen(by="loss", max_per_class=0.5) == [1, 2, 4, 5]


def test_rows_that_may_not_be_taken_are_not() -> None:
    assert chosen(np.array([True, True, False, True, True, True])) == [1, 5]


def test_rows_without_an_opinion_are_never_hard() -> None:
    unknown = P.copy()
    unknown[2] = np.nan
    scores = scores_of(unknown, LABELS)
    settings = MiningSettings(by="loss", top_fraction=1.0)
    assert 2 not in hard_rows(scores, LABELS, ALL, settings)


def test_calibration_keeps_every_ranking_and_lowers_the_loss() -> None:
    careful = 0.5 + (P - 0.5) * 0.2
    labels = np.array([0, 1, 1, 1, 0, 0])
    sharper = calibrated(careful, labels)
    np.testing.assert_array_equal(sharper.argmax(axis=1), careful.argmax(axis=1))
    np.testing.assert_allclose(sharper.sum(axis=1), 1)
    assert scores_of(sharper, labels).loss.mean() < scores_of(careful, labels).loss.mean()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"by": "loss"}, "makes every row hard"),
        ({"top_fraction": 0}, "a share above 0 and up to 1, or all"),
        ({"top_fraction": "some"}, "a share above 0 and up to 1, or all"),
        ({"max_per_class": 1.5}, "whole number of rows"),
        ({"max_per_class": 0}, "whole number of rows"),
        ({"by": "entropy"}, "misclassified"),
    ],
)
def test_settings_that_make_no_sense_are_one_sentence(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        settings_from(MiningSettings, settings, "recipes.x.mining")
