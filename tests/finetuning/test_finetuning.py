from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rounds import FIRST, LONG, digits, first_round, hard_rows, second_plan

from evenly.classifiers import build_classifier, load_classifier
from evenly.classifiers.images import ImageClassifier
from evenly.evaluation.evaluate import load_models, model_folders
from evenly.features import fit_featurizer
from evenly.finetuning import Comparison, compared, finetune, write_finetuned
from evenly.params.features import FeatureSettings
from evenly.params.losses import LossSettings
from evenly.params.models import LogisticRegressionSettings
from evenly.params.training import FinetuneSettings, TrainingSettings, finetune_training
from evenly.plans import TrainPlan
from evenly.samples import SampleTable


@pytest.fixture(scope="module")
def tables() -> tuple[SampleTable, SampleTable]:
    return digits()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of models of a run after its first round, which was too short."""
    folder = tmp_path_factory.mktemp("models")
    first_round(folder / "train")
    return folder


def test_the_second_round_goes_on_from_the_first_and_is_kept_when_it_is_better(
    models: Path, tables: tuple[SampleTable, SampleTable], tmp_path: Path
) -> None:
    train, validation = tables
    plan = second_plan(epochs=6, learning_rate=0.002, patience=None)
    steps: list[int] = []
    tuned = finetune(
        models / "train", plan, train, hard_rows(train), validation, lambda step, _: steps.append(step)
    )
    assert tuned.kept == "finetune" and tuned.classifier is not None and tuned.summary is not None
    assert steps == list(range(6))
    numbers = tuned.numbers
    assert numbers["hard_rows"] == numbers["originals_an_epoch"] == 42
    assert numbers["macro_f1_after"] > numbers["macro_f1_before"]
    assert numbers["worse_in_resamples"] <= 0.1

    (tmp_path / "train").symlink_to(models / "train")
    write_finetuned(tuned, tmp_path / "finetune")
    loaded = load_models(tmp_path)
    assert list(loaded) == ["train", "finetune"]
    np.testing.assert_array_equal(
        loaded["finetune"].predict_proba(validation), tuned.classifier.predict_proba(validation)
    )
    assert "in" in json.loads((tmp_path / "finetune" / "model.json").read_text())["why"]


def test_a_second_round_that_learns_nothing_leaves_the_first_model(
    models: Path, tables: tuple[SampleTable, SampleTable], tmp_path: Path
) -> None:
    train, validation = tables
    # Labels of the hard rows are wrong: the round does harm.
    hard = hard_rows(train)
    wrong = hard.with_column("label", [str((int(label) + 3) % 10) for label in hard.labels])
    plan = second_plan(epochs=2, learning_rate=0.01, ratio=0.1)
    tuned = finetune(models / "train", plan, train, wrong, validation)
    assert tuned.kept == "train" and tuned.classifier is None
    assert "not clearly better" in tuned.why and tuned.summary is not None
    (tmp_path / "train").symlink_to(models / "train")
    write_finetuned(tuned, tmp_path / "finetune")
    assert list(model_folders(tmp_path)) == ["train"]
    assert json.loads((tmp_path / "finetune" / "model.json").read_text())["why"] == tuned.why

    plan = second_plan(epochs=2, learning_rate=0.01, ratio=0.1, keep="always")
    always = finetune(models / "train", plan, train, wrong, validation)
    assert always.kept == "finetune" and "keep: always" in always.why


def test_without_hard_or_validation_rows_the_first_model_stays(
    models: Path, tables: tuple[SampleTable, SampleTable]
) -> None:
    train, validation = tables
    nothing = finetune(models / "train", second_plan(), train, train.take([]), validation)
    assert nothing.kept == "train" and nothing.summary is None
    blind = finetune(models / "train", second_plan(epochs=1), train, hard_rows(train), validation.take([]))
    assert blind.kept == "train" and "no validation rows" in blind.why


def test_models_without_epochs_are_fitted_anew_with_hard_rows_counting_more(
    tables: tuple[SampleTable, SampleTable], tmp_path: Path
) -> None:
    train, validation = tables
    featurizer = fit_featurizer(train, FeatureSettings(), seed=0)
    plan = TrainPlan(
        model="logistic_regression",
        settings=LogisticRegressionSettings(C=1.0),
        loss="cross_entropy",
        losses=LossSettings(),
        sampler="uniform",
        training=TrainingSettings(),
        seed=1,
        threads=1,
    )
    classifier = build_classifier(plan, train.schema, featurizer)
    classifier.fit(train, validation)
    classifier.save(tmp_path / "train")
    hard = hard_rows(train)
    tuned = finetune(tmp_path / "train", second_plan(keep="always"), train, hard, validation)
    assert tuned.classifier is not None
    rest = train.take(~np.isin(train.ids, hard.ids))

    def gain(rows: SampleTable) -> float:
        own = np.arange(len(rows)), rows.codes
        assert tuned.classifier is not None
        after, before = (np.log(model.predict_proba(rows)[own]) for model in (tuned.classifier, classifier))
        return float((after - before).mean())

    assert gain(hard) > 0 > gain(rest)
    write_finetuned(tuned, tmp_path / "finetune")
    np.testing.assert_array_equal(
        load_classifier(tmp_path / "finetune").predict_proba(validation),
        tuned.classifier.predict_proba(validation),
    )


def test_a_higher_score_alone_is_not_enough() -> None:
    codes = np.repeat(np.arange(2), 50)
    before, by_chance, clearly = codes.copy(), codes.copy(), codes.copy()
    before[:20] = 1  # 20 wrong
    by_chance[1:20] = 1  # one of them right
    clearly[15:20] = 1
    one_wrong, other_wrong = before.copy(), before.copy()
    one_wrong[20:24] = 1
    other_wrong[24:27] = 1
    assert compared(codes, before, clearly, 2, 0).is_better
    assert compared(codes, before, by_chance, 2, 0) == Comparison(
        compared(codes, before, before, 2, 0).before, compared(codes, by_chance, by_chance, 2, 0).after, 0.0
    )
    near = compared(codes, one_wrong, other_wrong, 2, 0)
    assert near.after > near.before and near.worse > 0.1 and not near.is_better
    assert not compared(codes, before, before, 2, 0).is_better


def test_the_second_round_is_slower_by_default() -> None:
    first = TrainingSettings(learning_rate=1e-3, head_learning_rate=1e-2, unfreeze="gradual", batch_size=16)  # type: ignore[arg-type]
    second = finetune_training(FinetuneSettings(), first)
    assert second.learning_rate == pytest.approx(1e-4) and second.head_learning_rate == pytest.approx(1e-3)
    assert second.unfreeze.method == "all" and second.batch_size == 16 and second.epochs == 10
    given = finetune_training(
        FinetuneSettings(learning_rate=1e-6, head_learning_rate=5e-6, batch_size=8), FIRST
    )
    assert (given.learning_rate, given.head_learning_rate, given.batch_size) == (1e-6, 5e-6, 8)


def test_a_second_round_killed_in_the_middle_goes_on_to_the_same_weights(
    models: Path, tables: tuple[SampleTable, SampleTable], tmp_path: Path
) -> None:
    train, validation = tables
    script = str(Path(__file__).with_name("rounds.py"))
    child = subprocess.run([sys.executable, script, str(models / "train"), str(tmp_path)])
    assert child.returncode == -signal.SIGKILL
    weights = []
    for checkpoints in (None, tmp_path):
        tuned = finetune(
            models / "train",
            second_plan(**LONG),
            train,
            hard_rows(train),
            validation,
            checkpoints=checkpoints,
        )
        assert isinstance(tuned.classifier, ImageClassifier)
        weights.append(tuned.classifier.network.state_dict())
    for name, value in weights[0].items():
        assert value.equal(weights[1][name]), name


def test_a_stage_with_nothing_to_do_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "data" / "plan").mkdir(parents=True)
    (tmp_path / "data" / "plan" / "finetune.json").write_text("{}")
    script = (
        "import sys\n"
        "from stages.finetune import main\n"
        "main()\n"
        "heavy = {'torch', 'numpy', 'sklearn', 'pandas', 'pyarrow', 'accelerate'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
    model = json.loads((tmp_path / "models" / "finetune" / "model.json").read_text())
    assert model["kept"] == "train"
    assert json.loads((tmp_path / "metrics" / "finetune" / "metrics.json").read_text()) == {}
