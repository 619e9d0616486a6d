from __future__ import annotations

import numpy as np
import pytest
from feature_tables import image_samples

from evenly.errors import DataError
from evenly.features import fit_featurizer
from evenly.params.features import FeatureSettings, ImageFeatures
from evenly.samples import SampleTable


def pictures(n: int = 6, height: int = 8, width: int = 6, channels: int = 1) -> SampleTable:
    rng = np.random.default_rng(0)
    return image_samples(list(rng.integers(0, 256, (n, height, width, channels), dtype=np.uint8)))


def settings(**image: object) -> FeatureSettings:
    return FeatureSettings(image=ImageFeatures.model_validate(image))


def test_vectors_are_the_pixels_between_0_and_1() -> None:
    train = pictures()
    vectors = fit_featurizer(train, FeatureSettings(), 0).transform(train)
    assert vectors.dtype == np.float32
    assert vectors.shape == (6, 48)
    assert vectors.min() >= 0
    assert 0.95 < vectors.max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_images_come_back_from_their_vectors(channels: int) -> None:
    train = pictures(channels=channels)
    featurizer = fit_featurizer(train, FeatureSettings(), 0)
    assert featurizer.payload(featurizer.transform(train))["image"].to_pylist() == train.images


def test_vectors_beyond_the_range_come_back_as_black_and_white() -> None:
    train = pictures()
    featurizer = fit_featurizer(train, FeatureSettings(), 0)
    far = np.full((2, 48), 1.5, np.float32) * np.array([[1], [-1]], np.float32)
    again = train.take([0, 1]).with_column("image", featurizer.payload(far)["image"])
    np.testing.assert_array_equal(featurizer.transform(again)[:, 0], [1, 0])


def test_size_and_channels_follow_the_settings() -> None:
    train = pictures()
    assert fit_featurizer(train, settings(size=4), 0).dimension == 16
    assert fit_featurizer(train, settings(channels="colour"), 0).dimension == 8 * 6 * 3


def test_large_training_images_are_brought_down_to_64() -> None:
    large = pictures(n=2, height=128, width=96)
    assert fit_featurizer(large, settings(method="pixels"), 0).dimension == 64 * 48


def test_a_row_without_image_and_vector_is_named() -> None:
    train = pictures()
    broken = train.with_column("image", [*train.images[:-1], None])
    with pytest.raises(DataError, match="'i005' has neither an image nor a vector"):
        fit_featurizer(train, FeatureSettings(), 0).transform(broken)
