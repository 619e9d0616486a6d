"""Whether a new text is too close to one already there, exactly, while rows are being generated one by one.

The check of a whole table at once lives in `evenly.screening.similarity`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from evenly.features.ngramsets import character_ngrams, normalised_text


class TextShape(NamedTuple):
    """A text as it is compared: normalised, its n-grams, and those by which it is found."""

    plain: str
    grams: frozenset[str]
    beginning: tuple[str, ...]


@dataclass(frozen=True)
class Shaping:
    """How texts become shapes; shapes of one shaping can be compared.

    Two sets with a Jaccard index of t or more share an element among the first |x| − ⌈t·|x|⌉ + 1 of each in
    any one order of all elements (Chaudhuri, Ganti and Kaushik 2006), so these beginnings are enough to find
    a text by: rarest first, which keeps the lists short. Nothing is missed.

    Attributes
    ----------
    threshold
        Jaccard index in (0, 1]; None for equal normalised texts only.
    n
        Characters of an n-gram.
    frequencies
        How often n-grams occur; fixes the order. One that is not named is rarest.
    """

    threshold: float | None
    n: int
    frequencies: Mapping[str, int]

    def shape(self, text: str) -> TextShape:
        """The shape of a text."""
        plain = normalised_text(text)
        if self.threshold is None:
            return TextShape(plain, frozenset(), ())
        grams = character_ngrams(text, self.n)
        # A little below ⌈t·|x|⌉ where t·|x| is whole but for rounding: one element more, never one less.
        length = len(grams) - math.ceil(self.threshold * len(grams) - 1e-9) + 1
        known = self.frequencies
        ranked = sorted((known.get(gram, 0), gram) for gram in grams)[:length]
        return TextShape(plain, frozenset(grams), tuple(gram for _, gram in ranked))


class TextIndex:
    """Texts to compare with, growing one by one."""

    def __init__(self, threshold: float | None) -> None:
        self._threshold = threshold
        self._texts: set[str] = set()
        self._postings: dict[str, list[int]] = {}
        self._sets: list[frozenset[str]] = []

    def add(self, shape: TextShape) -> None:
        """Take in a text."""
        if shape.plain in self._texts:
            return
        self._texts.add(shape.plain)
        for gram in shape.beginning:
            self._postings.setdefault(gram, []).append(len(self._sets))
        self._sets.append(shape.grams)

    def similarity(self, shape: TextShape) -> float | None:
        """Jaccard index with the most similar text: 1 for an equal one, None below the threshold."""
        if shape.plain in self._texts:
            return 1.0
        if self._threshold is None:
            return None
        candidates = {row for gram in shape.beginning for row in self._postings.get(gram, ())}
        grams, size, best = shape.grams, len(shape.grams), 0.0
        for row in candidates:
            other = self._sets[row]
            larger, smaller = (size, len(other)) if size > len(other) else (len(other), size)
            if smaller < max(best, self._threshold - 1e-12) * larger:
                continue
            shared = len(grams & other)
            best = max(best, shared / (size + len(other) - shared))
        return best if best >= self._threshold else None


def ngram_frequencies(texts: Iterable[str], n: int) -> Counter[str]:
    """In how many texts each character n-gram occurs."""
    counted: Counter[str] = Counter()
    for text in texts:
        counted.update(character_ngrams(text, n))
    return counted
