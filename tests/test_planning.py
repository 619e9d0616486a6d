"""Recipes become plans: who makes how many, and what is refused before any work is done."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenly.errors import ParameterError, RecipeError
from evenly.params.base import settings_from
from evenly.params.datasets import DatasetEntry
from evenly.params.project import Params, read_params
from evenly.params.recipes import Recipe, Targets
from evenly.planning import Plans, make_plans, target_counts
from evenly.samples import Modality, Schema

COUNTS = {"big": 100, "mid": 20, "small": 4}
TIERS = {"big": "other", "mid": "minority", "small": "ultra_minority"}


def targets(**keys: Any) -> Targets:
    return settings_from(Targets, keys, "targets")


def plans_for(
    recipe: dict[str, Any], modality: Modality = "image", flip: str = "none", **changes: Any
) -> Plans:
    params: Params = read_params("params.yaml")
    changes |= {"recipes": {"mine": settings_from(Recipe, recipe, "recipe")}, "balancing": "mine"}
    entry = DatasetEntry.model_validate({"modality": modality, "licence": "-", "path": "x", "flip": flip})
    schema = Schema(modality, tuple(COUNTS))
    return make_plans(COUNTS, schema, params.model_copy(update=changes), entry, keys={})


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"to": "match_majority"}, {"big": 100, "mid": 100, "small": 100}),
        ({"to": "match_median"}, {"big": 20, "mid": 20, "small": 20}),
        ({"to": "match_minority"}, {"big": 4, "mid": 4, "small": 4}),
        ({"fixed": 50}, {"big": 50, "mid": 50, "small": 50}),
        ({"per_tier": {"ultra_minority": 30, "minority": 25}}, {"big": 100, "mid": 25, "small": 30}),
        ({"to": "match_majority", "max_ratio": 3}, {"big": 100, "mid": 60, "small": 12}),
        (
            {"to": "match_majority", "max_ratio": 3, "classes": {"small": 40}},
            {"big": 100, "mid": 60, "small": 40},
        ),
        ({"classes": {"mid": 7}}, {"big": 100, "mid": 7, "small": 4}),
    ],
)
def test_targets_say_what_each_class_is_brought_to(keys: dict[str, Any], expected: dict[str, int]) -> None:
    assert target_counts(targets(**keys), COUNTS, COUNTS, TIERS, "x") == expected


def test_a_target_for_an_unknown_class_is_refused_with_the_classes() -> None:
    with pytest.raises(RecipeError, match="names 'tiny'; classes are 'big', 'mid', 'small'"):
        target_counts(targets(classes={"tiny": 3}), COUNTS, COUNTS, TIERS, "x")


def test_augmentation_is_asked_for_what_is_missing() -> None:
    plan = plans_for({"augment": {"targets": "match_majority"}}).augment
    assert plan is not None
    assert plan.counts == {"big": 0, "mid": 80, "small": 96}


def test_copies_of_all_reach_the_largest_class_too() -> None:
    plan = plans_for({"augment": {"targets": "match_majority", "copies_of_all": 2}}).augment
    assert plan is not None
    assert plan.counts == {"big": 200, "mid": 80, "small": 96}


def test_resampling_is_planned_on_top_of_augmentation() -> None:
    plans = plans_for(
        {"augment": {"targets": {"to": "match_majority", "max_ratio": 4}}, "resample": {"method": "smote"}}
    )
    assert plans.expected["augment"] == {"big": 100, "mid": 80, "small": 16}
    assert plans.resample is not None
    assert plans.resample.targets == {"big": 100, "mid": 100, "small": 100}


def test_undersampling_goes_down_to_the_smallest() -> None:
    plans = plans_for({"resample": {"method": "random_under"}})
    assert plans.expected["resample"] == {"big": 4, "mid": 4, "small": 4}


def test_cleaning_has_no_targets() -> None:
    assert plans_for({"resample": {"method": "tomek"}}).resample.targets == {}  # type: ignore[union-attr]
    with pytest.raises(RecipeError, match="targets has no meaning with 'tomek'"):
        plans_for({"resample": {"method": "tomek", "targets": "match_majority"}})


def test_mirror_images_are_made_only_where_the_data_set_allows_them() -> None:
    recipe = {"augment": {"policy": "image_standard"}}
    digits = plans_for(recipe, flip="none").augment
    leaves = plans_for(recipe, flip="both").augment
    assert digits is not None and digits.policy.flip is None
    assert leaves is not None and leaves.policy.flip is not None


def test_a_policy_for_another_modality_is_refused() -> None:
    with pytest.raises(
        RecipeError, match=r"'image_standard' is for image data, but .* is text data; choose one of text_"
    ):
        plans_for({"augment": {"policy": "image_standard"}}, modality="text")


def test_the_loss_given_for_a_run_wins_over_the_recipes_own() -> None:
    assert plans_for({"train": {"loss": "focal"}}).train.loss == "focal"
    assert plans_for({"train": {"loss": "focal"}}, loss="ldam").train.loss == "ldam"
    assert plans_for({}).train.loss == "cross_entropy"


def test_the_recipes_own_model_holds_unless_the_run_names_another() -> None:
    own = {"model": {"name": "shufflenet_v2", "dropout": 0.4}}
    plan = plans_for(own).train
    assert (plan.model, plan.settings.dropout) == ("shufflenet_v2", 0.4)
    plan = plans_for(own, model="shufflenet_v2").train
    assert plan.settings.dropout == 0.4
    plan = plans_for(own, model="small_cnn").train
    assert (plan.model, plan.settings.dropout) == ("small_cnn", 0.0)
    assert plans_for({"model": "shufflenet_v2"}).train.model == "shufflenet_v2"


def test_a_recipes_losses_change_the_loss_that_is_used_and_no_other() -> None:
    smoothed = {"losses": {"cross_entropy": {"label_smoothing": 0.1}}}
    assert plans_for({"train": smoothed}).train.losses.cross_entropy.label_smoothing == 0.1
    assert (
        plans_for({"train": smoothed}, loss="focal").train.losses == plans_for({}, loss="focal").train.losses
    )


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        ({"model": {"name": "small_cnn", "heads": 3}}, "heads"),
        ({"model": "small_cn"}, "small_cn"),
        ({"train": {"losses": {"focal": {"gama": 1.0}}}}, "gama"),
    ],
)
def test_a_mistyped_key_of_a_recipes_model_or_loss_is_named(recipe: dict[str, Any], named: str) -> None:
    with pytest.raises(ParameterError, match=named):
        plans_for(recipe)


def test_what_a_model_cannot_do_is_refused_by_name() -> None:
    with pytest.raises(RecipeError, match="loss focal does not exist"):
        plans_for({}, loss="focal", model="random_forest")
    with pytest.raises(RecipeError, match="small_cnn"):
        plans_for({}, modality="text", model="small_cnn")


def test_settings_of_other_losses_do_not_change_the_training_plan() -> None:
    losses = read_params("params.yaml").losses
    other = losses.model_copy(update={"focal": losses.focal.model_copy(update={"gamma": 7.0})})
    assert plans_for({}, losses=other).train == plans_for({}).train
    assert (
        plans_for({"train": {"loss": "focal"}}, losses=other).train
        != plans_for({"train": {"loss": "focal"}}).train
    )


def test_an_unknown_recipe_is_refused_with_the_nearest() -> None:
    params = read_params("params.yaml").model_copy(update={"balancing": "smoote"})
    entry = DatasetEntry.model_validate({"modality": "image", "licence": "-", "path": "x"})
    with pytest.raises(RecipeError, match="did you mean 'smote'"):
        make_plans(COUNTS, Schema("image", tuple(COUNTS)), params, entry, keys={})


@given(
    st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 500), min_size=2, max_size=12),
    st.floats(1, 50),
)
def test_no_class_is_brought_beyond_its_cap_or_the_majority(sizes: dict[str, int], ratio: float) -> None:
    goal = target_counts(
        targets(to="match_majority", max_ratio=ratio), sizes, sizes, dict.fromkeys(sizes, "other"), "x"
    )
    for name, n in sizes.items():
        assert n <= goal[name] <= max(sizes.values())
        assert goal[name] <= ratio * n
