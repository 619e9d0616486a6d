"""The training rows as prompts need them: by class, the most diverse first, with words and neighbours.

Vectors are made here, cheaply and from training rows alone, so that generation does not wait for `featurize`.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Any, NamedTuple, cast

import numpy as np

from evenly.features.ngramsets import ngram_sets
from evenly.groups import group_name
from evenly.llm.writing.columns import Column, columns_of
from evenly.params.datasets import ClassNote
from evenly.samples import SampleTable

#: Rows of one class that take turns as examples; a larger class shows its most diverse ones.
MOST_EXAMPLES = 500
_NGRAM = 3


def row_vectors(samples: SampleTable) -> Any:
    """Vectors of unit length, sparse (n, d): character trigrams of texts, scaled and one-hot columns."""
    from scipy.sparse import csr_array

    if samples.modality == "table":
        return csr_array(_unit_rows(_table_matrix(samples)))
    sets = ngram_sets([text or "" for text in samples.texts], _NGRAM)
    shape = (len(sets), max(sets.vocabulary, 1))
    matrix = csr_array((np.ones(len(sets.tokens)), sets.tokens, sets.starts), shape=shape)
    occurrences = np.bincount(sets.tokens, minlength=shape[1])
    matrix.data = np.log((1 + len(sets)) / (1 + occurrences))[sets.tokens] + 1.0
    lengths = np.sqrt(np.add.reduceat(np.append(matrix.data**2, 0.0), sets.starts[:-1]))
    matrix.data /= np.repeat(np.where(sets.sizes > 0, lengths, 1.0), sets.sizes)
    return matrix


def farthest_point_order(vectors: Any, count: int) -> list[int]:
    """Rows in an order whose every beginning is spread out: the next is farthest from all before it.

    The greedy 2-approximation of the k-centre problem (Gonzalez 1985), from the row nearest to the mean on;
    ties go to the earlier row. A smaller count gives a beginning of a larger one's order.
    """
    n = vectors.shape[0]
    if n == 0 or count <= 0:
        return []
    mean = np.asarray(vectors.mean(axis=0)).ravel()
    order = [_first_best(vectors @ mean)]
    nearest = np.full(n, -np.inf)  # cosine with the nearest chosen row; a chosen row leaves with +inf
    while len(order) < min(n, count):
        last = vectors[[order[-1]]]
        nearest = np.maximum(nearest, (vectors @ last.T).toarray().ravel())
        nearest[order] = np.inf
        order.append(_first_best(-nearest))
    return order


def nearest_classes(vectors: Any, labels: np.ndarray, classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """For every class, the other classes with rows, the most similar mean vector (by cosine) first."""
    from scipy.sparse import csr_array

    present = [name for name in classes if (labels == name).any()]
    position = {name: k for k, name in enumerate(present)}
    codes = np.fromiter((position[label] for label in labels), np.int64, len(labels))
    indicator = csr_array(
        (np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(len(present), len(codes))
    )
    sums = indicator @ vectors
    norms = np.sqrt(np.asarray(sums.multiply(sums).sum(axis=1)).ravel())
    products = (sums @ sums.T).toarray()
    cosines = np.round(products / np.maximum(np.outer(norms, norms), 1e-12), 12)
    result: dict[str, tuple[str, ...]] = {name: tuple(present) for name in classes}
    for k, name in enumerate(present):
        order = np.argsort(-cosines[k], kind="stable")
        result[name] = tuple(present[j] for j in order if j != k)
    return result


def in_turn(order: Sequence[int], call: int, size: int) -> list[int]:
    """Examples of the `call`-th call: the next `size` of the order, going round; each row at most once."""
    size = min(size, len(order))
    return [order[(call * size + j) % len(order)] for j in range(size)]


def _first_best(scores: np.ndarray) -> int:
    """Position of the largest score; the first of those that differ by rounding only."""
    return int(np.argmax(np.round(scores, 12)))


def _table_matrix(samples: SampleTable) -> np.ndarray:
    """Numbers standardised (missing: the mean) and categories one-hot, float64 (n, d)."""
    blocks = []
    for feature in samples.schema.features:
        values = samples.table.column(feature.name).to_pylist()
        if feature.kind == "category":
            position = {name: k for k, name in enumerate(sorted({v for v in values if v is not None}))}
            block = np.zeros((len(values), len(position)))
            for row, value in enumerate(values):
                if value is not None:
                    block[row, position[value]] = 1.0
        else:
            numbers = np.array([np.nan if v is None else float(v) for v in values])
            known = numbers[np.isfinite(numbers)]
            middle, spread = (known.mean(), known.std()) if len(known) else (0.0, 0.0)
            block = ((np.where(np.isfinite(numbers), numbers, middle) - middle) / (spread or 1.0))[:, None]
        blocks.append(block)
    return np.hstack(blocks) if blocks else np.zeros((len(samples), 1))


def _unit_rows(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12))


#: Writing without spaces between words: Han, kana, Thai, Lao, Khmer, Burmese.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_RUNS = re.compile(rf"([{_UNSPACED}]+)|([^\W\d_{_UNSPACED}]+(?:['’][^\W\d_]+)?)")
_KANA, _THAI = re.compile("[\u3041-\u30fa]"), re.compile("[\u0e01-\u0e5b]+")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
#: A term below this z-score is not shown. It is no test: a class of five rows hardly reaches 1.96 with
#: anything.
_DISTINCT = 1.0


def terms(text: str) -> Iterator[str]:
    """Words of two letters or more, folded; of Chinese, Japanese and Thai where a segmenter is installed."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    japanese = _KANA.search(plain) is not None
    for run, word in _RUNS.findall(plain):
        language = "ja" if japanese else "th" if _THAI.fullmatch(run) else "zh" if _HAN.fullmatch(run) else ""
        for one in segmenter(language)(run) if run else (word,):
            if len(one.strip()) > 1:
                yield one.strip()


@cache
def segmenter(language: str) -> Callable[[str], Iterable[str]]:
    """What cuts a run of a script without spaces into words (extra `cjk`); no words where it is absent."""
    try:
        if language == "zh":
            import rjieba

            return cast(Callable[[str], Iterable[str]], rjieba.cut)
        if language == "ja":
            import sudachipy

            tokenizer = sudachipy.Dictionary(dict="small").create()
            return lambda run: [word.surface() for word in tokenizer.tokenize(run)]
        if language == "th":
            from pythainlp.tokenize import word_tokenize

            return cast(Callable[[str], Iterable[str]], word_tokenize)
    except ImportError:
        pass
    return lambda run: ()


def distinctive_terms(texts: Sequence[str], labels: Sequence[str], count: int) -> dict[str, tuple[str, ...]]:
    """The terms that speak most for each class against all others.

    The log-odds ratio with an informative Dirichlet prior, divided by its standard deviation (Monroe,
    Colaresi and Quinn 2008, "Fightin' Words", equations 16 and 22). The prior has the term shares of all
    texts; its weight, the geometric mean of the term counts of the class and of all texts, keeps rare words
    from leading in large classes and common ones in small classes. A term counts once per text, so that one
    long text does not speak for its class.
    """
    by_class: dict[str, Counter[str]] = {}
    for text, label in zip(texts, labels, strict=True):
        by_class.setdefault(label, Counter()).update(set(terms(text)))
    everything: Counter[str] = Counter()
    for counted in by_class.values():
        everything.update(counted)
    total = sum(everything.values())
    found = {}
    for label, counted in by_class.items():
        words = sorted(counted)
        inside = np.array([counted[word] for word in words], dtype=float)
        outside = np.array([everything[word] for word in words], dtype=float) - inside
        scores = _log_odds_z(inside, outside, sum(counted.values()), total)
        ranked = sorted(zip(-np.round(scores, 9), words, strict=True))
        found[label] = tuple(word for score, word in ranked if -score > _DISTINCT)[:count]
    return found


def _log_odds_z(inside: np.ndarray, outside: np.ndarray, inside_total: int, total: int) -> np.ndarray:
    weight = float(np.sqrt(inside_total * total))
    prior = weight * (inside + outside) / total
    own, others = inside + prior, outside + prior
    own_rest, others_rest = inside_total + weight - own, total - inside_total + weight - others
    tiny = 1e-9  # a class that says one thing only has no rest
    difference = np.log(own / np.maximum(own_rest, tiny)) - np.log(others / np.maximum(others_rest, tiny))
    return np.asarray(difference / np.sqrt(1.0 / own + 1.0 / others))


#: Below so many rows, what is usual in a class is told from all rows.
_FEW = 5


class Cell(NamedTuple):
    """What rows are asked for: a class, or a class with one value of the spurious attribute."""

    label: str
    attribute: str | None = None

    @property
    def name(self) -> str:
        """For people, and for ids: distinct for distinct cells."""
        if self.attribute is None:
            return self.label
        return group_name(self.label, self.attribute)


class TrainingRows:
    """Real training rows, ordered by id so that nothing depends on the order of the file."""

    def __init__(self, train: SampleTable, notes: Mapping[str, ClassNote], keywords: int) -> None:
        self.samples = train.take(train.is_real).sorted_by_id()
        self._notes = notes
        self._count = keywords
        self._orders: dict[Cell, list[int]] = {}
        self._usual_lengths: dict[Cell, tuple[int, int]] = {}

    @property
    def ids(self) -> np.ndarray:
        """Ids, object array (n,)."""
        return self.samples.ids

    @cached_property
    def texts(self) -> list[str]:
        """Texts (n,); a row without one has the empty text."""
        return [text or "" for text in self.samples.texts]

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """What the feature columns hold."""
        return columns_of(self.samples)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Feature values of each row, by column."""
        names = [feature.name for feature in self.samples.schema.features]
        return list(self.samples.table.select(names).to_pylist())

    def members(self, cell: Cell) -> np.ndarray:
        """Positions of the cell's rows; those of the whole class where the cell has none."""
        of_class = self.samples.labels == cell.label
        if cell.attribute is not None:
            both = of_class & (self.samples.column("attribute") == cell.attribute)
            if both.any():
                return np.flatnonzero(both)
        return np.flatnonzero(of_class)

    def diverse(self, cell: Cell) -> list[int]:
        """Positions of the cell's rows, every beginning of the list spread out; at most 500."""
        if cell not in self._orders:
            rows = self.members(cell)
            order = farthest_point_order(self._vectors[rows], MOST_EXAMPLES) if len(rows) else []
            self._orders[cell] = [int(rows[k]) for k in order]
        return self._orders[cell]

    def neighbours(self, label: str, count: int) -> tuple[str, ...]:
        """The classes most easily confused with this one, the most similar first."""
        return self._neighbours.get(label, ())[:count]

    def description(self, label: str) -> str:
        """What the class is about, where somebody wrote it down."""
        return self._notes[label].description if label in self._notes else ""

    def keywords(self, label: str) -> tuple[str, ...]:
        """Keywords given for the class, else its distinctive terms."""
        given = self._notes[label].keywords if label in self._notes else ()
        return given or self._terms.get(label, ())

    def usual_lengths(self, cell: Cell) -> tuple[int, int]:
        """Characters that most texts of the cell have: the 10 % and 90 % quantiles."""
        if cell not in self._usual_lengths:
            rows = self.members(cell)
            lengths = self._lengths[rows] if len(rows) >= _FEW else self._lengths
            low, high = np.quantile(lengths, [0.1, 0.9])
            self._usual_lengths[cell] = int(low), int(high)
        return self._usual_lengths[cell]

    @property
    def longest(self) -> int:
        """Characters of the longest text."""
        return int(self._lengths.max())

    @cached_property
    def _lengths(self) -> np.ndarray:
        return np.array([len(text) for text in self.texts] or [0])

    @cached_property
    def _vectors(self) -> Any:
        return row_vectors(self.samples)

    @cached_property
    def _neighbours(self) -> dict[str, tuple[str, ...]]:
        return nearest_classes(self._vectors, self.samples.labels, self.samples.classes)

    @cached_property
    def _terms(self) -> dict[str, tuple[str, ...]]:
        if self.samples.modality != "text" or self._count == 0:
            return {}
        return distinctive_terms(self.texts, list(self.samples.labels), self._count)


def random_stream(seed: int, *names: object) -> np.random.Generator:
    """A generator of its own for whatever the names name, so that no draw depends on another's."""
    digest = hashlib.sha256("\0".join(map(str, names)).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest[:16], np.uint32).tolist()])
