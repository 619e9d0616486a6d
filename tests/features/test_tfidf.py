from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from feature_tables import text_samples
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, random_array
from sklearn.feature_extraction.text import TfidfVectorizer

from evenly.errors import DataError
from evenly.features import Featurizer, fit_featurizer
from evenly.features.ngramsets import folded_text
from evenly.features.tfidf import _WORD, fit_term_weights, leading_directions
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


def test_all_dimensions_give_the_cosines_of_the_tf_idf_weights_themselves() -> None:
    rng = np.random.default_rng(0)
    words = [f"w{k}" for k in range(60)]
    texts = [" ".join(rng.choice(words, 8)) for _ in range(150)]
    weights = fit_term_weights(texts, 20_000).transform(texts)
    np.testing.assert_allclose(
        similarities(lsa(texts, 150), texts), (weights @ weights.T).toarray(), atol=2e-3
    )


def test_both_kinds_of_terms_have_half_the_weight() -> None:
    fitted = fit_term_weights(ENGLISH, 20_000)
    weights, split = fitted.transform(ENGLISH), len(fitted.terms["characters"])
    for block in (weights[:, :split], weights[:, split:]):
        np.testing.assert_allclose(np.asarray(block.multiply(block).sum(axis=1)), 0.5, atol=1e-6)
    assert weights.shape[1] == split + len(fitted.terms["words"]) == fitted.dimension


SENTENCES = st.lists(
    st.text(alphabet="abC \n_-'’1éß我有ＡカŒ", max_size=30).filter(str.strip), min_size=3, max_size=8
)


@given(SENTENCES, SENTENCES, st.integers(1, 40))
def test_terms_and_weights_are_those_of_scikit_learn(
    train: list[str], others: list[str], max_terms: int
) -> None:
    fitted = fit_term_weights(train, max_terms)
    weights = fitted.transform([*others, ""])
    width = len(fitted.terms["characters"])
    kinds: dict[str, dict[str, Any]] = {
        "characters": {"analyzer": "char_wb", "ngram_range": (2, 5)},
        "words": {"tokenizer": _WORD.findall, "token_pattern": None, "ngram_range": (1, 2)},
    }
    for kind, block in zip(kinds, (weights[:, :width], weights[:, width:]), strict=True):
        rival = TfidfVectorizer(
            lowercase=False,
            preprocessor=folded_text,
            sublinear_tf=True,
            dtype=np.float32,
            max_features=max_terms,
            **kinds[kind],
        )
        if kind not in fitted.terms:
            with pytest.raises(ValueError, match="empty vocabulary"):
                rival.fit(train)
            continue
        rival.fit(train)
        assert rival.get_feature_names_out().tolist() == fitted.terms[kind]
        np.testing.assert_array_equal(rival.idf_, fitted.idf[kind])
        expected = rival.transform([*others, ""]).toarray() * np.float32(np.sqrt(0.5))
        np.testing.assert_array_equal(block.toarray(), expected)


def test_weights_of_a_text_do_not_depend_on_how_many_are_looked_at_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = [f"{a} {b} {a}" for a in ENGLISH for b in CHINESE]
    whole = fit_term_weights(texts, 50)
    monkeypatch.setattr("evenly.features.tfidf._BLOCK", 5)
    parts = fit_term_weights(texts, 50)
    assert parts.terms == whole.terms
    assert (parts.transform(texts) != whole.transform(texts)).nnz == 0


def test_chinese_japanese_and_korean_characters_are_words_and_latin_runs_stay_whole() -> None:
    words = set(fit_term_weights(["我有Visa卡", "カード と 카드"], 20_000).terms["words"])
    assert {"我", "有", "visa", "卡", "我 有", "有 visa", "visa 卡", "カ", "카", "드", "카 드"} <= words


def test_texts_without_words_have_vectors_by_their_signs() -> None:
    featurizer = lsa(["☃☃", "☃★", "★★"])
    assert np.linalg.norm(featurizer.transform(text_samples(["☃☃"]))[0]) == pytest.approx(1)


def test_only_the_most_frequent_terms_are_kept() -> None:
    assert fit_term_weights(["aa aa", "aa ab", "aa zz"], 1).terms["words"] == ["aa"]


def test_of_many_texts_terms_in_a_single_one_are_left_out() -> None:
    for often, kept in ((99, False), (98, True)):
        words = fit_term_weights(["common word"] * often + ["common rarity"], 20_000).terms["words"]
        assert ("rarity" in words) is kept


@pytest.mark.parametrize("density", [0.01, 0.2])
def test_directions_explain_what_the_exact_ones_do_where_the_spectrum_is_flat(density: float) -> None:
    """Without power iterations it is 60 to 76 %, with one 86 to 93 %."""
    matrix = random_array((400, 600), density=density, rng=0, dtype=np.float32, format="csr")
    directions = leading_directions(csr_matrix(matrix), 20, seed=0)
    exact = np.linalg.svd(matrix.toarray(), compute_uv=False)[:20]
    assert directions.shape == (20, 600)
    assert np.linalg.norm(matrix @ directions.T) ** 2 > 0.96 * (exact**2).sum()
    np.testing.assert_allclose(directions @ directions.T, np.eye(20), atol=1e-4)


def test_full_width_letters_and_case_do_not_matter() -> None:
    one, other = lsa(["strasse abc", "other"]).transform(text_samples(["  ＡＢＣ\tStraße ", "abc strasse"]))
    np.testing.assert_array_equal(one, other)


@given(st.lists(st.text(max_size=12), min_size=1, max_size=6))
def test_any_text_can_be_transformed(texts: list[str]) -> None:
    featurizer = lsa(ENGLISH, dimensions=3)
    vectors = featurizer.transform(text_samples(texts))
    assert vectors.shape == (len(texts), 3)
    assert np.isfinite(vectors).all()


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
