"""Digits for two rounds, also in a process of its own that kills itself."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from evenly.classifiers import build_classifier
from evenly.features.images import encode_images
from evenly.finetuning import finetune
from evenly.params.losses import LossSettings
from evenly.params.models import SmallCnnSettings
from evenly.params.training import FinetuneSettings, TrainingSettings, finetune_training
from evenly.plans import FinetunePlan, TrainPlan
from evenly.samples import SampleTable, Schema, samples_from_columns

FIRST = TrainingSettings(epochs=2, min_steps_per_epoch=6, batch_size=32)


def digits() -> tuple[SampleTable, SampleTable]:
    """Train (250) and validation (200 rows) of 8×8 pictures of digits."""
    pixels, codes = load_digits(return_X_y=True)
    encoded = encode_images((pixels * 15.9375).astype(np.uint8).reshape(-1, 8, 8, 1))
    schema = Schema("image", tuple(str(k) for k in range(10)))

    def table(rows: range) -> SampleTable:
        return samples_from_columns(
            {
                "id": [f"digit-{row}" for row in rows],
                "label": [str(codes[row]) for row in rows],
                "image": [encoded[row] for row in rows],
            },
            schema,
        )

    return table(range(250)), table(range(250, 450))


def first_round(folder: Path, epochs: int = 2) -> None:
    train, validation = digits()
    plan = TrainPlan(
        model="small_cnn",
        settings=SmallCnnSettings(width=8),
        loss="cross_entropy",
        losses=LossSettings(),
        sampler="uniform",
        training=FIRST.model_copy(update={"epochs": epochs}),
        seed=7,
        threads=1,
    )
    classifier = build_classifier(plan, train.schema, None)
    classifier.fit(train, validation)
    classifier.save(folder)


def second_plan(**wanted: object) -> FinetunePlan:
    settings = FinetuneSettings(**wanted)  # type: ignore[arg-type]
    return FinetunePlan(
        ratio=settings.ratio,
        originals=settings.originals,
        keep=settings.keep,
        training=finetune_training(settings, FIRST),
        seed=7,
        threads=1,
    )


def hard_rows(train: SampleTable) -> SampleTable:
    return train.take(np.arange(0, 250, 6)).with_column("details", ["{}"] * 42)


LONG = {"epochs": 6, "learning_rate": 0.001, "patience": None, "keep": "always"}

if __name__ == "__main__":
    train, validation = digits()
    model, checkpoints = Path(sys.argv[1]), Path(sys.argv[2])

    def killed(step: int, metrics: object) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    finetune(model, second_plan(**LONG), train, hard_rows(train), validation, killed, checkpoints)
