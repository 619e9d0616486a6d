"""The experiment folder: all that somebody without this repository needs of a finished run, file by file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from evenly.errors import DataError
from evenly.evaluation.decisions import RULES
from evenly.evaluation.metrics import HEADLINE
from evenly.files import atomic_folder, read_csv, write_csv, write_json, write_text
from evenly.handover.card import model_card
from evenly.handover.stored import StoredRun, find_provenance, read_stored_run

#: Folder of the model in an experiment folder.
MODEL = "model"
#: What makes the run's files of its base commit, for `git apply`.
PATCH = "code.patch"
#: Pictures of the evaluation, by their name in the folder.
_PICTURES = {"confusion_matrix.png": "confusion.png", "confidence_distribution.png": "confidence.png"}
_COPIES = {
    "per_class.csv": "reports/per_class.csv",
    "predictions.csv": "reports/predictions.csv",
    "rules.json": "models/rules.json",
}
_TEST_COLUMNS = ("rule", "metric", "value", "low", "high", "validation", "higher_is_better")
_CONFIDENCE_COLUMNS = (
    "group", "value", "rows", "accuracy", "mean_confidence", "confidence_minus_accuracy",
    "mean_confidence_right", "mean_confidence_wrong",
)  # fmt: skip
_BINS = 10


def export_run(root: Path, name: str, target: Path) -> StoredRun:
    """Write the experiment folder of a run or of `workspace` into a new or empty folder, all or nothing."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise DataError(f"{target} is a file or a link; name a folder that does not exist yet.")
    if target.is_dir() and any(target.iterdir()):
        raise DataError(f"{target} is not empty; name a folder that does not exist yet, or empty it.")
    stored = read_stored_run(root, name)
    write_experiment_folder(stored, target)
    return stored


def write_experiment_folder(stored: StoredRun, target: Path) -> None:
    """Write the experiment folder of a run that has been read; the same run gives the same bytes."""
    provenance = find_provenance(stored.revision)
    patch = PATCH if provenance.patch else None
    code = {"commit": provenance.commit, "base": provenance.base, "patch": patch}
    analysis = _balancing_analysis(stored)
    pictures = stored.folder("plots/evaluate")
    with atomic_folder(target) as folder:
        # Of params.yaml's recipes only that of the run.
        config = {
            **_identity(stored),
            "recipe_settings": stored.recipe,
            "dataset_entry": stored.entry,
            "model_plan": stored.manifest["plan"],
            "params": {key: value for key, value in stored.params.items() if key != "recipes"},
        }
        write_json(config, folder / "config.json")
        write_json(_dataset_statistics(stored), folder / "dataset_statistics.json")
        # By the names of transformers.
        label2id = {name: k for k, name in enumerate(stored.classes)}
        mapping = {"id2label": {str(k): name for name, k in label2id.items()}, "label2id": label2id}
        write_json(mapping, folder / "class_mapping.json")
        write_json(analysis, folder / "balancing_analysis.json")
        write_json(_experiment_summary(stored, code), folder / "experiment_summary.json")
        write_csv(folder / "test_metrics.csv", _TEST_COLUMNS, _test_metrics(stored))
        write_csv(folder / "confidence_analysis.csv", _CONFIDENCE_COLUMNS, _confidence_analysis(stored))
        for name, picture in _PICTURES.items():
            _copy(pictures[picture], folder / name)
        for name, path in _COPIES.items():
            (folder / name).write_bytes(stored.needed(path))
        for name, file in stored.model.items():
            _copy(file, folder / MODEL / name)
        if provenance.patch:
            (folder / PATCH).write_bytes(provenance.patch)
        write_text(model_card(stored, code, analysis), folder / "README.md")


def _copy(source: Path, target: Path) -> None:
    """Copy content without DVC's read-only mode."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _identity(stored: StoredRun) -> dict[str, Any]:
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


def _dataset_statistics(stored: StoredRun) -> dict[str, Any]:
    """Rows by split and class, how imbalanced the training rows are, and where the data come from."""
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


def _balancing_analysis(stored: StoredRun) -> dict[str, Any]:
    """What the technique did: rows and imbalance before and after, what was made, turned away and fallen back
    from, and how well rows of each origin were fitted.
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


def _experiment_summary(stored: StoredRun, code: Mapping[str, Any]) -> dict[str, Any]:
    """The run on one page: what it was, what it scored with intervals, what it cost, which code made it."""
    run = stored.run
    test = {name: value for name, value in run.scores["test"].items() if not isinstance(value, dict)}
    return {
        **_identity(stored),
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


def _test_metrics(stored: StoredRun) -> Iterator[list[Any]]:
    """Every metric under every decision rule, with its interval, and the same on validation rows.

    For `argmax`, validation rows are scored by the model as it is; the other rules are scored out of fold.
    """
    scores = stored.run.scores
    # The plot of the decision rules has the intervals that metrics.json leaves out.
    file = stored.folder("plots/evaluate")["decision_rules.csv"]
    drawn = {row.pop("rule"): row for row in read_csv(file.read_bytes(), str(file), ("rule",))}
    for rule in (name for name in RULES if name in scores["decision_rules"]):
        plain = rule == "argmax"
        values = scores["test"] if plain else scores["decision_rules"][rule]
        intervals = values if plain else {name: float(value) for name, value in drawn[rule].items()}
        validation = scores["validation"] if plain else values.get("validation", {})
        for name, metric in HEADLINE.items():
            if name in values:
                bounds = (intervals.get(f"{name}{end}") for end in ("_low", "_high"))
                cells = (values[name], *bounds, validation.get(name))
                yield [rule, name, *cells, str(metric.higher_is_better).lower()]


def _confidence_analysis(stored: StoredRun) -> Iterator[list[Any]]:
    """How sure the model is of its predictions on test rows and how often it is right: over all rows, by
    predicted class, and in ten bins of confidence; groups without rows are left out.
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
    return [group, value, int(chosen.sum()), *values]
