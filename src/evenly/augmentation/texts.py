"""Varied texts, in any language: words left out, doubled, exchanged, and punctuation put in between.

Random deletion and random swap are those of EDA (Wei & Zou 2019, arXiv 1901.11196), inserted punctuation is
AEDA (Karimi et al. 2021, arXiv 2108.13230). EDA's synonyms are left out, since they need a thesaurus of the
language; a word of the text itself is doubled instead. Where a language writes spaces a token is a word; in
Chinese, Japanese, Thai, Lao, Khmer and Burmese it is a character. Facts, such as numbers, stay.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from evenly.augmentation.lineage import Descent, Offspring, Variation
from evenly.params.augmentation import Policy, TokenEdit
from evenly.samples import SampleTable

Kind = Literal["word", "character", "fact", "mark"]

_HAN_KANA = (
    r"\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_SOUTH_EAST_ASIAN = r"\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u1000-\u103f\u1050-\u109f\u1780-\u17d3"
_UNSPACED = _HAN_KANA + _SOUTH_EAST_ASIAN
#: Vowels that are written before the consonant they follow.
_LEADING = r"\u0e40-\u0e44\u0ec0-\u0ec4"
#: Vowel signs, tone marks and the like, which belong to the character before them.
_SIGNS = (
    r"\u0e30-\u0e3a\u0e45\u0e47-\u0e4e\u0eb0-\u0ebc\u0ec6\u0ec8-\u0ece"
    r"\u102b-\u103e\u1056-\u1059\u17b6-\u17d3\u3099\u309a\uff9e\uff9f\ufe00-\ufe0f"
)
_NUMERALS = "〇一二三四五六七八九十百千万亿兆零两兩萬億"

#: Links (also the placeholder HTTPURL), e-mail addresses and mentions, wherever they begin.
_REFERENCE = (
    rf"(?i:https?|ftp:|www\.)[^\s{_UNSPACED}，。；：！？、（）《》【】]*"
    r"|(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+"
    r"|[@＠]\w+"
)
_TOKEN = re.compile(
    rf"(?P<fact>{_REFERENCE}|[{_NUMERALS}]+)"
    rf"|(?P<character>[{_LEADING}]?[{_UNSPACED}][{_SIGNS}]*)"
    rf"|(?P<run>(?:(?!{_REFERENCE})[^\s{_UNSPACED}])+)"
)
_HAN_KANA_CHARACTER = re.compile(f"[{_HAN_KANA}]")
#: Punctuation that may stand around a number, a link or an address without belonging to it.
_AROUND_FACTS = ".,;:!?…\"'“”‘’()[]<>，。；：！？、（）［］【】《》「」"


@dataclass(frozen=True)
class Token:
    """A piece of a text: its characters, the white space that follows, and what it is."""

    text: str
    space: str
    kind: Kind

    @property
    def is_free(self) -> bool:
        """Whether it may be moved, doubled or left out."""
        return self.kind in ("word", "character")

    @property
    def is_han_or_kana(self) -> bool:
        """Whether it is a character of Chinese or Japanese."""
        return self.kind == "character" and bool(_HAN_KANA_CHARACTER.match(self.text))


def tokens_of(text: str) -> list[Token]:
    """Tokens of a text, in order; joined, they are the text without leading white space."""
    tokens: list[Token] = []
    position = len(text) - len(text.lstrip())
    while position < len(text):
        match = _TOKEN.match(text, position)
        assert match is not None, "white space was skipped, and every other character begins a token"
        end = match.end()
        after = len(text) - len(text[end:].lstrip())
        space = text[end:after]
        if match.lastgroup == "character":
            pieces: list[tuple[str, Kind]] = [(match.group(), "character")]
        else:
            pieces = _pieces(match.group(), match.lastgroup == "fact")
        tokens += [Token(piece, "", kind) for piece, kind in pieces[:-1]]
        tokens.append(Token(pieces[-1][0], space, pieces[-1][1]))
        position = after
    return tokens


def joined(tokens: Sequence[Token]) -> str:
    """Text of tokens, the inverse of `tokens_of`."""
    return "".join(token.text + token.space for token in tokens)


def facts_of(tokens: Sequence[Token]) -> list[str]:
    """Numbers, links, addresses and mentions, in order."""
    return [token.text for token in tokens if token.kind == "fact"]


def _pieces(run: str, known_fact: bool) -> list[tuple[str, Kind]]:
    """Split a run without spaces into its core (a word or fact) and the punctuation around it."""
    is_fact = known_fact or any(c.isnumeric() for c in run)
    around = _AROUND_FACTS.__contains__ if is_fact else _is_mark
    start, end = 0, len(run)
    while start < end and around(run[start]):
        start += 1
    while end > start and around(run[end - 1]):
        end -= 1
    kind: Kind = "fact" if is_fact else "word"
    pieces: list[tuple[str, Kind]] = [(run[:start], "mark"), (run[start:end], kind), (run[end:], "mark")]
    return [piece for piece in pieces if piece[0]]


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] in "PSC" or character in "\u200d\ufe0f"


#: Draws for one row before its parent passes its turn.
_ATTEMPTS = 12
_MARKS = ".;?:!,"
_HAN_KANA_MARKS = "。；？：！，"

#: An edit: its name and where it took place, by position among the tokens at that moment.
Edit = list[Any]


def text_variation(rows: SampleTable, label: str, policy: Policy) -> Variation:
    """Variation of the texts of one class.

    A text that equals a training text of the class, or one made before, is not made again.
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
