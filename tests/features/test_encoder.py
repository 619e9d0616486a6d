from __future__ import annotations

import importlib.util
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from feature_tables import text_samples
from hypothesis import given
from hypothesis import strategies as st

from evenly.errors import DataError, EvenlyError, ModelError, ParameterError
from evenly.features import fit_featurizer, load_featurizer
from evenly.features.encoder import VectorCache, cached_vectors
from evenly.features.pretrained import (
    MINILM_PACKAGE,
    PADDING,
    Tokens,
    equal_length_batches,
    pretrained_folder,
)
from evenly.params.base import settings_from
from evenly.params.features import FeatureSettings
from evenly.samples import samples_from_columns

TEXTS = ["a lost card", "银行卡丢了", "a lost card", "where is my money, please?", "", "weather"]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny encoder with random weights."""
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from evenly.classifiers.texts import trained_tokenizer

    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = trained_tokenizer(TEXTS, 300)
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=tokenizer.get_vocab_size(), hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=48, max_position_embeddings=64,
        )
    ).save_pretrained(folder)  # fmt: skip
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(folder)
    return folder


def settings_for(network: Path | str) -> FeatureSettings:
    return FeatureSettings.model_validate({"text": {"method": "encoder", "encoder": str(network)}})


def test_vectors_have_length_one_and_equal_texts_equal_vectors(network: Path) -> None:
    vectors = fit_featurizer(text_samples(TEXTS), settings_for(network), 0).transform(text_samples(TEXTS))
    assert vectors.shape == (len(TEXTS), 24) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert np.abs(vectors[0] - vectors[1]).max() > 0.01


def test_a_text_has_one_vector_whatever_stands_beside_it_and_however_many_threads(network: Path) -> None:
    encoder = fit_featurizer(text_samples(TEXTS), settings_for(network), 0)
    many = TEXTS + [f"row number {k} of many" for k in range(70)]
    together = encoder.transform(text_samples(many))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        np.testing.assert_array_equal(encoder.transform(text_samples(many)), together)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    for row in (0, 1, 3, 5):
        np.testing.assert_array_equal(encoder.transform(text_samples([many[row]]))[0], together[row])


def test_a_saved_encoder_is_a_name_and_a_checksum(network: Path, tmp_path: Path) -> None:
    encoder = fit_featurizer(text_samples(TEXTS), settings_for(network), 0)
    encoder.save(tmp_path / "featurizer")
    assert [path.name for path in (tmp_path / "featurizer").iterdir()] == ["featurizer.json"]
    loaded = load_featurizer(tmp_path / "featurizer")
    assert loaded.dimension == 24
    table = text_samples(TEXTS)
    np.testing.assert_array_equal(loaded.transform(table), encoder.transform(table))


def test_another_network_under_the_same_name_is_refused(network: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(network, tmp_path / "copy"))
    fit_featurizer(text_samples(TEXTS), settings_for(copy), 0).save(tmp_path / "featurizer")
    config = copy / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 1'))
    with pytest.raises(DataError, match=r"is not the encoder .* `dvc repro featurize`"):
        load_featurizer(tmp_path / "featurizer").transform(text_samples(TEXTS))
    shutil.rmtree(copy)
    with pytest.raises(EvenlyError, match=r"features\.text\.encoder: there is no folder"):
        load_featurizer(tmp_path / "featurizer").transform(text_samples(TEXTS))


def test_a_cached_vector_is_the_computed_one_and_needs_no_network(network: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(network, tmp_path / "copy"))
    table = text_samples(TEXTS)
    encoder = fit_featurizer(table, settings_for(copy), 0, tmp_path / "cache")
    computed = encoder.transform(table)
    encoder.save(tmp_path / "featurizer")
    shutil.rmtree(copy)
    again = load_featurizer(tmp_path / "featurizer", tmp_path / "cache")
    np.testing.assert_array_equal(again.transform(table), computed)
    with pytest.raises(EvenlyError):
        again.transform(text_samples(["never seen before"]))


def test_a_damaged_cache_costs_time_and_nothing_else(network: Path, tmp_path: Path) -> None:
    table = text_samples(TEXTS)
    plain = fit_featurizer(table, settings_for(network), 0).transform(table)
    cache = VectorCache(tmp_path)
    cache.path.write_bytes(b"this is no database at all, just a file of the same name")
    encoder = fit_featurizer(table, settings_for(network), 0, tmp_path)
    np.testing.assert_array_equal(encoder.transform(table), plain)


def test_the_cache_gives_back_what_was_written(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "made")
    vectors = np.arange(3000, dtype=np.float32).reshape(1000, 3)
    keys = [f"key {k}".encode() for k in range(1000)]
    assert cache.read(keys, 3) == {}
    cache.write(keys, vectors)
    found = cache.read([b"unknown", *keys[::-1]], 3)
    assert sorted(found) == list(range(1, 1001))
    np.testing.assert_array_equal(np.stack([found[k] for k in range(1, 1001)]), vectors[::-1])
    assert cache.read(keys, 4) == {}
    with sqlite3.connect(cache.path) as database:
        assert database.execute("SELECT count(*) FROM vectors").fetchone() == (1000,)


def test_rows_with_a_vector_keep_it_and_rows_with_nothing_are_refused(network: Path) -> None:
    encoder = fit_featurizer(text_samples(TEXTS), settings_for(network), 0)
    given_vector = np.full(24, 0.5, dtype=np.float32)
    columns = {"id": ["a", "b"], "label": ["a", "b"], "text": ["a lost card", None]}
    schema = text_samples(["x"]).schema
    table = samples_from_columns(columns | {"vector": [None, given_vector]}, schema)
    np.testing.assert_array_equal(encoder.transform(table)[1], given_vector)
    with pytest.raises(DataError, match="'b' has neither a text nor a vector"):
        encoder.transform(samples_from_columns(columns, schema))
    payload = encoder.payload(np.stack([given_vector]))
    assert payload["text"].null_count == 1 and payload["vector"].type.list_size == 24


def test_an_unknown_method_is_one_sentence() -> None:
    with pytest.raises(ParameterError, match=r"features\.text\.method is 'word2vec'"):
        settings_from(FeatureSettings, {"text": {"method": "word2vec"}}, "params.yaml: features")


@pytest.mark.skipif(importlib.util.find_spec(MINILM_PACKAGE) is None, reason="needs the extra minilm")
def test_minilm_puts_texts_of_one_meaning_side_by_side() -> None:
    table = text_samples(["I lost my card", "the weather is fine", "my bank card is gone", "it is sunny"])
    vectors = fit_featurizer(table, settings_for("minilm"), 0).transform(table)
    similarity = vectors @ vectors.T
    assert vectors.shape == (4, 384)
    assert similarity[0, 2] > 0.6 > 0.3 > similarity[0, 1]
    assert similarity[1, 3] > similarity[1, 2]


@given(st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=9), min_size=1, max_size=30), st.data())
def test_padding_keeps_every_token_and_nothing_else(rows: list[list[int]], data: st.DataObject) -> None:
    lengths = np.array([len(row) for row in rows])
    tokens = Tokens(np.concatenate(rows).astype(np.int32), lengths, np.zeros(len(rows), dtype=bool))
    chosen = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=9)))
    padded = tokens.padded(chosen)
    assert padded.shape == (len(chosen), lengths[chosen].max())
    for line, row in zip(padded, chosen, strict=True):
        assert line[: len(rows[row])].tolist() == rows[row]
        assert (line[len(rows[row]) :] == PADDING).all()


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 100))
def test_batches_of_equal_length_show_every_row_in_shapes_that_depend_on_the_length_alone(
    lengths: list[int], tokens: int
) -> None:
    batches = equal_length_batches(np.array(lengths, dtype=np.int64), tokens)
    assert set(np.concatenate([np.zeros(0, dtype=int), *batches]).tolist()) == set(range(len(lengths)))
    for batch in batches:
        (length,) = {lengths[row] for row in batch}
        assert len(batch) == max(1, tokens // length)


def test_a_half_installed_minilm_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / MINILM_PACKAGE).mkdir()
    (tmp_path / MINILM_PACKAGE / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, MINILM_PACKAGE, raising=False)
    with pytest.raises(ModelError, match=r"package of minilm is not whole .*; install it anew"):
        pretrained_folder("minilm", "features.text.encoder")
    sys.modules.pop(MINILM_PACKAGE)  # the whole one comes back after the test, where it was there


def test_texts_of_one_length_are_encoded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenly.features.encoder._ROUND", 3)
    texts = np.array(["a" * n for n in (5, 1, 9, 2, 5, 8, 3)], dtype=object)
    rounds: list[list[int]] = []

    def encode(some: Sequence[str]) -> np.ndarray:
        rounds.append([len(text) for text in some])
        return np.array([[len(text)] for text in some], dtype=np.float32)

    vectors = cached_vectors(texts, str.encode, encode, 1, None)
    assert vectors[:, 0].tolist() == [5, 1, 9, 2, 5, 8, 3]
    assert rounds == [[1, 2, 3], [5, 8, 9]]
