"""Which technique to take after a sweep: the simplest one that is as good as the best, by validation rows.

What is simpler than what is decided here, from what a recipe does and not from its name; how techniques
differ, and whether by chance, is told by `evenly.comparison.verdicts`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np

from evenly.comparison.findings import FEWEST_SEEDS, Comparison, Gain, Leaderboard
from evenly.comparison.techniques import (
    ARGMAX,
    BASELINE,
    RULE_NAMES,
    Technique,
    direction,
    metric_phrase,
)
from evenly.comparison.verdicts import named, relation
from evenly.params.models import MODELS
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

    #: The technique to take with its decision rule, the rule, and what has the best mean on validation rows.
    name: str
    rule: str
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
    nothing, they only tell afterwards how good the choice is. Each technique is read out by the rule that
    validation rows choose. The standard error is that of the best one's mean, with the doubt about rows in
    it, as in all intervals of the report. Of techniques that are equally simple, the better one is taken.

    Returns
    -------
    Recommendation or None
        None without three seeds of no balancing that tell validation scores.
    """
    baseline = board.field.baseline
    seeds = sorted(baseline.validation_scores(board.metric)) if baseline else []
    if len(seeds) < FEWEST_SEEDS:
        return None
    sign = direction(board.metric)
    techniques = {technique.title: technique for technique in board.field.read_out(board.metric)}
    scores: dict[str, np.ndarray] = {}
    left_out = []
    for name, technique in techniques.items():
        values = technique.validation_scores(board.metric)
        if all(seed in values for seed in seeds):
            scores[name] = np.array([values[seed] for seed in seeds])
        else:
            left_out.append(technique.name)
    means = {name: float(values.mean()) for name, values in scores.items()}
    order = {name: (*effort(techniques[name]), -sign * means[name], name) for name in scores}
    # Of techniques that score the same, the simplest is the best one.
    best = min(means, key=lambda name: (-sign * round(means[name], 9), order[name]))
    error = _standard_error(board, techniques[best], seeds, scores[best])
    near = [name for name in means if sign * (means[best] - means[name]) <= error + 1e-9]
    near.sort(key=lambda name: order[name])
    found = Recommendation(
        name=near[0],
        rule=techniques[near[0]].rule,
        best=best,
        effort=effort(techniques[near[0]])[0],
        standard_error=error,
        within={name: means[name] for name in near},
        left_out=tuple(left_out),
        seeds=len(seeds),
        sentence="",
    )
    alike = len(set(np.round(list(means.values()), 9).tolist())) == 1
    return replace(found, sentence=_sentence(board, found) + _caution(board, found, alike))


def _standard_error(
    board: Leaderboard, technique: Technique, seeds: Sequence[int], scores: np.ndarray
) -> float:
    """Of a mean on validation rows: over seeds that share rows, and over the rows, as for test rows."""
    drawn = technique.drawn("validation", board.metric, seeds)
    rows = 0.0 if drawn is None else float(np.var(drawn, ddof=1))
    over_seeds = float(scores.var(ddof=1))
    share = board.design.test_share
    if board.design.kind == "given":
        return math.sqrt(over_seeds / len(seeds) + rows)
    return math.sqrt(max((1 / len(seeds) + share) * over_seeds, rows))


def free_gain(board: Leaderboard) -> str | None:
    """Say what the best decision rule brings on the runs of no balancing, at no cost; None without one."""
    best = board.field.baseline.chosen(board.metric) if board.field.baseline else None
    if best is None or best.rule == ARGMAX or board.seeds < FEWEST_SEEDS:
        return None
    gain = board.of(best.title).against_baseline
    if gain is None:
        return None
    return (
        f"Free: on the same models of no balancing, {RULE_NAMES[best.rule]}, chosen on validation rows, "
        f"{relation(gain)}."
    )


def rare_class(board: Leaderboard, name: str) -> str | None:
    """Say how the class with the fewest training rows does without balancing and by a technique; None where
    runs do not tell.
    """
    techniques = {technique.title: technique for technique in board.field.read_out(board.metric)}
    sides = [board.field.baseline, techniques.get(name)]
    classes = {str(run.scores.get("test", {}).get("rare_class")) for run in board.field.runs}
    means: list[list[float]] = []
    for metric in ("rare_f1", "rare_recall"):
        values = [list(side.values(metric).values()) for side in sides if side is not None]
        if len(values) < 2 or not all(values):
            return None
        means.append([float(np.mean(scores)) for scores in values])
    words = [
        f"{word} {decimal(before)}" + ("" if name == BASELINE else f" → {decimal(after)}")
        for word, (before, after) in zip(("F1", "recall"), means, strict=True)
    ]
    which = f"class, {classes.pop()}" if len(classes) == 1 else "class of each seed"
    by = "without balancing" if name == BASELINE else f"from no balancing to {named(name)}"
    return f"The rare {which}, {by}, mean over seeds on test rows: {', '.join(words)}."


def recommendations(comparison: Comparison) -> list[str]:
    """Say for each leaderboard what to take; a sentence names its data set and model where there are more."""
    boards = comparison.leaderboards
    found = []
    for board in boards:
        start = f"{board.field.title}. " if len(boards) > 1 else ""
        advised = recommendation(board)
        taken = advised.name if advised else BASELINE
        sentences = [advised.sentence if advised else None, free_gain(board), rare_class(board, taken)]
        found += [start + sentence for sentence in sentences if sentence]
    return found


def effort(technique: Technique) -> tuple[Effort, int]:
    """What a technique asks for at most, and how many such things: `llm_smote` is (LANGUAGE_MODEL, 2)."""
    run = next(iter(technique.runs.values()))
    needs = efforts(run.settings, run.loss)
    if technique.rule != ARGMAX:
        needs.append(Effort.DECIDING)
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
    own = str(settings.get("recipe.model", settings.get("recipe.model.name")))
    if own in MODELS and MODELS[own].is_technique:
        needs.append(Effort.LANGUAGE_MODEL if MODELS[own].asked_by else Effort.RESAMPLING)
    if loss != "cross_entropy":
        needs.append(Effort.DECIDING)
    return needs


def _sentence(board: Leaderboard, found: Recommendation) -> str:
    metric = metric_phrase(board.metric)
    name, best = found.name, found.best
    lead = f"Recommended: {named(name)}."
    scale = f"{decimal(found.within[best])}, one standard error {decimal(found.standard_error)}"
    rule = "1-SE rule, Breiman et al. 1984"
    if name == best:
        why = (
            f"On validation rows it has the best {metric} ({scale}), and nothing simpler comes within one "
            f"standard error of it ({rule})."
        )
        if name == BASELINE:
            why = f"On validation rows nothing has a better {metric} than doing nothing ({scale}; {rule})."
    else:
        others = [
            f"{named(other)} ({decimal(mean)})" for other, mean in found.within.items() if other != best
        ]
        simplest = (
            f"{others[0]} lies within one standard error of it and is simpler"
            if len(others) == 1
            else f"{sentence_list(others)} lie within one standard error of it, of which {named(name)} is "
            "the simplest"
        )
        why = (
            f"On validation rows {named(best)} has the best {metric} ({scale}); {simplest}: "
            f"{EFFORT_WORDS[found.effort]} ({rule})."
        )
    gain = board.of(name).against_baseline
    score = f" On test rows it scores {decimal(board.of(name).mean)}"
    on_test = f"{score}." if gain is None else f"{score} and {relation(gain)}."
    missing = (
        f" Not considered, for want of seeds or of validation scores: {sentence_list(list(found.left_out))}."
        if found.left_out
        else ""
    )
    return f"{lead} {why}{on_test}{missing}"


def _stands(gain: Gain) -> bool:
    """Whether a difference is shown, or every seed has it."""
    return gain.differs or gain.seeds in (gain.wins, gain.losses)


def _caution(board: Leaderboard, found: Recommendation, alike: bool) -> str:
    """Say why test rows may speak against the recommendation, and what would settle it; "" where they agree.

    Validation rows choose, so that the figures on test rows stay honest; that is no reason to be silent about
    what test rows show.
    """
    taken = board.of(found.name)
    gaining = [s for s in board.standings if (gain := s.against_baseline) and gain.mean > 0 and _stands(gain)]
    better = next((s for s in gaining if direction(board.metric) * (s.mean - taken.mean) > 1e-9), None)
    rows = sorted({run.validation_rows for run in board.field.runs} - {0})
    size = f"the {rows[0]:,} validation rows" if len(rows) == 1 else "the validation rows"
    other = "" if board.design.kind == "given" else ", cross-validation (`split: {folds: 5}`)"
    settle = f"More validation rows{other} or new seeds would settle it."
    if (gain := taken.against_baseline) and gain.mean < 0 and _stands(gain):
        return (
            f" Beware: test rows contradict {size}, which favour it by chance or are unlike them: do not "
            f"take it on this evidence. {settle}"
        )
    if alike and len(board.standings) > 1 and better is None and not gaining:
        return f" Beware: all techniques score the same on {size}, which therefore decide nothing. {settle}"
    if better is not None and better.title in found.within and gain is not None and gain.differs:
        return ""  # the 1-SE rule has been told, and what is taken is shown to help
    if better is not None and better.against_baseline is not None:
        why = "score all techniques the same" if alike else "do not show it"
        if better.title in found.within and not alike:
            why = f"put it within one standard error of {named(found.name)}, which is simpler"
        return (
            f" Beware: on test rows, {better.title} {relation(better.against_baseline)}; {size} {why}, and "
            f"only they choose, so that the test's figures stay honest. {settle}"
        )
    if gain is None or gain.differs or found.name == BASELINE:
        return ""
    if gain.known and gain.high < board.worth:
        return (
            f" Beware: {size} favour it, and test rows exclude that it gains {decimal(board.worth, 3)} or "
            "more: no balancing is as good, and simpler."
        )
    return f" Beware: {size} favour it, and test rows do not show that it helps. {settle}"
