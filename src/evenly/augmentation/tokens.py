"""Texts as tokens that can be moved, in any language, and the facts among them that cannot.

Where a language writes spaces a token is a word; in Chinese, Japanese, Thai, Lao, Khmer and Burmese it is a
character with its vowel signs. Numbers, links, addresses and @mentions are facts. Punctuation is a mark.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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
    around = _is_sentence_mark if is_fact else _is_mark
    start, end = 0, len(run)
    while start < end and around(run[start]):
        start += 1
    while end > start and around(run[end - 1]):
        end -= 1
    kind: Kind = "fact" if is_fact else "word"
    pieces: list[tuple[str, Kind]] = [(run[:start], "mark"), (run[start:end], kind), (run[end:], "mark")]
    return [piece for piece in pieces if piece[0]]


def _is_sentence_mark(character: str) -> bool:
    return character in _AROUND_FACTS


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] in "PSC" or character in "\u200d\ufe0f"
