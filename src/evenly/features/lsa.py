"""Texts as vectors by latent semantic analysis: tf-idf of word and character n-grams, brought to few
dimensions.

Deerwester et al., "Indexing by latent semantic analysis", 1990; the truncated decomposition by Halko,
Martinsson and Tropp, "Finding structure with randomness", 2011, algorithms 4.4 and 5.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from evenly.errors import DataError
from evenly.features.description import DESCRIPTION
from evenly.features.ngrams import Vocabulary, build_vocabulary, term_counts
from evenly.features.vectors import vector_column, with_given_vectors
from evenly.files import atomic_folder, write_json
from evenly.params.features import TextFeatures
from evenly.samples import SampleTable

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_ARRAYS = "arrays.npz"
_ROWS = 20_000  # texts, drawn by the seed, that the decomposition looks at
_SPARE = 16  # directions beyond those kept
_PASSES = 3  # power iterations
_BATCH = 4096  # texts transformed at once
_SMALL = 100  # training texts below which a term may occur in a single one


@dataclass(frozen=True, eq=False)
class Lsa:
    """Featurizer of texts, fitted by `fit_lsa`.

    Attributes
    ----------
    vocabulary
        The terms.
    idf
        float32 (terms,), character terms first.
    components
        float32 (terms, dimension): the directions that vectors are coordinates along.
    """

    vocabulary: Vocabulary
    idf: np.ndarray
    components: np.ndarray

    @property
    def dimension(self) -> int:
        """Number of components."""
        return int(self.components.shape[1])

    def transform(self, samples: SampleTable) -> np.ndarray:
        """Give unit vectors, float32 (n, dimension); zeros for a text without any known term."""
        return with_given_vectors(samples, self.dimension, self._vectors)

    def _vectors(self, samples: SampleTable) -> np.ndarray:
        texts = _texts(samples)
        out = np.empty((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), _BATCH):
            part = texts[start : start + _BATCH]
            weights = _weighted(*term_counts(part, self.vocabulary), self.idf)
            out[start : start + len(part)] = _unit_rows(weights @ self.components)
        return out

    def payload(self, vectors: np.ndarray) -> Mapping[str, pa.Array]:
        """Give a null text each, and the vectors themselves: no text can be read off a vector."""
        return {"text": pa.nulls(len(vectors), pa.string()), "vector": vector_column(vectors)}

    def save(self, folder: str | Path) -> None:
        """Write the words as JSON and the numbers as npz."""
        description = {
            "kind": "lsa",
            "alphabet": self.vocabulary.alphabet,
            "words": list(self.vocabulary.words),
        }
        with atomic_folder(folder) as temporary:
            write_json(description, temporary / DESCRIPTION)
            np.savez(
                temporary / _ARRAYS,
                character_terms=self.vocabulary.character_terms,
                word_terms=self.vocabulary.word_terms,
                idf=self.idf,
                components=self.components,
            )


def load_lsa(folder: Path, description: Mapping[str, Any]) -> Lsa:
    """Rebuild what `Lsa.save` wrote."""
    with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
        vocabulary = Vocabulary(
            description["alphabet"],
            tuple(description["words"]),
            arrays["character_terms"],
            arrays["word_terms"],
        )
        return Lsa(vocabulary, arrays["idf"], arrays["components"])


def fit_lsa(train: SampleTable, settings: TextFeatures, seed: int) -> Lsa:
    """Choose the terms, weigh them, and find the directions along which the training texts differ most.

    The decomposition runs on one thread, so that its last bits do not depend on the machine's number of
    cores.

    Raises
    ------
    DataError
        When the texts hold no letter or sign at all.
    """
    from threadpoolctl import threadpool_limits

    texts = _texts(train)
    vocabulary = build_vocabulary(texts, settings.max_terms, least_texts=2 if len(texts) >= _SMALL else 1)
    characters, words = term_counts(texts, vocabulary)
    if not characters.shape[1] + words.shape[1]:
        raise DataError("The training texts hold no characters to make features of; check the text column.")
    occurring = np.concatenate([np.diff(characters.tocsc().indptr), np.diff(words.tocsc().indptr)])
    idf = (np.log((1 + len(texts)) / (1 + occurring)) + 1).astype(np.float32)
    weights = _weighted(characters, words, idf)
    rng = np.random.default_rng(seed)
    if len(texts) > _ROWS:
        weights = weights[np.sort(rng.choice(len(texts), _ROWS, replace=False))]
    with threadpool_limits(1, user_api="blas"):
        components = _leading_directions(weights, settings.dimensions, rng)
    return Lsa(vocabulary, idf, components)


def _texts(samples: SampleTable) -> list[str]:
    texts = samples.texts
    missing = next((row for row, text in enumerate(texts) if text is None), None)
    if missing is not None:
        raise DataError(f"Row {samples.ids[missing]!r} has neither a text nor a vector.")
    return texts  # type: ignore[return-value]


def _weighted(characters: csr_matrix, words: csr_matrix, idf: np.ndarray) -> csr_matrix:
    """(1 + ln count) · idf, both kinds of terms brought to length √½ a text."""
    from scipy.sparse import hstack

    split = characters.shape[1]
    blocks = []
    for counts, weight in ((characters, idf[:split]), (words, idf[split:])):
        block = counts.copy()
        block.sum_duplicates()
        block.data = (1 + np.log(block.data)) * weight[block.indices]
        lengths = np.sqrt(np.asarray(block.multiply(block).sum(axis=1)).ravel())
        scale = np.sqrt(0.5) / np.where(lengths > 0, lengths, 1)
        block.data *= np.repeat(scale, np.diff(block.indptr)).astype(np.float32)
        blocks.append(block)
    return hstack(blocks, format="csr", dtype=np.float32)


def _leading_directions(weights: csr_matrix, dimensions: int, rng: np.random.Generator) -> np.ndarray:
    """Right singular vectors of the largest singular values, float32 (terms, ≤ dimensions), signs fixed."""
    rows, terms = weights.shape
    most = min(rows, terms)
    width = min(dimensions + _SPARE, most)
    across = weights.T.tocsr()
    basis = weights @ rng.standard_normal((terms, width), dtype=np.float32)
    for _ in range(_PASSES):
        basis = weights @ (across @ np.linalg.qr(basis)[0])
    basis = np.linalg.qr(basis)[0]
    # Few columns: the singular vectors of this tall matrix come from the eigenvectors of its small Gram
    # matrix.
    tall = (across @ basis).astype(np.float64)
    squares, turn = np.linalg.eigh(tall.T @ tall)
    squares, turn = squares[::-1], turn[:, ::-1]
    kept = min(dimensions, max(1, int((squares > 1e-8 * squares[0]).sum())))
    directions = tall @ (turn[:, :kept] / np.sqrt(squares[:kept]))
    largest = np.abs(directions).argmax(axis=0)
    signs = np.where(directions[largest, np.arange(kept)] < 0, -1.0, 1.0)
    return np.ascontiguousarray(directions * signs, dtype=np.float32)


def _unit_rows(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)
