"""Which training rows count as hard, and how the guard against wrong labels works. No work is done here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from evenly.params.base import Settings

HardnessRule = Literal["misclassified", "loss", "margin"]


def _checked_fraction(value: Any) -> Any:
    if value == "all" or (type(value) in (int, float) and 0 < value <= 1):
        return value
    raise ValueError("give a share above 0 and up to 1, or all")


def _checked_cap(value: Any) -> Any:
    if value is None or (type(value) is int and value >= 1) or (type(value) is float and 0 < value < 1):
        return value
    raise ValueError("give a whole number of rows from 1, a share of the class between 0 and 1, or null")


class GuardSettings(Settings):
    """How labels that are probably wrong are found: confident learning on opinions from out of fold."""

    #: A row is judged by a model fitted without its fold, in which its synthetic relatives are too.
    folds: Annotated[int, Field(ge=2, le=50)] = 5
    #: Which rows go: by `class`, as many of each label as are estimated wrong, those with the least
    #: confidence in it; by `noise_rate`, as many of each label and other class, those with the widest margin
    #: between the two.
    prune: Literal["class", "noise_rate"] = "class"
    #: And only rows to which another class is so many times as probable as the label.
    min_odds: Annotated[float, Field(ge=1)] = 5.0
    #: Rows of classes with fewer independent rows cannot be judged.
    min_class_rows: Annotated[int, Field(ge=2)] = 8


class MiningSettings(Settings):
    """Which rows of the training table are hard for the trained model."""

    #: `misclassified`: rows given to another class. `loss`: the rows with the highest log loss. `margin`:
    #: those where the probability of the label is least above, or most below, the best of the others.
    by: HardnessRule = "misclassified"
    #: Share of the misclassified rows (the highest losses first), or of all rows, that is taken; or `all`.
    top_fraction: Annotated[float | Literal["all"], BeforeValidator(_checked_fraction)] = "all"
    #: At most so many rows of a class, the hardest ones: a number, or a share of the class's rows.
    max_per_class: Annotated[PositiveInt | float | None, BeforeValidator(_checked_cap)] = None
    #: Whose opinion counts. `model`: the trained model's own, which has seen these rows. `out_of_fold`: the
    #: same model fitted anew without the row's fold, at the price of one training a fold. `quick`: the
    #: logistic regression of the guard, out of fold.
    scores: Literal["model", "out_of_fold", "quick"] = "model"
    #: Whether rows whose label is probably wrong are left out of the hard ones.
    suspects: Literal["drop", "keep"] = "drop"
    guard: GuardSettings = GuardSettings()

    @model_validator(mode="after")
    def _not_everything(self) -> MiningSettings:
        if self.by != "misclassified" and self.top_fraction == "all" and self.max_per_class is None:
            raise ValueError(
                f"by {self.by} with top_fraction all makes every row hard; give top_fraction or max_per_class"
            )
        return self
