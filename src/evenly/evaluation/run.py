"""The files of one run: which models it made, and everything that its evaluation leaves behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenly.evaluation.groupreport import group_metrics, write_groups
from evenly.evaluation.outputs import metrics_json, write_per_class, write_predictions
from evenly.evaluation.plots import write_plots
from evenly.evaluation.results import Evaluation, RobustnessPoint
from evenly.evaluation.robustness import robustness_metrics, write_robustness
from evenly.evaluation.story import report_context
from evenly.files import atomic_folder, read_json, write_json, write_text
from evenly.pages import page_html
from evenly.quality.compare import Quality
from evenly.quality.outputs import quality_json, write_quality

if TYPE_CHECKING:
    from evenly.classifiers.classifier import Classifier


def model_folders(models: str | Path) -> dict[str, Path]:
    """Find the models of a run, by the stage that made them; the last is the final one.

    Parameters
    ----------
    models
        Folder with `train` and `finetune`. Where `finetune/model.json` says `{"kept": "train"}`, there was no
        second round, or it was not better, and the first model is the only one.
    """
    models = Path(models)
    first = {"train": models / "train"}
    second = models / "finetune"
    if read_json(second / "model.json").get("kept") == "train":
        return first
    return {**first, "finetune": second}


def load_models(models: str | Path) -> dict[str, Classifier]:
    """Load the models of a run; see `model_folders`."""
    from evenly.classifiers import load_classifier

    return {name: load_classifier(folder) for name, folder in model_folders(models).items()}


def write_evaluation(
    evaluation: Evaluation,
    root: str | Path,
    *,
    title: str,
    facts: Mapping[str, Any],
    stages: Mapping[str, Mapping[str, Any]],
    quality: Quality | None = None,
    robustness: Sequence[RobustnessPoint] = (),
) -> None:
    """Write `metrics/evaluate.json`, `plots/evaluate/` and `reports/` under a root.

    Parameters
    ----------
    evaluation
        What was found.
    root
        Of the project.
    title, facts, stages
        What the report says besides; see `evenly.evaluation.story.report_context`.
    quality
        Of the synthetic rows that the models were fitted on, where there are any.
    robustness
        How the models do on damaged test rows, where that was tried.
    """
    root = Path(root)
    plots, reports = root / "plots" / "evaluate", root / "reports"
    metrics = metrics_json(evaluation)
    if evaluation.groups is not None:
        metrics["groups"] = group_metrics(evaluation.groups)
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
    context = report_context(
        evaluation,
        title=title,
        facts=facts,
        plots=plots,
        stages=stages,
        quality=quality,
        damaged=bool(robustness),
    )
    write_text(page_html(context), reports / "report.html")
