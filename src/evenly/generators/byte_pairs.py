"""A byte-pair vocabulary learned on training texts, over characters: every text of the training characters
can be written with it, and comes back as it was.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

#: Words with the space before them, in parts where no spaces are written; punctuation; space.
_PIECES = re.compile(r" ?\w{1,16}| ?[^\w\s]{1,8}|\s+")

Pair = tuple[str, str]


@dataclass(frozen=True)
class BytePairs:
    """Learned by `learn_byte_pairs`.

    Attributes
    ----------
    entries
        Pieces of text by token, characters first.
    merges
        Pairs that are joined, the first learned first.
    """

    entries: tuple[str, ...]
    merges: tuple[Pair, ...]
    _ranks: dict[Pair, int] = field(init=False, repr=False, compare=False)
    _tokens: dict[str, int] = field(init=False, repr=False, compare=False)
    _known: dict[str, list[int]] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ranks", {pair: rank for rank, pair in enumerate(self.merges)})
        object.__setattr__(self, "_tokens", {entry: token for token, entry in enumerate(self.entries)})

    def encode(self, text: str) -> list[int]:
        """Tokens of a text; characters that training did not have are left out."""
        return [token for piece in _PIECES.findall(text) for token in self._piece(piece)]

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens."""
        return "".join(self.entries[token] for token in tokens)

    def _piece(self, piece: str) -> list[int]:
        if piece not in self._known:
            symbols = list(piece)
            while len(symbols) > 1:
                pairs = set(pairwise(symbols)) & self._ranks.keys()
                if not pairs:
                    break
                symbols = _joined(symbols, min(pairs, key=self._ranks.__getitem__))
            self._known[piece] = [self._tokens[s] for s in symbols if s in self._tokens]
        return self._known[piece]


def learn_byte_pairs(texts: Iterable[str], size: int) -> BytePairs:
    """Join the most frequent pair of neighbours, again and again, until there are `size` entries."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(_PIECES.findall(text))
    words = [list(piece) for piece in counts]
    numbers = list(counts.values())
    pairs: Counter[Pair] = Counter()
    where: defaultdict[Pair, set[int]] = defaultdict(set)
    for w, symbols in enumerate(words):
        for pair in pairwise(symbols):
            pairs[pair] += numbers[w]
            where[pair].add(w)
    entries = sorted({symbol for symbols in words for symbol in symbols})
    merges: list[Pair] = []
    while len(entries) < size and pairs:
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        if pairs[best] < 2:
            break
        merges.append(best)
        entries.append("".join(best))
        for w in sorted(where[best]):
            _rejoin(words, w, best, numbers[w], pairs, where)
        pairs.pop(best, None)
        where.pop(best, None)
    return BytePairs(tuple(dict.fromkeys(entries)), tuple(merges))


def _rejoin(
    words: list[list[str]],
    w: int,
    pair: Pair,
    number: int,
    pairs: Counter[Pair],
    where: defaultdict[Pair, set[int]],
) -> None:
    """Join a pair in one word, and count its pairs anew."""
    for old in pairwise(words[w]):
        pairs[old] -= number
        if pairs[old] <= 0:
            del pairs[old]
    words[w] = _joined(words[w], pair)
    for new in pairwise(words[w]):
        pairs[new] += number
        where[new].add(w)


def _joined(symbols: list[str], pair: Pair) -> list[str]:
    out: list[str] = []
    k = 0
    while k < len(symbols):
        if k + 1 < len(symbols) and (symbols[k], symbols[k + 1]) == pair:
            out.append(symbols[k] + symbols[k + 1])
            k += 2
        else:
            out.append(symbols[k])
            k += 1
    return out
