"""Texts as they are compared: two normalisations, and sets of character n-grams of many texts at once."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

_APOSTROPHES = "'’‘ʼ`´＇"
_PAD = "\0"  # fills texts shorter than n; normalisation leaves none in a text
_COUNTABLE = 1 << 24  # so many possible n-grams are counted in an array, more are sorted
_CHARACTERS = 1 << 22  # whose n-grams are numbered at once


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
    """The `character_ngrams` of every text, some million characters at a time."""
    padded = [text.ljust(n, _PAD) if text else "" for text in map(normalised_text, texts)]
    lengths = np.fromiter(map(len, padded), dtype=np.int64, count=len(padded))
    letters, alphabet = _letters(padded, lengths)
    # Where an n-gram is no longer one integer, those of all texts are numbered at once.
    together = alphabet**n > np.iinfo(np.int64).max
    blocks = [slice(0, len(padded))] if together else list(_slices(lengths))
    occurrences = _Occurrences(alphabet**n)
    for block in blocks:
        occurrences.add(_windows(padded[block], lengths[block], n, letters, alphabet)[0])
    ranks, vocabulary = occurrences.ranks_by_rarity()
    sizes, tokens = np.zeros(len(padded), dtype=np.int64), [np.empty(0, np.int32)]
    for block in blocks:
        grams, rows = _windows(padded[block], lengths[block], n, letters, alphabet)
        keys = np.sort(rows * vocabulary + ranks(grams))
        keys = keys[np.diff(keys, prepend=-1) > 0]
        rows = keys // max(1, vocabulary)
        sizes[block] = np.bincount(rows, minlength=len(lengths[block]))
        tokens.append((keys - rows * vocabulary).astype(np.int32))
    return NgramSets(np.concatenate([[0], np.cumsum(sizes)]), np.concatenate(tokens), vocabulary)


def _slices(lengths: np.ndarray) -> Iterator[slice]:
    """Texts of about so many characters at a time."""
    parts = np.cumsum(lengths) // _CHARACTERS
    edges = np.concatenate([[0], np.flatnonzero(np.diff(parts)) + 1, [len(lengths)]])
    yield from (slice(int(a), int(b)) for a, b in pairwise(edges))


def _letters(padded: Sequence[str], lengths: np.ndarray) -> tuple[np.ndarray, int]:
    """A number for each character that occurs, int64 by code point, and how many there are."""
    present = np.zeros(0x110000, dtype=bool)
    for block in _slices(lengths):
        present[_points(padded[block])] = True
    return np.cumsum(present) - 1, max(1, int(present.sum()))


def _points(texts: Sequence[str]) -> np.ndarray:
    return np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _windows(
    texts: Sequence[str], lengths: np.ndarray, n: int, letters: np.ndarray, alphabet: int
) -> tuple[np.ndarray, np.ndarray]:
    """Every window of n characters within a text as an integer, equal for equal windows, and its text."""
    numbers = letters[_points(texts)]
    count, possible = max(0, len(numbers) - n + 1), alphabet
    grams = numbers[:count].copy()
    for k in range(1, n):
        if possible > np.iinfo(np.int64).max // alphabet - 1:
            grams = np.unique(grams, return_inverse=True)[1]
            possible = int(grams.max(initial=0)) + 1
        grams *= alphabet
        grams += numbers[k : k + count]
        possible *= alphabet
    windows = np.maximum(lengths - n + 1, 0)
    rows = np.repeat(np.arange(len(texts)), windows)
    firsts = np.cumsum(lengths) - lengths
    within = np.arange(len(rows)) + np.repeat(firsts - (np.cumsum(windows) - windows), windows)
    return grams[within], rows


class _Occurrences:
    """How often each n-gram occurs, counted in an array where there can be few, else by sorting."""

    def __init__(self, possible: int) -> None:
        self._grams: np.ndarray | None = None if possible <= _COUNTABLE else np.zeros(0, np.int64)
        self._counts = np.zeros(possible if self._grams is None else 0, dtype=np.int64)

    def add(self, grams: np.ndarray) -> None:
        if self._grams is None:
            self._counts += np.bincount(grams, minlength=len(self._counts))
            return
        found, counts = np.unique(grams, return_counts=True)
        self._grams, places = np.unique(np.concatenate([self._grams, found]), return_inverse=True)
        weights = np.concatenate([self._counts, counts])
        self._counts = np.bincount(places, weights, len(self._grams)).astype(np.int64)

    def ranks_by_rarity(self) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
        """What gives the rank of n-grams by their occurrences, rarest 0, and how many different there are."""
        order = np.argsort(self._counts, kind="stable")
        absent = int((self._counts == 0).sum())
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order)) - absent
        known = self._grams
        ranks = rank.take if known is None else lambda grams: rank[np.searchsorted(known, grams)]
        return ranks, len(order) - absent
