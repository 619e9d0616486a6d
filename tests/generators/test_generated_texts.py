"""Texts: the vocabulary, what a class may be written with, and what is done about copies."""

import numpy as np
import pytest
import torch
from generation_cases import plan_for, talk_table
from hypothesis import given
from hypothesis import strategies as st

from evenly.errors import RecipeError
from evenly.features.ngramsets import folded_text
from evenly.generators.generate import generate
from evenly.generators.writers import ScratchWriter, byte_pairs
from evenly.params.generative import LanguageModelSettings
from evenly.samples import Schema, samples_from_columns


def test_texts_are_neither_empty_nor_copies_of_training_texts():
    train = talk_table()
    result = generate(train, plan_for("language_model", {"food": 5, "trains": 3}, steps=60))
    known = {folded_text(text) for text in train.texts}
    texts = [folded_text(text) for text in result.samples.texts]
    assert all(texts) and len(set(texts)) == 8
    assert not known & set(texts)
    assert result.metrics["copies"] == 0
    assert 0 <= result.metrics["memorised_share"] <= 1


def test_copies_fill_up_where_nothing_new_comes_and_are_told():
    train = samples_from_columns(
        {"id": [str(k) for k in range(24)], "label": ["a", "b"] * 12, "text": ["yes", "no"] * 12},
        Schema("text", ("a", "b")),
    )
    plan = plan_for("language_model", {"a": 6}, steps=120, top_p=0.3)
    result = generate(train, plan)
    assert result.samples.counts["a"] == 6
    assert result.metrics["copies"] == list(result.samples.column("details")).count('{"copy":true}') > 0
    assert result.metrics["memorised_share"] > 0.5


def test_a_pretrained_model_is_fine_tuned(tmp_path):
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    train = talk_table()
    words = sorted({word for text in train.texts for word in text.split()} | {"food", "trains", ":"})
    tokenizer = Tokenizer(models.WordLevel({"<end>": 0, **{w: k + 1 for k, w in enumerate(words)}}, "<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(
        tmp_path
    )
    config = transformers.GPT2Config(
        vocab_size=len(words) + 1,
        n_positions=32,
        n_embd=32,
        n_layer=1,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    torch.manual_seed(0)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    plan = plan_for(
        "language_model", {"food": 6, "trains": 6}, model=str(tmp_path), learning_rate=5e-3, steps=80
    )
    result = generate(train, plan)
    assert result.samples.counts == {"food": 6, "trains": 6}
    assert all(entry["agreement"] > 0.8 for entry in result.metrics["classes"].values())
    assert generate(train, plan).samples.table.equals(result.samples.table)


def test_a_model_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(RecipeError, match="hub id or the folder"):
        generate(talk_table(), plan_for("language_model", {"food": 2}, model=str(tmp_path / "none")))


@given(st.lists(st.text(max_size=40), min_size=1, max_size=6))
def test_every_training_text_comes_back_from_its_tokens(texts):
    pairs = byte_pairs(texts, 300)
    assert all(pairs.decode(pairs.encode(text).ids) == text for text in texts)


def test_frequent_words_become_one_token():
    pairs = byte_pairs(["the card and the pin"] * 5 + ["the 卡片 卡片", "🎉"], 300)
    assert len(pairs.encode("the card").ids) == 2
    assert pairs.decode(pairs.encode("the 卡片!🎉").ids) == "the 卡片🎉"  # the mark was never seen


def test_a_vocabulary_has_every_letter_and_no_more_entries_than_asked_for():
    texts = [" ".join(f"{first}{second}" for second in "abcdefghij" for _ in "xy") for first in "klmnopqrst"]
    letters = len(set("".join(texts)))
    assert byte_pairs(texts, 50).get_vocab_size() == 50
    assert byte_pairs(texts, letters + 1).get_vocab_size() == letters + 1
    assert byte_pairs(texts, 5).get_vocab_size() == letters


def test_pairs_that_occur_once_are_no_entry():
    assert byte_pairs(["ab"], 300).get_vocab_size() == 2
    assert byte_pairs(["ab", "ab"], 300).get_vocab_size() == 3


def test_the_same_texts_give_the_same_vocabulary():
    texts = list(talk_table().texts)
    assert byte_pairs(texts, 300).to_str() == byte_pairs(texts, 300).to_str()


def test_a_written_text_has_no_class_in_it_and_is_no_longer_than_the_context():
    torch.manual_seed(0)
    settings = LanguageModelSettings(vocabulary=256, layers=1, width=16, heads=2, context=8)
    writer = ScratchWriter(["aab", "bba"], 3, settings, torch.device("cpu"))
    texts = writer.write(1, 200, np.random.default_rng(0))  # an untrained network writes any token
    assert set("".join(texts)) == {"a", "b"}
    assert 8 <= max(map(len, texts)) <= 16  # an entry is one letter or a pair
    tokens, prompt = writer.sequence("ab" * 20, 2)
    assert prompt == 1 and tokens[0] == 3 and tokens[-1] == 0 and len(tokens) == 10
