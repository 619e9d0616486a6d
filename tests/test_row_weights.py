"""`evenly add --weight`, then the stages: models learn, copies weigh and scores count as the weights say.

More than half of the rows have a wrong label, and next to no weight: who forgets the weights once learns the
contrary.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn import metrics as sklearn_metrics
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

from evenly.classifiers import load_classifier
from evenly.cli import app
from evenly.evaluation.evaluate import evaluate, load_models
from evenly.features import load_featurizer
from evenly.params.datasets import read_entry
from evenly.params.evaluation import EvaluateSettings
from evenly.samples import SampleTable, read_samples

ROOT = Path(__file__).parents[1]
BEFORE_TRAIN = ["llm_generate", "imported", "generate", "filter", "offline_augment", "resample"]
STAGES = ["source", "split", "featurize", "analyze", *BEFORE_TRAIN, "train", "finetune"]
LIGHT = 1e-3
OPTIONS = {
    "table": ["--modality", "table", "--drop", "row"],
    "text": ["--text", "text"],
    "image": ["--image", "image"],
}


def wrong_but_light(modality: str, folder: Path) -> Path:
    """240 rows of two classes, 1 to 3; 60% of the labels are wrong, and these rows weigh a thousandth."""
    generator = np.random.default_rng(4)
    truth = np.repeat([0, 1], [150, 90])
    wrong = generator.random(240) < 0.6
    weight = np.where(wrong, LIGHT, generator.integers(1, 4, 240))
    columns: dict[str, object] = {"label": np.array(["no", "yes"])[truth ^ wrong], "w": weight}
    if modality == "table":
        x = generator.normal(size=(240, 2)) + 4 * truth[:, None]
        columns |= {"row": range(240), "x": x[:, 0], "z": x[:, 1]}
    elif modality == "text":
        words = (["cloud", "rain", "storm", "wind"], ["bread", "soup", "cheese", "rice"])
        drawn = [generator.choice(words[k], 3) for k in truth]
        columns["text"] = [f"{' '.join(some)} number{row}" for row, some in enumerate(drawn)]
    else:
        columns["image"] = [f"{row}.png" for row in range(240)]
        for row, k in enumerate(truth):
            pixels = generator.integers(0, 90, (8, 8), dtype=np.uint8)
            pixels[:, 4 * k : 4 * k + 4] += 120
            cv2.imwrite(str(folder / f"{row}.png"), pixels)
    pd.DataFrame(columns).to_csv(folder / "rows.csv", index=False)
    return folder if modality == "image" else folder / "rows.csv"


def run_stages(dataset: str) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params |= {"dataset": dataset, "balancing": "random_oversampling"}
    params["train"] |= {"epochs": 3, "learning_rate": 0.01}
    params["recipes"] = {name: params["recipes"][name] for name in ("none", "random_oversampling")}
    params["models"]["small_cnn"]["width"] = 8
    if dataset == "table":
        params["model"] = "logistic_regression"
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    for name in STAGES:
        importlib.import_module(f"stages.{name}").main()


@pytest.mark.parametrize("modality", ["table", "text", "image"])
def test_weights_go_from_a_column_to_the_scores(
    modality: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows").mkdir()
    shutil.copy(ROOT / "datasets.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, check=True)
    path = wrong_but_light(modality, tmp_path / "rows")
    added = ["add", modality, str(path), "--label", "label", "--weight", "w", *OPTIONS[modality]]
    CliRunner().invoke(app, added, catch_exceptions=False)
    assert read_entry(modality).columns.weight == "w"
    run_stages(modality)

    test, balanced = read_samples("data/split/test.parquet"), read_samples("data/balanced/train.parquet")
    of_row = dict(zip(balanced.ids, balanced.weights, strict=True))  # type: ignore[arg-type]
    copies = balanced.take(balanced.origins != "real")
    assert len(copies) > 10
    assert [of_row[row] for row in copies.ids] == [of_row[row] for row in copies.column("parent")]

    classifier = load_classifier("models/train")
    probabilities = classifier.predict_proba(test)
    y, weight, decided = test.codes, test.weights, probabilities.argmax(axis=1)
    assert sklearn_metrics.accuracy_score(y, decided, sample_weight=weight) > 0.9
    if modality == "table":
        check_that_scikit_learn_fits_the_same(balanced, test, probabilities)

    scores = evaluate(
        load_models("models"),
        train=read_samples("data/split/train.parquet"),
        balanced=balanced,
        validation=read_samples("data/split/val.parquet"),
        test=test,
        settings=EvaluateSettings(bootstrap=200),
        prior="validation",
        seed=0,
    ).final.test
    wanted = {
        "accuracy": sklearn_metrics.accuracy_score(y, decided, sample_weight=weight),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(y, decided, sample_weight=weight),
        "macro_f1": sklearn_metrics.f1_score(y, decided, average="macro", sample_weight=weight),
        "mcc": sklearn_metrics.matthews_corrcoef(y, decided, sample_weight=weight),
        "nll": sklearn_metrics.log_loss(y, probabilities, sample_weight=weight),
        "auroc": sklearn_metrics.roc_auc_score(y, probabilities[:, 1], sample_weight=weight),
    }
    assert {name: scores[name].value for name in wanted} == pytest.approx(wanted, abs=1e-6)


def check_that_scikit_learn_fits_the_same(
    train: SampleTable, test: SampleTable, probabilities: np.ndarray
) -> None:
    featurizer = load_featurizer("data/features/featurizer")
    model = LogisticRegression(C=10, max_iter=1000, tol=1e-8)
    model.fit(featurizer.transform(train), train.codes, sample_weight=train.weights)
    np.testing.assert_allclose(probabilities, model.predict_proba(featurizer.transform(test)), atol=1e-3)
