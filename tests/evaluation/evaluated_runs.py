"""Runs made of rows for which the best possible classifier is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evenly.evaluation.evaluate import evaluate
from evenly.evaluation.results import Evaluation
from evenly.params.evaluation import EvaluateSettings, PriorSetting
from evenly.plans import TrainPlan
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns


@dataclass(frozen=True)
class ScoreReader:
    """A classifier whose log-odds are the features of the row, plus the log of its training prior."""

    plan: TrainPlan | None
    schema: Schema
    effective_prior: np.ndarray
    sharpness: float = 1.0
    spent: Mapping[str, Any] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        return self.schema.classes

    def predict_proba(self, samples: SampleTable) -> np.ndarray:
        scores = samples.features_frame().to_numpy(dtype=np.float64) * self.sharpness
        powers = np.exp(scores + np.log(self.effective_prior))
        return powers / powers.sum(axis=1, keepdims=True)

    def fit(self, *args: object, **kwargs: object) -> None:
        raise NotImplementedError

    def save(self, folder: str | Path) -> None:
        raise NotImplementedError


def score_table(
    classes: Sequence[str],
    counts: Sequence[int],
    seed: int,
    *,
    separation: float = 2.5,
    origins: Sequence[str] = ("real",),
    prefix: str = "row",
) -> SampleTable:
    """Rows with one feature a class: normal, shifted by `separation` in the true class's column.

    With unit variance, the log-likelihood ratio is `separation` times the normal, so the features stored here
    make `ScoreReader` the Bayes classifier.
    """
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(classes)), counts)
    generator.shuffle(labels)
    x = generator.normal(size=(len(labels), len(classes)))
    x[np.arange(len(labels)), labels] += separation
    schema = Schema("table", tuple(classes), tuple(Feature(f"s{k}", "number") for k in range(len(classes))))
    return samples_from_columns(
        {
            "id": [f"{prefix}{i:05d}" for i in range(len(labels))],
            "label": [classes[k] for k in labels],
            "origin": [origins[i % len(origins)] for i in range(len(labels))],
            **{f"s{k}": (separation * x[:, k]).tolist() for k in range(len(classes))},
        },
        schema,
    )


@dataclass(frozen=True)
class Run:
    """The tables of one run and a model for them."""

    train: SampleTable
    balanced: SampleTable
    validation: SampleTable
    test: SampleTable
    model: ScoreReader

    def evaluate(
        self,
        models: dict[str, ScoreReader] | None = None,
        *,
        prior: PriorSetting = "validation",
        seed: int = 0,
        settings: EvaluateSettings | None = None,
        validation: SampleTable | None = None,
        test: SampleTable | None = None,
    ) -> Evaluation:
        return evaluate(
            models or {"train": self.model},
            train=self.train,
            balanced=self.balanced,
            validation=self.validation if validation is None else validation,
            test=self.test if test is None else test,
            settings=settings or EvaluateSettings(bootstrap=200),
            prior=prior,
            seed=seed,
        )


def long_tailed_run(
    classes: Sequence[str] = ("a", "b", "c", "d"),
    *,
    ratio: float = 20.0,
    largest: int = 100,
    test_each: int = 30,
    separation: float = 2.0,
    origins: Sequence[str] = ("real",),
) -> Run:
    """A long-tailed training split, and equal classes in validation and test."""
    k = len(classes)
    counts = [max(1, round(largest * ratio ** (-i / max(1, k - 1)))) for i in range(k)]
    train = score_table(classes, counts, 1, separation=separation, prefix="train")
    balanced = (
        train
        if origins == ("real",)
        else score_table(classes, [largest] * k, 4, separation=separation, origins=origins, prefix="balanced")
    )
    equal = [test_each] * k
    return Run(
        train,
        balanced,
        score_table(classes, equal, 2, separation=separation, prefix="val"),
        score_table(classes, equal, 3, separation=separation, prefix="test"),
        ScoreReader(None, train.schema, np.array(counts) / sum(counts)),
    )
