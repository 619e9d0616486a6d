"""Small real tables: scikit-learn's digits as images with a long tail, and wine as a table."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_wine

from evenly.features import Featurizer, fit_featurizer
from evenly.features.images import encode_images
from evenly.params.features import FeatureSettings
from evenly.params.losses import LossSettings
from evenly.params.models import ModelName, ModelsSettings
from evenly.params.training import TrainingSettings
from evenly.plans import TrainPlan
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns

PlanMaker = Callable[..., TrainPlan]


@pytest.fixture(scope="session")
def digits() -> tuple[SampleTable, SampleTable, SampleTable]:
    """Train with 60 to 2 rows a class, validation and test natural; 8×8 grey images."""
    pixels, codes = load_digits(return_X_y=True)
    encoded = encode_images((pixels * 15.9375).astype(np.uint8).reshape(-1, 8, 8, 1))
    shuffled = np.random.default_rng(0).permutation(len(codes))
    by_class = [shuffled[codes[shuffled] == k] for k in range(10)]
    tail = [round(60 * 30 ** (-k / 9)) for k in range(10)]
    schema = Schema("image", tuple(str(k) for k in range(10)))

    def table(rows: np.ndarray) -> SampleTable:
        return samples_from_columns(
            {
                "id": [f"digit-{row}" for row in rows],
                "label": [str(codes[row]) for row in rows],
                "image": [encoded[row] for row in rows],
            },
            schema,
        )

    train = np.concatenate([rows[:n] for rows, n in zip(by_class, tail, strict=True)])
    validation = np.concatenate([rows[100:120] for rows in by_class])
    test = np.concatenate([rows[120:150] for rows in by_class])
    return table(train), table(validation), table(test)


@pytest.fixture(scope="session")
def wine() -> tuple[SampleTable, SampleTable]:
    """Train and validation of a table with 13 numbers and three classes."""
    x, codes = load_wine(return_X_y=True)
    schema = Schema("table", ("a", "b", "c"), tuple(Feature(f"f{j}", "number") for j in range(x.shape[1])))
    rows = np.random.default_rng(1).permutation(len(codes))

    def table(chosen: np.ndarray) -> SampleTable:
        columns: dict[str, list] = {
            "id": [f"wine-{row}" for row in chosen],
            "label": ["abc"[codes[row]] for row in chosen],
        }
        columns |= {f"f{j}": x[chosen, j].tolist() for j in range(x.shape[1])}
        return samples_from_columns(columns, schema)

    return table(rows[:110]), table(rows[110:])


@pytest.fixture(scope="session")
def wine_featurizer(wine: tuple[SampleTable, SampleTable]) -> Featurizer:
    return fit_featurizer(wine[0], FeatureSettings(), seed=0)


@pytest.fixture
def plan_for() -> PlanMaker:
    """A quick plan: `plan_for("small_cnn", loss="focal", epochs=2, width=8)`; keys go where they fit."""

    def make(model: ModelName, **wanted: object) -> TrainPlan:
        settings = getattr(ModelsSettings(), model)
        quick: dict[str, object] = {"epochs": 2, "min_steps_per_epoch": 4, "batch_size": 32}
        small: dict[str, object] = {
            "small_cnn": {"width": 8},
            "random_forest": {"trees": 10},
            "hist_gradient_boosting": {"rounds": 30},
            "catboost": {"rounds": 20},
            "lightgbm": {"rounds": 20},
            "xgboost": {"rounds": 20},
            "easy_ensemble": {"subsets": 3, "rounds": 10},
            "balanced_random_forest": {"trees": 10},
            "rusboost": {"rounds": 10},
        }.get(model, {})
        top: dict[str, object] = {
            "loss": "cross_entropy",
            "losses": LossSettings(),
            "sampler": "uniform",
            "seed": 7,
        }
        for key, value in wanted.items():
            if key in top:
                top[key] = value
            elif key in type(settings).model_fields:
                small[key] = value
            else:
                quick[key] = value
        return TrainPlan(
            model=model,
            settings=type(settings)(**{**settings.model_dump(), **small}),
            training=TrainingSettings(**quick),  # type: ignore[arg-type]
            threads=1,
            **top,  # type: ignore[arg-type]
        )

    return make
