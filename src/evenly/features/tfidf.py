"""Texts as tf-idf weights of their word and character n-grams, sparse, and these brought to few dimensions.

The dense vectors: Deerwester et al., "Indexing by latent semantic analysis", 1990.
"""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from evenly.errors import DataError
from evenly.features.ngramsets import folded_text
from evenly.features.vectors import null_payload, present_payload, with_given_vectors, write_description
from evenly.files import atomic_folder, read_json, write_json
from evenly.params.features import TextFeatures
from evenly.samples import SampleTable

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import CountVectorizer

_ARRAYS = "arrays.npz"
_TERMS = "terms.json"
_ROWS = 20_000  # texts, drawn by the seed, that the decomposition looks at
_BLOCK = 8192  # texts whose terms are counted at once
_SMALL = 100  # training texts below which a term may occur in a single one
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0002ffff"
#: Runs of letters and digits; a Chinese, Japanese or Korean character is a word by itself.
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+(?:['’][^\W_{_CJK}]+)*")


@dataclass(frozen=True, eq=False)
class TermWeights:
    """Texts as sparse tf-idf weights, fitted by `fit_term_weights`.

    Terms are words and pairs of them, and 2 to 5 characters within a run without white space.

    Attributes
    ----------
    terms
        Of `characters` and of `words`, in the order of their columns; a kind without any is left out.
    idf
        Inverse document frequency of each term of a kind, float32.
    """

    terms: Mapping[str, Sequence[str]]
    idf: Mapping[str, np.ndarray]

    def transform(self, texts: Sequence[str]) -> csr_matrix:
        """Give (1 + ln count) · idf, float32 (n, terms); the terms of each kind have length √½ in a text."""
        from scipy.sparse import csr_matrix, vstack

        blocks = list(self.blocks(texts))
        return vstack(blocks, format="csr") if blocks else csr_matrix((0, self.dimension), dtype=np.float32)

    def blocks(self, texts: Sequence[str]) -> Iterator[csr_matrix]:
        """Give what `transform` gives, some thousand texts at a time."""
        from scipy.sparse import hstack
        from sklearn.preprocessing import normalize

        runs = _Runs.of(texts)
        counted = [self._counters[kind].of_blocks(runs) for kind in self.terms]
        for kinds in zip(*counted, strict=True):
            for counts, idf in zip(kinds, self.idf.values(), strict=True):
                np.log(counts.data, counts.data)
                counts.data += 1
                counts.data *= idf[counts.indices]
            weighed = [normalize(counts, copy=False) for counts in kinds]
            joined = hstack(weighed, format="csr")
            joined.data *= np.float32(np.sqrt(0.5))
            yield joined

    @cached_property
    def _counters(self) -> dict[str, _CharacterCounts | _WordCounts]:
        return {kind: _COUNTERS[kind](terms) for kind, terms in self.terms.items()}

    @property
    def dimension(self) -> int:
        """Number of terms."""
        return sum(map(len, self.terms.values()))

    def arrays(self) -> dict[str, np.ndarray]:
        """Inverse document frequencies of each kind of term."""
        return {f"{kind}_idf": idf for kind, idf in self.idf.items()}

    def save(self, folder: Path) -> None:
        """Write the terms as JSON and their weights as npz into a folder that is there."""
        write_json(self.terms, folder / _TERMS)
        np.savez(folder / _ARRAYS, **self.arrays())  # type: ignore[arg-type]

    @classmethod
    def from_parts(cls, terms: Mapping[str, Sequence[str]], arrays: Mapping[str, np.ndarray]) -> TermWeights:
        """Rebuild what `terms` and `arrays` were."""
        return cls(terms, {kind: arrays[f"{kind}_idf"] for kind in terms})


def load_term_weights(folder: Path) -> TermWeights:
    """Rebuild what `TermWeights.save` wrote."""
    with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
        return TermWeights.from_parts(read_json(folder / _TERMS), arrays)


def fit_term_weights(texts: Sequence[str], max_terms: int) -> TermWeights:
    """Choose the most frequent terms of training texts, `max_terms` of each kind, and weigh them.

    They are those that scikit-learn's `TfidfVectorizer` chooses and weighs, which looks at each text anew.

    Raises
    ------
    DataError
        When the texts hold no letter or sign at all.
    """
    runs, least = _Runs.of(texts), 2 if len(texts) >= _SMALL else 1
    terms, idf = {}, {}
    for kind, counter in _COUNTERS.items():
        names, texts_with, occurrences = counter.all_terms(runs)
        chosen = np.flatnonzero(texts_with >= least)
        if len(chosen) > max_terms:
            chosen = np.sort(chosen[np.argsort(-occurrences[chosen].astype(np.float32))[:max_terms]])
        if len(chosen):
            terms[kind] = names(chosen)
            idf[kind] = np.log(np.float32(len(texts) + 1) / (texts_with[chosen] + 1).astype(np.float32)) + 1
    if not terms:
        raise DataError("The training texts hold no characters to make features of; check the text column.")
    return TermWeights(terms, idf)


@dataclass(frozen=True, eq=False)
class _Runs:
    """Folded texts as runs without white space: text `i` is `codes[starts[i]:starts[i + 1]]` of `different`.

    Texts share most of their runs, and no term reaches beyond one but pairs of words.
    """

    different: list[str]
    codes: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, texts: Iterable[str]) -> _Runs:
        places: defaultdict[str, int] = defaultdict()
        places.default_factory = places.__len__
        codes, starts = array("i"), array("q", [0])
        for text in texts:
            codes.extend(map(places.__getitem__, folded_text(text).split()))
            starts.append(len(codes))
        return cls(list(places), np.array(codes, dtype=np.int32), np.array(starts, dtype=np.int64))

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Codes of some texts at a time, and where each text begins among them."""
        for first in range(0, len(self.starts) - 1, _BLOCK):
            starts = self.starts[first : first + _BLOCK + 1]
            yield self.codes[starts[0] : starts[-1]], starts - starts[0]


class _CharacterCounts:
    """How often 2 to 5 characters within a run occur: those of its runs, summed."""

    def __init__(self, terms: Sequence[str] | None) -> None:
        self._vectorizer = _run_vectorizer(terms)

    def of_blocks(self, runs: _Runs) -> Iterator[csr_matrix]:
        """Counts of the terms, float32 (texts, terms)."""
        for counts in _summed_runs(runs, self._vectorizer.transform(runs.different)):
            counts.sort_indices()
            yield counts

    @staticmethod
    def all_terms(runs: _Runs) -> tuple[Any, np.ndarray, np.ndarray]:
        """What gives the names of some terms, how many texts have each, and how often it occurs."""
        if not runs.different:
            return list, np.zeros(0, np.int64), np.zeros(0, np.int64)
        vectorizer = _run_vectorizer(None)
        by_run = vectorizer.fit_transform(runs.different)
        texts_with = np.zeros(by_run.shape[1], dtype=np.int64)
        for counts in _summed_runs(runs, by_run):
            texts_with += np.bincount(counts.indices, minlength=len(texts_with))
        occurrences = np.bincount(runs.codes, minlength=len(runs.different)) @ by_run
        names = vectorizer.get_feature_names_out()
        return lambda chosen: names[chosen].tolist(), texts_with, occurrences


def _run_vectorizer(terms: Sequence[str] | None) -> CountVectorizer:
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer(
        lowercase=False, analyzer="char_wb", ngram_range=(2, 5), dtype=np.float32, vocabulary=terms
    )


def _summed_runs(runs: _Runs, by_run: csr_matrix) -> Iterator[csr_matrix]:
    from scipy.sparse import csr_matrix

    for codes, starts in runs.blocks():
        ones = np.ones(len(codes), dtype=np.float32)
        held = csr_matrix((ones, codes, starts), shape=(len(starts) - 1, by_run.shape[0]))
        yield csr_matrix(held @ by_run)


class _WordCounts:
    """How often words and pairs of words occur.

    A term is an integer: the place of its word among the known ones times one more than there are, plus that
    of its second word and one. In this order terms stand as their texts do, since a space is below letters.
    """

    def __init__(self, terms: Sequence[str]) -> None:
        parts = [term.split(" ") for term in terms]
        self._known = {word: k for k, word in enumerate(sorted({word for part in parts for word in part}))}
        keys = [
            self._known[word] * (len(self._known) + 1) + (self._known[second[0]] + 1 if second else 0)
            for word, *second in parts
        ]
        self._columns = np.argsort(np.array(keys, dtype=np.int64))
        self._keys = np.array(keys, dtype=np.int64)[self._columns]

    def of_blocks(self, runs: _Runs) -> Iterator[csr_matrix]:
        """Counts of the terms, float32 (texts, terms)."""
        from scipy.sparse import csr_matrix

        by_run = [[self._known.get(word, -1) for word in _WORD.findall(run)] for run in runs.different]
        for keys, texts, n in _word_keys(runs, by_run, len(self._known)):
            place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            known = self._keys[place] == keys
            ones = np.ones(int(known.sum()), dtype=np.float32)
            at = texts[known], self._columns[place[known]]
            yield csr_matrix((ones, at), shape=(n, len(self._keys)))

    @staticmethod
    def all_terms(runs: _Runs) -> tuple[Any, np.ndarray, np.ndarray]:
        """What gives the names of some terms, how many texts have each, and how often it occurs."""
        found = [_WORD.findall(run) for run in runs.different]
        words = sorted({word for some in found for word in some})
        known = {word: k for k, word in enumerate(words)}
        by_run = [[known[word] for word in some] for some in found]
        keys, counts = np.zeros(0, np.int64), np.zeros((2, 0), np.int64)
        pending, held = [(keys, counts)], 0
        for block, texts, _ in _word_keys(runs, by_run, len(words)):
            different, places = np.unique(block, return_inverse=True)
            pairs = np.sort(texts * len(different) + places)
            pairs = pairs[np.diff(pairs, prepend=-1) > 0] % max(1, len(different))
            texts_with = np.bincount(pairs, minlength=len(different))
            pending.append((different, np.stack([texts_with, np.bincount(places)])))
            held += len(different)
            if held > len(pending[0][0]):  # so that what is held is at most twice what there is
                pending, held = [_added(pending)], 0
        keys, counts = _added(pending)

        def names(chosen: np.ndarray) -> list[str]:
            firsts, seconds = np.divmod(keys[chosen], len(words) + 1)
            pairs = zip(firsts.tolist(), seconds.tolist(), strict=True)
            return [f"{words[a]} {words[b - 1]}" if b else words[a] for a, b in pairs]

        return names, counts[0], counts[1]


def _added(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Different keys of all parts, and the sums of their counts (2, keys)."""
    keys, places = np.unique(np.concatenate([keys for keys, _ in parts]), return_inverse=True)
    counts = np.concatenate([counts for _, counts in parts], axis=1)
    return keys, np.stack([np.bincount(places, row, len(keys)).astype(np.int64) for row in counts])


def _word_keys(
    runs: _Runs, by_run: Sequence[Sequence[int]], words: int
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Known words and pairs of some texts as integers, the text of each, and how many texts; not -1."""
    lengths = np.fromiter(map(len, by_run), dtype=np.int64, count=len(by_run))
    firsts = np.cumsum(lengths) - lengths
    flat = np.fromiter((word for some in by_run for word in some), dtype=np.int64, count=int(lengths.sum()))
    for codes, starts in runs.blocks():
        held = lengths[codes]
        text_of_run = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        texts = np.repeat(text_of_run, held)
        within = np.arange(len(texts)) - np.repeat(np.cumsum(held) - held, held)
        found = flat[np.repeat(firsts[codes], held) + within]
        paired = np.flatnonzero((texts[1:] == texts[:-1]) & (found[1:] >= 0) & (found[:-1] >= 0))
        single = np.flatnonzero(found >= 0)
        pairs = found[paired] * (words + 1) + found[paired + 1] + 1
        keys = np.concatenate([found[single] * (words + 1), pairs])
        yield keys, np.concatenate([texts[single], texts[paired]]), len(starts) - 1


_COUNTERS: dict[str, type[_CharacterCounts] | type[_WordCounts]] = {
    "characters": _CharacterCounts,
    "words": _WordCounts,
}


@dataclass(frozen=True, eq=False)
class Lsa:
    """Featurizer of texts, fitted by `fit_lsa`.

    Attributes
    ----------
    weights
        Texts as tf-idf weights.
    components
        float32 (dimension, terms): the directions that vectors are coordinates along.
    """

    weights: TermWeights
    components: np.ndarray

    @property
    def dimension(self) -> int:
        """Number of components."""
        return len(self.components)

    def transform(self, samples: SampleTable) -> np.ndarray:
        """Give unit vectors, float32 (n, dimension); zeros for a text without any known term."""
        return with_given_vectors(samples, self.dimension, self._vectors)

    def _vectors(self, samples: SampleTable) -> np.ndarray:
        vectors = np.empty((len(samples), self.dimension), dtype=np.float32)
        directions, stop = np.ascontiguousarray(self.components.T), 0
        for weights in self.weights.blocks(present_payload(samples)):
            start, stop = stop, stop + weights.shape[0]
            block = weights @ directions
            lengths = np.linalg.norm(block, axis=1, keepdims=True)
            vectors[start:stop] = block / np.where(lengths > 0, lengths, 1)
        return vectors

    def payload(self, vectors: np.ndarray) -> Mapping[str, pa.Array]:
        """Give a null text each, and the vectors themselves: no text can be read off a vector."""
        return null_payload(vectors)

    def save(self, folder: str | Path) -> None:
        """Write the terms as JSON and the numbers as npz."""
        with atomic_folder(folder) as temporary:
            arrays: dict[str, Any] = {"components": self.components, **self.weights.arrays()}
            np.savez(temporary / _ARRAYS, **arrays)
            write_description({"kind": "tfidf_lsa", "terms": self.weights.terms}, temporary)


def load_lsa(folder: Path, description: Mapping[str, Any]) -> Lsa:
    """Rebuild what `Lsa.save` wrote."""
    with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
        weights, components = TermWeights.from_parts(description["terms"], arrays), arrays["components"]
    terms = sum(len(kind) for kind in description["terms"].values())
    if components.ndim != 2 or components.shape[1] != terms:
        raise ValueError(f"components of {components.shape} do not go with {terms} terms")
    return Lsa(weights, components)


def fit_lsa(train: SampleTable, settings: TextFeatures, seed: int) -> Lsa:
    """Weigh the terms, and find the directions along which the training texts differ most.

    The decomposition runs on one thread, so that its last bits do not depend on the machine's number of
    cores.

    Raises
    ------
    DataError
        When the texts hold no letter or sign at all.
    """
    from threadpoolctl import threadpool_limits

    texts = present_payload(train)
    weights = fit_term_weights(texts, settings.max_terms)
    rng = np.random.default_rng(seed)
    if len(texts) > _ROWS:
        texts = [texts[row] for row in np.sort(rng.choice(len(texts), _ROWS, replace=False))]
    matrix = weights.transform(texts)
    with threadpool_limits(1, user_api="blas"):
        components = leading_directions(matrix, settings.dimensions, int(rng.integers(2**31)))
    return Lsa(weights, components)


def leading_directions(weights: csr_matrix, dimensions: int, seed: int) -> np.ndarray:
    """Right singular vectors of the largest singular values, float32 (≤ dimensions, terms)."""
    from sklearn.decomposition import TruncatedSVD

    svd = TruncatedSVD(
        min(dimensions, *weights.shape),
        n_iter=4,
        n_oversamples=16,
        power_iteration_normalizer="QR",
        random_state=seed,
    )
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # shares of no variance, where all texts are the same
        svd.fit(weights)
    squares = svd.singular_values_**2
    kept = max(1, int((squares > 1e-8 * squares[0]).sum()))
    return np.ascontiguousarray(svd.components_[:kept], dtype=np.float32)
