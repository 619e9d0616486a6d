from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evenly.classifiers import build_classifier, load_classifier
from evenly.classifiers.devices import uses_bf16
from evenly.classifiers.images import ImageClassifier, ImageInputs
from evenly.classifiers.networks.network import Inputs, Network, ParameterGroup
from evenly.classifiers.training.loop import train_network
from evenly.classifiers.training.losses import build_objective
from evenly.classifiers.training.sampling import epoch_batches
from evenly.classifiers.training.steps import Rows
from evenly.classifiers.weights import origin_weights
from evenly.confusion import macro_f1, outcomes
from evenly.errors import ModelError
from evenly.features.images import Pixels, decode_images
from evenly.params.augmentation import Policy, Rotate, Shift
from evenly.params.losses import LdamSettings, LossSettings
from evenly.params.training import TrainingSettings
from evenly.plans import TrainPlan
from evenly.samples import Feature, SampleTable, Schema, samples_from_columns

PlanMaker = Callable[..., TrainPlan]
Digits = tuple[SampleTable, SampleTable, SampleTable]


class Steps:
    """A log that remembers."""

    def __init__(self) -> None:
        self.metrics: list[dict[str, float]] = []

    def __call__(self, step: int, metrics: dict[str, float]) -> None:  # type: ignore[override]
        assert step == len(self.metrics)
        self.metrics.append(dict(metrics))


class Table(Inputs):
    """Vectors as inputs of a network."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = torch.tensor(x, dtype=torch.float32)

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, rows: np.ndarray, device: torch.device) -> Tensor:
        return self.x[rows].to(device)


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_small_cnn_learns_digits_and_logit_adjustment_helps_the_tail(
    digits: Digits, plan_for: PlanMaker
) -> None:
    train, validation, test = digits
    scores = {}
    for loss in ("cross_entropy", "logit_adjusted"):
        plan = plan_for("small_cnn", loss=loss, width=16, epochs=6, min_steps_per_epoch=20)
        classifier = build_classifier(plan, train.schema, None)
        summary = classifier.fit(train, validation)
        predicted = classifier.predict_proba(test).argmax(axis=1)
        scores[loss] = macro_f1(outcomes(test.codes, predicted, 10))
        assert summary.best_step is not None and summary.best_step < summary.steps <= 6
    assert scores["cross_entropy"] > 0.6
    assert scores["logit_adjusted"] > scores["cross_entropy"]


def test_dividing_by_the_effective_prior_does_what_the_adjusted_loss_does(
    digits: Digits, plan_for: PlanMaker
) -> None:
    train, validation, test = digits
    classifier = build_classifier(
        plan_for("small_cnn", width=16, epochs=5, min_steps_per_epoch=20), train.schema, None
    )
    classifier.fit(train, validation)
    probabilities = classifier.predict_proba(test)
    plain = macro_f1(outcomes(test.codes, probabilities.argmax(axis=1), 10))
    balanced = probabilities / classifier.effective_prior
    adjusted = macro_f1(outcomes(test.codes, balanced.argmax(axis=1), 10))
    assert adjusted > plain


@pytest.mark.parametrize(
    ("model", "loss"),
    [("small_cnn", "cross_entropy"), ("small_cnn", "ldam"), ("shufflenet_v2", "cross_entropy")],
)
def test_a_loaded_network_gives_identical_probabilities(
    digits: Digits, plan_for: PlanMaker, tmp_path: Path, model: str, loss: str
) -> None:
    train, validation, test = digits
    classifier = build_classifier(
        plan_for(model, loss=loss, epochs=1, min_steps_per_epoch=2), train.schema, None
    )
    classifier.fit(train, validation)
    classifier.save(tmp_path / "model")
    loaded = load_classifier(tmp_path / "model")
    expected = classifier.predict_proba(test)
    np.testing.assert_array_equal(loaded.predict_proba(test), expected)
    np.testing.assert_array_equal(loaded.effective_prior, classifier.effective_prior)
    assert loaded.classes == train.classes
    assert expected.dtype == np.float64 and expected.shape == (len(test), 10)
    np.testing.assert_allclose(expected.sum(axis=1), 1)
    assert loaded.predict_proba(test.take([])).shape == (0, 10)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    digits: Digits, plan_for: PlanMaker, tmp_path: Path
) -> None:
    train, validation, _ = digits
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        torch.rand(seed)  # what happened before does not matter
        plan = plan_for("small_cnn", seed=seed, dropout=0.2, sampler="square_root")
        classifier = build_classifier(plan, train.schema, None)
        classifier.fit(train, validation)
        classifier.save(tmp_path / name)
    assert folder_bytes(tmp_path / "one") == folder_bytes(tmp_path / "again")
    weights = "weights.safetensors"
    assert (tmp_path / "one" / weights).read_bytes() != (tmp_path / "other" / weights).read_bytes()


def test_fitting_leaves_the_global_random_state_and_threads_alone(
    digits: Digits, plan_for: PlanMaker
) -> None:
    train, validation, _ = digits
    torch.manual_seed(5)
    expected = torch.rand(3)
    threads = torch.get_num_threads()
    torch.manual_seed(5)
    build_classifier(plan_for("small_cnn", epochs=1), train.schema, None).fit(train, validation)
    torch.testing.assert_close(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_the_log_gets_every_epoch_and_the_summary_the_best(digits: Digits, plan_for: PlanMaker) -> None:
    train, validation, _ = digits
    log = Steps()
    classifier = build_classifier(plan_for("small_cnn", epochs=4), train.schema, None)
    summary = classifier.fit(train, validation, log)
    f1 = [metrics["val/macro_f1"] for metrics in log.metrics]
    assert summary.steps == len(log.metrics) == 4
    assert summary.best_step == int(np.argmax(f1))
    assert summary.metrics == log.metrics[summary.best_step]
    assert set(summary.metrics) == {
        "train/loss", "val/loss", "val/macro_f1", "val/balanced_accuracy", "learning_rate",
        "trainable_parameters",
    }  # fmt: skip


class LinearNetwork(Network):
    """A head and nothing before it."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Identity()
        self.head = nn.Linear(2, 2)

    def features(self, batch: Tensor) -> Tensor:
        return batch

    def parameter_groups(self) -> list[ParameterGroup]:
        return [self.head_group()]


def test_early_stopping_restores_the_best_epoch() -> None:
    # Validation labels contradict what training teaches, so that every epoch of training makes them worse.
    x = np.random.default_rng(0).normal(size=(64, 2))
    codes = (x[:, 0] > 0).astype(np.int64)
    network = LinearNetwork()
    with torch.no_grad():
        network.head.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        network.head.bias.zero_()
    settings = TrainingSettings(
        epochs=30, patience=3, monitor="loss", min_steps_per_epoch=1, learning_rate=0.02
    )
    objective = build_objective(
        "cross_entropy", LossSettings(), ("a", "b"), np.array([32.0, 32.0]), "uniform", 30
    )
    states: list[Tensor] = []

    def log(step: int, metrics: object) -> None:
        states.append(network.head.weight.detach().clone())

    batches = partial(epoch_batches, codes, "uniform", settings.batch_size, settings.min_steps_per_epoch, 0)
    training = train_network(
        network, objective, Rows(Table(x), codes), Rows(Table(x), 1 - codes), settings, 0, log, batches
    )
    assert training.best == 0
    assert len(training.history) == 4
    torch.testing.assert_close(network.head.weight.detach(), states[0])
    assert not torch.equal(states[0], states[-1])


def test_the_best_epoch_of_ldam_lies_after_its_reweighting(digits: Digits, plan_for: PlanMaker) -> None:
    train, validation, _ = digits
    wanted = LossSettings(ldam=LdamSettings(reweight_after=0.5))
    plan = plan_for("small_cnn", loss="ldam", losses=wanted, epochs=4, patience=1)
    classifier = build_classifier(plan, train.schema, None)
    summary = classifier.fit(train, validation)
    assert summary.best_step is not None and summary.best_step >= 2
    spread = classifier.effective_prior.max() / classifier.effective_prior.min()
    assert spread < 1.1 < max(train.counts.values()) / min(train.counts.values())


def test_rows_of_weight_zero_teach_nothing(digits: Digits, plan_for: PlanMaker) -> None:
    train, validation, test = digits
    plan = plan_for("small_cnn", epochs=3, width=8, min_steps_per_epoch=10)
    ignored = train.labels == "0"
    classifier = build_classifier(plan, train.schema, None)
    classifier.fit(train, validation, sample_weight=np.where(ignored, 0.0, 1.0))
    assert not (classifier.predict_proba(test).argmax(axis=1) == 0).any()
    plain = build_classifier(plan, train.schema, None)
    plain.fit(train, validation)
    assert (plain.predict_proba(test).argmax(axis=1) == 0).any()
    assert classifier.effective_prior[0] < 0.01 < plain.effective_prior[0]


def test_a_class_without_a_row_and_classes_of_one_row_keep_their_columns(
    digits: Digits, plan_for: PlanMaker
) -> None:
    train, validation, test = digits
    kept = [int(np.flatnonzero(train.labels == name)[0]) for name in ("1", "2")]
    small = train.take([*np.flatnonzero(train.labels == "0"), *kept])
    for loss in ("cross_entropy", "weighted", "ldam", "balanced_softmax"):
        for sampler in ("uniform", "class_balanced"):
            classifier = build_classifier(
                plan_for("small_cnn", loss=loss, sampler=sampler), train.schema, None
            )
            classifier.fit(small, validation)
            probabilities = classifier.predict_proba(test)
            assert probabilities.shape == (len(test), 10)
            assert np.isfinite(probabilities).all()
            assert (classifier.effective_prior > 0).all()


def test_without_validation_rows_the_last_epoch_is_kept(digits: Digits, plan_for: PlanMaker) -> None:
    train, validation, _ = digits
    classifier = build_classifier(plan_for("small_cnn", epochs=3), train.schema, None)
    summary = classifier.fit(train, validation.take([]))
    assert summary.best_step == 2 and summary.steps == 3
    assert set(summary.metrics) == {"train/loss", "learning_rate", "trainable_parameters"}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_bf16_and_clipping_train_as_well(digits: Digits, plan_for: PlanMaker, optimizer: str) -> None:
    train, validation, _ = digits
    log = Steps()
    plan = plan_for(
        "small_cnn", precision="bf16", gradient_clip=1.0, optimizer=optimizer, learning_rate=0.01, epochs=4,
        min_steps_per_epoch=10,
    )  # fmt: skip
    classifier = build_classifier(plan, train.schema, None)
    classifier.fit(train, validation, log)
    assert log.metrics[-1]["train/loss"] < 0.7 * log.metrics[0]["train/loss"]
    assert isinstance(classifier, ImageClassifier)
    assert all(p.dtype == torch.float32 for p in classifier.network.parameters())


def test_bf16_is_used_when_asked_for_and_never_for_tiny_images_by_itself(
    digits: Digits, plan_for: PlanMaker
) -> None:
    train, validation, _ = digits
    classifier = ImageClassifier(plan_for("small_cnn", epochs=1), train.schema)
    classifier.fit(train, validation)
    cpu = torch.device("cpu")
    assert not uses_bf16(TrainingSettings(precision="auto"), classifier.network, cpu)
    assert uses_bf16(TrainingSettings(precision="bf16"), classifier.network, cpu)
    assert not uses_bf16(TrainingSettings(precision="off"), classifier.network, cpu)


def test_images_take_the_size_of_the_plan_else_that_of_the_featurizer(
    digits: Digits, plan_for: PlanMaker
) -> None:
    train, validation, test = digits
    sized = ImageClassifier(plan_for("small_cnn", image_size=12, epochs=1), train.schema, Pixels(10, 9, 1))
    sized.fit(train, validation)
    assert sized.shape == (12, 12, 1)
    unsized = ImageClassifier(plan_for("small_cnn", epochs=1), train.schema, Pixels(10, 9, 3))
    unsized.fit(train, validation)
    assert unsized.shape == (10, 9, 3)
    assert unsized.predict_proba(test).shape == (len(test), 10)


def test_a_diverged_training_is_one_sentence(digits: Digits, plan_for: PlanMaker) -> None:
    train, validation, _ = digits
    plan = plan_for("small_cnn", optimizer="sgd", learning_rate=1e30, epochs=3)
    with pytest.raises(ModelError, match=r"diverged in epoch 0 .* lower train\.learning_rate"):
        build_classifier(plan, train.schema, None).fit(train, validation)


def test_augmentation_draws_other_pixels_in_every_epoch_and_the_same_ones_again(
    digits: Digits, plan_for: PlanMaker
) -> None:
    train, validation, _ = digits
    policy = Policy(modality="image", shift=Shift(share=0.2), rotate=Rotate(degrees=15))
    pixels = decode_images([image for image in train.images if image is not None], (8, 8), 1)
    inputs = ImageInputs(pixels, policy)
    rows, cpu = np.arange(40), torch.device("cpu")
    drawn = [inputs.augmented_batch(rows, cpu, np.random.default_rng([7, epoch])) for epoch in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert torch.equal(inputs.batch(rows, cpu), torch.from_numpy(pixels[:40]))

    plan = plan_for("small_cnn", width=16, epochs=4, min_steps_per_epoch=15)
    losses = {}
    for name, wanted in (("plain", None), ("augmented", policy)):
        log = Steps()
        planned = plan.model_copy(update={"augment": wanted})
        build_classifier(planned, train.schema, None).fit(train, validation, log)
        losses[name] = log.metrics[-1]
        assert log.metrics[-1]["train/loss"] < log.metrics[0]["train/loss"]
    assert losses["augmented"]["train/loss"] > losses["plain"]["train/loss"]


def test_synthetic_rows_count_what_the_plan_says() -> None:
    schema = Schema("table", ("a", "b"), (Feature("x", "number"),))
    origins = ["real", "duplicate", "smote", "llm"]
    rows = samples_from_columns(
        {"id": list("1234"), "label": list("abab"), "origin": origins, "x": [0.0, 1.0, 2.0, 3.0]}, schema
    )
    assert origin_weights(rows, 1.0) is None
    np.testing.assert_array_equal(origin_weights(rows, 0.25), [1, 1, 0.25, 0.25])
