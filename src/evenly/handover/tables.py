"""The tables and JSON files of an experiment folder, from what a finished run has stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from evenly.evaluation.decisions import RULES
from evenly.evaluation.metrics import HEADLINE
from evenly.handover.stored import StoredRun
from evenly.wording import csv_cell

TEST_COLUMNS = ("rule", "metric", "value", "low", "high", "validation", "higher_is_better")
CONFIDENCE_COLUMNS = (
    "group", "value", "rows", "accuracy", "mean_confidence", "confidence_minus_accuracy",
    "mean_confidence_right", "mean_confidence_wrong",
)  # fmt: skip
_BINS = 10


def class_mapping(stored: StoredRun) -> dict[str, Any]:
    """Positions of classes in the model's probabilities, both ways, by the names of transformers."""
    return {
        "id2label": {str(k): name for k, name in enumerate(stored.classes)},
        "label2id": {name: k for k, name in enumerate(stored.classes)},
    }


def config(stored: StoredRun) -> dict[str, Any]:
    """Everything that was set: the run, its recipe, the data set's entry, the model's plan, and params.yaml
    but for the other recipes.
    """
    return {
        **identity(stored),
        "recipe_settings": stored.recipe,
        "dataset_entry": stored.entry,
        "model_plan": stored.manifest["plan"],
        "params": {key: value for key, value in stored.params.items() if key != "recipes"},
    }


def dataset_statistics(stored: StoredRun) -> dict[str, Any]:
    """Rows by split and class, duplicates and conflicts, how imbalanced the training rows are, and where the
    data come from.
    """
    imbalance = stored.metrics["imbalance"]
    return {
        "modality": stored.modality,
        "source": stored.entry.get("source", ""),
        "licence": stored.entry.get("licence", ""),
        "features": stored.manifest["schema"].get("features") or [],
        "split": stored.metrics["split"],
        "imbalance": imbalance.get("train", {}),
        "tiers": imbalance.get("tiers", {}),
    }


def balancing_analysis(stored: StoredRun) -> dict[str, Any]:
    """What the technique did: rows of each class before and after, what was made, turned away and fallen back
    from, imbalance before and after, and how well rows of each origin were fitted.
    """
    resample, scores, plan = stored.metrics["resample"], stored.run.scores, stored.manifest["plan"]
    by_class = {row["class"]: row for row in stored.table("reports/per_class.csv")}
    return {
        "recipe": stored.run.recipe,
        "settings": stored.recipe,
        "training": {key: plan.get(key) for key in ("loss", "sampler", "synthetic_weight")},
        "imbalance": resample.get("imbalance", {}),
        "rows": {
            "before": stored.metrics["split"]["rows"]["train"],
            "trained_on": sum(int(row["balanced_rows"]) for row in by_class.values()),
            "synthetic": stored.run.added_rows,
        },
        "classes": {
            name: {
                "train_rows": int(row["train_rows"]),
                "trained_on": int(row["balanced_rows"]),
                "resampling": resample.get("classes", {}).get(name, {}),
            }
            for name, row in by_class.items()
        },
        "classes_with_fallback": resample.get("classes_with_fallback", 0),
        "by_origin": scores.get("by_origin", {}),
        "quality": scores.get("quality", {}),
        "llm": stored.metrics["llm"],
        "generate": stored.metrics["generate"],
        "screening": stored.metrics["filter"],
        "mining": stored.metrics["mining"],
    }


def experiment_summary(stored: StoredRun, code: Mapping[str, Any]) -> dict[str, Any]:
    """The run in one page of JSON: what it was, what it scored with intervals, what it cost, which code."""
    run = stored.run
    test = {name: value for name, value in run.scores["test"].items() if not isinstance(value, dict)}
    return {
        **identity(stored),
        "classes": len(stored.classes),
        "test": test,
        "validation": run.scores["validation"],
        "gap": run.scores.get("gap", {}),
        "best_rule_on_validation": stored.best_rule,
        "decision_rules": run.scores["decision_rules"],
        "final_model": {"stage": stored.final, "why": stored.kept.get("why")},
        "difference_of_rounds": run.scores.get("difference", {}),
        "cost": {
            "synthetic_rows": run.added_rows,
            "tokens": run.tokens,
            "money": run.money,
            "fit_cpu_seconds": run.fit_seconds,
        },
        "libraries": stored.manifest["libraries"],
        "code": dict(code),
    }


def identity(stored: StoredRun) -> dict[str, Any]:
    """Which run it is. `committed` is that of its commit, so that an export twice gives the same bytes."""
    run, commit = stored.run, stored.revision.commit
    when = datetime.fromtimestamp(run.committed, UTC).isoformat() if commit else None
    return {
        "run": run.name,
        "committed": when,
        "dataset": run.dataset,
        "modality": stored.modality,
        "recipe": run.recipe,
        "description": stored.recipe.get("description", ""),
        "model": run.model,
        "loss": run.loss,
        "seed": run.seed,
    }


def test_metrics(stored: StoredRun) -> Iterator[list[Any]]:
    """Rows of test_metrics.csv: every metric under every decision rule, with 95% intervals where they are
    known, and the same on validation rows.

    For `argmax`, validation rows are scored by the model as it is; the other rules are scored out of fold.
    """
    scores = stored.run.scores
    ends = {row["rule"]: row for row in stored_rules(stored)}
    for rule in (name for name in RULES if name in scores["decision_rules"]):
        plain = rule == "argmax"
        told = scores["test"] if plain else scores["decision_rules"][rule]
        intervals = told if plain else {name: float(v) for name, v in ends[rule].items() if name != "rule"}
        validation = scores["validation"] if plain else told.get("validation", {})
        for name, metric in HEADLINE.items():
            if name in told:
                bounds = (intervals.get(f"{name}{end}") for end in ("_low", "_high"))
                cells = (told[name], *bounds, validation.get(name))
                yield [rule, name, *map(_cell, cells), str(metric.higher_is_better).lower()]


def stored_rules(stored: StoredRun) -> list[dict[str, str]]:
    """Rows of the decision-rule plot: the intervals that metrics.json leaves out."""
    import csv

    file = stored.folder("plots/evaluate")["decision_rules.csv"]
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def confidence_analysis(stored: StoredRun) -> Iterator[list[Any]]:
    """Rows of confidence_analysis.csv: how sure the model is of its predictions on test rows and how often it
    is right, over all rows, by predicted class, and in ten bins of confidence; groups without rows are left
    out.
    """
    rows = stored.table("reports/predictions.csv")
    confidence = np.array([float(row["confidence"]) for row in rows])
    predicted = np.array([row["predicted"] for row in rows], dtype=object)
    right = predicted == np.array([row["label"] for row in rows], dtype=object)
    yield _confidence_row("all", "", confidence, right, np.ones(len(rows), dtype=bool))
    for name in stored.classes:
        if (chosen := predicted == name).any():
            yield _confidence_row("predicted", name, confidence, right, chosen)
    # A confidence of 1 belongs to the last bin.
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    for k in np.unique(bins):
        name = f"{k / _BINS:.1f} to {(k + 1) / _BINS:.1f}"
        yield _confidence_row("confidence", name, confidence, right, bins == k)


def _confidence_row(
    group: str, value: str, confidence: np.ndarray, right: np.ndarray, chosen: np.ndarray
) -> list[Any]:
    sure, hit = confidence[chosen], right[chosen]
    means = (sure[mask].mean() if mask.any() else None for mask in (hit, ~hit))
    values: Sequence[Any] = (hit.mean(), sure.mean(), sure.mean() - hit.mean(), *means)
    return [group, value, int(chosen.sum()), *map(_cell, values)]


def _cell(value: float | None) -> str:
    return "" if value is None else csv_cell(float(value))
