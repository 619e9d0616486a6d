"""Texts as they are compared: what normalisation forgets, and sets of n-grams against plain Python."""

from __future__ import annotations

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
