"""What an evaluation says in words: sentences that the numbers carry, and what a careful reader asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from evenly.classifiers.classifier import spent_sentence
from evenly.evaluation.calibration import rows_needed
from evenly.evaluation.decisions import RULES
from evenly.evaluation.metrics import HEADLINE, log_losses
from evenly.evaluation.results import Evaluation, RuleResult
from evenly.wording import counted, first_names

#: Below this many test rows, a class's own numbers are coarse.
_FEW_ROWS = 10
#: A macro F1 that is this much higher on training rows is worth a remark.
_LARGE_GAP = 0.1
#: So few rows that hold half of the log loss say little about it.
_FEW_HOLDERS = 3


def headline(evaluation: Evaluation) -> str:
    """Give the result in one sentence."""
    f1 = evaluation.final.test["macro_f1"]
    return (
        f"Macro F1 {f1.value:.3f} (95% {f1.low:.3f} to {f1.high:.3f}) on {len(evaluation.test)} test rows of "
        f"{len(evaluation.classes)} classes."
    )


def summary(evaluation: Evaluation) -> str:
    """Give the result in a few sentences."""
    rare = ""
    if "rare_f1" in evaluation.final.test:
        found = {name: evaluation.final.test[f"rare_{name}"].value for name in ("f1", "recall", "precision")}
        rare = (
            f" The rare class {evaluation.rare}: F1 {found['f1']:.3f}, recall {found['recall']:.3f}, "
            f"precision {found['precision']:.3f}."
        )
    return f"{headline(evaluation)} {_worst(evaluation)}{rare}{free_gain(evaluation)}"


def _worst(evaluation: Evaluation) -> str:
    worst = evaluation.worst_class
    return (
        f"The class found least is {worst.name}: recall {worst.recall:.3f} on "
        f"{counted(worst.test_rows, 'test row')}, with {counted(worst.train_rows, 'real training row')}."
    )


def taken(evaluation: Evaluation) -> Iterator[str]:
    """Say what to take from this run, and why: the rule, the rare class, the model, and what is left open."""
    chosen = next(one for one in evaluation.rules if one.rule.name == evaluation.chosen_rule)
    label = HEADLINE[evaluation.chosen_by].label
    rule = RULES[chosen.rule.name]
    if evaluation.chosen_by in chosen.gain:
        helps = chosen.gain[evaluation.chosen_by].excludes_zero
        yield (
            f"Decide by “{rule}”: it has the best {label} on validation rows, needs no other "
            "model, and evenly predict uses it. On test rows: "
            + rule_sentence(chosen, evaluation.chosen_by)
            + ("" if helps else " It costs nothing, and these rows do not show that it helps.")
        )
    else:
        yield f"Take the most probable class: no other rule has a better {label} on validation rows."
    rare = next(one for one in evaluation.per_class if one.name == evaluation.rare)
    if "rare_f1" in chosen.metrics:
        plain = evaluation.rules[0].metrics
        shares = [
            f"{word} {plain[name].value:.3f}"
            + (f" → {chosen.metrics[name].value:.3f}" if chosen.gain else "")
            for word, name in (("F1", "rare_f1"), ("recall", "rare_recall"), ("precision", "rare_precision"))
        ]
        by = f" by “{rule}”" if chosen.gain else ""
        yield (
            f"The rare class is {rare.name}, with {counted(rare.train_rows, 'real training row')}: "
            f"{', '.join(shares)}{by}, on {counted(rare.test_rows, 'test row')}."
        )
    if evaluation.worst_class.name != evaluation.rare:
        yield _worst(evaluation)
    if len(evaluation.models) > 1 and "macro_f1" in evaluation.difference:
        gain = evaluation.difference["macro_f1"]
        verb = "differs" if gain.excludes_zero else "does not differ"
        yield (
            f"The final model is that of {evaluation.final.name}: its macro F1 {verb} from that of "
            f"{evaluation.models[0].name} ({gain.value:+.3f}, 95% {gain.low:+.3f} to {gain.high:+.3f})."
        )
    made = [o for o in evaluation.final.origins if o.origin != "real"]
    again = (
        "Whether a technique is worth it, one run cannot say: evenly sweep compares it over seeds with no "
    )
    again += "balancing and with rules like these."
    if evaluation.spent is not None:
        yield f"{spent_sentence(evaluation.spent)} {again}"
        return
    rows = sum(o.rows for o in evaluation.final.origins)
    origins = first_names((f"{o.origin} {o.rows:,}" for o in made), 5)
    yield (
        f"The model was fitted on {counted(rows, 'row')}, "
        + (f"{sum(o.rows for o in made):,} of them not real ({origins}). " if made else "all of them real. ")
        + again
    )


def free_gain(evaluation: Evaluation) -> str:
    """Say what the rule that validation rows choose brings on the same model, at no cost; "" for argmax."""
    chosen = next(one for one in evaluation.rules if one.rule.name == evaluation.chosen_rule)
    if evaluation.chosen_by not in chosen.gain:
        return ""
    return f" Free, as chosen on validation rows: {rule_sentence(chosen, evaluation.chosen_by)}"


def operating_sentence(name: str, of: str, wanted: float, found: Mapping[str, float]) -> str:
    """Say what a wanted precision or recall of the rare class costs, from what metrics.json has of it."""
    other = "recall" if of == "precision" else "precision"
    if not found:
        return f"No threshold gives {name} a {of} of {wanted:g} on validation rows."
    low, high = found[f"{other}_low"], found[f"{other}_high"]
    return (
        f"At the threshold {found['threshold']:.3g}, which gives {name} a {of} of {wanted:g} on validation "
        f"rows, its {other} on test rows is {found[other]:.3f} (95% {low:.3f} to {high:.3f}), its {of} "
        f"{found[of]:.3f}."
    )


def rule_sentence(result: RuleResult, metric: str = "macro_f1") -> str:
    """Say what a decision rule gains over argmax, with the interval, or that it does not differ."""
    gain = result.gain[metric]
    rule, label = RULES[result.rule.name], HEADLINE[metric].label
    if gain.value == gain.low == gain.high == 0:
        return f"{rule}: {label} stays the same."
    interval = f"(95% {gain.low:+.3f} to {gain.high:+.3f})"
    if not gain.excludes_zero:
        return (
            f"{rule}: {label} does not differ from the most probable class's, {gain.value:+.3f} {interval}."
        )
    better = (gain.value > 0) == HEADLINE[metric].higher_is_better
    return f"{rule}: {label} is {'better' if better else 'worse'} by {abs(gain.value):.3f} {interval}."


def remarks(evaluation: Evaluation) -> Iterator[str]:
    """Yield what these numbers can and cannot say, one sentence or two each."""
    final, classes = evaluation.final, evaluation.per_class
    yield (
        "Intervals say how much the numbers would move with other test rows of the same kind. They do not "
        "say how much they would move with another seed, split or initialisation: repeat over seeds for that."
    )
    few = [c.name for c in classes if 0 < c.test_rows < _FEW_ROWS]
    if few:
        yield (
            f"{counted(len(few), 'class has', 'classes have')} fewer than {_FEW_ROWS} test rows "
            f"({first_names(few)}): their numbers, the worst-class recall and all means over classes are "
            "coarse."
        )
    absent = [c.name for c in classes if not c.test_rows]
    if absent:
        yield f"Without test rows, and left out of every mean over classes: {first_names(absent)}."
    never = [c.name for c in classes if c.test_rows and not c.predicted_rows]
    if never:
        yield f"Never predicted on test rows: {first_names(never)}."
    unseen = [c.name for c in classes if not c.validation_rows]
    if unseen:
        yield f"Without validation rows, so that no threshold could be tuned: {first_names(unseen)}."
    losses = np.sort(log_losses(evaluation.test.codes, final.probabilities))[::-1]
    holders = int(np.searchsorted(np.cumsum(losses), losses.sum() / 2)) + 1
    if holders <= _FEW_HOLDERS < len(losses) / 10:
        yield (
            f"Half of the log loss is that of {counted(holders, 'test row')}: how rare such rows are cannot "
            "be known from so few, and its interval holds only if worse ones are no more frequent."
        )
    needed = rows_needed(evaluation.coverage)
    everywhere = [c.name for c in classes if c.validation_rows < needed]
    if everywhere:
        yield (
            f"Fewer than {needed} validation rows, so that only being in every prediction set covers them as "
            f"wanted: {first_names(everywhere)}."
        )
    gap = final.train.get("macro_f1", -np.inf) - final.test["macro_f1"].value
    if gap > _LARGE_GAP:
        yield (
            f"Macro F1 is {gap:.3f} higher on the real training rows than on test rows: by that much the "
            "model knows its training rows rather than their classes."
        )
    tuned = sum(c.validation_rows for c in classes)
    yield (
        f"Thresholds and temperature were fitted on {counted(tuned, 'validation row')}. Tuned thresholds "
        "only decide: their log loss, Brier score and calibration error are those of the unchanged scores."
    )
    if evaluation.reweighted:
        shares = [f"{c.name} {share:.3g}" for c, share in zip(classes, evaluation.deployment, strict=True)]
        yield (
            f"For the decision rules, rows are weighted to the deployment prior ({first_names(shares)}). In "
            "all other tables they count as they are, so the numbers there differ."
        )
