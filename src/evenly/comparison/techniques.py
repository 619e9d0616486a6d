"""What is compared: runs gathered into techniques, the same recipe and settings over seeds, and the decision
rules that come free with the runs of `none`; and the metrics to compare them by. Nothing is tested here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from evenly.evaluation.metrics import HEADLINE, OF_RULES, Measure
from evenly.experiments.groups import RIVALS
from evenly.experiments.runs import Run

BASELINE = "none"
#: Decision rules on the scores of `none` that stand in every comparison, and what they are called there.
RULE_RIVALS = {
    "logit_adjustment": "none + logit adjustment",
    "tuned_thresholds": "none + tuned thresholds",
    "temperature": "none + temperature",
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
    """One technique on one data set with one model, its runs by seed.

    `name` is the recipe with what sets it apart from other uses of the recipe, or a rule on `none`.
    """

    name: str
    runs: Mapping[int, Run]
    #: The decision rule that its scores are read out by.
    rule: str = "argmax"
    #: Whether it is one of the rivals that any technique must beat to be worth its price.
    cheap: bool = False

    @property
    def seeds(self) -> list[int]:
        """In order."""
        return sorted(self.runs)

    @property
    def is_rule(self) -> bool:
        """Whether it is another reading of the runs of `none`."""
        return self.rule != "argmax"

    def values(self, metric: str) -> dict[int, float]:
        """A metric on test rows, at the deployment prior, by seed."""
        return {seed: value for seed in self.seeds if (value := self._read(seed, metric)) is not None}

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
            if validation is None and not self.is_rule:
                validation = scores.get("validation")
            if validation and metric in validation:
                values[seed] = float(validation[metric])
        return values

    def with_rule(self, rule: str) -> Technique:
        """The same runs, read out by another rule."""
        return Technique(self.name, self.runs, rule, self.cheap)

    def _read(self, seed: int, metric: str) -> float | None:
        scores = self.runs[seed].scores
        by_rule = scores.get("decision_rules", {}).get(self.rule, {})
        if metric in by_rule:
            return float(by_rule[metric])
        part = scores.get("groups", {}) if metric == WORST_GROUP else scores
        value = None if self.is_rule else part.get("test", {}).get(metric)
        return None if value is None else float(value)


@dataclass(frozen=True)
class Field:
    """All techniques that were tried on one data set with one model: they can be compared."""

    dataset: str
    model: str
    #: By name: the baseline first, rules on it next, then in the order of the runs.
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
        """Of all techniques, once each."""
        return [run for t in self.techniques.values() if not t.is_rule for run in t.runs.values()]

    @property
    def test_share(self) -> float:
        """Mean over the runs."""
        return sum(run.test_share for run in self.runs) / len(self.runs)

    def best_rival(self, metric: str) -> Technique | None:
        """The cheap rival that is best on validation rows; None where there is none to choose from."""
        scored = [
            (direction(metric) * value, t)
            for t in self.techniques.values()
            if t.cheap and (value := t.validation(metric)) is not None
        ]
        return max(scored, key=lambda pair: pair[0])[1] if scored else None


def fields(runs: Iterable[Run]) -> list[Field]:
    """Gather runs by data set and model, in the order in which these first appear."""
    gathered: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        gathered[run.dataset, run.model].append(run)
    return [_field(dataset, model, members) for (dataset, model), members in gathered.items()]


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
    techniques = {name: Technique(name, members, cheap=name in RIVALS) for name, members in by_name.items()}
    baseline = techniques.pop(BASELINE, None)
    if baseline is not None:
        rules = (
            Technique(name, baseline.runs, rule, cheap=True)
            for rule, name in RULE_RIVALS.items()
            if all(rule in run.scores.get("decision_rules", {}) for run in baseline.runs.values())
        )
        techniques = {BASELINE: baseline} | {rule.name: rule for rule in rules} | techniques
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
