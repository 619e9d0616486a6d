"""What is compared: runs gathered into techniques, the same recipe and settings over seeds, each read out by
the decision rule that validation rows choose; and the metrics to compare them by. Nothing is tested here.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from evenly.comparison.pooled import Pooled, pooled
from evenly.comparison.statistics import Design
from evenly.evaluation.metrics import HEADLINE, OF_RULES, Measure
from evenly.experiments.groups import BALANCED_ENSEMBLES, RIVALS
from evenly.experiments.runs import Run
from evenly.params.models import MODELS
from evenly.resamples import Scored

BASELINE = "none"
#: What the model decides by itself.
ARGMAX = "argmax"
#: The other decision rules, the plainest first, and what they are called on top of a technique. On the scores
#: of `none` they stand in every comparison.
RULE_NAMES = {
    "temperature": "temperature",
    "logit_adjustment": "logit adjustment",
    "logit_adjustment_uniform": "uniform-prior adjustment",
    "tuned_thresholds": "tuned thresholds",
}
#: Of pairs of class and spurious attribute: runs on data with an attribute tell it, decision rules do not.
WORST_GROUP = "worst_group_error"
#: Metrics of test rows that runs can be compared by.
MEASURES: dict[str, Measure] = {name: HEADLINE[name] for name in OF_RULES} | {
    WORST_GROUP: Measure(
        "Worst-group error", False, "error of the pair of class and attribute that is predicted worst"
    )
}


def direction(metric: str) -> float:
    """1 where more of a metric is better, else -1."""
    return 1.0 if MEASURES[metric].higher_is_better else -1.0


def metric_phrase(metric: str) -> str:
    """What a metric is called within a sentence."""
    label = MEASURES[metric].label
    return label if label.startswith(("Brier", "AUROC", "G-mean")) else label[0].lower() + label[1:]


@dataclass(frozen=True)
class Technique:
    """One technique on one data set with one model, its runs by seed, read out by one decision rule.

    `name` is the recipe with what sets it apart from other uses of the recipe.
    """

    name: str
    runs: Mapping[int, Run]
    rule: str = ARGMAX
    #: Whether it is one of the rivals that any technique must beat to be worth its price.
    cheap: bool = False

    @property
    def title(self) -> str:
        """The technique and its rule: `smote + tuned thresholds`."""
        return self.name if self.rule == ARGMAX else f"{self.name} + {RULE_NAMES[self.rule]}"

    @property
    def seeds(self) -> list[int]:
        """In order."""
        return sorted(self.runs)

    @property
    def is_rule(self) -> bool:
        """Whether it is another reading of the runs of `none`."""
        return self.name == BASELINE and self.rule != ARGMAX

    @property
    def rules(self) -> list[str]:
        """Those that all its runs tell, the plainest first."""
        known = [run.scores.get("decision_rules", {}) for run in self.runs.values()]
        return [ARGMAX, *(rule for rule in RULE_NAMES if all(rule in one for one in known))]

    def values(self, metric: str) -> dict[int, float]:
        """A metric on test rows, at the deployment prior, by seed."""
        values = {seed: self._read(seed, metric) for seed in self.seeds}
        return {seed: value for seed, value in values.items() if value is not None and math.isfinite(value)}

    def validation(self, metric: str) -> float | None:
        """Mean of a metric on validation rows over seeds; None where a run does not tell it."""
        values = self.validation_scores(metric)
        return sum(values.values()) / len(values) if values and len(values) == len(self.runs) else None

    def validation_scores(self, metric: str) -> dict[int, float]:
        """A metric on validation rows by seed, of the runs that tell it."""
        values: dict[int, float] = {}
        for seed in self.seeds:
            scores = self.runs[seed].scores
            validation = scores.get("decision_rules", {}).get(self.rule, {}).get("validation")
            if validation is None and self.rule == ARGMAX:
                validation = scores.get("validation")
            if validation and metric in validation:
                values[seed] = float(validation[metric])
        return values

    def drawn(self, part: str, metric: str, seeds: Sequence[int]) -> np.ndarray | None:
        """Mean over seeds of a metric on resamples of `validation` or `test` rows, (B,); None if unknown."""
        key = Scored(part, self.rule, metric)
        known = [self.runs[seed].resamples.get(key) for seed in seeds]
        found = [one for one in known if one is not None]
        return np.mean(found, axis=0) if found and len(found) == len(known) else None

    def pooled(self, metric: str, seeds: Sequence[int]) -> Pooled | None:
        """A metric on the rows of whole repetitions of folds; None where that is not known."""
        return pooled(self.runs, seeds, self.rule, metric)

    def with_rule(self, rule: str) -> Technique:
        """The same runs, read out by another rule."""
        return replace(self, rule=rule)

    def chosen(self, metric: str) -> Technique:
        """The same runs, read out by the rule that is best on validation rows, the plainest of equal ones."""
        best, best_score = self, None
        for rule in self.rules:
            score = self.with_rule(rule).validation(metric)
            if score is not None and (best_score is None or direction(metric) * (score - best_score) > 1e-9):
                best, best_score = self.with_rule(rule), score
        return best

    def _read(self, seed: int, metric: str) -> float | None:
        scores = self.runs[seed].scores
        by_rule = scores.get("decision_rules", {}).get(self.rule, {})
        if metric in by_rule:
            return float(by_rule[metric])
        part = scores.get("groups", {}) if metric == WORST_GROUP else scores
        value = part.get("test", {}).get(metric) if self.rule == ARGMAX else None
        return None if value is None else float(value)


@dataclass(frozen=True)
class Field:
    """All techniques that were tried on one data set with one model: they can be compared."""

    dataset: str
    model: str
    #: By name, as they decide by themselves: the baseline first, then in the order of the runs.
    techniques: Mapping[str, Technique]
    #: Number of runs that a later one with the same settings and seed has replaced.
    replaced: int = 0

    @property
    def title(self) -> str:
        """What it is called."""
        return f"{self.dataset} · {self.model}"

    @cached_property
    def baseline(self) -> Technique | None:
        """No balancing."""
        return self.techniques.get(BASELINE)

    @cached_property
    def runs(self) -> list[Run]:
        """Of all techniques."""
        return [run for technique in self.techniques.values() for run in technique.runs.values()]

    @property
    def test_given(self) -> bool:
        """Whether all runs score the same test rows."""
        return all(run.test_given for run in self.runs)

    def design(self, seeds: Collection[int]) -> Design:
        """How these seeds come to their test rows."""
        share = sum(run.test_share for run in self.runs) / len(self.runs)
        if self.test_given:
            return Design("given", share)
        folds = {run.folds for run in self.runs}
        complete = len(folds) == 1 and 0 not in folds and _repetitions(seeds, *folds)
        return Design("folds" if complete else "redrawn", share)

    def read_out(self, metric: str) -> list[Technique]:
        """Every technique under its chosen rule; `none` as it is, and under each rule."""
        found = []
        for technique in self.techniques.values():
            if technique is self.baseline:
                rules = (replace(technique, rule=rule, cheap=True) for rule in technique.rules[1:])
                found += [technique, *(rule for rule in rules if rule.values(metric))]
            else:
                found.append(technique.chosen(metric))
        return found

    def best_rival(self, metric: str) -> Technique | None:
        """The cheap rival that is best on validation rows; None where there is none to choose from."""
        scored = [
            (direction(metric) * value, t)
            for t in self.read_out(metric)
            if t.cheap and (value := t.validation(metric)) is not None
        ]
        return max(scored, key=lambda pair: pair[0])[1] if scored else None


def _repetitions(seeds: Collection[int], folds: int) -> bool:
    """Whether seeds are whole repetitions of so many folds: of 5, 1 to 5 are the first."""
    return bool(seeds) and all(
        count == folds for count in Counter((seed - 1) // folds for seed in seeds).values()
    )


def fields(runs: Iterable[Run]) -> list[Field]:
    """Gather runs by data set and model, in the order in which these first appear.

    A recipe that is its own model is compared with what was tried on the model that the other
    recipes have where none is named; alone it stands for itself.
    """
    gathered: dict[tuple[str, str], list[Run]] = defaultdict(list)
    joining: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if is_its_model(run):
            joining[run.dataset].append(run)
        else:
            gathered[run.dataset, run.model].append(run)
    for dataset, ensembles in joining.items():
        named = {ensembles[0].settings.get("model")}
        homes = [
            pair
            for pair, members in gathered.items()
            if pair[0] == dataset and any(run.settings.get("model") in named for run in members)
        ]
        for run in ensembles:
            for pair in homes or [(dataset, run.model)]:
                gathered[pair].append(run)
    return [_field(dataset, model, members) for (dataset, model), members in gathered.items()]


def is_its_model(run: Run) -> bool:
    """Whether the recipe of a run is its model, which draws balanced rows by itself or is asked."""
    own = run.settings.get("recipe.model", run.settings.get("recipe.model.name"))
    return own == run.model and own in MODELS and MODELS[own].is_technique


def _field(dataset: str, model: str, runs: Sequence[Run]) -> Field:
    labels = _labels(runs)
    by_name: dict[str, dict[int, Run]] = {}
    replaced = 0
    for run, label in zip(runs, labels, strict=True):
        members = by_name.setdefault(label, {})
        if run.seed in members:
            replaced += 1
        if run.seed not in members or members[run.seed].committed < run.committed:
            members[run.seed] = run
    cheap = (*RIVALS, *BALANCED_ENSEMBLES)
    techniques = {name: Technique(name, members, cheap=name in cheap) for name, members in by_name.items()}
    if BASELINE in techniques:
        techniques = {BASELINE: techniques.pop(BASELINE)} | techniques
    return Field(dataset, model, techniques, replaced)


def _labels(runs: Sequence[Run]) -> list[str]:
    """Name each run by its recipe and the settings in which it differs from what most runs have.

    A recipe's own settings count against those of the other runs of the recipe.
    """

    @cache
    def usual(recipe: str, key: str) -> str:
        own = key.startswith("recipe.")
        values = Counter(repr(run.settings.get(key)) for run in runs if not own or run.recipe == recipe)
        # Of two values that are as frequent, the one of the runs of `none` is the usual one.
        plain = Counter(repr(run.settings.get(key)) for run in runs if not own and run.recipe == BASELINE)
        return max(values, key=lambda value: (plain[value], values[value]))

    return [
        run.recipe
        + "".join(
            _setting(key, value)
            for key, value in sorted(run.settings.items())
            if key != "recipe.description" and repr(value) != usual(run.recipe, key)
        )
        for run in runs
    ]


def _setting(key: str, value: Any) -> str:
    # A loss is half of a technique: `smote + focal`.
    return f" + {value}" if key == "loss" else f", {key.removeprefix('recipe.')}={value}"
