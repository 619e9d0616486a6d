from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evenly.classifiers import build_classifier, load_classifier
from evenly.classifiers.images import ImageClassifier
from evenly.errors import ModelError
from evenly.params.models import ImageTransformerSettings, resolved_training
from evenly.params.training import TrainingSettings
from evenly.plans import TrainPlan
from evenly.samples import SampleTable

PlanMaker = Callable[..., TrainPlan]
Digits = tuple[SampleTable, SampleTable, SampleTable]

SMALL = {
    "resnet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    "convnext": {"hidden_sizes": [8, 16], "depths": [1, 2], "num_stages": 2, "patch_size": 2},
    "vit": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
            "patch_size": 4},
}  # fmt: skip


@pytest.mark.parametrize("architecture", list(SMALL))
def test_an_architecture_of_transformers_trains_and_reloads(
    digits: Digits, plan_for: PlanMaker, tmp_path: Path, architecture: str
) -> None:
    train, validation, test = digits
    plan = plan_for(
        "image_transformer", architecture=architecture, options=SMALL[architecture], image_size=16, epochs=1
    )
    classifier = build_classifier(plan, train.schema, None)
    classifier.fit(train, validation)
    classifier.save(tmp_path / "model")
    loaded = load_classifier(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(test), classifier.predict_proba(test))
    assert isinstance(classifier, ImageClassifier)
    assert classifier.shape == (16, 16, 1)
    groups = classifier.network.parameter_groups()
    listed = [id(parameter) for group in groups for parameter in group.parameters]
    assert sorted(listed) == sorted(id(parameter) for parameter in classifier.network.parameters())
    assert len(groups) >= 4 and groups[-1].name == "head"


def test_pretrained_weights_bring_size_channels_and_normalisation(
    digits: Digits, plan_for: PlanMaker, tmp_path: Path
) -> None:
    from transformers import ResNetConfig, ResNetModel

    train, validation, test = digits
    ResNetModel(ResNetConfig(**SMALL["resnet"])).save_pretrained(tmp_path / "weights")
    (tmp_path / "weights" / "preprocessor_config.json").write_text(
        '{"size": {"shortest_edge": 12}, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}'
    )
    plan = plan_for("image_transformer", pretrained=str(tmp_path / "weights"), epochs=1)
    classifier = ImageClassifier(plan, train.schema)
    classifier.fit(train, validation)
    assert classifier.shape == (12, 12, 3)
    normalise = classifier.network.normalise
    np.testing.assert_allclose(normalise.mean.numpy(), 127.5)
    np.testing.assert_allclose(normalise.deviation.numpy(), 63.75)
    classifier.save(tmp_path / "model")
    for path in (tmp_path / "weights").iterdir():
        path.unlink()
    loaded = load_classifier(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(test), classifier.predict_proba(test))


def test_what_cannot_be_built_or_fed_is_one_sentence(digits: Digits, plan_for: PlanMaker) -> None:
    train, validation, _ = digits
    for changes, says in (
        ({"architecture": "resnett"}, "resnett with options {} cannot be built"),
        ({"architecture": "swin", "image_size": 32}, "cannot take images of 32×32 pixels"),
        ({"pretrained": "./nowhere"}, r"models\.image_transformer\.pretrained: there is no folder"),
    ):
        with pytest.raises(ModelError, match=says):
            build_classifier(plan_for("image_transformer", **changes), train.schema, None).fit(
                train, validation
            )


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_library_that_is_absent_or_broken_is_one_sentence(
    digits: Digits, plan_for: PlanMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    train, validation, _ = digits
    classifier = build_classifier(plan_for(library), train.schema, None)
    if importlib.util.find_spec(library) is None:
        with pytest.raises(ModelError, match=rf"{library} is not installed; run .*evenly\[vision\]"):
            classifier.fit(train, validation)
    # What a torchvision that was built for another torch does.
    (tmp_path / f"{library}.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, library, raising=False)
    with pytest.raises(ModelError, match=r"does not import here \(operator torchvision::nms .*\)"):
        classifier.fit(train, validation)


def test_fine_tuning_has_gentler_defaults_which_the_model_and_then_the_recipe_change() -> None:
    train = TrainingSettings(epochs=77, learning_rate=0.01, batch_size=5)
    assert resolved_training(train, ImageTransformerSettings()).learning_rate == 0.01
    tuned = ImageTransformerSettings(pretrained="some/where", training={"epochs": 4, "batch_size": 9})
    resolved = resolved_training(train, tuned, {"batch_size": 11})
    assert (resolved.epochs, resolved.batch_size, resolved.learning_rate) == (4, 11, 1e-4)
    assert resolved.unfreeze.method == "probe_then_finetune"
