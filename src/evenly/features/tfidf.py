"""Texts as tf-idf weights of their word and character n-grams, sparse, and these brought to few dimensions.

The dense vectors: Deerwester et al., "Indexing by latent semantic analysis", 1990.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    from sklearn.feature_extraction.text import TfidfVectorizer

_ARRAYS = "arrays.npz"
_TERMS = "terms.json"
_ROWS = 20_000  # texts, drawn by the seed, that the decomposition looks at
_SMALL = 100  # training texts below which a term may occur in a single one
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0002ffff"
#: Runs of letters and digits; a Chinese, Japanese or Korean character is a word by itself.
_WORD = rf"[{_CJK}]|[^\W_{_CJK}]+(?:['’][^\W_{_CJK}]+)*"
#: Words and pairs of them, and 2 to 5 characters within a run without white space.
_KINDS: dict[str, dict[str, Any]] = {
    "characters": {"analyzer": "char_wb", "ngram_range": (2, 5)},
    "words": {"analyzer": "word", "token_pattern": _WORD, "ngram_range": (1, 2)},
}


@dataclass(frozen=True, eq=False)
class TermWeights:
    """Texts as sparse tf-idf weights, fitted by `fit_term_weights`.

    Attributes
    ----------
    vectorizers
        scikit-learn's, of `characters` and of `words`; a kind without any term is left out.
    """

    vectorizers: Mapping[str, TfidfVectorizer]

    def transform(self, texts: Sequence[str]) -> csr_matrix:
        """Give (1 + ln count) · idf, float32 (n, terms); the terms of each kind have length √½ in a text."""
        return _side_by_side([vectorizer.transform(texts) for vectorizer in self.vectorizers.values()])

    @property
    def dimension(self) -> int:
        """Number of terms."""
        return sum(len(v.vocabulary_) for v in self.vectorizers.values())

    def vocabulary(self) -> dict[str, list[str]]:
        """Terms of each kind in the order of their columns."""
        return {kind: v.get_feature_names_out().tolist() for kind, v in self.vectorizers.items()}

    def arrays(self) -> dict[str, np.ndarray]:
        """Inverse document frequencies of each kind of term."""
        return {f"{kind}_idf": v.idf_ for kind, v in self.vectorizers.items()}

    def save(self, folder: Path) -> None:
        """Write the terms as JSON and their weights as npz into a folder that is there."""
        write_json(self.vocabulary(), folder / _TERMS)
        np.savez(folder / _ARRAYS, **self.arrays())  # type: ignore[arg-type]

    @classmethod
    def from_parts(
        cls, vocabulary: Mapping[str, Sequence[str]], arrays: Mapping[str, np.ndarray]
    ) -> TermWeights:
        """Rebuild what `vocabulary` and `arrays` gave."""
        vectorizers = {}
        for kind, terms in vocabulary.items():
            vectorizers[kind] = _vectorizer(kind, vocabulary=terms)
            vectorizers[kind].idf_ = arrays[f"{kind}_idf"]
        return cls(vectorizers)


def load_term_weights(folder: Path) -> TermWeights:
    """Rebuild what `TermWeights.save` wrote."""
    with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
        return TermWeights.from_parts(read_json(folder / _TERMS), arrays)


def fit_term_weights(texts: Sequence[str], max_terms: int) -> tuple[TermWeights, csr_matrix]:
    """Choose the most frequent terms of training texts, `max_terms` of each kind, and weigh them.

    Returns
    -------
    The fitted weights, and those of the texts as `transform` gives them.

    Raises
    ------
    DataError
        When the texts hold no letter or sign at all.
    """
    vectorizers, blocks = {}, []
    for kind in _KINDS:
        vectorizer = _vectorizer(kind, max_features=max_terms, min_df=2 if len(texts) >= _SMALL else 1)
        try:
            blocks.append(vectorizer.fit_transform(texts))
        except ValueError as error:  # there is no word in them, say
            if "vocabulary" not in str(error) and "no terms remain" not in str(error):
                raise
        else:
            vectorizers[kind] = vectorizer
    if not vectorizers:
        raise DataError("The training texts hold no characters to make features of; check the text column.")
    return TermWeights(vectorizers), _side_by_side(blocks)


def _side_by_side(blocks: Sequence[csr_matrix]) -> csr_matrix:
    from scipy.sparse import hstack

    return hstack(blocks, format="csr") * np.float32(np.sqrt(0.5))


def _vectorizer(kind: str, **settings: Any) -> TfidfVectorizer:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        lowercase=False,
        preprocessor=folded_text,
        sublinear_tf=True,
        dtype=np.float32,
        **_KINDS[kind],
        **settings,
    )


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
        vectors = self.weights.transform(present_payload(samples)) @ self.components.T
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)

    def payload(self, vectors: np.ndarray) -> Mapping[str, pa.Array]:
        """Give a null text each, and the vectors themselves: no text can be read off a vector."""
        return null_payload(vectors)

    def save(self, folder: str | Path) -> None:
        """Write the terms as JSON and the numbers as npz."""
        with atomic_folder(folder) as temporary:
            arrays: dict[str, Any] = {"components": self.components, **self.weights.arrays()}
            np.savez(temporary / _ARRAYS, **arrays)
            write_description({"kind": "tfidf_lsa", "terms": self.weights.vocabulary()}, temporary)


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
    weights, matrix = fit_term_weights(texts, settings.max_terms)
    rng = np.random.default_rng(seed)
    if len(texts) > _ROWS:
        matrix = matrix[np.sort(rng.choice(len(texts), _ROWS, replace=False))]
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
