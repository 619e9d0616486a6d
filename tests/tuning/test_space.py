"""What varies, and what a choice of it makes of a recipe."""

from __future__ import annotations

import json

import pytest
from tuning_projects import ROOT, origin

from evenly.errors import EvenlyError, ParameterError, RecipeError
from evenly.experiments.groups import GROUPS
from evenly.params.augmentation import Policy
from evenly.params.base import read_yaml, settings_from
from evenly.params.recipes import Recipe
from evenly.tuning.defaults import default_space
from evenly.tuning.space import FAMILIES, Range, Setting, changed_policy, narrowed, read_domains

POLICIES = read_yaml(ROOT / "params.yaml")["policies"]


def domains(recipe: str, modality: str = "image", **values: object) -> dict[str, object]:
    return {s.key: s.domain for s in default_space(origin(recipe, modality, **values))}  # type: ignore[arg-type]


def test_the_space_is_that_of_the_parts_a_recipe_has() -> None:
    sections = {key.split(".")[0] for key in domains("hybrid_augment_vae")}
    assert sections == {"augment", "policy", "generate", "train"}
    assert {key.split(".")[0] for key in domains("smote")} == {"resample", "train"}
    assert {key.split(".")[0] for key in domains("focal")} == {"train"}
    assert "llm.targets.per_tier.minority" in domains("llm_smote", "text")
    assert domains("on_the_fly_augmentation")["train.augment"][0] == "image_light"  # type: ignore[index]


def test_every_default_space_contains_the_recipe_as_it_is() -> None:
    for name, recipe in origin("none").params.recipes.items():
        modality = "image"
        if recipe.llm is not None or "language_model" in name or name == "tweets_hard":
            modality = "text"
        asked = recipe.model is not None and recipe.model.name == "llm"
        if name in GROUPS["ensembles"] or asked:  # what they do is inside the model
            with pytest.raises(RecipeError, match="--space FILE"):
                default_space(origin(name, "text" if asked else "table"))
            continue
        space = default_space(origin(name, modality))  # type: ignore[arg-type]
        assert all(setting.has_current for setting in space), name
        assert len({setting.key for setting in space}) == len(space)


def test_what_a_model_cannot_do_is_not_in_the_space() -> None:
    assert domains("smote", "table")["train.loss"] == ("cross_entropy", "weighted", "class_balanced")
    assert not {"train.sampler", "train.mix"} & set(domains("smote", "table"))
    assert "train.loss" not in domains("smote", loss="focal")
    assert "resample.method" not in domains("random_oversampling", "text", model="transformer")


def test_a_renamed_recipe_has_the_same_space() -> None:
    recipes = read_yaml(ROOT / "params.yaml")["recipes"]
    renamed = {f"my_{name}": recipe for name, recipe in recipes.items()}
    for name, recipe in recipes.items():
        modality = "text" if (recipe.get("llm") or "language_model" in str(recipe)) else "image"
        if "model" not in recipe:
            assert domains(f"my_{name}", modality, recipes=renamed) == domains(name, modality), name
    assert origin("my_smote", recipes=renamed).unbalanced == "my_none"


def test_a_recipes_own_model_decides_what_its_space_has() -> None:
    assert "train.sampler" in domains("tweets_hard", "text")
    assert "train.sampler" not in domains("tweets_hard", "text", model="logistic_regression")
    assert origin("tweets_hard", "text").current("train.batch_size") == 16


def test_a_quota_of_a_language_model_never_grows() -> None:
    recipe = origin("llm", "text").recipe.llm
    assert recipe is not None and recipe.targets.per_tier is not None
    for tier, now in recipe.targets.per_tier.items():
        options = domains("llm", "text")[f"llm.targets.per_tier.{tier}"]
        assert max(options) == now  # type: ignore[call-overload]


def test_what_has_the_value_that_it_has_now_makes_the_recipe_itself() -> None:
    for name in ("offline_augmentation", "smote", "hybrid_augment_vae", "augmentation_smote"):
        start = origin(name)
        unchanged = {setting.key: setting.current for setting in default_space(start)}
        assert start.technique(start.candidate(unchanged)) == start.itself()


def test_a_choice_makes_a_recipe_with_a_policy_of_its_own() -> None:
    start = origin("offline_augmentation")
    chosen = {
        "augment.targets.max_ratio": 4,
        "policy.strength": 0.5,
        "policy.colour": False,
        "train.loss": "focal",
    }
    candidate = start.candidate(chosen)
    recipe, policy = start.named(candidate, "mine")
    assert recipe == {
        "augment": {"policy": "mine", "targets": {"to": "match_majority", "max_ratio": 4}},
        "train": {"loss": "focal"},
    }
    assert policy is not None and not set(FAMILIES["colour"]) & set(policy)
    assert policy["rotate"]["degrees"] == POLICIES["image_standard"]["rotate"]["degrees"] / 2
    technique = start.technique(candidate)
    assert technique.recipe.startswith("offline_augmentation_")
    added = {key: json.loads(text) for key, text in technique.added}
    assert added[f"recipes.{technique.recipe}"]["augment"]["policy"] == technique.recipe
    assert added[f"policies.{technique.recipe}"] == policy


def test_a_cap_alone_keeps_the_rule_of_the_producer() -> None:
    start = origin("smote")
    recipe = start.candidate({"resample.targets.max_ratio": 4}).recipe
    assert recipe["resample"]["targets"] == {"max_ratio": 4, "to": "match_majority"}
    settings_from(Recipe, recipe, "here")


def test_strengths_stay_within_what_a_policy_may_have() -> None:
    for name, policy in POLICIES.items():
        for strength in (0.3, 1.7, 9.0):
            changed = settings_from(Policy, changed_policy(policy, {"strength": strength}), name)
            if changed.rotate is not None:
                assert changed.rotate.degrees == min(180, round(policy["rotate"]["degrees"] * strength, 2))
    assert changed_policy(POLICIES["digits"], {"strength": 1}) == POLICIES["digits"]


def test_a_policy_without_a_transform_is_refused() -> None:
    with pytest.raises(RecipeError, match="no transform left"):
        changed_policy(POLICIES["table_light"], {"jitter": False})


def test_keys_outside_of_the_recipe_are_settings_of_the_experiment() -> None:
    start = origin("focal")
    technique = start.technique(start.candidate({"losses.focal.gamma": 1.0}))
    assert technique.recipe == "focal" and dict(technique.settings) == {"losses.focal.gamma": "1.0"}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("resample.method", "has no resample"),
        ("evaluate.bootstrap", "cannot be varied"),
        ("losses.fokal.gamma", "cannot be varied"),
        ("policy.rotation", "no part of a policy"),
        ("train.rate", "no setting of a training"),
    ],
)
def test_a_key_that_leads_nowhere_is_one_sentence(key: str, message: str) -> None:
    with pytest.raises(EvenlyError, match=message) as caught:
        origin("offline_augmentation").current(key)
    assert "\n" not in str(caught.value)


def test_a_space_of_the_user_is_lists_and_ranges() -> None:
    read = read_domains({"a": [1, 2], "b": {"low": 0.1, "high": 1, "log": True}}, "space.yaml")
    assert read == {"a": (1, 2), "b": Range(low=0.1, high=1, log=True)}
    for wrong in (3, [1], {"low": 2, "high": 1}, {"low": 0, "high": 1, "log": True}, {"from": 1}):
        with pytest.raises(ParameterError, match=r"space\.yaml: k"):
            read_domains({"k": wrong}, "space.yaml")


def test_what_is_drawn_is_read_back_as_it_was_written() -> None:
    options = Setting("a", None, (None, "x", 4, 0.5, True, {"method": "remix"}))
    assert [options.read(options.written(value)) for value in options.domain] == list(options.domain)  # type: ignore[arg-type]
    assert Setting("b", 1, Range(low=0.0, high=1.0)).read(0.123456) == 0.123


def test_over_keeps_what_is_below_a_key() -> None:
    space = default_space(origin("offline_augmentation"))
    assert {s.key for s in narrowed(space, ("augment.targets", "train.loss"))} == {
        "augment.targets.max_ratio",
        "train.loss",
    }
    with pytest.raises(ParameterError, match="leads to no setting"):
        narrowed(space, ("augment.target",))
