from __future__ import annotations

import numpy as np
import pytest
from feature_tables import text_samples
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from evenly.errors import DataError
from evenly.features import Featurizer, fit_featurizer
from evenly.features.ngrams import build_vocabulary, term_counts
from evenly.features.ngramsets import folded_text
from evenly.params.features import FeatureSettings, TextFeatures
from evenly.samples import SampleTable

CHINESE = [
    "我想查询银行卡的余额",
    "请帮我查一下账户余额",
    "银行卡余额是多少",
    "今天天气很好适合出门",
    "明天的天气怎么样",
    "周末天气会下雨吗",
]
ENGLISH = [
    "where is my new card",
    "my card has not arrived yet",
    "the card is still not here",
    "please tell me the exchange rate",
    "what exchange rate will I get",
    "is the exchange rate fixed",
]


def lsa(texts: list[str], dimensions: int = 256, max_terms: int = 20_000, seed: int = 0) -> Featurizer:
    settings = FeatureSettings(text=TextFeatures(dimensions=dimensions, max_terms=max_terms))
    return fit_featurizer(text_samples(texts), settings, seed)


def similarities(featurizer: Featurizer, texts: list[str]) -> np.ndarray:
    vectors = featurizer.transform(text_samples(texts))
    return np.asarray(vectors @ vectors.T)


@pytest.mark.parametrize("texts", [CHINESE, ENGLISH], ids=["chinese", "english"])
def test_texts_on_the_same_subject_are_nearer(texts: list[str]) -> None:
    near = similarities(lsa(texts, dimensions=3), texts)
    same = (near[:3, :3].sum() + near[3:, 3:].sum() - 6) / 12
    assert same > near[:3, 3:].mean() + 0.3


def test_a_new_chinese_text_finds_its_subject_without_spaces() -> None:
    featurizer = lsa(CHINESE, dimensions=3)
    near = similarities(featurizer, [*CHINESE, "我的余额还有多少"])[-1]
    assert near[:3].mean() > near[3:6].mean() + 0.3


def test_vectors_are_float32_of_length_1_and_finite() -> None:
    vectors = lsa(ENGLISH).transform(text_samples([*ENGLISH, "☃"]))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors[:-1], axis=1), 1, atol=1e-5)
    assert not vectors[-1].any()  # nothing in it is known


def test_dimensions_are_capped_by_the_data() -> None:
    assert lsa(ENGLISH).dimension <= len(ENGLISH)
    assert lsa(ENGLISH, dimensions=2).dimension == 2
    assert lsa(["same"] * 4).dimension == 1


def test_similarities_agree_with_an_exact_decomposition() -> None:
    rng = np.random.default_rng(0)
    words = [f"w{k}" for k in range(60)]
    texts = [" ".join(rng.choice(words, 8)) for _ in range(150)]
    featurizer = lsa(texts, dimensions=150)
    full = similarities(featurizer, texts)  # all dimensions: cosines of the tf-idf vectors themselves
    characters, counted = term_counts(texts, featurizer.vocabulary)  # type: ignore[attr-defined]
    split = characters.shape[1]
    blocks = []
    for counts, idf in zip((characters, counted), np.split(featurizer.idf, [split]), strict=True):  # type: ignore[attr-defined]
        dense = counts.toarray()
        dense = np.where(dense > 0, 1 + np.log(np.maximum(dense, 1)), 0) * idf
        blocks.append(dense / np.linalg.norm(dense, axis=1, keepdims=True) * np.sqrt(0.5))
    weights = np.hstack(blocks)
    np.testing.assert_allclose(full, weights @ weights.T, atol=2e-3)


def test_word_counts_agree_with_scikit_learn() -> None:
    vocabulary = build_vocabulary(ENGLISH, max_terms=10_000, least_texts=1)
    ours = term_counts(ENGLISH, vocabulary)[1].toarray()
    theirs = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\w+").fit_transform(ENGLISH).toarray()
    assert sorted(map(tuple, ours.T)) == sorted(map(tuple, theirs.T))


def test_character_counts_agree_with_scikit_learn() -> None:
    vocabulary = build_vocabulary(ENGLISH, max_terms=10_000, least_texts=1)
    ours = term_counts(ENGLISH, vocabulary)[0].toarray()
    theirs = CountVectorizer(analyzer="char_wb", ngram_range=(2, 5)).fit_transform(ENGLISH).toarray()
    # scikit-learn counts a word shorter than n once more for each n: the padded word itself.
    assert {tuple(column > 0) for column in ours.T} == {tuple(column > 0) for column in theirs.T}
    assert len(vocabulary.character_terms) == theirs.shape[1]


def test_only_the_most_frequent_terms_are_kept() -> None:
    vocabulary = build_vocabulary(["aa aa", "aa ab", "aa zz"], max_terms=1, least_texts=1)
    counts = term_counts(["aa", "zz"], vocabulary)[1].toarray()
    assert counts.tolist() == [[1], [0]]


def test_full_width_letters_and_case_do_not_matter() -> None:
    assert folded_text("  ＡＢＣ\tStraße ") == "abc strasse"


@given(st.lists(st.text(max_size=12), min_size=1, max_size=6))
def test_any_text_can_be_transformed(texts: list[str]) -> None:
    featurizer = lsa(ENGLISH, dimensions=3)
    vectors = featurizer.transform(text_samples(texts))
    assert vectors.shape == (len(texts), 3)
    assert np.isfinite(vectors).all()


def test_more_texts_than_a_chunk_are_counted_like_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*ENGLISH, "", "☃", *CHINESE]
    whole = build_vocabulary(texts, 10_000, 1)
    expected = [counts.toarray() for counts in term_counts(texts, whole)]
    monkeypatch.setattr("evenly.features.ngrams._CHUNK", 2)
    chunked = build_vocabulary(texts, 10_000, 1)
    np.testing.assert_array_equal(chunked.character_terms, whole.character_terms)
    np.testing.assert_array_equal(chunked.word_terms, whole.word_terms)
    for counts, reference in zip(term_counts(texts, whole), expected, strict=True):
        np.testing.assert_array_equal(counts.toarray(), reference)


def rows_with_vectors(featurizer: Featurizer) -> SampleTable:
    texts = text_samples(ENGLISH[:3])
    vector = np.arange(featurizer.dimension, dtype=np.float32)
    payload = featurizer.payload(np.stack([vector, vector + 1]))
    made = text_samples(["x", "y"]).with_column("id", ["m0", "m1"])
    made = made.with_column("text", payload["text"]).with_column("vector", payload["vector"])
    from evenly.samples import concatenate

    return concatenate([texts, made])


def test_a_row_that_carries_a_vector_keeps_it() -> None:
    featurizer = lsa(ENGLISH)
    vectors = featurizer.transform(rows_with_vectors(featurizer))
    np.testing.assert_array_equal(vectors[:3], featurizer.transform(text_samples(ENGLISH[:3])))
    np.testing.assert_array_equal(vectors[3], np.arange(featurizer.dimension))
    np.testing.assert_array_equal(vectors[4], np.arange(featurizer.dimension) + 1)


def test_vectors_of_other_features_are_refused() -> None:
    with pytest.raises(DataError, match="carries a vector of"):
        lsa(ENGLISH, dimensions=2).transform(rows_with_vectors(lsa(ENGLISH)))


def test_a_row_without_text_and_vector_is_named() -> None:
    broken = text_samples(ENGLISH).with_column("text", [*ENGLISH[:5], None])
    with pytest.raises(DataError, match="'t005' has neither a text nor a vector"):
        lsa(ENGLISH).transform(broken)


def test_texts_without_any_sign_are_refused() -> None:
    with pytest.raises(DataError, match="no characters"):
        lsa(["  ", "\t"])
