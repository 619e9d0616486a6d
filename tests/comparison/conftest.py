"""Runs made of numbers, without a pipeline behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from comparison_projects import MakeRun

from evenly.experiments.runs import ClassScore, Run


def numbers(score: float, **others: float) -> dict[str, float]:
    base = {
        "macro_f1": score,
        "balanced_accuracy": score,
        "accuracy": score,
        "worst_class_recall": score - 0.2,
        "nll": 0.3,
        "brier": 0.1,
        "calibration_error": 0.05,
    }
    return {**base, **others}


@pytest.fixture
def make_run() -> MakeRun:
    """Make a run that scores `score` on test rows and `rules[rule]` under the decision rules."""

    def make(
        recipe: str = "none",
        seed: int = 1,
        score: float = 0.8,
        *,
        rules: Mapping[str, float] | None = None,
        validation: float | None = None,
        nll: float = 0.3,
        settings: Mapping[str, Any] | None = None,
        f1: Mapping[str, float] | None = None,
        **others: Any,
    ) -> Run:
        by_rule = {"argmax": score, "temperature": score} | dict(rules or {})
        scored = {
            rule: {**numbers(value, nll=nll), "validation": numbers(value)} for rule, value in by_rule.items()
        }
        if validation is not None:
            for rule in ("argmax", "temperature"):
                scored[rule]["validation"] = numbers(validation)
        classes = {"big": score, "middle": score, "small": score} | dict(f1 or {})
        sizes = {"big": 100, "middle": 30, "small": 5}
        values: dict[str, Any] = {
            "name": f"{recipe}-{seed}",
            "committed": 1_000 + seed,
            "dataset": "digits_lt",
            "recipe": recipe,
            "model": "small_cnn",
            "loss": "cross_entropy",
            "seed": seed,
            "settings": {"loss": "auto", "train.epochs": 30, **(settings or {})},
            "scores": {
                "test": numbers(score),
                "decision_rules": scored,
                "gap": {"train_minus_test": {"macro_f1": 0.1}},
            },
            "classes": tuple(ClassScore(name, sizes[name], value) for name, value in classes.items()),
            "test_share": 0.25,
        }
        return Run(**{**values, **others})

    return make


@pytest.fixture
def digits_runs(make_run: MakeRun) -> list[Run]:
    """Five seeds in which logit adjustment helps a lot, SMOTE not at all, and noise hurts."""
    generator = np.random.default_rng(0)
    runs = []
    for seed in range(1, 6):
        base = 0.9 + generator.normal(0, 0.005)
        rules = {
            "logit_adjustment": base + 0.055 + generator.normal(0, 0.004),
            "tuned_thresholds": base + 0.03,
        }
        runs.append(make_run("none", seed, base, rules=rules))
        runs.append(make_run("smote", seed, base + generator.normal(0, 0.008), nll=0.4 + 0.001 * seed))
        harm = base - 0.08 + generator.normal(0, 0.004)
        runs.append(make_run("adasyn", seed, harm))
        better = base + 0.06 + generator.normal(0, 0.004)
        runs.append(
            make_run("offline_augmentation", seed, better, f1={"small": better + 0.2}, added_rows=800)
        )
    return runs
