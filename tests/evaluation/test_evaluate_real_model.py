from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluated_runs import score_table

from evenly.classifiers import build_classifier
from evenly.evaluation.evaluate import evaluate, load_models
from evenly.evaluation.results import Evaluation
from evenly.features import fit_featurizer
from evenly.files import write_json
from evenly.params.evaluation import EvaluateSettings
from evenly.params.features import FeatureSettings
from evenly.params.losses import LossName, LossSettings
from evenly.params.models import LogisticRegressionSettings
from evenly.params.training import TrainingSettings
from evenly.plans import TrainPlan
from evenly.samples import SampleTable

CLASSES = ("rare", "common", "usual")


def rows(counts: tuple[int, int, int], seed: int, prefix: str) -> SampleTable:
    return score_table(CLASSES, counts, seed, separation=1.5, prefix=prefix)


def evaluated(folder: Path, loss: LossName) -> Evaluation:
    """Train on a long tail, save, load, evaluate on equal classes."""
    train, validation, test = (
        rows((12, 400, 150), 0, "a"),
        rows((40, 40, 40), 1, "b"),
        rows((100, 100, 100), 2, "c"),
    )
    plan = TrainPlan(
        model="logistic_regression",
        settings=LogisticRegressionSettings(),
        loss=loss,
        losses=LossSettings(),
        sampler="uniform",
        training=TrainingSettings(),
        seed=0,
        threads=1,
    )
    classifier = build_classifier(plan, train.schema, fit_featurizer(train, FeatureSettings(), 0))
    classifier.fit(train, validation)
    classifier.save(folder / "train")
    write_json({"kept": "train"}, folder / "finetune" / "model.json")
    return evaluate(
        load_models(folder),
        train=train,
        balanced=train,
        validation=validation,
        test=test,
        settings=EvaluateSettings(bootstrap=500),
        prior="validation",
        seed=0,
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return evaluated(tmp_path_factory.mktemp("models"), "cross_entropy")


def test_a_saved_model_is_evaluated_by_what_it_says_of_its_prior(plain: Evaluation) -> None:
    rules = {result.rule.name: result for result in plain.rules}
    assert plain.worst_class.name == "rare"
    assert rules["logit_adjustment"].gain["macro_f1"].low > 0
    assert rules["logit_adjustment"].metrics["worst_class_recall"].value > (plain.worst_class.recall or 0.0)


def test_a_model_trained_with_class_weights_leaves_little_to_adjust(
    plain: Evaluation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    weighted = evaluated(tmp_path_factory.mktemp("models"), "weighted")
    gains = [
        next(r for r in e.rules if r.rule.name == "logit_adjustment").gain["macro_f1"].value
        for e in (plain, weighted)
    ]
    assert np.abs(gains[1]) < 0.2 * gains[0]
