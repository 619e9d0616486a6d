"""Everything that the evaluation of a run leaves behind: metrics, plots, predictions, tables, the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from evenly.evaluation.examples import ExampleRows
from evenly.evaluation.groups import group_metrics, write_groups
from evenly.evaluation.intervals import intervals_json, rounded
from evenly.evaluation.plots import write_plots
from evenly.evaluation.report import report_context
from evenly.evaluation.results import ClassResult, Evaluation, ModelResult, RuleResult
from evenly.evaluation.robustness import RobustnessPoint, robustness_metrics, write_robustness
from evenly.files import atomic_folder, write_csv, write_json, write_text
from evenly.pages import page_html
from evenly.quality.compare import Quality
from evenly.quality.outputs import quality_json, write_quality
from evenly.resamples import write_resamples

#: Where a decision rule's difference to argmax stands with its interval; the report has all of them.
_GAINS = ("macro_f1", "balanced_accuracy", "nll")


def write_evaluation(
    evaluation: Evaluation,
    root: str | Path,
    *,
    title: str,
    facts: Mapping[str, Any],
    stages: Mapping[str, Mapping[str, Any]],
    quality: Quality | None = None,
    robustness: Sequence[RobustnessPoint] = (),
    rows: ExampleRows | None = None,
) -> None:
    """Write `metrics/evaluate.json`, `plots/evaluate/` and `reports/` under the root of a project.

    Parameters
    ----------
    evaluation, quality, robustness
        What was found: of the models, of the synthetic rows they were fitted on, and on damaged test rows,
        where that was tried.
    root
        Of the project.
    title, facts, stages, rows
        What the report says besides; see `evenly.evaluation.report.report_context`.
    """
    root = Path(root)
    plots, reports = root / "plots" / "evaluate", root / "reports"
    metrics = metrics_json(evaluation)
    if evaluation.groups is not None:
        metrics["groups"] = group_metrics(evaluation.groups)
    if evaluation.spent is not None:
        metrics["asked"] = dict(evaluation.spent)
    if quality is not None:
        metrics["quality"] = quality_json(quality)
    if robustness:
        metrics["robustness"] = robustness_metrics(robustness)
    write_json(metrics, root / "metrics" / "evaluate.json")
    with atomic_folder(plots) as folder:
        write_plots(evaluation, folder)
        if evaluation.groups is not None:
            write_groups(evaluation.groups, folder)
        if quality is not None:
            write_quality(quality, folder)
        if robustness:
            write_robustness(robustness, folder)
    write_predictions(evaluation, reports / "predictions.csv")
    write_per_class(evaluation, reports / "per_class.csv")
    write_resamples(evaluation.resamples, reports / "resamples.parquet")
    context = report_context(
        evaluation,
        title=title,
        facts=facts,
        plots=plots,
        stages=stages,
        quality=quality,
        damaged=bool(robustness),
        rows=rows,
    )
    write_text(page_html(context), reports / "report.html")


def metrics_json(evaluation: Evaluation) -> dict[str, Any]:
    """Arrange the numbers for `dvc metrics diff`: the final model at the top level, so that runs compare.

    Keys: `test` (with `_low` and `_high`), `validation`, `train`, `gap`, `by_origin`, `decision_rules` (each
    with its `gain` over argmax, and what it scores on `validation` rows out of fold), and, where two models
    were made, `earlier` (by name) and `difference` (final minus earlier). Metrics that do not exist for these
    data are left out.
    """
    final = evaluation.final
    found: dict[str, Any] = {
        **_model_json(final),
        "gap": {
            f"{split}_minus_test": {
                name: rounded(values[name] - final.test[name].value)
                for name in ("accuracy", "macro_f1", "nll")
            }
            for split, values in (("train", final.train), ("validation", final.validation))
            if values
        },
        "by_origin": {
            o.origin: {"rows": o.rows, "accuracy": rounded(o.accuracy), "mean_loss": rounded(o.mean_loss)}
            for o in final.origins
        },
        "decision_rules": {result.rule.name: _rule_json(result) for result in evaluation.rules},
    }
    found["test"] |= {
        "rows": len(evaluation.test),
        "worst_class": evaluation.worst_class.name,
        "rare_class": evaluation.rare,
        "classes": len(evaluation.classes),
        "classes_without_rows": sum(c.test_rows == 0 for c in evaluation.per_class),
    }
    found["prediction_sets"] = {
        "coverage": evaluation.coverage,
        "mean_size": rounded(evaluation.prediction_sets.sum(axis=1).mean()),
        "smallest_class_coverage": rounded(
            min(c.set_coverage for c in evaluation.per_class if c.set_coverage is not None)
        ),
    }
    for point in evaluation.operating_points:
        found.setdefault("operating_points", {})[f"{point.of}_{point.wanted:g}"] = point.values()
    if len(evaluation.models) > 1:
        found["earlier"] = {model.name: _model_json(model) for model in evaluation.models[:-1]}
        found["difference"] = intervals_json(evaluation.difference)
    return found


def _model_json(model: ModelResult) -> dict[str, Any]:
    return {
        "test": intervals_json(model.test),
        "validation": {name: rounded(value) for name, value in model.validation.items()},
        "train": {name: rounded(value) for name, value in model.train.items()},
    }


def _rule_json(result: RuleResult) -> dict[str, Any]:
    found: dict[str, Any] = {name: rounded(interval.value) for name, interval in result.metrics.items()}
    if result.validation:
        found["validation"] = {name: rounded(value) for name, value in result.validation.items()}
    if result.gain:
        found["gain"] = intervals_json({name: result.gain[name] for name in _GAINS})
    if result.rule.name == "temperature":
        found["fitted_temperature"] = rounded(result.rule.temperature)
    return found


def write_predictions(evaluation: Evaluation, path: str | Path) -> None:
    """Write one row per test sample: id, label, predicted, confidence, one probability column a class, and
    its weight where it has one.
    """
    test, cells = evaluation.test, prediction_cells(evaluation.classes, evaluation.final.probabilities)
    weights = [[]] * len(test) if test.weights is None else [[weight] for weight in test.weights.tolist()]
    write_csv(
        path,
        ["id", "label", *prediction_columns(evaluation.classes), *(["weight"] if any(weights) else [])],
        (
            [id_, label, *row, *weight]
            for id_, label, row, weight in zip(test.ids, test.labels, cells, weights, strict=True)
        ),
    )


def prediction_columns(classes: Sequence[str]) -> list[str]:
    """Name the columns of `prediction_cells`: predicted, confidence, and `p_CLASS` for each class."""
    return ["predicted", "confidence", *(f"p_{name}" for name in classes)]


def prediction_cells(
    classes: Sequence[str], probabilities: np.ndarray, decided: np.ndarray | None = None
) -> Iterator[list[Any]]:
    """Give the cells of each row of class probabilities (n, k), first the class that is `decided` for (n,),
    the most probable one where that is None.
    """
    decided = probabilities.argmax(axis=1) if decided is None else decided
    for k, row in zip(decided, probabilities.tolist(), strict=True):
        yield [classes[k], row[k], *row]


def write_per_class(evaluation: Evaluation, path: str | Path) -> None:
    """Write one row per class, in class order; cells are empty where the test has no such row."""
    columns = [field.name for field in fields(ClassResult)]
    rows = ([getattr(result, column) for column in columns] for result in evaluation.per_class)
    write_csv(path, ["class", *columns[1:]], rows)
