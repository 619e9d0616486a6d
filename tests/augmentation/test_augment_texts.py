"""Text edits: facts stay, nothing is empty, nothing is made twice, in any script."""

import logging
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenly.augmentation import augment
from evenly.augmentation.texts import edited, facts_of, joined, tokens_of
from evenly.params.augmentation import Policy
from evenly.plans import AugmentPlan
from evenly.samples import SampleTable, Schema, samples_from_columns

ALL_EDITS = Policy.model_validate(
    {"modality": "text", **{name: {"share": 0.5} for name in ("delete", "duplicate", "swap", "punctuate")}}
)


def only(edit: str, share: float = 0.3) -> Policy:
    return Policy.model_validate({"modality": "text", edit: {"share": share}})


def table_of(texts: list[str], label: str = "a") -> SampleTable:
    columns = {"id": [f"t{k}" for k in range(len(texts))], "label": [label] * len(texts), "text": texts}
    return samples_from_columns(columns, Schema("text", (label,)))


def varied(texts: list[str], policy: Policy, count: int, seed: int = 0) -> list[str]:
    return augment(table_of(texts), AugmentPlan(policy=policy, counts={"a": count}, seed=seed)).texts


def kinds(text: str, kind: str) -> list[str]:
    return [token.text for token in tokens_of(text) if token.kind == kind]


@given(st.text(max_size=80))
def test_tokens_joined_are_the_text(text):
    assert joined(tokens_of(text)) == text.lstrip()
    assert all(token.text for token in tokens_of(text))


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("paid 9.99 on 12/05, twice!", ["9.99", "12/05"]),
        ("see (https://a.b/c?d=1), or www.x.org.", ["https://a.b/c?d=1", "www.x.org"]),
        ("thanks @bob_1: write to a.b@c.org HTTPURL", ["@bob_1", "a.b@c.org", "HTTPURL"]),
        ("COVID-19 up 20% (-5 since May)", ["COVID-19", "20%", "-5"]),
        ("买3个花了5.5元，三百五十", ["3", "5.5", "三百五十"]),
        ("请看https://a.b/c，谢谢@张三 吧", ["https://a.b/c", "@张三"]),
        ("ราคา ๑๒๓ บาท", ["๑๒๓"]),
        ("no facts at all", []),
    ],
)
def test_numbers_links_and_mentions_are_facts(text, facts):
    assert facts_of(tokens_of(text)) == facts


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        ("我们走吧。", list("我们走吧")),
        ("私は行く", list("私は行く")),
        ("น้ำเก่า", ["น้ำ", "เก่า"]),
        ("hello there", []),
    ],
)
def test_scripts_without_spaces_are_taken_by_character(text, characters):
    assert kinds(text, "character") == characters


def test_words_keep_their_signs_and_apostrophes():
    assert kinds("हिन्दी में, don't “e\u0301te\u0301”!", "word") == ["हिन्दी", "में", "don't", "e\u0301te\u0301"]


@given(
    st.text(alphabet=st.sampled_from("ab d3.,!@#/ 我天三น้ำ \n👍é"), min_size=1, max_size=40),
    st.integers(0, 2**32),
)
def test_a_varied_text_is_new_not_empty_and_keeps_its_facts(text, seed):
    if not text.strip():
        return
    made = varied([text], ALL_EDITS, 3, seed)
    assert len(set(made) | {text.strip()}) == len(made) + 1
    for other in made:
        assert other.strip()
        assert facts_of(tokens_of(other)) == facts_of(tokens_of(text))


def test_facts_are_kept_character_by_character(text_table, policies):
    plan = AugmentPlan(policy=policies["text_light"], counts={"en": 60, "zh": 40}, seed=1)
    made = augment(text_table, plan)
    source = dict(zip(text_table.ids, text_table.texts, strict=True))
    for parent, text in zip(made.column("parent"), made.texts, strict=True):
        assert re.findall(r"\d+", text) == re.findall(r"\d+", source[parent])
        for fact in ("https://a.example/x?id=7", "@bob_1", "https://a.example/c"):
            assert text.count(fact) == source[parent].count(fact)


def test_no_text_is_made_twice_or_equals_a_training_text(text_table, policies):
    plan = AugmentPlan(policy=policies["text_light"], counts={"en": 300, "zh": 150}, seed=2)
    made = augment(text_table, plan)
    assert len(set(made.texts) | set(text_table.texts)) == 450 + len(text_table)


def test_deletion_leaves_words_out_and_never_the_last():
    source = "one two three four five six"
    for text in varied([source], only("delete"), 12):
        assert set(text.split()) < set(source.split())
        assert text.split() == [word for word in source.split() if word in text.split()]
    assert varied(["alone"], only("delete"), 3) == []


def test_deletion_takes_the_space_along():
    made = varied(["my card, please"], only("delete", 0.5), 3)
    assert sorted(made) == ["card, please", "my card,", "my, please"]


def test_a_swap_keeps_words_and_punctuation_in_number():
    source = "one two, three four. five six"
    for text in varied([source], only("swap"), 15):
        assert sorted(kinds(text, "word")) == sorted(kinds(source, "word"))
        assert re.sub(r"\w+", "w", text) == "w w, w w. w w"


def test_a_swap_of_characters_stays_local():
    source = "今天气很好我们去公园"
    for text in varied([source], only("swap", 0.1), 5):
        moved = [k for k, (a, b) in enumerate(zip(source, text, strict=True)) if a != b]
        assert len(moved) == 2
        assert moved[1] == moved[0] + 1


def test_duplication_repeats_words_of_the_text():
    source = "one two three four"
    for text in varied([source], only("duplicate", 0.25), 8):
        assert len(text.split()) == 5
        assert set(text.split()) == set(source.split())


def test_inserted_punctuation_leaves_all_words_in_order():
    source = "one two three four five six seven"
    for text in varied([source], only("punctuate"), 20):
        assert kinds(text, "word") == source.split()
        assert set(re.findall(r"[^\w\s]", text)) <= set(".;?:!,")
        assert re.search(r"[^\w\s]", text)


def test_chinese_gets_chinese_punctuation_without_spaces():
    for text in varied(["今天天气很好我们一起去公园散步吧"], only("punctuate"), 10):
        assert set(text) - set("今天天气很好我们一起去公园散步吧") <= set("。；？：！，")
        assert " " not in text


def test_the_share_bounds_the_number_of_edits():
    tokens = tokens_of(" ".join(f"w{chr(97 + k)}" for k in range(20)))
    for seed in range(30):
        _, edits = edited(tokens, only("swap", 0.2), np.random.default_rng(seed))
        assert 1 <= len(edits) <= 4


def test_inner_line_breaks_survive():
    for text in varied(["first line\nsecond line\n\nthird line"], only("punctuate", 0.1), 4):
        assert [part.count("\n") for part in re.findall(r"\n+", text)] == [1, 2]


def test_a_class_that_cannot_be_varied_further_falls_short_and_says_so(caplog):
    with caplog.at_level(logging.WARNING):
        made = varied(["red blue"], only("swap"), 5)
    assert made == ["blue red"]
    assert "1 of 5" in caplog.text


def test_when_one_text_cannot_be_varied_the_others_take_its_turns():
    made = varied(["alone", "one two three four five six seven eight"], only("delete", 0.2), 6)
    assert len(made) == 6
