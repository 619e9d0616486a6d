"""Texts: the vocabulary, the transformer, and what is done about copies."""

import numpy as np
import pytest
import torch
from generation_cases import plan_for, talk_table
from hypothesis import given
from hypothesis import strategies as st

from evenly.errors import RecipeError
from evenly.features.ngramsets import folded_text
from evenly.generators.byte_pairs import learn_byte_pairs
from evenly.generators.generate import generate
from evenly.generators.transformer import CausalTransformer, nucleus_draw
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
    pairs = learn_byte_pairs(texts, 300)
    assert all(pairs.decode(pairs.encode(text)) == text for text in texts)


def test_frequent_words_become_one_token():
    pairs = learn_byte_pairs(["the card and the pin"] * 5 + ["the 卡片 卡片"], 300)
    assert len(pairs.encode("the card")) == 2
    assert pairs.decode(pairs.encode("the 卡片!")) == "the 卡片"  # the mark was never seen


def test_a_token_is_never_influenced_by_later_ones():
    torch.manual_seed(0)
    network = CausalTransformer(20, 10, 2, 16, 2, 0.0).eval()
    tokens = torch.randint(0, 20, (3, 10))
    changed = tokens.clone()
    changed[:, 6:] = torch.randint(0, 20, (3, 4))
    assert torch.allclose(network(tokens)[:, :6], network(changed)[:, :6], atol=1e-6)


def test_draws_come_from_the_nucleus_in_proportion():
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05])).repeat(4000, 1)
    uniform = torch.from_numpy(np.random.default_rng(0).random(4000))
    shares = np.bincount(nucleus_draw(logits, 0.8, uniform), minlength=4) / 4000
    assert shares[2:].sum() == 0
    assert shares[0] == pytest.approx(0.625, abs=0.03)
    assert np.bincount(nucleus_draw(logits, 1.0, uniform), minlength=4).min() > 100
