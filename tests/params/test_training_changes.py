from __future__ import annotations

import pytest

from evenly.errors import ParameterError, RecipeError
from evenly.params.base import settings_from
from evenly.params.models import check_training
from evenly.params.recipes import RecipeTraining
from evenly.params.training import TrainingSettings, changed_training


def recipe(**values: object) -> RecipeTraining:
    return settings_from(RecipeTraining, values, "params.yaml: recipes.r.train")


def test_keys_of_train_stand_beside_loss_and_sampler() -> None:
    asked = recipe(loss="focal", sampler="square_root", epochs=50, mix="remix", synthetic_weight=0.5)
    assert (asked.loss, asked.sampler, asked.synthetic_weight) == ("focal", "square_root", 0.5)
    assert asked.settings == {"epochs": 50, "mix": "remix"}
    trained = changed_training(TrainingSettings(), asked.settings)
    assert trained.epochs == 50 and trained.mix is not None and trained.mix.method == "remix"
    assert RecipeTraining.model_validate(asked.model_dump()) == asked


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 50}, "epoch is not a known key"),
        ({"epochs": 0}, "greater than or equal|greater than 0"),
        ({"synthetic_weight": 1.5}, "less than or equal to 1"),
        ({"unfreeze": "slowly"}, "gradual"),
    ],
)
def test_what_a_recipe_asks_of_the_training_is_checked(values: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        recipe(**values)


def test_what_a_model_cannot_have_is_refused_before_any_work() -> None:
    with pytest.raises(RecipeError, match=r"sets train\.epochs, but random_forest is not trained in epochs"):
        check_training("random_forest", "table", TrainingSettings(), {"epochs": 5})
    check_training("random_forest", "table", TrainingSettings(), {})
    with pytest.raises(RecipeError, match="only images are augmented"):
        check_training("small_cnn", "text", TrainingSettings(augment="text_light"), {})
    check_training("small_cnn", "image", TrainingSettings(augment="digits"), {"epochs": 5})
