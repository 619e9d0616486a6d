"""Counting word and character n-grams of any script, without a Python loop over n-grams.

A term is a number: the ids of its characters (or words) written one after the other in one uint64, which is
exact and lets sorting and searching do the counting. Words are runs of letters and digits; a Chinese,
Japanese or Korean character is a word by itself, so that nothing hangs on spaces.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evenly.features.ngramsets import folded_text

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

LONGEST = 5  # characters in an n-gram; the shortest has 2
_CHARACTER_BITS = 12  # 5 × 12 bits fit in one term
_WORD_BITS = 32
_CHUNK = 4096  # texts held as n-grams at once
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0002ffff"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+(?:['’][^\W_{_CJK}]+)*")
_SPACE = 1  # id of the space in every alphabet


@dataclass(frozen=True)
class Vocabulary:
    """The terms that are counted.

    Attributes
    ----------
    alphabet
        Characters; the first has id 1. Any other character breaks an n-gram.
    words
        Words; the first has id 1. Any other word breaks a bigram.
    character_terms, word_terms
        uint64, ascending: the n-grams that were frequent enough.
    """

    alphabet: str
    words: tuple[str, ...]
    character_terms: np.ndarray
    word_terms: np.ndarray


def build_vocabulary(texts: Sequence[str], max_terms: int, least_texts: int) -> Vocabulary:
    """Choose the most frequent n-grams of training texts.

    Parameters
    ----------
    texts
        Training texts.
    max_terms
        Of character n-grams and of word n-grams (1 and 2 words), at most this many are kept each.
    least_texts
        Terms in fewer texts are left out.
    """
    texts = [folded_text(text) for text in texts]
    letters = Counter[str]()
    word_texts = Counter[str]()
    for text in texts:
        letters.update(text)
        word_texts.update(set(_WORD.findall(text)))
    letters.pop(" ", None)
    by_frequency = sorted(letters, key=lambda letter: (-letters[letter], letter))
    alphabet = " " + "".join(by_frequency[: 2**_CHARACTER_BITS - 2])
    words = tuple(sorted(word for word, n in word_texts.items() if n >= least_texts))
    return Vocabulary(
        alphabet,
        words,
        _frequent(_character_ngrams(texts, alphabet), max_terms, least_texts),
        _frequent(_word_ngrams(texts, words), max_terms, least_texts),
    )


def term_counts(texts: Sequence[str], vocabulary: Vocabulary) -> tuple[csr_matrix, csr_matrix]:
    """How often each character term and each word term occurs, float32 CSR matrices (n, terms)."""
    texts = [folded_text(text) for text in texts]
    characters = _character_ngrams(texts, vocabulary.alphabet)
    words = _word_ngrams(texts, vocabulary.words)
    return (
        _counted(characters, vocabulary.character_terms),
        _counted(words, vocabulary.word_terms),
    )


# -- n-grams as (text, term) pairs, a chunk of texts at a time -------------------------------------------

#: Of each chunk: its number of texts, and for each n-gram the text's position in the chunk, and the term.
_Chunks = Iterator[tuple[int, np.ndarray, np.ndarray]]


def _character_ngrams(texts: Sequence[str], alphabet: str) -> _Chunks:
    """N-grams of 2 to 5 characters, none of which reaches over a space."""
    ids = np.zeros(0x110000, dtype=np.uint64)
    ids[_code_points(alphabet)] = np.arange(1, len(alphabet) + 1, dtype=np.uint64)
    for start in range(0, len(texts), _CHUNK):
        # Each text has a space before and behind, as the edge of a word; a NUL keeps the texts apart.
        framed = [f" {text} \0" if text else "\0" for text in texts[start : start + _CHUNK]]
        letters = ids[_code_points("".join(framed))]
        owners = np.repeat(np.arange(len(framed)), [len(text) for text in framed])
        found_owners, found_terms = [], []
        terms, valid = letters, letters > 0
        for n in range(2, LONGEST + 1):
            terms = (terms[:-1] << np.uint64(_CHARACTER_BITS)) | letters[n - 1 :]
            valid = valid[:-1] & (letters[n - 1 :] > 0)
            if n > 2:  # the last but one has become an inner character
                valid &= letters[n - 2 : -1] != _SPACE
            found_terms.append(terms[valid])
            found_owners.append(owners[: len(terms)][valid])
        yield len(framed), np.concatenate(found_owners), np.concatenate(found_terms)


def _word_ngrams(texts: Sequence[str], words: Sequence[str]) -> _Chunks:
    """Known words, and pairs of neighbouring known words."""
    ids = {word: k for k, word in enumerate(words, start=1)}
    for start in range(0, len(texts), _CHUNK):
        lists = [[ids.get(w, 0) for w in _WORD.findall(text)] for text in texts[start : start + _CHUNK]]
        lengths = [len(one) + 1 for one in lists]  # a zero behind each text keeps the texts apart
        flat = np.fromiter((k for one in lists for k in (*one, 0)), dtype=np.uint64, count=sum(lengths))
        owners = np.repeat(np.arange(len(lists)), lengths)
        pairs = (flat[:-1] << np.uint64(_WORD_BITS)) | flat[1:]
        known, both = flat > 0, (flat[:-1] > 0) & (flat[1:] > 0)
        yield (
            len(lists),
            np.concatenate([owners[known], owners[:-1][both]]),
            np.concatenate([flat[known], pairs[both]]),
        )


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _frequent(chunks: _Chunks, max_terms: int, least_texts: int) -> np.ndarray:
    terms = np.zeros(0, dtype=np.uint64)
    counts = np.zeros(0, dtype=np.int64)
    for size, owners, found in chunks:
        unique, inverse = np.unique(found, return_inverse=True)
        once = np.unique(inverse * size + owners)  # each term counts once a text
        merged, place = np.unique(np.concatenate([terms, unique]), return_inverse=True)
        added = np.concatenate([counts, np.bincount(once // size, minlength=len(unique))])
        counts = np.bincount(place, weights=added, minlength=len(merged)).astype(np.int64)
        terms = merged
    enough = counts >= least_texts
    terms, counts = terms[enough], counts[enough]
    return np.sort(terms[np.argsort(-counts, kind="stable")[:max_terms]])


def _counted(chunks: _Chunks, terms: np.ndarray) -> csr_matrix:
    from scipy.sparse import csr_matrix, vstack

    parts = []
    for size, owners, found in chunks:
        place = np.searchsorted(terms, found)
        known = place < len(terms)
        known[known] = terms[place[known]] == found[known]
        ones = np.ones(int(known.sum()), dtype=np.float32)
        parts.append(csr_matrix((ones, (owners[known], place[known])), shape=(size, len(terms))))
    return vstack(parts, format="csr") if parts else csr_matrix((0, len(terms)), dtype=np.float32)
