"""Evaluate: open the test split, and gather everything that can be said about one run's models in one value.

What is gathered is written by `evenly.evaluation.outputs`, drawn by `evenly.evaluation.plots` and told by
`evenly.evaluation.story`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from evenly.errors import DataError, ModelError
from evenly.evaluation import metrics
from evenly.evaluation.decisions import (
    DecisionRule,
    class_weights,
    deployment_shares,
    fitted_rules,
    out_of_fold,
)
from evenly.evaluation.groups import group_errors
from evenly.evaluation.headline import Predictions
from evenly.evaluation.intervals import (
    bootstrap_draws,
    metric_intervals,
    paired_differences,
    wilson_interval,
)
from evenly.evaluation.results import ClassResult, Evaluation, ModelResult, OriginResult, RuleResult
from evenly.params.evaluation import EvaluateSettings, PriorSetting
from evenly.samples import SampleTable

if TYPE_CHECKING:
    from evenly.classifiers.classifier import Classifier

#: Fewer rows than this tell nothing about the accuracy in a bin.
_ROWS_A_BIN = 20
#: What a decision rule is judged by.
RULE_METRICS = (
    "macro_f1",
    "balanced_accuracy",
    "accuracy",
    "worst_class_recall",
    "nll",
    "brier",
    "calibration_error",
)


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
        When the deployment prior does not fit the classes.
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
    rows = {
        "train": _counts(train),
        "balanced": _counts(balanced),
        "validation": _counts(validation),
        "test": _counts(test),
    }
    deployment = deployment_shares(prior, test.classes, rows["train"], rows["validation"])
    reweighted = prior != "validation"

    # In the order of their ids, rows give the same resamples whatever the order of the file.
    by_id = np.argsort(test.ids.astype(str), kind="stable")
    y = test.codes[by_id]
    bins = int(np.clip(len(test) // _ROWS_A_BIN, 2, settings.calibration_bins))
    scores = [model.predict_proba(test) for model in models.values()]
    on_test = [Predictions(y, score[by_id], bins=bins) for score in scores]
    on_validation = [model.predict_proba(validation) for model in models.values()]
    draws = bootstrap_draws(on_test, resamples=settings.bootstrap, seed=seed)
    values = [one.values() for one in on_test]

    final = list(models.values())[-1]
    validation_weights = class_weights(deployment, rows["validation"]) if reweighted else None
    fitting: dict[str, Any] = {
        "effective": np.asarray(final.effective_prior, dtype=np.float64),
        "deployment": deployment,
        "weights": validation_weights,
        "shrinkage": settings.threshold_shrinkage,
    }
    rules = fitted_rules(validation.codes, on_validation[-1], **fitting)
    tuned = next(rule for rule in rules if rule.name == "tuned_thresholds")
    row_weights = class_weights(deployment, rows["test"])[y] if reweighted else None
    return Evaluation(
        test=test,
        models=tuple(
            ModelResult(
                name=name,
                probabilities=scores[i],
                test=metric_intervals(values[i], draws[i]),
                validation=_numbers(Predictions(validation.codes, on_validation[i], bins=bins)),
                **_on_training_rows(model, balanced, bins),
            )
            for i, (name, model) in enumerate(models.items())
        ),
        difference=paired_differences(values[-1], draws[-1], values[0], draws[0]) if len(models) > 1 else {},
        rules=_rule_results(
            rules,
            on_test[-1],
            row_weights,
            bins,
            settings,
            seed,
            _rules_on_validation(validation, on_validation[-1], bins, fitting),
        ),
        prior=prior,
        deployment=deployment,
        reweighted=reweighted,
        per_class=_per_class(test.classes, rows, on_test[-1], np.exp(tuned.offsets)),
        calibration_bins=bins,
        groups=group_errors(
            scores[-1].argmax(axis=1),
            train=train,
            balanced=balanced,
            test=test,
            resamples=settings.bootstrap,
            seed=seed,
        ),
    )


def _counts(table: SampleTable) -> np.ndarray:
    return np.bincount(table.codes, minlength=len(table.classes))


def _on_training_rows(model: Classifier, rows: SampleTable, bins: int) -> dict[str, Any]:
    """Score the rows that a model was fitted on: the fields `train` and `origins` of its result."""
    probabilities = model.predict_proba(rows)
    # A recipe may keep synthetic rows only; the gap is then taken on these.
    real = rows.is_real if rows.is_real.any() else np.ones(len(rows), dtype=bool)
    return {
        "train": _numbers(Predictions(rows.codes[real], probabilities[real], bins=bins)),
        "origins": _by_origin(rows, probabilities),
    }


def _numbers(predictions: Predictions) -> dict[str, float]:
    """Headline metrics that exist."""
    values = {name: float(value) for name, value in predictions.values().items()}
    return {name: value for name, value in values.items() if not np.isnan(value)}


def _by_origin(rows: SampleTable, probabilities: np.ndarray) -> tuple[OriginResult, ...]:
    hit = probabilities.argmax(axis=1) == rows.codes
    losses = metrics.log_losses(rows.codes, probabilities)
    origins = sorted(set(rows.origins), key=lambda origin: (origin != "real", origin))
    masks = ((origin, rows.origins == origin) for origin in origins)
    return tuple(
        OriginResult(origin, int(mask.sum()), float(hit[mask].mean()), float(losses[mask].mean()))
        for origin, mask in masks
    )


def _rules_on_validation(
    validation: SampleTable, scores: np.ndarray, bins: int, fitting: Mapping[str, Any]
) -> dict[str, dict[str, float]]:
    """Score the rules on validation rows out of fold, by rule; empty with a single row."""
    if len(validation) < 2:
        return {}
    by_id = np.argsort(validation.ids.astype(str), kind="stable")
    y, weights = validation.codes[by_id], fitting["weights"]
    found: dict[str, dict[str, float]] = {}
    for name, (stated, decided) in out_of_fold(y, scores[by_id], **fitting).items():
        row_weights = None if weights is None else weights[y]
        values = Predictions(y, stated, decided, bins=bins).values(row_weights, RULE_METRICS)
        found[name] = {key: float(value) for key, value in values.items() if not np.isnan(value)}
    return found


def _rule_results(
    rules: tuple[DecisionRule, ...],
    scores: Predictions,
    row_weights: np.ndarray | None,
    bins: int,
    settings: EvaluateSettings,
    seed: int,
    on_validation: Mapping[str, dict[str, float]],
) -> tuple[RuleResult, ...]:
    ruled = [
        Predictions(
            scores.y,
            rule.probabilities(scores.probabilities),
            rule.decisions(scores.probabilities),
            bins=bins,
        )
        for rule in rules
    ]
    draws = bootstrap_draws(
        ruled, resamples=settings.bootstrap, seed=seed, row_weights=row_weights, names=RULE_METRICS
    )
    values = [one.values(row_weights, RULE_METRICS) for one in ruled]
    results = []
    for rule, value, drawn in zip(rules, values, draws, strict=True):
        intervals = metric_intervals(value, drawn)
        gains = paired_differences(value, drawn, values[0], draws[0]) if rule.name != "argmax" else {}
        results.append(
            RuleResult(
                rule,
                {name: intervals[name] for name in RULE_METRICS},
                {name: gains[name] for name in RULE_METRICS if name in gains},
                on_validation.get(rule.name, {}),
            )
        )
    return tuple(results)


def _per_class(
    classes: tuple[str, ...],
    rows: Mapping[str, np.ndarray],
    predictions: Predictions,
    threshold_weights: np.ndarray,
) -> tuple[ClassResult, ...]:
    o = predictions.outcomes()
    low, high = wilson_interval(o.hits, o.actual)
    columns = (metrics.precisions(o), metrics.recalls(o), low, high, metrics.f1_scores(o))
    results = []
    for k, name in enumerate(classes):
        present = bool(o.actual[k])
        auroc, average_precision = (
            predictions.rankings[k].auroc_and_average_precision() if present else (np.nan, np.nan)
        )
        precision, recall, recall_low, recall_high, f1 = (
            float(column[k]) if present else None for column in columns
        )
        results.append(
            ClassResult(
                name=name,
                train_rows=int(rows["train"][k]),
                balanced_rows=int(rows["balanced"][k]),
                validation_rows=int(rows["validation"][k]),
                test_rows=int(rows["test"][k]),
                predicted_rows=int(o.predicted[k]),
                precision=precision,
                recall=recall,
                recall_low=recall_low,
                recall_high=recall_high,
                f1=f1,
                average_precision=_known(average_precision),
                auroc=_known(auroc),
                threshold_weight=float(threshold_weights[k]),
            )
        )
    return tuple(results)


def _known(value: np.ndarray | float) -> float | None:
    return None if np.isnan(value) else float(value)
