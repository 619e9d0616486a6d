from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from evenly.classifiers import build_classifier, load_classifier
from evenly.classifiers.images import RIM, ImageClassifier
from evenly.classifiers.networks.modalities import CosineHead
from evenly.errors import RecipeError
from evenly.features import lite0
from evenly.features.images import LITE0_PACKAGE, decode_images, encode_images
from evenly.params.datasets import DatasetEntry
from evenly.params.project import read_params
from evenly.planning import make_plans
from evenly.plans import COSINE_SCALE, TrainPlan
from evenly.samples import SampleTable, Schema
from tests.drawn_photographs import drawn_samples

PlanMaker = Callable[..., TrainPlan]
Digits = tuple[SampleTable, SampleTable, SampleTable]
needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(LITE0_PACKAGE) is None, reason="needs the extra lite0"
)


@pytest.fixture(scope="module")
def photographs() -> SampleTable:
    return drawn_samples([8, 6, 4, 4], trouble=0.3)


def test_the_vectors_of_a_cosine_head_start_at_the_mean_features_of_the_classes(
    digits: Digits, plan_for: PlanMaker
) -> None:
    train, _, _ = digits
    # One step of no length: what is scored is what the head started from.
    plan = plan_for("small_cnn", head="class_means", width=8, epochs=1, learning_rate=1e-12)
    classifier = ImageClassifier(plan, train.schema)
    classifier.fit(train, train.take([]))
    head = classifier.network.head
    assert isinstance(head, CosineHead) and head.scale == COSINE_SCALE
    fresh = ImageClassifier(plan, train.schema)
    network, inputs = fresh._started(train)
    with torch.inference_mode():
        features = network.eval().features(inputs.batch(np.arange(len(train)), torch.device("cpu")))
    unit = functional.normalize(features.float())
    for code in range(10):
        mean = functional.normalize(unit[torch.as_tensor(train.codes == code)].mean(dim=0), dim=0)
        torch.testing.assert_close(head.weight[code].detach(), mean, atol=1e-4, rtol=1e-4)


def test_the_last_layers_alone_are_trained_from_the_first_epoch_to_the_last(
    digits: Digits, plan_for: PlanMaker
) -> None:
    train, validation, _ = digits
    common = {"width": 8, "patience": 2, "learning_rate": 1e-3}
    before = ImageClassifier(plan_for("small_cnn", **common, epochs=1, unfreeze="last"), train.schema)
    start, _ = before._started(train)
    plan = plan_for("small_cnn", **common, epochs=12, unfreeze={"method": "last", "layers": 2})
    classifier = ImageClassifier(plan, train.schema)
    trained: list[float] = []
    summary = classifier.fit(
        train, validation, lambda step, metrics: trained.append(metrics["trainable_parameters"])
    )
    groups = classifier.network.parameter_groups()
    same = [
        all(torch.equal(a, b) for a, b in zip(old.parameters, new.parameters, strict=True))
        for old, new in zip(start.parameter_groups(), groups, strict=True)
    ]
    assert same == [True] * (len(groups) - 3) + [False] * 3
    assert set(trained) == {float(sum(p.numel() for group in groups[-3:] for p in group.parameters))}
    assert summary.best_step is not None and summary.steps <= summary.best_step + 1 + 2  # patience counts


def test_scores_are_the_mean_of_five_views(digits: Digits, plan_for: PlanMaker) -> None:
    train, validation, test = digits
    plan = plan_for("small_cnn", width=8, epochs=1, views=5)
    classifier = ImageClassifier(plan, train.schema)
    classifier.fit(train, validation)
    rim = round(8 * RIM)
    larger = decode_images([image or b"" for image in test.images], (8 + rim, 8 + rim), 1)
    logits = []
    once = plan.model_copy(update={"training": plan.training.model_copy(update={"views": 1})})
    for top, left in [(rim // 2, rim // 2), (0, 0), (0, rim), (rim, 0), (rim, rim)]:
        view = larger[:, top : top + 8, left : left + 8]
        classifier.plan = once
        logits.append(classifier._logits(test.with_column("image", encode_images(view))))
    classifier.plan = plan
    expected = torch.softmax(torch.stack(logits).mean(dim=0).double(), dim=1).numpy()
    np.testing.assert_allclose(classifier.predict_proba(test), expected, atol=1e-5)


def test_views_are_of_images_alone() -> None:
    params = read_params("params.yaml")
    params = params.model_copy(update={"train": params.train.model_copy(update={"views": 5})})
    entry = DatasetEntry.model_validate({"modality": "text", "licence": "-", "path": "x"})
    with pytest.raises(RecipeError, match=r"train\.views is 5, but only images have views"):
        make_plans(
            {"a": 9, "b": 4},
            Schema("text", ("a", "b")),
            params.model_copy(update={"model": "transformer", "balancing": "none"}),
            entry,
            keys={},
        )


def test_the_recipe_asks_for_the_parts_of_lift() -> None:
    params = read_params("params.yaml").model_copy(update={"balancing": "light_finetune"})
    entry = DatasetEntry.model_validate({"modality": "image", "licence": "-", "path": "x"})
    plan = make_plans({"a": 90, "b": 9}, Schema("image", ("a", "b")), params, entry, {}, encoded=True).train
    assert (plan.model, plan.loss, plan.cosine_scale) == ("lite0", "logit_adjusted", COSINE_SCALE)
    assert plan.training.unfreeze.method == "last" and plan.training.views == 5
    assert plan.training.head == "class_means"


@needs_weights
def test_a_pretrained_body_is_tuned_lightly_and_stands_alone_once_it_is_saved(
    photographs: SampleTable, plan_for: PlanMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_for(
        "lite0", image_size=64, epochs=2, min_steps_per_epoch=2, batch_size=16, loss="logit_adjusted",
        head="class_means", unfreeze={"method": "last"}, views=5, learning_rate=1e-4, head_learning_rate=1e-3,
    )  # fmt: skip
    classifier = build_classifier(plan, photographs.schema, None)
    classifier.fit(photographs, photographs)
    probabilities = classifier.predict_proba(photographs)
    assert (probabilities.argmax(axis=1) == photographs.codes).mean() > 0.5
    classifier.save(tmp_path / "model")
    monkeypatch.setattr(lite0, "FILE", "gone")  # a saved model has its weights
    np.testing.assert_array_equal(
        load_classifier(tmp_path / "model").predict_proba(photographs), probabilities
    )


@needs_weights
def test_the_body_sees_photographs_as_its_weights_were_trained_and_is_probed_first(
    photographs: SampleTable, plan_for: PlanMaker
) -> None:
    plan = plan_for("lite0", epochs=1, min_steps_per_epoch=1, unfreeze="probe_then_finetune")
    classifier = ImageClassifier(plan, photographs.schema)
    trained: list[float] = []
    classifier.fit(
        photographs,
        photographs.take([]),
        lambda step, metrics: trained.append(metrics["trainable_parameters"]),
    )
    assert classifier.shape == (96, 96, 3)
    network = classifier.network
    assert network.normalise.mean.tolist() == [127] * 3  # type: ignore[union-attr, operator]
    assert network.normalise.deviation.tolist() == [128] * 3  # type: ignore[union-attr, operator]
    assert trained == [1280 * 4 + 4]
    published = lite0.pretrained_lite0("test").state_dict()
    body = network.body.state_dict()  # type: ignore[union-attr, operator]
    assert all(torch.equal(value, body[name]) for name, value in published.items())
