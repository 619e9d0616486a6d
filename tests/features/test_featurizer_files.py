from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from feature_tables import folder_bytes, image_samples, table_samples, text_samples

from evenly.errors import DataError
from evenly.features import fit_featurizer, load_featurizer
from evenly.params.features import FeatureSettings
from evenly.samples import SampleTable


def modality_samples(modality: str) -> SampleTable:
    rng = np.random.default_rng(0)
    if modality == "image":
        return image_samples(list(rng.integers(0, 256, (7, 5, 5, 3), dtype=np.uint8)))
    if modality == "text":
        return text_samples(["ein Text", "eine Frage", "中文 文本", "my card", "ÄÖÜ", "a b c", "où est-il ?"])
    return table_samples([1, 2, None], [1, 2, 3], [True, False, None], ["red", "blue", None])


@pytest.fixture(params=["image", "text", "table"])
def train(request: pytest.FixtureRequest) -> SampleTable:
    return modality_samples(request.param)


def test_a_saved_featurizer_transforms_alike(train: SampleTable, tmp_path: Path) -> None:
    featurizer = fit_featurizer(train, FeatureSettings(), 3)
    featurizer.save(tmp_path / "featurizer")
    loaded = load_featurizer(tmp_path / "featurizer")
    assert loaded.dimension == featurizer.dimension
    np.testing.assert_array_equal(loaded.transform(train), featurizer.transform(train))


def test_no_rows_have_no_vectors(train: SampleTable) -> None:
    featurizer = fit_featurizer(train, FeatureSettings(), 3)
    assert featurizer.transform(train.take([])).shape == (0, featurizer.dimension)


def test_the_same_rows_in_any_order_give_the_same_bytes(train: SampleTable, tmp_path: Path) -> None:
    fit_featurizer(train, FeatureSettings(), 3).save(tmp_path / "one")
    shuffled = train.take(np.random.default_rng(1).permutation(len(train)))
    fit_featurizer(shuffled, FeatureSettings(), 3).save(tmp_path / "two")
    assert folder_bytes(tmp_path / "one") == folder_bytes(tmp_path / "two")


def test_nothing_saved_is_a_pickle(train: SampleTable, tmp_path: Path) -> None:
    fit_featurizer(train, FeatureSettings(), 3).save(tmp_path / "featurizer")
    for path in (tmp_path / "featurizer").iterdir():
        assert path.suffix in {".json", ".npz"}
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                assert all(array.dtype != object for array in arrays.values())


def test_a_missing_featurizer_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run `dvc repro featurize`"):
        load_featurizer(tmp_path)


def test_no_training_row_is_refused() -> None:
    with pytest.raises(DataError, match="no training row"):
        fit_featurizer(modality_samples("table").take([]), FeatureSettings(), 0)
