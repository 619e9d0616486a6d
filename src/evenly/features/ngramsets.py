"""Texts as they are compared: two normalisations, and sets of character n-grams of many texts at once."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_APOSTROPHES = "'’‘ʼ`´＇"
_PAD = "\0"  # fills texts shorter than n; normalisation leaves none in a text
_COUNTABLE = 1 << 24  # so many possible n-grams are counted in an array, more are sorted


class _Characters(dict[int, str]):
    """What each character becomes when punctuation is of no account; filled as characters are met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if character in _APOSTROPHES or category == "Cf":
            replacement = ""
        elif category[0] in "PZ" or category == "Cc":
            replacement = " "
        else:
            replacement = character
        self[code] = replacement
        return replacement


_WITHOUT_PUNCTUATION = _Characters()


def folded_text(text: str) -> str:
    """Give a text in Unicode NFKC (full-width letters, ligatures), case folded, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def normalised_text(text: str) -> str:
    """Give what two texts have in common when they differ in case, width, spaces and punctuation only.

    Beyond `folded_text`, apostrophes and invisible characters go and other punctuation becomes a space.
    Symbols (`€`, `+`, emoji) and digits stay, and `1.5` does not become `15`. A text of nothing but
    punctuation stays as it is.
    """
    folded = unicodedata.normalize("NFKC", folded_text(text))
    plain = " ".join(folded.translate(_WITHOUT_PUNCTUATION).split())
    return plain or " ".join(folded.replace(_PAD, " ").split())


def character_ngrams(text: str, n: int) -> set[str]:
    """Character n-grams of the normalised text; the text itself where it is shorter, none where empty."""
    plain = normalised_text(text)
    return {plain[k : k + n] for k in range(max(1, len(plain) - n + 1))} if plain else set()


@dataclass(frozen=True)
class NgramSets:
    """Sets of n-grams, each as rising integers, the rarest n-gram first.

    Attributes
    ----------
    starts
        int64 (n + 1,): set `i` is `tokens[starts[i]:starts[i + 1]]`.
    tokens
        int32: an n-gram's rank by how often it occurs in all texts, rarest 0.
    vocabulary
        Number of different n-grams.
    """

    starts: np.ndarray
    tokens: np.ndarray
    vocabulary: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> np.ndarray:
        """Number of n-grams of each text, int64 (n,)."""
        return np.diff(self.starts)

    def __getitem__(self, rows: np.ndarray) -> NgramSets:
        """Give the sets of these rows (int64 positions), with the same ranks."""
        return self.beginnings(rows, self.sizes[rows])

    def beginnings(self, rows: np.ndarray, lengths: np.ndarray) -> NgramSets:
        """Give the rarest n-grams of these rows, so many of each, int64 (m,)."""
        starts = np.concatenate([[0], np.cumsum(lengths)])
        positions = np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], lengths)
        return NgramSets(starts, self.tokens[positions], self.vocabulary)


def ngram_sets(texts: Sequence[str], n: int) -> NgramSets:
    """The `character_ngrams` of every text, in one pass over all characters."""
    plain = [normalised_text(text) for text in texts]
    padded = [text.ljust(n, _PAD) if text else "" for text in plain]
    lengths = np.fromiter((len(text) for text in padded), dtype=np.int64, count=len(padded))
    windows = np.maximum(lengths - n + 1, 0)
    total = int(windows.sum())
    if total == 0:
        return NgramSets(np.zeros(len(plain) + 1, np.int64), np.empty(0, np.int32), 0)
    grams, possible = _windows("".join(padded), n)
    firsts = np.cumsum(lengths) - lengths
    rows = np.repeat(np.arange(len(plain)), windows)
    position = np.arange(total) + np.repeat(firsts - (np.cumsum(windows) - windows), windows)
    tokens, vocabulary = _ranks_by_rarity(grams[position], possible)
    keys = rows * vocabulary + tokens
    keys.sort()
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
    rows = keys // vocabulary
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(plain)))])
    return NgramSets(starts, (keys - rows * vocabulary).astype(np.int32), vocabulary)


def _windows(text: str, n: int) -> tuple[np.ndarray, int]:
    """Every window of n characters as an integer, equal for equal windows, and a bound on these integers."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    present = np.zeros(0x110000, dtype=bool)
    present[points] = True
    letters = (np.cumsum(present) - 1)[points]
    alphabet = possible = int(present.sum())
    count = len(points) - n + 1
    grams = letters[:count].copy()
    for k in range(1, n):
        if possible > np.iinfo(np.int64).max // alphabet - 1:
            grams = np.unique(grams, return_inverse=True)[1]
            possible = int(grams.max()) + 1
        grams *= alphabet
        grams += letters[k : k + count]
        possible *= alphabet
    return grams, possible


def _ranks_by_rarity(grams: np.ndarray, possible: int) -> tuple[np.ndarray, int]:
    """Rank of each n-gram by its number of occurrences, rarest 0, and how many different ones there are."""
    if possible > _COUNTABLE:
        grams = np.unique(grams, return_inverse=True)[1]
        possible = int(grams.max()) + 1
    occurrences = np.bincount(grams, minlength=possible)
    order = np.argsort(occurrences, kind="stable")
    absent = int((occurrences == 0).sum())
    rank = np.empty(possible, dtype=np.int64)
    rank[order] = np.arange(possible) - absent
    return rank[grams], possible - absent
