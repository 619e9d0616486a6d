"""What the report of a run shows, section by section. Its sentences stand in `evenly.evaluation.remarks`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evenly.evaluation.decisions import RULES
from evenly.evaluation.earlier import STAGES
from evenly.evaluation.examples import ExampleRows, made_blocks, mistakes_blocks
from evenly.evaluation.groups import groups_section
from evenly.evaluation.intervals import Interval
from evenly.evaluation.metrics import HEADLINE, OF_RULES
from evenly.evaluation.plots import confusion_matrix
from evenly.evaluation.remarks import headline, operating_sentence, remarks, rule_sentence, taken
from evenly.evaluation.results import ClassResult, Evaluation
from evenly.pages import figure, section
from evenly.quality.compare import Quality
from evenly.quality.outputs import quality_section

#: First of all: of the most probable class, and of the rule that validation rows choose.
_DECIDING = ("macro_f1", "rare_f1", "rare_recall", "rare_precision")
_TILES = (
    "macro_f1",
    "balanced_accuracy",
    "accuracy",
    "worst_class_recall",
    "rare_f1",
    "rare_recall",
    "nll",
    "calibration_error",
)
_MISTAKES = 10
#: With more classes than this, the confusion matrix takes the whole width.
_NARROW_CLASSES = 12
_PRIORS = {"validation": "as in validation", "train": "as in train", "uniform": "equal classes"}
_FIGURES = {
    "confusion": ("Confusion matrix", "Rows of each true class by the class predicted for them."),
    "per_class": ("F1 by class", "The classes with the fewest training rows are at the bottom."),
    "precision_recall": (
        "Precision-recall curves",
        "Each class against the rest at every threshold: what could be had by moving it.",
    ),
    "reliability": (
        "Reliability diagram",
        "Below the diagonal the model is too sure of itself. Bars: 95% intervals of a bin's accuracy.",
    ),
    "confidence": (
        "Confidence by correctness",
        "How sure the model was where it was right, and wrong.",
    ),
}


def report_context(
    evaluation: Evaluation,
    *,
    title: str,
    facts: Mapping[str, Any],
    plots: str | Path,
    stages: Mapping[str, Mapping[str, Any]],
    quality: Quality | None = None,
    damaged: bool = False,
    rows: ExampleRows | None = None,
) -> dict[str, Any]:
    """Arrange an evaluation as the context of `evenly.pages.page_html`.

    Parameters
    ----------
    evaluation
        What the report is of.
    title, facts
        What the run is called, and what it was: data set, recipe, model and so on, in the order to show.
    plots
        Folder with the PNG files of `evenly.evaluation.plots`.
    stages
        By stage, what it reported to its metrics file.
    quality
        Of the synthetic rows, drawn in the same folder; None where there are none.
    damaged
        Whether the folder has the picture of the models on damaged test rows.
    rows
        That examples are taken from; None for none.
    """
    plots = Path(plots)
    wide = {"confusion"} if len(evaluation.classes) > _NARROW_CLASSES else set()
    pictures = [figure(plots / f"{name}.png", *words, wide=name in wide) for name, words in _FIGURES.items()]
    return {
        "title": title,
        "summary": headline(evaluation),
        "facts": list(facts.items()),
        "sections": [
            _decision(evaluation, plots),
            _headline(evaluation),
            _rules(evaluation, plots),
            *_rounds(evaluation),
            section("Pictures", {"figures": pictures}),
            *([] if evaluation.groups is None else [groups_section(evaluation.groups, plots)]),
            _classes(evaluation),
            _mistakes(evaluation, rows),
            _training_rows(evaluation, plots, rows),
            *([] if quality is None else [quality_section(quality, plots)]),
            *([_damaged(plots)] if damaged else []),
            *_earlier_stages(stages),
            section("How to read this", {"remarks": list(remarks(evaluation))}),
        ],
    }


def _decision(evaluation: Evaluation, plots: Path) -> dict[str, Any]:
    """What to take and why: the chosen rule beside the most probable class, the rare class, the rows."""
    plain = evaluation.rules[0]
    chosen = next(one for one in evaluation.rules if one.rule.name == evaluation.chosen_rule)
    tiles = []
    for name in (name for name in _DECIDING if name in chosen.metrics):
        note = f"95% {_estimate(chosen.metrics[name])['note']}"
        if chosen is not plain:
            note += f"; {plain.metrics[name].value:.3f} by the most probable class"
        label = HEADLINE[name].label
        tiles.append({"label": label, "value": f"{chosen.metrics[name].value:.3f}", "note": note})
    picture = figure(plots / "class_distribution.png", "Training rows by class", wide=True)
    return section(
        "What to take, and why",
        {"remarks": list(taken(evaluation))},
        {"numbers": tiles},
        {"text": f"Decided by “{RULES[chosen.rule.name]}”, on test rows."},
        {"figures": [picture]},
    )


def _headline(evaluation: Evaluation) -> dict[str, Any]:
    final = evaluation.final
    tiles = []
    for name in (name for name in _TILES if name in final.test):
        note = f"95% {_estimate(final.test[name])['note']}"
        if name == "worst_class_recall":
            note += f", class {evaluation.worst_class.name}"
        tiles.append({"label": HEADLINE[name].label, "value": f"{final.test[name].value:.3f}", "note": note})
    rows = [
        [
            {"text": metric.label, "note": metric.meaning},
            _estimate(final.test[name]),
            _decimal(final.validation.get(name)),
            _decimal(final.train.get(name)),
            "higher" if metric.higher_is_better else "lower",
        ]
        for name, metric in HEADLINE.items()
        if name in final.test
    ]
    columns = ["Metric", "Test, 95% interval", "Validation", "Train, real rows", "Better is"]
    points = [
        operating_sentence(f"class {evaluation.rare}", point.of, point.wanted, point.values())
        for point in evaluation.operating_points
    ]
    return section(
        "Test metrics",
        {"numbers": tiles},
        {"table": rows, "columns": columns},
        {"text": f"The rare class is {evaluation.rare}."},
        {"remarks": points} if points else {},
    )


def _rules(evaluation: Evaluation, plots: Path) -> dict[str, Any]:
    names = [name for name in OF_RULES if name in evaluation.rules[0].metrics]
    rows = [
        [
            RULES[result.rule.name],
            _difference(result.gain["macro_f1"], "macro_f1") if result.gain else None,
            *(_estimate(result.metrics[name], _mark(result.gain.get(name), name)) for name in names),
        ]
        for result in evaluation.rules
    ]
    prior = _PRIORS[evaluation.prior] if isinstance(evaluation.prior, str) else "as declared"
    weighing = "weighted to these shares" if evaluation.reweighted else "counted as they are"
    picture = figure(plots / "decision_rules.png", "Decision rules", "Lines: 95% intervals.", wide=True)
    text = (
        "The same scores of the same model, decided by different rules: cheap rivals of balancing. Whatever "
        "is tuned is tuned on validation rows and only read out on test rows. Class shares at deployment: "
        f"{prior}; test rows are {weighing}. In colour: the 95% interval of the paired difference to the "
        "most probable class excludes zero."
    )
    columns = ["Rule", "Gain in macro F1", *(HEADLINE[name].label for name in names)]
    return section(
        "Decision rules",
        {"text": text},
        {"table": rows, "columns": columns},
        {"remarks": [rule_sentence(result) for result in evaluation.rules if result.gain]},
        {"figures": [picture]},
    )


def _rounds(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """Set the first and the final model side by side, where there are two."""
    if len(evaluation.models) < 2:
        return
    first, final = evaluation.models[0], evaluation.final
    rows = [
        [HEADLINE[name].label, *(_estimate(m.test[name]) for m in (first, final)), _difference(gain, name)]
        for name, gain in evaluation.difference.items()
    ]
    text = "Both on the same test rows. In colour: the interval of the paired difference excludes zero."
    columns = ["Metric", first.name, final.name, "Difference"]
    yield section(f"{final.name} against {first.name}", {"text": text}, {"table": rows, "columns": columns})


def _mistakes(evaluation: Evaluation, examples: ExampleRows | None) -> dict[str, Any]:
    counts = confusion_matrix(evaluation)
    totals = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    pairs = sorted(np.argwhere(counts).tolist(), key=lambda pair: (-counts[pair[0], pair[1]], pair))
    names = evaluation.classes
    if not pairs:
        return section("Mistakes", {"text": "No test row was taken for another class."})
    rows = [
        [names[a], names[p], int(counts[a, p]), f"{counts[a, p] / totals[a]:.0%}"]
        for a, p in pairs[:_MISTAKES]
    ]
    columns = ["Actual", "Predicted", "Rows", "Share of the actual class"]
    frequent = {"table": rows, "columns": columns, "caption": "The most frequent mistakes."}
    shown = [] if examples is None else mistakes_blocks(evaluation, examples)
    return section("Mistakes", frequent, *shown)


def _training_rows(evaluation: Evaluation, plots: Path, examples: ExampleRows | None) -> dict[str, Any]:
    origins = evaluation.final.origins
    several = len(origins) > 1
    picture = [figure(plots / "by_origin.png", "Fit by origin of training rows")] if several else []
    return section(
        "Training rows by origin",
        {
            "table": [[o.origin, o.rows, f"{o.accuracy:.3f}", f"{o.mean_loss:.3f}"] for o in origins],
            "columns": ["Origin", "Rows", "Accuracy", "Mean log loss"],
            "caption": "How well the final model fits the rows it was trained on.",
        }
        if origins
        else {"remarks": ["The model was asked, not fitted, and not about training rows."]},
        {"figures": picture} if picture else {},
        *([] if examples is None else made_blocks(examples)),
    )


def _earlier_stages(stages: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Show what earlier stages found, dropped or did otherwise than set; nothing where there is nothing."""
    if sentences := [line for name, report in stages.items() for line in STAGES[name](report)]:
        yield section("What earlier stages reported", {"remarks": sentences})


def _damaged(plots: Path) -> dict[str, Any]:
    picture = figure(
        plots / "robustness.png",
        "Accuracy and calibration by strength of damage",
        "Strength 0 is as found. Lines: 95% intervals.",
        wide=True,
    )
    text = "The same test rows, damaged more and more."
    return section("Robustness", {"text": text}, {"figures": [picture]})


def _classes(evaluation: Evaluation) -> dict[str, Any]:
    columns: dict[str, Callable[[ClassResult], Any]] = {
        "Class": lambda c: c.name,
        "Real train": lambda c: c.train_rows,
        "Balanced train": lambda c: c.balanced_rows,
        "Validation": lambda c: c.validation_rows,
        "Test": lambda c: c.test_rows,
        "Precision": lambda c: _class_share(c, "precision"),
        "Recall": lambda c: _class_share(c, "recall"),
        "F1": lambda c: _class_share(c, "f1"),
        "Average precision": lambda c: _decimal(c.average_precision),
        "AUROC": lambda c: _decimal(c.auroc),
        "In the sets": lambda c: _class_share(c, "set_coverage"),
        "Tuned threshold": lambda c: f"×{c.threshold_weight:.3g}",
    }
    caption = (
        "Rows of each class before and after balancing, and how the final model does on it, with exact 95% "
        "intervals; the tuned threshold multiplies the probability of the class. In the sets: the share of "
        "the class's rows whose prediction set holds it, by design at least "
        f"{evaluation.coverage:g} for every class; a set has "
        f"{evaluation.prediction_sets.sum(axis=1).mean():.2f} classes on average."
    )
    rows = [[cell(result) for cell in columns.values()] for result in evaluation.per_class]
    return section("Every class", {"table": rows, "columns": list(columns), "caption": caption})


def _class_share(result: ClassResult, name: str) -> dict[str, Any] | None:
    value, low, high = (getattr(result, f"{name}{end}") for end in ("", "_low", "_high"))
    return None if value is None else {"text": _decimal(value), "note": f"{low:.2f}–{high:.2f}"}


def _estimate(interval: Interval, mark: str | None = None) -> dict[str, Any]:
    note = f"{interval.low:.3f}–{interval.high:.3f}"
    return {"text": f"{interval.value:.3f}", "note": note, "mark": mark}


def _difference(gain: Interval, metric: str) -> dict[str, Any]:
    note = f"{gain.low:+.3f} to {gain.high:+.3f}"
    return {"text": f"{gain.value:+.3f}", "note": note, "mark": _mark(gain, metric)}


def _mark(gain: Interval | None, metric: str) -> str | None:
    if gain is None or not gain.excludes_zero:
        return None
    return "better" if (gain.value > 0) == HEADLINE[metric].higher_is_better else "worse"


def _decimal(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"
