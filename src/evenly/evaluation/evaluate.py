"""Evaluate: open the test split, and gather everything that can be said about one run's models in one value.

What is gathered is written by `evenly.evaluation.outputs`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evenly import confusion
from evenly.classifiers.classifier import kept_folder
from evenly.confusion import Outcomes
from evenly.errors import DataError, ModelError, ParameterError
from evenly.evaluation import bounds, metrics
from evenly.evaluation.calibration import prediction_sets, set_thresholds
from evenly.evaluation.decisions import deployment_shares, deployment_weights, fitted_rules, out_of_fold
from evenly.evaluation.groups import group_errors
from evenly.evaluation.intervals import (
    bootstrap_draws,
    metric_intervals,
    paired_differences,
    resampled,
)
from evenly.evaluation.metrics import HEADLINE, OF_RULES, Predictions, WeightedPredictions
from evenly.evaluation.results import (
    ClassResult,
    Evaluation,
    ModelResult,
    OperatingPoint,
    OriginResult,
    RuleResult,
)
from evenly.params.evaluation import EvaluateSettings, PriorSetting
from evenly.resamples import Scored
from evenly.samples import SampleTable
from evenly.wording import nearest_names

if TYPE_CHECKING:
    from evenly.classifiers.classifier import Classifier

#: Fewer rows than this tell nothing about the accuracy in a bin.
_ROWS_A_BIN = 20


def model_folders(models: str | Path) -> dict[str, Path]:
    """Find the models of a run, by the stage that made them; the last is the final one.

    Parameters
    ----------
    models
        Folder with `train` and `finetune`. Where `finetune/model.json` says `{"kept": "train"}`, there was no
        second round, or it was not better, and the first model is the only one.
    """
    first, second = Path(models) / "train", Path(models) / "finetune"
    if kept_folder(second) == first:
        return {"train": first}
    return {"train": first, "finetune": second}


def load_models(models: str | Path, cache: Path | None = None) -> dict[str, Classifier]:
    """Load the models of a run; see `model_folders`, and `load_classifier` for the cache."""
    from evenly.classifiers import load_classifier

    return {name: load_classifier(folder, cache) for name, folder in model_folders(models).items()}


def evaluate(
    models: Mapping[str, Classifier],
    *,
    train: SampleTable,
    balanced: SampleTable,
    validation: SampleTable,
    test: SampleTable,
    settings: EvaluateSettings,
    prior: PriorSetting,
    seed: int,
) -> Evaluation:
    """Evaluate one run's models on rows that nothing was fitted on.

    Parameters
    ----------
    models
        By the name of the stage that made them, in that order; the last is the final one.
    train, balanced
        The real training split, and the table that the models were fitted on.
    validation, test
        Everything that is tuned is tuned on the first and only read out on the second.
    settings
        Resamples, bins, shrinkage.
    prior
        Where the model will be used.
    seed
        Of the bootstrap. The order of the rows does not matter to it.

    Raises
    ------
    DataError
        When validation or test has no rows.
    ModelError
        When a model knows other classes than the data.
    ParameterError
        When the deployment prior, the rare class or the costs do not fit the data.
    """
    for name, table in (("validation", validation), ("test", test)):
        if not len(table):
            raise DataError(f"The {name} split has no rows; give it a share in datasets.yaml.")
    for name, model in models.items():
        if tuple(model.classes) != test.classes:
            raise ModelError(
                f"models/{name} knows the classes {', '.join(model.classes)}, the test split has "
                f"{', '.join(test.classes)}; run `dvc repro` to train it on this data."
            )
    tables = {"train": train, "balanced": balanced, "validation": validation, "test": test}
    rows = {name: np.bincount(table.codes, minlength=len(test.classes)) for name, table in tables.items()}
    deployment = deployment_shares(prior, test.classes, _weighed_rows(train), _weighed_rows(validation))
    reweighted = prior != "validation"

    # In the order of their ids, rows give the same resamples whatever the order of the file.
    by_id = _by_id(test)
    y = test.codes[by_id]
    bins = calibration_bins(len(test), settings.calibration_bins)
    scores = [model.predict_proba(test) for model in models.values()]
    rare = rare_class(settings.rare_class, test.classes, rows["train"])
    judged: dict[str, Any] = {"bins": bins, "rare": rare}
    costs = {name: decision_costs(settings.costs, table) for name, table in tables.items() if name != "train"}
    on_test = [Predictions(y, score[by_id], costs=_taken(costs["test"], by_id), **judged) for score in scores]
    on_validation = [model.predict_proba(validation) for model in models.values()]
    # One model differs from no other, and most metrics need no resamples for their own interval.
    names = [name for name, metric in HEADLINE.items() if metric.ends is None or len(models) > 1]
    each = _taken(test.weights, by_id)
    draws = bootstrap_draws(on_test, resamples=settings.bootstrap, seed=seed, row_weights=each, names=names)
    values = [one.values(each) for one in on_test]

    fitting: dict[str, Any] = {
        "effective": np.asarray(list(models.values())[-1].effective_prior, dtype=np.float64),
        "deployment": deployment,
        "weights": deployment_weights(deployment, validation.codes, validation.weights)
        if reweighted
        else validation.weights,
        "shrinkage": settings.threshold_shrinkage,
        "objective": tuning_objective(settings, rare),
        "costs": costs["validation"],
    }
    row_weights = deployment_weights(deployment, y, each) if reweighted else each
    rules, resamples = _rules(
        on_test[-1],
        _units(test, by_id),
        validation,
        on_validation[-1],
        fitting,
        row_weights=row_weights,
        judged=judged,
        resamples=settings.bootstrap,
        seed=seed,
    )
    tuned = next(result.rule for result in rules if result.rule.name == "tuned_thresholds")
    return Evaluation(
        test=test,
        spent=list(models.values())[-1].spent,
        models=tuple(
            ModelResult(
                name=name,
                probabilities=scores[i],
                test=metric_intervals(values[i], draws[i], on_test[i].weighted(each)),
                validation=_known_values(
                    Predictions(validation.codes, on_validation[i], costs=costs["validation"], **judged),
                    validation.weights,
                ),
                **_on_training_rows(model, balanced, costs["balanced"], judged),
            )
            for i, (name, model) in enumerate(models.items())
        ),
        difference=paired_differences(values[-1], draws[-1], values[0], draws[0]) if len(models) > 1 else {},
        rules=rules,
        resamples=resamples,
        chosen_by=wanted if (wanted := tuned_metric(settings)) in OF_RULES else "macro_f1",
        prior=prior,
        deployment=deployment,
        reweighted=reweighted,
        per_class=_per_class(
            test.classes,
            rows,
            on_test[-1].weighted(each),
            np.exp(tuned.offsets),
            set_thresholds(validation.codes, on_validation[-1], settings.coverage),
        ),
        coverage=settings.coverage,
        calibration_bins=bins,
        rare=test.classes[rare],
        operating_points=_operating_points(
            settings,
            rare,
            (validation.codes, on_validation[-1], fitting["weights"]),
            on_test[-1],
            row_weights,
        ),
        groups=group_errors(
            scores[-1].argmax(axis=1),
            train=train,
            balanced=balanced,
            test=test,
            resamples=settings.bootstrap,
            seed=seed,
        ),
    )


def rare_class(setting: str | None, classes: Sequence[str], train: np.ndarray) -> int:
    """Position of the class with metrics of its own: the one set, or that with the fewest training rows."""
    if setting is None:
        return int(np.where(train > 0, train, train.max() + 1).argmin())
    if setting not in classes:
        raise ParameterError(
            f"params.yaml: evaluate.rare_class is {setting!r}, which is no class; "
            f"{nearest_names(setting, classes)}"
        )
    return list(classes).index(setting)


def decision_costs(
    setting: Mapping[str, Mapping[str, float]] | str | None, table: SampleTable
) -> np.ndarray | None:
    """What each decision would cost on each row, float (n, k); None where no costs are set.

    Raises
    ------
    ParameterError
        When the costs name a class or a column that is not there, or the column is not of numbers.
    """
    classes = list(table.classes)
    if setting is None:
        return None
    if isinstance(setting, str):
        numbers = [feature.name for feature in table.schema.features or () if feature.kind == "number"]
        if setting not in numbers:
            there = nearest_names(setting, numbers) if numbers else "the data have none."
            raise ParameterError(f"params.yaml: evaluate.costs is {setting!r}, no column of numbers; {there}")
        amounts = table.features_frame()[setting].to_numpy(dtype=np.float64)
        if not np.isfinite(amounts).all():
            row = str(table.ids[int(np.flatnonzero(~np.isfinite(amounts))[0])])
            raise DataError(f"Row {row} has no number in {setting!r}, the column that evaluate.costs names.")
        return np.asarray(amounts[:, None] * (1 - np.eye(len(classes))[table.codes]))
    matrix = np.zeros((len(classes), len(classes)))
    for true, of_class in setting.items():
        for name in (true, *of_class):
            if name not in classes:
                raise ParameterError(
                    f"params.yaml: evaluate.costs names {name!r}, which is no class; "
                    f"{nearest_names(name, classes)}"
                )
        for predicted, cost in of_class.items():
            matrix[classes.index(true), classes.index(predicted)] = cost
    return np.asarray(matrix[table.codes])


def tuned_metric(settings: EvaluateSettings) -> str:
    """The metric that thresholds are tuned for."""
    if settings.tune_for != "auto":
        return settings.tune_for
    return "macro_f1" if settings.costs is None else "expected_cost"


def tuning_objective(settings: EvaluateSettings, rare: int) -> Callable[[Outcomes], np.ndarray] | None:
    """Metric of a confusion matrix that thresholds are tuned for; None for the costs."""
    name = tuned_metric(settings)
    if name == "expected_cost":
        if settings.costs is None:
            raise ParameterError(
                "params.yaml: evaluate.tune_for is expected_cost, but evaluate.costs says none; "
                "give some there."
            )
        return None
    if name == "rare_f1":
        return lambda o: np.asarray(confusion.f1_scores(o)[..., rare])
    named: dict[str, Callable[[Outcomes], np.ndarray]] = {
        "macro_f1": confusion.macro_f1,
        "balanced_accuracy": confusion.balanced_accuracy,
        "accuracy": confusion.accuracy,
        "worst_class_recall": confusion.worst_class_recall,
        "g_mean": confusion.g_mean,
        "weighted_f1": confusion.weighted_f1,
        "macro_precision": confusion.macro_precision,
        "mcc": confusion.matthews_correlation,
    }
    return named[name]


def _operating_points(
    settings: EvaluateSettings,
    rare: int,
    validation: tuple[np.ndarray, np.ndarray, np.ndarray | None],
    test: Predictions,
    row_weights: np.ndarray | None,
) -> tuple[OperatingPoint, ...]:
    """Thresholds of the rare class that validation rows choose, read out on test rows."""
    codes, scores, weights = validation
    points = []
    for of, wanted in (("precision", settings.wanted_precision), ("recall", settings.wanted_recall)):
        if wanted is None or rare not in test.ranked:
            continue
        threshold = metrics.wanted_threshold(codes == rare, scores[:, rare], wanted, of, weights)
        if threshold is None:
            points.append(OperatingPoint(of, wanted, None, None, None))
            continue
        taken = (test.probabilities[:, rare] >= threshold).astype(np.int64)
        # Of two classes, the rare one against the rest.
        one = Predictions((test.y == rare).astype(np.int64), np.eye(2)[taken], rare=1).weighted(row_weights)
        found = metric_intervals(
            {name: HEADLINE[name].value(one) for name in ("rare_precision", "rare_recall")}, {}, one
        )
        points.append(OperatingPoint(of, wanted, threshold, found["rare_precision"], found["rare_recall"]))
    return tuple(points)


def _taken(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[rows]


def calibration_bins(rows: int, most: int) -> int:
    """Bins of the calibration errors: at most so many, fewer where they would hold too few rows."""
    return int(np.clip(rows // _ROWS_A_BIN, 2, most))


def _weighed_rows(table: SampleTable) -> np.ndarray:
    """Rows per class, weighed so that the mean row of the table counts 1, (k,)."""
    weights = table.weights
    each = None if weights is None else weights / weights.mean()
    return np.bincount(table.codes, each, minlength=len(table.classes))


def _by_id(table: SampleTable) -> np.ndarray:
    return np.argsort(table.ids.astype(str), kind="stable")


def _known_values(
    predictions: Predictions, weights: np.ndarray | None = None, names: tuple[str, ...] | None = None
) -> dict[str, float]:
    """Headline metrics that exist."""
    values = {name: float(value) for name, value in predictions.values(weights, names).items()}
    return {name: value for name, value in values.items() if not np.isnan(value)}


def _on_training_rows(
    model: Classifier, rows: SampleTable, costs: np.ndarray | None, judged: Mapping[str, Any]
) -> dict[str, Any]:
    """Score the rows that a model was fitted on: the fields `train` and `origins` of its result.

    A model that is asked was fitted on none, and would be paid for each.
    """
    if model.spent is not None:
        return {"train": {}, "origins": ()}
    probabilities = model.predict_proba(rows)
    # A recipe may keep synthetic rows only; the gap is then taken on these.
    real = rows.is_real if rows.is_real.any() else np.ones(len(rows), dtype=bool)
    hit = probabilities.argmax(axis=1) == rows.codes
    losses = metrics.log_losses(rows.codes, probabilities)
    origins = sorted(set(rows.origins), key=lambda origin: (origin != "real", origin))
    masks = ((origin, rows.origins == origin) for origin in origins)
    return {
        "train": _known_values(
            Predictions(rows.codes[real], probabilities[real], costs=_taken(costs, real), **judged),
            _taken(rows.weights, real),
        ),
        "origins": tuple(
            OriginResult(origin, int(mask.sum()), float(hit[mask].mean()), float(losses[mask].mean()))
            for origin, mask in masks
        ),
    }


def _units(table: SampleTable, order: np.ndarray) -> list[str]:
    """Names of what is drawn as one when rows are resampled: the group of a row, or the row."""
    grouped = "group" in table.table.column_names
    names = table.column("group") if grouped else table.ids
    return [str(name) for name in names[order]]


def _rules(
    scores: Predictions,
    units: list[str],
    validation: SampleTable,
    validation_scores: np.ndarray,
    fitting: Mapping[str, Any],
    *,
    row_weights: np.ndarray | None,
    judged: Mapping[str, Any],
    resamples: int,
    seed: int,
) -> tuple[tuple[RuleResult, ...], dict[Scored, np.ndarray]]:
    """Make the decision rules from validation rows, score them on test rows, and both on shared resamples."""
    rules = fitted_rules(validation.codes, validation_scores, **fitting)
    p = scores.probabilities
    ruled = [scores.decided(rule.probabilities(p), rule.decisions(p)) for rule in rules]
    draws = bootstrap_draws(ruled, resamples=resamples, seed=seed, row_weights=row_weights, names=OF_RULES)
    values = [one.values(row_weights, OF_RULES) for one in ruled]

    by_id = _by_id(validation)
    y = validation.codes[by_id]
    validation_units = _units(validation, by_id)
    weights, costs = (_taken(fitting[name], by_id) for name in ("weights", "costs"))
    fitting = {**fitting, "costs": costs, "weights": weights}
    # A single row leaves nothing to make a rule from.
    held_out = out_of_fold(y, validation_scores[by_id], **fitting) if len(y) > 1 else {}
    there = {name: Predictions(y, *held, costs=costs, **judged) for name, held in held_out.items()}
    on_resamples = resampled(list(there.values()), validation_units, OF_RULES, weights)
    of_validation = dict(zip(there, on_resamples, strict=True))
    of_test = resampled(ruled, units, OF_RULES, row_weights)
    results, shared = [], dict[Scored, np.ndarray]()
    for rule, one, value, drawn, resamples_of in zip(rules, ruled, values, draws, of_test, strict=True):
        on_validation = {}
        parts = {"test": resamples_of}
        if rule.name in there:
            on_validation = _known_values(there[rule.name], weights, OF_RULES)
            parts["validation"] = of_validation[rule.name]
        gain = paired_differences(value, drawn, values[0], draws[0]) if rule.name != "argmax" else {}
        intervals = metric_intervals(value, drawn, one.weighted(row_weights))
        results.append(RuleResult(rule, intervals, gain, on_validation))
        for part, found in parts.items():
            shared |= {Scored(part, rule.name, name): sample for name, sample in found.items()}
    return tuple(results), shared


def _per_class(
    classes: tuple[str, ...],
    rows: Mapping[str, np.ndarray],
    sample: WeightedPredictions,
    threshold_weights: np.ndarray,
    set_from: np.ndarray,
) -> tuple[ClassResult, ...]:
    predictions, o = sample.predictions, sample.outcomes
    predicted_rows = np.bincount(predictions.predicted, minlength=len(classes))
    columns: dict[str, np.ndarray] = {}
    for metric, values, ends in (
        ("precision", confusion.precisions(o), bounds.precision_shares(sample).ends()),
        ("recall", confusion.recalls(o), bounds.recall_shares(sample).ends()),
        ("f1", confusion.f1_scores(o), bounds.f1_ends(sample)),
    ):
        columns |= {metric: values, f"{metric}_low": ends[0], f"{metric}_high": ends[1]}
    inside = prediction_sets(predictions.probabilities, set_from)[np.arange(len(predictions)), predictions.y]
    covered, tested = np.bincount(predictions.y, inside, len(classes)), rows["test"]
    low, high = bounds.exact_interval(covered, tested)
    columns["set_coverage"] = covered / np.maximum(tested, 1)
    columns |= {"set_coverage_low": low, "set_coverage_high": high}
    results = []
    for k, name in enumerate(classes):
        scores: dict[str, Any] = dict.fromkeys([*columns, "auroc", "average_precision"])
        if k in predictions.ranked:
            auroc, average_precision = sample.ranked(k)
            scores = {column: float(values[k]) for column, values in columns.items()}
            scores["auroc"] = None if np.isnan(auroc) else float(auroc)
            scores["average_precision"] = None if np.isnan(average_precision) else float(average_precision)
        results.append(
            ClassResult(
                name=name,
                **{f"{table}_rows": int(counts[k]) for table, counts in rows.items()},
                predicted_rows=int(predicted_rows[k]),
                **scores,
                threshold_weight=float(threshold_weights[k]),
                set_threshold=float(set_from[k]),
            )
        )
    return tuple(results)
