from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evenly.advice.advise import Advice, advise
from evenly.advice.rules import LEAVE, TRY
from evenly.advice.shape import DataShape
from evenly.params.project import read_params
from evenly.params.recipes import Recipe

RECIPES = read_params(Path(__file__).resolve().parents[2] / "params.yaml").recipes

DIGITS = DataShape("image", "small_cnn", {"0": 119, "1": 60, "9": 2}, held_out=25)
TABLE = DataShape("table", "hist_gradient_boosting", {"a": 400, "b": 60}, held_out=30, dimensions=12)
TEXT = DataShape("text", "logistic_regression", {"a": 4000, "b": 2000, "c": 100}, held_out=30)


def advised(shape: DataShape, **blocked: str) -> Advice:
    return advise(shape, RECIPES, blocked.get)


def first(shape: DataShape, **blocked: str) -> list[str]:
    return [one.technique for one in advised(shape, **blocked).first]


def left(shape: DataShape) -> set[str]:
    return {name for warned in advised(shape).leave for name in warned.techniques}


def test_a_pretrained_network_is_tuned_where_a_linear_model_on_its_vectors_falls_short() -> None:
    assert "light_finetune" in left(replace(DIGITS, model="logistic_regression", encoded=True))
    assert "light_finetune" not in left(replace(DIGITS, model="lite0", encoded=False))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (DIGITS, ["none", "offline_augmentation", "logit_adjustment"]),
        (replace(DIGITS, smallest_group=3), ["none", "group_retrain_head", "group_oversampling"]),
        (replace(DIGITS, model="logistic_regression"), ["none", "offline_augmentation", "class_weights"]),
        (
            replace(DIGITS, model="logistic_regression", encoded=True),
            ["none", "offline_augmentation", "class_weights"],
        ),
        (TABLE, ["none", "class_weights", "smote"]),
        (replace(TABLE, dimensions=300), ["none", "class_weights", "random_oversampling"]),
        (replace(TABLE, nominal_share=0.8), ["none", "class_weights", "random_oversampling"]),
        (replace(TABLE, counts={"a": 90, "b": 5}), ["offline_augmentation", "none", "class_weights"]),
        (replace(TABLE, counts={"a": 400, "b": 25}), ["offline_augmentation", "none", "class_weights"]),
        (replace(TABLE, counts={"a": 400, "b": 26}), ["none", "class_weights", "smote"]),
        (
            replace(TABLE, counts={"a": 90, "b": 5}, model="logistic_regression"),
            ["none", "class_weights", "random_oversampling"],
        ),
        (replace(TABLE, smallest_group=8), ["none", "group_oversampling", "class_weights"]),
        (
            replace(TABLE, counts={"a": 900_000, "b": 5_000}),
            ["none", "random_undersampling", "class_weights"],
        ),
        (TEXT, ["none", "class_weights", "random_oversampling"]),
        (replace(TEXT, counts={"a": 900, "b": 40}), ["none", "class_weights", "offline_augmentation"]),
        (replace(TEXT, counts={"a": 900, "b": 9}), ["none", "llm", "llm_zero_shot"]),
        (
            replace(TEXT, model="transformer", counts={"a": 900, "b": 90}),
            ["none", "logit_adjustment", "class_weights"],
        ),
    ],
)
def test_three_techniques_by_the_shape_of_the_data(shape: DataShape, expected: list[str]) -> None:
    assert first(shape) == expected


@pytest.mark.parametrize("shape", [DIGITS, TABLE, TEXT, replace(TABLE, smallest_group=8)])
def test_deciding_differently_comes_first_because_it_is_free(shape: DataShape) -> None:
    assert first(shape)[0] == "none"


def test_thresholds_are_only_named_where_validation_rows_can_tune_them() -> None:
    assert "tuned thresholds" in advised(TABLE).first[0].because
    few = advised(replace(TABLE, held_out=7)).first[0].because
    assert "tuned thresholds" not in few and "7 rows in validation" in few


def test_balanced_classes_get_no_technique_but_none() -> None:
    advice = advised(replace(TABLE, counts={"a": 100, "b": 90}))
    assert [one.technique for one in advice.first] == ["none"] and advice.leave == ()
    assert "nothing to balance" in advice.first[0].because


@pytest.mark.parametrize("smallest", [2, 20, 49])
@pytest.mark.parametrize("shape", [DIGITS, TABLE])
def test_never_a_gan_below_fifty_rows_a_class(shape: DataShape, smallest: int) -> None:
    scarce = replace(shape, counts={"a": 400, "b": smallest})
    assert {"gan", "hybrid_augment_gan"} <= left(scarce)
    assert "gan" not in left(replace(shape, counts={"a": 400, "b": 50}))


@pytest.mark.parametrize(
    "shape",
    [
        DIGITS,
        TEXT,
        replace(TABLE, dimensions=101),
        replace(TABLE, nominal_share=0.6),
        replace(TABLE, counts={"a": 90, "b": 5}),
    ],
)
def test_smote_is_left_on_pixels_texts_wide_nominal_and_tiny_tables(shape: DataShape) -> None:
    assert {"smote", "adasyn", "smote_tomek"} <= left(shape)


def test_smote_is_not_left_on_narrow_tables_of_numbers() -> None:
    assert "smote" not in left(TABLE)


def test_a_language_model_is_left_where_classes_have_rows_enough() -> None:
    assert "llm" in left(TEXT) and "llm" not in left(replace(TEXT, counts={"a": 900, "b": 20}))


def test_undersampling_is_left_where_it_throws_away_nearly_everything() -> None:
    warned = next(w for w in advised(DIGITS).leave if "random_undersampling" in w.techniques)
    assert "leave 6 of 181 rows" in warned.because


def test_what_cannot_be_run_makes_room_and_says_why() -> None:
    scarce = replace(TEXT, counts={"a": 900, "b": 9})
    none_set = "No endpoint is set."
    advice = advised(scarce, llm=none_set, llm_zero_shot=none_set)
    assert [one.technique for one in advice.first] == ["none", "class_weights", "offline_augmentation"]
    assert [(one.technique, why) for one, why in advice.blocked] == [
        ("llm", none_set),
        ("llm_zero_shot", none_set),
    ]


def test_what_has_been_run_makes_room() -> None:
    advice = advise(TABLE, RECIPES, lambda _: None, tried=["none", "class_weights"])
    assert [one.technique for one in advice.first] == ["smote", "random_oversampling"]
    assert advice.command == "evenly sweep smote random_oversampling --seeds 1..5"


def test_recipes_that_the_project_does_not_have_are_not_named() -> None:
    recipes = {"none": RECIPES["none"], "smote": RECIPES["smote"], "mine": RECIPES["hard_examples"]}
    advice = advise(DIGITS, recipes, lambda _: None)
    assert [one.technique for one in advice.first] == ["none"]
    assert {name for warned in advice.leave for name in warned.techniques} == {"smote"}


def test_every_rule_speaks_of_recipes_that_exist_and_has_a_source() -> None:
    assert all(rule.source and rule.concerned(RECIPES) for rule in (*TRY, *LEAVE))


@pytest.mark.parametrize("shape", [DIGITS, TABLE, TEXT, replace(TEXT, counts={"a": 900, "b": 9})])
def test_a_renamed_recipe_is_advised_and_warned_of_all_the_same(shape: DataShape) -> None:
    renamed: dict[str, Recipe] = {f"my_{name}": recipe for name, recipe in RECIPES.items()}
    advice, before = advise(shape, renamed, lambda _: None), advised(shape)
    assert [one.technique for one in advice.first] == [f"my_{one.technique}" for one in before.first]
    assert [warned.techniques for warned in advice.leave] == [
        tuple(f"my_{name}" for name in warned.techniques) for warned in before.leave
    ]
