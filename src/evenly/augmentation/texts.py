"""Varied texts, in any language: words left out, doubled, exchanged, and punctuation put in between.

Random deletion and random swap are those of EDA (Wei & Zou 2019, arXiv 1901.11196), inserted punctuation is
AEDA (Karimi et al. 2021, arXiv 2108.13230). EDA's replacement and insertion of synonyms are left out, since
they need a thesaurus of the language; a word of the text itself is doubled instead. What a word is, and
which parts of a text are facts that no edit touches, is told in `tokens`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from evenly.augmentation.lineage import Descent, Offspring, Variation
from evenly.augmentation.tokens import Token, facts_of, joined, tokens_of
from evenly.params.augmentation import Policy, TokenEdit
from evenly.samples import SampleTable

#: Draws for one row before its parent passes its turn.
_ATTEMPTS = 12
_MARKS = ".;?:!,"
_HAN_KANA_MARKS = "。；？：！，"

#: An edit: its name and where it took place, by position among the tokens at that moment.
Edit = list[Any]


def text_variation(rows: SampleTable, label: str, policy: Policy) -> Variation:
    """Variation of the texts of one class.

    A text that equals a training text of the class, or one made before, is not made again.

    Parameters
    ----------
    rows
        Training rows, ordered by id.
    label
        The class.
    policy
        What may be drawn.
    """
    texts = rows.texts
    known = {(text or "").strip() for text, of in zip(texts, rows.labels, strict=True) if of == label}

    def vary(descent: Descent, rng: np.random.Generator) -> Offspring | None:
        tokens = tokens_of(texts[descent.parent.position] or "")
        for _ in range(_ATTEMPTS):
            changed, edits = edited(tokens, policy, rng)
            text = joined(changed).rstrip()
            # Read the tokens anew: what came to stand side by side may now look like another number.
            if text and text not in known and facts_of(tokens_of(text)) == facts_of(tokens):
                known.add(text)
                return Offspring(descent, {"text": text}, {"edits": edits})
        return None

    return vary


def edited(
    tokens: Sequence[Token], policy: Policy, rng: np.random.Generator
) -> tuple[list[Token], list[Edit]]:
    """Tokens after the edits that were drawn, and these edits in order.

    Each edit of the policy is drawn with its probability, and makes between one change and `share` of the
    words (characters) many.
    """
    changed = list(tokens)
    edits: list[Edit] = []
    steps: tuple[tuple[TokenEdit | None, Callable[..., Edit | None]], ...] = (
        (policy.delete, _delete),
        (policy.duplicate, _duplicate),
        (policy.swap, _swap),
        (policy.punctuate, _punctuate),
    )
    for settings, step in steps:
        if settings is None or rng.random() >= settings.probability:
            continue
        most = max(1, int(settings.share * len(_free(changed))))
        for _ in range(rng.integers(1, most, endpoint=True)):
            edit = step(changed, rng)
            if edit is not None:
                edits.append(edit)
    return changed, edits


def _delete(tokens: list[Token], rng: np.random.Generator) -> Edit | None:
    """Leave out a word, but never the last one."""
    free = _free(tokens)
    if len(free) < 2:
        return None
    k = _one_of(free, rng)
    if k:
        tokens[k - 1] = replace(tokens[k - 1], space=tokens[k].space)
    del tokens[k]
    return ["delete", k]


def _duplicate(tokens: list[Token], rng: np.random.Generator) -> Edit | None:
    """Put a copy of a word somewhere in the text, that of a character beside it."""
    free, gaps = _free(tokens), _gaps(tokens)
    if not free or not gaps:
        return None
    source = _one_of(free, rng)
    gap = source if tokens[source].kind == "character" else _one_of(gaps, rng)
    _insert(tokens, gap, tokens[source])
    return ["duplicate", source, gap]


def _swap(tokens: list[Token], rng: np.random.Generator) -> Edit | None:
    """Exchange two words, or a character with the nearest one, since far ones would scramble two words."""
    free = _free(tokens)
    if not free:
        return None
    k = _one_of(free, rng)
    others = [other for other in free if other != k and tokens[other].kind == tokens[k].kind]
    if not others:
        return None
    if tokens[k].kind == "character":
        others = [min(others, key=lambda other: (abs(other - k), -other))]
    other = _one_of(others, rng)
    first, second = tokens[k], tokens[other]
    tokens[k] = replace(second, space=first.space)
    tokens[other] = replace(first, space=second.space)
    return ["swap", k, other]


def _punctuate(tokens: list[Token], rng: np.random.Generator) -> Edit | None:
    """Put a punctuation mark between two tokens."""
    gaps = _gaps(tokens)
    if not gaps:
        return None
    gap = _one_of(gaps, rng)
    marks = _HAN_KANA_MARKS if tokens[gap].is_han_or_kana else _MARKS
    mark = marks[int(rng.integers(len(marks)))]
    _insert(tokens, gap, Token(mark, "", "mark"))
    return ["punctuate", gap, mark]


def _insert(tokens: list[Token], gap: int, token: Token) -> None:
    """Insert a token behind the one at `gap`, apart by a space where the script has spaces."""
    before = tokens[gap]
    apart = "" if before.kind == "character" else " "
    tokens[gap] = replace(before, space=apart)
    tokens.insert(gap + 1, replace(token, space=before.space))


def _gaps(tokens: Sequence[Token]) -> list[int]:
    """Tokens behind which something fits: before a space, in a script without spaces, at the end."""
    last = len(tokens) - 1
    return [k for k, token in enumerate(tokens) if token.space or token.kind == "character" or k == last]


def _free(tokens: Sequence[Token]) -> list[int]:
    return [k for k, token in enumerate(tokens) if token.is_free]


def _one_of(positions: Sequence[int], rng: np.random.Generator) -> int:
    return positions[int(rng.integers(len(positions)))]
