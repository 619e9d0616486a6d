"""A wrong setting is one sentence that names file, key, and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from evenly.errors import ParameterError
from evenly.params.base import read_yaml, settings_from
from evenly.params.recipes import Recipe, TierSettings


def test_a_misspelt_key_is_named_with_the_one_that_was_meant() -> None:
    with pytest.raises(
        ParameterError,
        match=r"params\.yaml: tiers\.minority_bellow is not a known key; did you mean 'minority_below'",
    ):
        settings_from(TierSettings, {"minority_bellow": 1}, "params.yaml: tiers")


def test_a_misspelt_key_deep_in_a_recipe_is_named() -> None:
    with pytest.raises(
        ParameterError, match=r"resample\.k_neighbour is not a known key; did you mean 'k_neighbors'"
    ):
        settings_from(
            Recipe, {"resample": {"method": "smote", "k_neighbour": 3}}, "params.yaml: recipes.smote"
        )


def test_a_wrong_value_is_shown_with_what_is_allowed() -> None:
    with pytest.raises(ParameterError, match=r"resample\.method is 'smot': input should be 'random_over'"):
        settings_from(Recipe, {"resample": {"method": "smot"}}, "params.yaml: recipes.smote")


def test_a_recipe_that_asks_two_rules_at_once_is_refused() -> None:
    with pytest.raises(ParameterError, match="give one of to, fixed and per_tier, not to and fixed"):
        settings_from(
            Recipe, {"augment": {"targets": {"to": "match_majority", "fixed": 3}}}, "params.yaml: r"
        )


def test_numbers_written_by_dvc_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("lr: 1e-05\nword: off\n")
    assert read_yaml(tmp_path / "p.yaml") == {"lr": 1e-5, "word": "off"}


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("a: 1\nb: [1\n")
    with pytest.raises(ParameterError, match=r"p\.yaml is not valid YAML near line"):
        read_yaml(tmp_path / "p.yaml")
