"""How a network is trained, in the first round and in the second. No work is done here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from evenly.params.base import Settings, written_as_word
from evenly.params.losses import Share

SamplerName = Literal["uniform", "class_balanced", "square_root"]
SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)


class UnfreezeSettings(Settings):
    """Which layers are trained when. In YAML the method alone (`unfreeze: gradual`) stands for `{method: …}`.

    Frozen layers neither drop out nor update their statistics. Patience is counted from the epoch in which
    everything is trained.
    """

    #: `all`: everything from the start. `gradual`: the head first, then one layer group more from the top at
    #: a time (1801.06146). `probe_then_finetune`: the head alone for `probe_epochs`, then everything
    #: (2202.10054). `last`: the head and the last `layers` layer groups, nothing else ever (2309.10019).
    #: `auto`: probing for pretrained networks, else `all`.
    method: Literal["auto", "all", "gradual", "probe_then_finetune", "last"] = "auto"
    #: `gradual` takes the next group every so many epochs (`by: epoch`), or whenever so many brought nothing
    #: better on validation (`by: metric`).
    by: Literal["epoch", "metric"] = "epoch"
    every: PositiveInt = 4
    patience: PositiveInt = 2
    #: Of `probe_then_finetune`. They are cheap: the frozen part of the network is computed once.
    probe_epochs: PositiveInt = 3
    #: Of `last`: how many groups before the head.
    layers: PositiveInt = Field(default=1, exclude_if=lambda layers: layers == 1)

    _from_word = written_as_word("method")


class MixSettings(Settings):
    """Training on weighted means of two rows, λ from Beta(`alpha`, `alpha`), one λ a batch.

    `remix` gives a mean of a rare and a common class to the rare one alone where the common one is at least
    `kappa` times as frequent and the rare row has a share λ above 1 − `tau`. Images are mixed as pixels,
    texts in what the head scores.
    """

    method: Literal["mixup", "remix"] = "mixup"
    alpha: PositiveFloat = 0.2
    kappa: Annotated[float, Field(gt=1)] = 3.0
    tau: Annotated[float, Field(ge=0, le=1)] = 0.5

    _from_word = written_as_word("method")


class TrainingSettings(Settings):
    """How a network is trained. Vector models have none of this: their settings are under `models`.

    An epoch is one pass over the rows, but never fewer than `min_steps_per_epoch` steps (the rows are then
    repeated, newly shuffled), so that schedules and patience mean the same before and after balancing.

    `head_learning_rate` is that of the layers behind the pretrained or convolutional body; null takes
    `learning_rate`. `warmup` is the share of all steps over which the rate of a layer rises from 0, counted
    from the epoch in which it is first trained. `augment` names a policy whose transforms are drawn anew for
    every batch of images. `retrain_head` trains the head anew at the end, on batches with every class, or
    every class and value of the spurious attribute, alike (2204.02937). With `afr` it is trained anew on a
    fifth of the rows that the network has not seen, weighted by exp(−γ p) of the probability p of their
    class: what a shortcut gets wrong counts most, whatever it is (2306.11074). `afr_gamma: auto` is the γ
    with the least error in the worst group of validation rows, and 2 where these have no such attribute.

    `head: class_means` gives cosine scores with vectors that start at the mean features of the classes;
    `views: 5` averages, where an image is predicted, the scores of its middle and its four corners, cut from
    it made larger. Both are parts of LIFT (2309.10019).

    Measured with the defaults and the small CNN on 8×8 digits with a tail of 50 (358 rows, 3 seeds, 1 core):
    about 11 epochs and 5 s, macro F1 .894±.003 with cross-entropy and .953±.009 with the logit-adjusted loss.
    """

    epochs: PositiveInt = 30
    min_steps_per_epoch: PositiveInt = 25
    batch_size: Annotated[int, Field(ge=2)] = 64
    sampler: SamplerName = "uniform"
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: PositiveFloat = 5e-4
    head_learning_rate: PositiveFloat | None = None
    weight_decay: NonNegativeFloat = 1e-4
    momentum: Share = 0.9
    warmup: Share = 0.0
    schedule: Literal["step", "linear", "cosine", "plateau", "none"] = "step"
    step_epochs: PositiveInt = 15
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.1
    plateau_patience: PositiveInt = 2
    gradient_clip: PositiveFloat | None = None
    unfreeze: UnfreezeSettings = UnfreezeSettings()
    mix: MixSettings | None = None
    augment: str | None = None
    head: Literal["linear", "class_means"] = Field(default="linear", exclude_if=lambda head: head == "linear")
    views: Literal[1, 5] = Field(default=1, exclude_if=lambda views: views == 1)
    retrain_head: Literal["none", "class", "group", "afr"] = "none"
    afr_gamma: NonNegativeFloat | Literal["auto"] = Field(
        default="auto", exclude_if=lambda gamma: gamma == "auto"
    )
    monitor: Literal["macro_f1", "balanced_accuracy", "loss"] = "macro_f1"
    patience: PositiveInt | None = 5
    precision: Literal["auto", "bf16", "off"] = "auto"

    @property
    def most_epochs(self) -> int:
        """The most epochs that a training can have, those of the head included."""
        return self.epochs if self.retrain_head == "none" else 2 * self.epochs


def _checked_changes(changes: dict[str, Any]) -> dict[str, Any]:
    TrainingSettings.model_validate(changes)
    return changes


#: Some keys of `train` with other values: what a model or a recipe trains with instead.
TrainingChanges = Annotated[dict[str, Any], AfterValidator(_checked_changes)]


def changed_training(training: TrainingSettings, *changes: Mapping[str, Any]) -> TrainingSettings:
    """Training settings with some of their keys replaced; later changes win."""
    values = training.model_dump()
    for change in changes:
        values |= change
    return TrainingSettings.model_validate(values)


def resolved_unfreezing(training: TrainingSettings, pretrained: bool) -> TrainingSettings:
    """Training settings that say how to unfreeze instead of `auto`."""
    if training.unfreeze.method != "auto":
        return training
    method: Literal["probe_then_finetune", "all"] = "probe_then_finetune" if pretrained else "all"
    return training.model_copy(update={"unfreeze": training.unfreeze.model_copy(update={"method": method})})


#: Learning rates of the second round are those of the first times this, unless they are given.
RATE_SHARE = 0.1


class FinetuneSettings(Settings):
    """A second round on the hard rows and some of the original ones, from the model of the first."""

    #: Original rows to one hard row.
    ratio: PositiveFloat = 1.0
    #: Whether every epoch draws its original rows `anew`, or they are drawn `once`.
    originals: Literal["anew", "once"] = "anew"
    #: Null takes a tenth of the rates of `train`, and its batch size.
    learning_rate: PositiveFloat | None = None
    head_learning_rate: PositiveFloat | None = None
    batch_size: Annotated[int, Field(ge=2)] | None = None
    #: The most epochs, and how many without a better one end the round.
    epochs: PositiveInt = 10
    patience: PositiveInt | None = 3
    #: `better`: the new model, if it is better on the validation rows, and worse in at most a tenth of the
    #: resamples of these rows; else that of the first round. `always`: the new model.
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
