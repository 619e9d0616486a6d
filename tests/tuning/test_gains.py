"""What the best of many trials is worth, and that nothing is claimed where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest

from evenly.comparison.statistics import PairedDifference, corrected_resampled_t_test
from evenly.evaluation.intervals import Interval
from evenly.tuning.gains import apparent_gain, corrected_gain
from evenly.tuning.outputs import Result, verdicts
from evenly.tuning.search import Confirmed, Searched
from evenly.tuning.studies import Trial

CLASSES, ROWS = 4, 160


def guesses(generator: np.random.Generator, y: np.ndarray, accuracies: list[float]) -> np.ndarray:
    """Predictions that are right with a probability, and else any class."""
    right = generator.random((len(accuracies), len(y))) < np.array(accuracies)[:, None]
    return np.where(right, y, generator.integers(CLASSES, size=right.shape))


def accuracy_as_f1(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    from evenly.confusion import macro_f1, outcomes

    return np.array([float(macro_f1(outcomes(y, guess, CLASSES))) for guess in predicted])


def test_the_best_of_many_equal_recipes_seems_to_gain_and_the_correction_takes_it_back() -> None:
    generator = np.random.default_rng(0)
    apparent, corrected, holding = [], [], 0
    for repeat in range(40):
        y = generator.integers(CLASSES, size=ROWS)
        predicted = guesses(generator, y, [0.7] * 20)
        best = int(accuracy_as_f1(y, predicted).argmax())
        apparent.append(apparent_gain([(y, predicted)], "macro_f1", best, repeat).value)
        found = corrected_gain([(y, predicted)], "macro_f1", repeat)
        corrected.append(found.value)
        holding += found.low > 0
    assert np.mean(apparent) > 0.03  # there is nothing to gain
    assert abs(np.mean(corrected)) < 0.015
    assert holding <= 2  # 5% of 40


def test_a_recipe_that_is_better_is_found_to_be() -> None:
    generator = np.random.default_rng(1)
    y = generator.integers(CLASSES, size=ROWS)
    predicted = guesses(generator, y, [0.5] + [0.5] * 8 + [0.9])
    found = corrected_gain([(y, predicted)], "macro_f1", 0)
    assert found.low > 0 and 0.2 < found.value < 0.45
    assert corrected_gain([(y, predicted)], "macro_f1", 0) == found


def test_the_gain_is_the_difference_of_the_metric_over_all_seeds() -> None:
    generator = np.random.default_rng(2)
    sets = []
    for _ in range(2):
        y = generator.integers(CLASSES, size=ROWS)
        sets.append((y, guesses(generator, y, [0.6, 0.8])))
    expected = np.mean([np.diff(accuracy_as_f1(y, predicted))[0] for y, predicted in sets])
    found = apparent_gain(sets, "macro_f1", 1, 0)
    assert found.value == pytest.approx(float(expected)) and found.low < found.value < found.high


def result(values: list[float], **others: object) -> Result:
    start, *rest = (Trial(i, {}, (str(i),), value) for i, value in enumerate(values))
    return Result("macro_f1", (42,), Searched(0.7, start, tuple(rest)), **others)  # type: ignore[arg-type]


def test_identical_recipes_are_said_to_be_noise() -> None:
    y = np.random.default_rng(3).integers(CLASSES, size=ROWS)
    same = [(y, np.tile((y + (np.arange(ROWS) % 5 == 0)) % CLASSES, (4, 1)))]
    corrected = corrected_gain(same, "macro_f1", 0)
    assert (corrected.low, corrected.value, corrected.high) == (0, 0, 0)
    told = result([0.8, 0.8001, 0.8], apparent=apparent_gain(same, "macro_f1", 1, 0), corrected=corrected)
    assert not told.holds and "Inside the noise" in verdicts(told)[1]
    confirmed = Confirmed((43, 44, 45), corrected_resampled_t_test([0.8, 0.7, 0.9], [0.8, 0.7, 0.9], 0.3))
    told = result([0.8, 0.81], corrected=Interval(0.01, 0.005, 0.02), confirmed=confirmed)
    assert not told.holds
    assert "Inside the noise: on 3 new seeds it gains nothing" in verdicts(told)[1]


def test_new_seeds_decide_where_there_are_some() -> None:
    lucky = Interval(0.02, 0.01, 0.03)
    for gain, sentence, holds in (
        (PairedDifference(0.03, 0.01, 0.05, 0.01, 3), "It holds up: on 3 new seeds it gains +.030", True),
        (PairedDifference(0.01, -0.02, 0.04, 0.4, 3), "Inside the noise: on 3 new seeds", False),
        (PairedDifference(-0.03, -0.05, -0.01, 0.01, 3), "It does not hold up", False),
        (PairedDifference(0.02, 0.02, 0.02, 0.25, 3), "Inside the noise", False),
    ):
        told = result([0.8, 0.83], corrected=lucky, confirmed=Confirmed((1, 2, 3), gain))
        assert told.holds is holds and verdicts(told)[1].startswith(sentence)


def test_without_new_seeds_the_correction_decides() -> None:
    assert result([0.8, 0.83], corrected=Interval(0.02, 0.01, 0.03)).holds
    assert "--confirm 3" in verdicts(result([0.8, 0.83], corrected=Interval(0.02, 0.01, 0.03)))[1]
    unsure = result([0.8, 0.83], corrected=Interval(0.02, -0.01, 0.03))
    assert not unsure.holds and verdicts(unsure)[1].startswith("Inside the noise")


def test_where_nothing_is_better_the_recipe_stays() -> None:
    sentences = verdicts(result([0.8, 0.78, 0.79]))
    assert len(sentences) == 1 and sentences[0].startswith("Nothing is better than the recipe as it is")
    assert "best of the 2 others .790" in sentences[0]


def test_no_balancing_is_said_to_be_better_where_it_is() -> None:
    assert "more than any of them" in verdicts(result([0.6, 0.65]))[0]
    assert "more than any of them" not in verdicts(result([0.6, 0.75]))[0]
