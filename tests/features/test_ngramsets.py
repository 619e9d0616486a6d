"""Texts as they are compared: what normalisation forgets, and sets of n-grams against plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from evenly.features.ngramsets import character_ngrams, folded_text, ngram_sets, normalised_text


def test_ngram_sets_are_the_sets_of_each_text() -> None:
    texts = ["abcabc", "", "ab", "xyz xyz", "中文字符中文"]
    sets = ngram_sets(texts, 3)
    assert sets.sizes.tolist() == [len(character_ngrams(text, 3)) for text in texts]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("  Can't   I PAY?! ", "cant i pay"),
        ("Ｆｕｌｌ　width", "full width"),
        ("costs 1.50 €", "costs 1 50 €"),
        ("Straße\u200b…", "strasse"),
        ("???", "???"),
        ("你好，世界。", "你好 世界"),
        ("a\x00b", "a b"),
    ],
)
def test_normalised_text_forgets_case_width_spaces_and_punctuation(text: str, plain: str) -> None:
    assert normalised_text(text) == plain


def test_a_number_without_its_decimal_point_is_another_text() -> None:
    assert normalised_text("pay 1.5 now") != normalised_text("pay 15 now")


def test_folded_text_keeps_punctuation() -> None:
    assert folded_text("  Ａbc,\tStraße! ") == "abc, strasse!"


@pytest.mark.parametrize("countable", [1 << 24, 1])
@pytest.mark.parametrize("n", [1, 3, 30])
def test_sets_do_not_depend_on_how_many_characters_are_numbered_at_once(
    n: int, countable: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [
        f"{a} {b}" for a in ("lost card", "", "银行卡丢了", "x") for b in ("today", "", "è già", "y" * 40)
    ]
    whole = ngram_sets(texts, n)
    monkeypatch.setattr("evenly.features.ngramsets._CHARACTERS", 7)
    monkeypatch.setattr("evenly.features.ngramsets._COUNTABLE", countable)
    parts = ngram_sets(texts, n)
    np.testing.assert_array_equal(parts.starts, whole.starts)
    np.testing.assert_array_equal(parts.tokens, whole.tokens)
    assert parts.vocabulary == whole.vocabulary
