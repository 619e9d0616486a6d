from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from evenly.errors import ParameterError
from evenly.params.base import read_yaml, settings_from
from evenly.params.screening import CheckName, FilterSettings
from evenly.screening.checks import FINAL, PHASES


def test_params_yaml_spells_out_every_setting_with_its_default() -> None:
    written = read_yaml(Path(__file__).parents[2] / "params.yaml")["filter"]
    assert written == FilterSettings().model_dump(mode="json")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"disable": ["leaks"]}, r"filter\.disable\.0"),
        ({"length": {"min_characters": 9, "max_characters": 3}}, "max_characters must not be below"),
        ({"length": {"quantiles": [0.9, 0.1]}}, "two rising shares"),
        ({"judge": {"consistency": 0, "completeness": 0, "naturalness": 0}}, "needs a weight above 0"),
        ({"closeness": {"jacard": 0.9}}, "did you mean 'jaccard'"),
    ],
)
def test_a_wrong_setting_is_one_sentence_that_names_it(values: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        settings_from(FilterSettings, values, "params.yaml: filter")


def test_every_check_that_settings_name_stands_in_the_list_and_no_other() -> None:
    assert {step.name for phase in PHASES for step in phase} == set(get_args(CheckName))
    assert set(get_args(CheckName)) >= FINAL
