"""What an encoder of texts starts from where there are no pretrained weights: a vocabulary and a shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from evenly.params.models import ScratchSettings

PAD, FIRST, LAST = 0, 1, 2
_MARKS = ("[PAD]", "[CLS]", "[SEP]")


def trained_tokenizer(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Byte pairs merged by frequency in the texts, whose order does not matter.

    Every text of every language has tokens: what was never seen is spelt byte by byte.

    Parameters
    ----------
    texts
        Of the training rows.
    vocabulary
        Tokens at most; 256 of them are the bytes.

    References
    ----------
    Sennrich et al., Neural Machine Translation of Rare Words with Subword Units, ACL 2016 (1508.07909); on
    bytes as in GPT-2.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=list(_MARKS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(texts), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", FIRST), ("[SEP]", LAST)]
    )
    return tokenizer


def small_config(settings: ScratchSettings, vocabulary: int, longest: int) -> dict[str, Any]:
    """Config of a small BERT, as `evenly.features.pretrained.network_from_config` takes it."""
    return {
        "model_type": "bert",
        "vocab_size": vocabulary,
        "hidden_size": settings.width,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads,
        "intermediate_size": 4 * settings.width,
        "max_position_embeddings": longest,
        "type_vocab_size": 1,
        "pad_token_id": PAD,
    }
