"""How the second round goes: what is mixed, how fast it learns, and when its model is kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from evenly.params.base import Settings
from evenly.params.training import TrainingSettings, UnfreezeSettings

#: Learning rates of the second round are those of the first times this, unless they are given.
RATE_SHARE = 0.1


class FinetuneSettings(Settings):
    """A second round on the hard rows and some of the original ones, from the model of the first.

    Attributes
    ----------
    ratio
        Original rows to one hard row.
    originals
        Whether every epoch draws its original rows `anew`, or they are drawn `once`.
    learning_rate, head_learning_rate, batch_size
        Null takes a tenth of the rates of `train`, and its batch size.
    epochs, patience
        The most epochs, and how many without a better one end the round.
    keep
        `better`: the new model, if it is better on the validation rows, and worse in at most a tenth of the
        resamples of these rows; else that of the first round. `always`: the new model.
    """

    ratio: PositiveFloat = 1.0
    originals: Literal["anew", "once"] = "anew"
    learning_rate: PositiveFloat | None = None
    head_learning_rate: PositiveFloat | None = None
    batch_size: Annotated[int, Field(ge=2)] | None = None
    epochs: PositiveInt = 10
    patience: PositiveInt | None = 3
    keep: Literal["better", "always"] = "better"


def finetune_training(settings: FinetuneSettings, first: TrainingSettings) -> TrainingSettings:
    """Training settings of the second round, where `first` are those of the first; everything is trained."""
    head = settings.head_learning_rate
    if head is None and first.head_learning_rate is not None:
        head = first.head_learning_rate * RATE_SHARE
    return first.model_copy(
        update={
            "learning_rate": settings.learning_rate or first.learning_rate * RATE_SHARE,
            "head_learning_rate": head,
            "batch_size": settings.batch_size or first.batch_size,
            "epochs": settings.epochs,
            "patience": settings.patience,
            "unfreeze": UnfreezeSettings(method="all"),
        }
    )
