"""Which technique to take after a sweep: the simplest one that is as good as the best, by validation rows.

What is simpler than what is decided here, from what a recipe does and not from its name; how techniques
differ, and whether by chance, is told by `evenly.comparison.verdicts`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from evenly.comparison.findings import Comparison, Leaderboard
from evenly.comparison.techniques import BASELINE, Technique, direction, metric_phrase
from evenly.comparison.verdicts import named, relation
from evenly.wording import decimal, sentence_list


class Effort(IntEnum):
    """What a technique asks of those who run it, the simplest first."""

    NOTHING = 0
    DECIDING = 1
    RESAMPLING = 2
    AUGMENTATION = 3
    GENERATOR = 4
    LANGUAGE_MODEL = 5
    SECOND_ROUND = 6


#: The same in words.
EFFORT_WORDS = {
    Effort.NOTHING: "nothing is done",
    Effort.DECIDING: "only decisions, weights or the loss change",
    Effort.RESAMPLING: "rows are copied, interpolated, left out or drawn evenly",
    Effort.AUGMENTATION: "rows are transformed",
    Effort.GENERATOR: "a generator is trained",
    Effort.LANGUAGE_MODEL: "a language model is asked",
    Effort.SECOND_ROUND: "the model is trained in two rounds",
}
#: What the sections of a recipe ask for; `train` is looked at key by key.
_SECTIONS = {
    "resample": Effort.RESAMPLING,
    "augment": Effort.AUGMENTATION,
    "generate": Effort.GENERATOR,
    "llm": Effort.LANGUAGE_MODEL,
    "mining": Effort.SECOND_ROUND,  # without hard rows there is no `finetune`
}
#: Keys of `train`, in a recipe or in params.yaml, with the value that asks for nothing.
_TRAINING = {
    "sampler": ("uniform", Effort.RESAMPLING),
    "retrain_head": ("none", Effort.RESAMPLING),
    "mix": (None, Effort.AUGMENTATION),
    "augment": (None, Effort.AUGMENTATION),
}


@dataclass(frozen=True)
class Recommendation:
    """What the one-standard-error rule says about a leaderboard."""

    #: The technique to take, and the one with the best mean on validation rows.
    name: str
    best: str
    #: What the recommended one asks for.
    effort: Effort
    #: Of the best one's mean on validation rows.
    standard_error: float
    #: Techniques no more than that below the best, it included, to their means; the simplest first.
    within: Mapping[str, float]
    #: Techniques that lack a seed of no balancing, or validation scores.
    left_out: tuple[str, ...]
    #: That all others share.
    seeds: int
    #: All of it in words.
    sentence: str


def recommendation(board: Leaderboard) -> Recommendation | None:
    """Recommend the simplest technique within one standard error of the best (Breiman et al. 1984, section
    3.4.3).

    Techniques are compared by their means on validation rows over the seeds of no balancing: test rows choose
    nothing, they only tell afterwards how good the choice is. The standard error is that of the best
    technique's mean, with the variance that allows for seeds sharing rows (Nadeau & Bengio 2003), as in all
    intervals of the report. Of techniques that are equally simple, the better one is taken.

    Returns
    -------
    Recommendation or None
        None without two seeds of no balancing that tell validation scores.
    """
    baseline = board.field.baseline
    seeds = sorted(baseline.validation_scores(board.metric)) if baseline else []
    if len(seeds) < 2:
        return None
    sign = direction(board.metric)
    scores: dict[str, np.ndarray] = {}
    left_out = []
    for name, technique in board.field.techniques.items():
        values = technique.validation_scores(board.metric)
        if all(seed in values for seed in seeds):
            scores[name] = np.array([values[seed] for seed in seeds])
        else:
            left_out.append(name)
    means = {name: float(values.mean()) for name, values in scores.items()}
    order = {name: (*effort(board.field.techniques[name]), -sign * means[name], name) for name in scores}
    # Of techniques that score the same, the simplest is the best one.
    best = min(means, key=lambda name: (-sign * round(means[name], 9), order[name]))
    variance = float(scores[best].var(ddof=1))
    error = math.sqrt((1 / len(seeds) + board.field.test_share) * variance)
    near = [name for name in means if sign * (means[best] - means[name]) <= error + 1e-9]
    near.sort(key=lambda name: order[name])
    within = {name: means[name] for name in near}
    return Recommendation(
        name=near[0],
        best=best,
        effort=effort(board.field.techniques[near[0]])[0],
        standard_error=error,
        within=within,
        left_out=tuple(left_out),
        seeds=len(seeds),
        sentence=_sentence(board, near[0], best, means[best], error, within, left_out),
    )


def recommendations(comparison: Comparison) -> list[str]:
    """Say for each leaderboard what to take; a sentence names its data set and model where there are more."""
    boards = comparison.leaderboards
    return [
        f"{board.field.title}. {advised.sentence}" if len(boards) > 1 else advised.sentence
        for board in boards
        if (advised := recommendation(board)) is not None
    ]


def effort(technique: Technique) -> tuple[Effort, int]:
    """What a technique asks for at most, and how many such things: `llm_smote` is (LANGUAGE_MODEL, 2)."""
    if technique.is_rule:
        return Effort.DECIDING, 1
    run = next(iter(technique.runs.values()))
    needs = efforts(run.settings, run.loss)
    if not needs:
        return (Effort.NOTHING, 0) if technique.name == BASELINE else (Effort.DECIDING, 1)
    return max(needs), len(needs)


def efforts(settings: Mapping[str, Any], loss: str) -> list[Effort]:
    """Everything that a run asks for, by its settings as dotted keys and its loss as resolved."""
    paths = (key.split(".") for key, value in settings.items() if value is not None)
    sections = {path[1] for path in paths if path[0] == "recipe" and len(path) > 1}
    needs = [need for section, need in _SECTIONS.items() if section in sections]
    for key, (nothing, need) in _TRAINING.items():
        values = (settings.get(f"{place}.{key}", nothing) for place in ("recipe.train", "train"))
        nested = any(name.startswith((f"recipe.train.{key}.", f"train.{key}.")) for name in settings)
        if nested or any(value != nothing for value in values):
            needs.append(need)
    if loss != "cross_entropy":
        needs.append(Effort.DECIDING)
    return needs


def _sentence(
    board: Leaderboard,
    name: str,
    best: str,
    best_mean: float,
    error: float,
    within: Mapping[str, float],
    left_out: Sequence[str],
) -> str:
    metric = metric_phrase(board.metric)
    lead = f"Recommended: {named(name)}."
    scale = f"{decimal(best_mean)}, one standard error {decimal(error)}"
    rule = "1-SE rule, Breiman et al. 1984"
    if name == best:
        why = (
            f"On validation rows it has the best {metric} ({scale}), and nothing simpler comes within one "
            f"standard error of it ({rule})."
        )
        if name == BASELINE:
            why = f"On validation rows nothing has a better {metric} than doing nothing ({scale}; {rule})."
    else:
        others = [f"{named(other)} ({decimal(mean)})" for other, mean in within.items() if other != best]
        effort_words = EFFORT_WORDS[effort(board.field.techniques[name])[0]]
        simplest = (
            f"{others[0]} lies within one standard error of it and is simpler: {effort_words}"
            if len(others) == 1
            else f"{sentence_list(others)} lie within one standard error of it, of which {named(name)} is "
            f"the simplest: {effort_words}"
        )
        why = f"On validation rows {named(best)} has the best {metric} ({scale}); {simplest} ({rule})."
    gain = board.of(name).against_baseline
    score = f" On test rows it scores {decimal(board.of(name).mean)}"
    on_test = f"{score}." if gain is None else f"{score} and {relation(gain)}."
    missing = (
        f" Not considered, for want of seeds or of validation scores: {sentence_list(list(left_out))}."
        if left_out
        else ""
    )
    return f"{lead} {why}{on_test}{missing}"
