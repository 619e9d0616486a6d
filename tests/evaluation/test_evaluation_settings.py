from __future__ import annotations

from typing import Any

import pytest

from evenly.errors import ParameterError
from evenly.params.base import Settings, settings_from
from evenly.params.evaluation import EvaluateSettings, PriorSetting


class Door(Settings):
    deployment_prior: PriorSetting


def read(value: Any) -> Any:
    return settings_from(Door, {"deployment_prior": value}, "params.yaml").deployment_prior


@pytest.mark.parametrize("word", ["validation", "train", "uniform"])
def test_a_deployment_prior_may_be_a_word(word: str) -> None:
    assert read(word) == word


def test_numbers_and_truth_values_as_class_names_become_text() -> None:
    assert read({0: 1, 1: 3}) == {"0": 1, "1": 3}
    assert read({True: 0.1, False: 0.9}) == {"true": 0.1, "false": 0.9}


@pytest.mark.parametrize("value", ["test", {}, 3, ["a"], None])
def test_anything_else_is_refused_with_what_is_allowed(value: Any) -> None:
    with pytest.raises(ParameterError, match=r"deployment_prior is .*: give one of validation, train"):
        read(value)


@pytest.mark.parametrize("share", [0, -1, "much", float("nan"), True])
def test_a_share_that_is_none_is_refused_by_class(share: Any) -> None:
    with pytest.raises(ParameterError, match="the share of class b must be a number above 0"):
        read({"a": 1, "b": share})


def test_too_few_resamples_for_an_interval_are_refused() -> None:
    with pytest.raises(ParameterError, match="bootstrap is 20"):
        settings_from(EvaluateSettings, {"bootstrap": 20}, "params.yaml: evaluate")
