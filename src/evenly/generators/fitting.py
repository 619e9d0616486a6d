"""The one training loop of all generators: steps in, the state of the best checkpoint out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from evenly.classifiers.classifier import Log
from evenly.errors import ModelError
from evenly.params.generative import GeneratorTraining

#: Rows of a class that vary less than this, against the real ones, are called collapsed.
COLLAPSED = 0.25
#: After so many collapsed checkpoints in a row training stops.
COLLAPSED_CHECKPOINTS = 3

Stop = Literal["finished", "no_progress", "collapsed"]


@dataclass(frozen=True)
class Judgement:
    """What a checkpoint is worth."""

    criterion: float | None  # Smaller is better; None without held-out rows
    #: The least varied class against its real rows (see `judging.spread_ratios`); None where unknown.
    spread: float | None = None


def descend(optimizer: Optimizer, loss: Tensor, most: float | None = None) -> None:
    """One step down the gradient of a loss, whose norm is clipped to `most`."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if most is not None:
        clip_grad_norm_([weight for group in optimizer.param_groups for weight in group["params"]], most)
    optimizer.step()


class Trainee(ABC):
    """A generator in training."""

    criterion: str  # What the criterion is called, for instance `mmd`
    network: nn.Module  # Its weights are the state

    @abstractmethod
    def step(self) -> Mapping[str, Tensor]:
        """Take one optimisation step on a batch and give its losses by name."""

    @abstractmethod
    def judge(self) -> Judgement:
        """Judge the present state on held-out rows. Draws the same numbers every time."""

    def state(self) -> dict[str, Tensor]:
        """A copy of what makes the present state."""
        return {name: value.clone() for name, value in self.network.state_dict().items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state."""
        self.network.load_state_dict(state)


@dataclass(frozen=True)
class Fit:
    """What a training came to."""

    best_step: int  # Steps after which the kept state stood
    steps: int  # Steps that were run
    stop: Stop  # Why it ended: all steps were run, nothing better came, or the samples had collapsed
    curve: tuple[float, ...]  # The criterion at every checkpoint; empty without held-out rows


def fit_generator(
    trainee: Trainee, settings: GeneratorTraining, log: Log, watch: Callable[[int], None]
) -> Fit:
    """Train and leave the trainee with the state of the checkpoint that has the smallest criterion.

    A checkpoint whose samples have collapsed is kept only where there is no other. Without held-out rows the
    last state is kept.
    """
    number_of = min(settings.checkpoints, settings.steps)
    checkpoints = [round(settings.steps * (k + 1) / number_of) for k in range(number_of)]
    curve: list[float] = []
    best: tuple[bool, float] | None = None
    best_step, best_state, best_at, collapsed = 0, trainee.state(), 0, 0
    stop: Stop = "finished"
    done = 0
    for number, end in enumerate(checkpoints):
        losses = _train_until(trainee, end - done, end)
        done = end
        judged = trainee.judge()
        scores = {f"val/{trainee.criterion}": judged.criterion, "val/spread": judged.spread}
        known = {name: score for name, score in scores.items() if score is not None}
        log(number, {"train/" + name: loss for name, loss in losses.items()} | known)
        watch(end)
        has_collapsed = judged.spread is not None and judged.spread < COLLAPSED
        collapsed = collapsed + 1 if has_collapsed else 0
        if judged.criterion is None:
            key = (has_collapsed, -float(number))
        else:
            curve.append(judged.criterion)
            key = (has_collapsed, judged.criterion)
        if best is None or key < best:
            best, best_step, best_state, best_at = key, end, trainee.state(), number
        if collapsed >= COLLAPSED_CHECKPOINTS and end < checkpoints[-1]:
            stop = "collapsed"
            break
        waited = number - best_at
        if settings.patience is not None and waited >= settings.patience and end < checkpoints[-1]:
            stop = "no_progress"
            break
    trainee.restore(best_state)
    return Fit(best_step, done, stop, tuple(curve))


def _train_until(trainee: Trainee, steps: int, end: int) -> dict[str, float]:
    total: dict[str, Tensor] = {}
    for _ in range(steps):
        for name, loss in trainee.step().items():
            total[name] = total[name] + loss.detach() if name in total else loss.detach()
    means = {name: float(loss) / steps for name, loss in total.items()}
    for name, mean in means.items():
        if not math.isfinite(mean):
            raise ModelError(
                f"Training the generator diverged before step {end} (its {name} is {mean}); lower its "
                "learning_rate in the recipe."
            )
    return means
