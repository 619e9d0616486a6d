"""An evaluation as files that machines read: metrics.json, predictions and the per-class table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from evenly.evaluation.intervals import Interval
from evenly.evaluation.results import ClassResult, Evaluation, ModelResult, RuleResult
from evenly.files import write_csv
from evenly.wording import csv_cell

#: Digits behind the point in metrics.json: more than any test set carries, few enough to read.
_DIGITS = 6
#: Where a decision rule's difference to argmax is told with its interval; the report has all of them.
_GAINS = ("macro_f1", "balanced_accuracy", "nll")


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
        "classes": len(evaluation.classes),
        "classes_without_rows": sum(c.test_rows == 0 for c in evaluation.per_class),
    }
    if len(evaluation.models) > 1:
        found["earlier"] = {model.name: _model_json(model) for model in evaluation.models[:-1]}
        found["difference"] = intervals_json(evaluation.difference)
    return found


def write_predictions(evaluation: Evaluation, path: str | Path) -> None:
    """Write one row per test sample: id, label, predicted, confidence, and one probability column a class."""
    test, cells = evaluation.test, prediction_cells(evaluation.classes, evaluation.final.probabilities)
    write_csv(
        path,
        ["id", "label", *prediction_columns(evaluation.classes)],
        ([id_, label, *row] for id_, label, row in zip(test.ids, test.labels, cells, strict=True)),
    )


def prediction_columns(classes: Sequence[str]) -> list[str]:
    """Name the columns of `prediction_cells`: predicted, confidence, and `p_CLASS` for each class."""
    return ["predicted", "confidence", *(f"p_{name}" for name in classes)]


def prediction_cells(classes: Sequence[str], probabilities: np.ndarray) -> Iterator[list[str]]:
    """Give the cells of each row of class probabilities (n, k): the most probable class comes first."""
    for k, row in zip(probabilities.argmax(axis=1), probabilities.tolist(), strict=True):
        yield [classes[k], csv_cell(row[k]), *map(csv_cell, row)]


def write_per_class(evaluation: Evaluation, path: str | Path) -> None:
    """Write one row per class, in class order; cells are empty where the test has no such row."""
    columns = [field.name for field in fields(ClassResult)]
    rows = ([csv_cell(getattr(result, column)) for column in columns] for result in evaluation.per_class)
    write_csv(path, ["class", *columns[1:]], rows)


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


def intervals_json(intervals: Mapping[str, Interval]) -> dict[str, float]:
    """Write each interval as three numbers: NAME, NAME_low and NAME_high."""
    return {
        f"{name}{end}": rounded(value)
        for name, interval in intervals.items()
        for end, value in (("", interval.value), ("_low", interval.low), ("_high", interval.high))
    }


def rounded(value: float) -> float:
    """Cut a number to the digits of metrics.json."""
    # Adding 0 turns a rounded −0.0 into 0.0.
    return round(float(np.float64(value)), _DIGITS) + 0.0
