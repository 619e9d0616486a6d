"""Recipes become plans: who makes how many, and what is refused before any work is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenly.errors import ParameterError, RecipeError
from evenly.params.base import settings_from
from evenly.params.datasets import DatasetEntry
from evenly.params.llm import EngineSettings
from evenly.params.project import Params, read_params
from evenly.params.recipes import Recipe
from evenly.params.resampling import Targets
from evenly.params.screening import JudgeRules
from evenly.planning import Plans, make_plans, target_counts
from evenly.plans import write_plan
from evenly.samples import Modality, Schema

COUNTS = {"big": 100, "mid": 20, "small": 4}
TIERS = {"big": "other", "mid": "minority", "small": "ultra_minority"}


def targets(**keys: Any) -> Targets:
    return settings_from(Targets, keys, "targets")


def plans_for(
    recipe: dict[str, Any],
    modality: Modality = "image",
    flip: str = "none",
    counts: dict[str, int] = COUNTS,
    **changes: Any,
) -> Plans:
    params: Params = read_params("params.yaml")
    changes |= {"recipes": {"mine": settings_from(Recipe, recipe, "recipe")}, "balancing": "mine"}
    entry = DatasetEntry.model_validate({"modality": modality, "licence": "-", "path": "x", "flip": flip})
    schema = Schema(modality, tuple(counts))
    return make_plans(counts, schema, params.model_copy(update=changes), entry, keys={})


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


# -- groups --------------------------------------------------------------------------------------------------

GROUPS = {"big/x": 90, "big/y": 10, "mid/x": 2, "mid/y": 18, "small/x": 4}


def group_plans(recipe: dict[str, Any], groups: dict[str, int] | None = GROUPS, **changes: Any) -> Plans:
    params: Params = read_params("params.yaml")
    recipes = {"mine": settings_from(Recipe, recipe, "recipe")}
    params = params.model_copy(update={"recipes": recipes, "balancing": "mine", **changes})
    columns = {"attribute": "place"} if groups else {}
    entry = DatasetEntry.model_validate(
        {"modality": "image", "licence": "-", "path": "x", "columns": columns}
    )
    return make_plans(COUNTS, Schema("image", tuple(COUNTS)), params, entry, keys={}, groups=groups)


def test_a_recipe_on_groups_brings_every_group_that_occurs_to_the_target() -> None:
    plans = group_plans({"balance_on": "group", "resample": {"method": "smote"}})
    assert plans.resample is not None and plans.resample.balance_on == "group"
    assert plans.resample.targets == dict.fromkeys(GROUPS, 90)
    assert plans.groups["resample"] == dict.fromkeys(GROUPS, 90)
    assert plans.expected["train"] == COUNTS
    assert plans.expected["resample"] == {"big": 180, "mid": 180, "small": 90}


def test_producers_fill_groups_one_after_another() -> None:
    plans = group_plans(
        {
            "balance_on": "group",
            "augment": {"targets": {"to": "match_majority", "max_ratio": 3}},
            "generate": {"kind": "gan", "min_per_class": 10, "max_synthetic_share": 1.0},
        }
    )
    assert plans.augment is not None and plans.generate is not None
    assert plans.generate.counts == {"big/x": 0, "big/y": 60, "mid/x": 0, "mid/y": 36, "small/x": 0}
    # Groups too small for the generator come back to the transforms.
    assert plans.augment.counts == {"big/x": 0, "big/y": 20, "mid/x": 88, "mid/y": 36, "small/x": 86}
    assert plans.augment.balance_on == plans.generate.balance_on == "group"
    assert plans.groups["generate"] == dict.fromkeys(GROUPS, 90)


def test_tiers_and_overrides_are_those_of_groups() -> None:
    targets = {"per_tier": {"ultra_minority": 30}, "classes": {"big/y": 12}}
    plans = group_plans({"balance_on": "group", "augment": {"targets": targets}})
    assert plans.augment is not None
    assert plans.augment.counts == {"big/x": 0, "big/y": 2, "mid/x": 28, "mid/y": 0, "small/x": 26}


def test_an_endpoint_is_asked_for_rows_of_groups() -> None:
    llm = settings_from(EngineSettings, {"base_url": "http://localhost:1/v1", "model": "m"}, "llm")
    params = read_params("params.yaml").model_copy(update={"balancing": "group_llm", "llm": llm})
    entry = DatasetEntry.model_validate(
        {"modality": "text", "licence": "-", "path": "x", "columns": {"attribute": "place"}}
    )
    plan = make_plans(COUNTS, Schema("text", tuple(COUNTS)), params, entry, keys={}, groups=GROUPS).llm
    assert plan is not None
    assert (plan.counts, plan.attribute) == ({}, "place")
    assert plan.group_counts == {
        "big": {"x": 0, "y": 80},
        "mid": {"x": 38, "y": 72},
        "small": {"x": 76},
    }
    assert plan.requested == {"big": 80, "mid": 110, "small": 76}


@pytest.mark.parametrize(
    ("recipe", "key"),
    [
        ({"balance_on": "group", "resample": {"method": "random_over"}}, "balance_on"),
        ({"train": {"retrain_head": "group"}}, "train.retrain_head"),
    ],
)
def test_groups_without_an_attribute_are_refused_in_one_sentence(recipe: dict[str, Any], key: str) -> None:
    with pytest.raises(RecipeError, match=f"recipes.mine.{key} is group, but the data set .* datasets.yaml"):
        group_plans(recipe, None)


def test_a_plan_by_class_is_the_same_with_and_without_an_attribute_in_the_data(tmp_path: Path) -> None:
    recipe = {
        "resample": {"method": "smote"},
        "augment": {"targets": "match_median"},
        "generate": {"kind": "vae"},
    }
    blind, seeing = group_plans(recipe, None), group_plans(recipe, GROUPS)
    for name in ("resample", "augment", "generate"):
        paths = [tmp_path / f"{name}{k}" for k in range(2)]
        for path, plans in zip(paths, (blind, seeing), strict=True):
            write_plan(getattr(plans, name), path)
        assert paths[0].read_bytes() == paths[1].read_bytes()
        assert b"balance_on" not in paths[0].read_bytes()
    assert seeing.groups == {"train": GROUPS}


def test_the_median_of_an_even_number_of_classes_is_the_upper_of_the_middle_two() -> None:
    counts = {"a": 2, "b": 6, "c": 30, "d": 100}
    tiers = dict.fromkeys(counts, "other")
    assert target_counts(targets(to="match_median"), counts, counts, tiers, "x") == dict.fromkeys(counts, 30)
    pair = {"a": 2, "b": 6}
    assert target_counts(targets(to="match_median"), pair, pair, tiers, "x") == {"a": 6, "b": 6}


ENDPOINT = settings_from(EngineSettings, {"base_url": "http://localhost:1/v1", "model": "m"}, "llm")


def test_planned_rows_of_a_language_model_are_counted_by_those_after_it() -> None:
    llm = {"llm": {"targets": {"classes": {"small": 60}}}}
    augment = plans_for({**llm, "augment": {}}, "text", llm=ENDPOINT).augment
    assert augment is not None
    assert augment.counts == {"big": 0, "mid": 80, "small": 40}
    median = {"resample": {"method": "random_over", "targets": "match_median"}}
    resample = plans_for({**llm, **median}, "text", llm=ENDPOINT).resample
    assert resample is not None
    assert resample.targets == {"big": 60, "mid": 60, "small": 60}


@pytest.mark.parametrize("recipe", [{"generate": {"kind": "language_model"}}])
def test_a_judge_without_an_endpoint_is_refused_before_anything_is_generated(recipe: dict[str, Any]) -> None:
    rules = read_params("params.yaml").filter.model_copy(update={"judge": JudgeRules()})
    with pytest.raises(RecipeError, match=r"filter\.judge asks a language model, and no endpoint is set"):
        plans_for(recipe, "text", filter=rules, llm=None)
    assert plans_for({}, "text", filter=rules, llm=None).generate is None
    assert plans_for(recipe, "text", filter=rules, llm=ENDPOINT).generate is not None


def test_a_sampler_of_the_library_gets_targets_by_what_it_does() -> None:
    def plan(name: str, **more: Any) -> Any:
        return plans_for({"resample": {"method": "imblearn", "class": name, **more}}).resample

    assert (plan("NearMiss").targets, plan("NearMiss").thins) == (dict.fromkeys(COUNTS, 4), True)
    assert plan("SMOTE").targets == dict.fromkeys(COUNTS, 100)
    assert plan("TomekLinks").targets == {}
    with pytest.raises(RecipeError, match="targets has no meaning with 'TomekLinks'"):
        plan("TomekLinks", targets="match_median")
    with pytest.raises(RecipeError, match="'NearMess' is no sampler of imbalanced-learn"):
        plan("NearMess")


@pytest.mark.parametrize(
    ("rows", "model"),
    [
        (20, "logistic_regression"),
        (199, "logistic_regression"),
        (200, "random_forest"),
        (999, "random_forest"),
        (1000, "hist_gradient_boosting"),
        (100_000, "hist_gradient_boosting"),
    ],
)
def test_a_table_gets_its_model_by_its_training_rows_whatever_the_recipe_adds(rows: int, model: str) -> None:
    counts = {"a": rows - rows // 10, "b": rows // 10}
    for recipe in ({}, {"resample": {"method": "smote"}}, {"train": {"loss": "weighted"}}):
        assert plans_for(recipe, "table", counts=counts).train.model == model
    assert plans_for({}, "table", counts=counts, model="catboost").train.model == "catboost"
    assert plans_for({"model": "rusboost"}, "table", counts=counts).train.model == "rusboost"
