"""Texts as token numbers of uneven length, packed; padding and batches of equal length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Stands where a shorter row has no token.
PADDING = -1
_CHUNK = 10_000


@dataclass(frozen=True, eq=False)
class Tokens:
    """Token numbers of n texts.

    Attributes
    ----------
    ids
        All of them, int32 (Σ lengths,).
    lengths
        Tokens of each text, int64 (n,), at least 1.
    cut
        Whether a text was longer than allowed and lost its end, bool (n,).
    """

    ids: np.ndarray
    lengths: np.ndarray
    cut: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def padded(self, rows: np.ndarray) -> np.ndarray:
        """Tokens of some texts, int64 (m, the longest of them), filled up with `PADDING` on the right."""
        lengths = self.lengths[rows]
        within = np.arange(lengths.max(initial=0)) < lengths[:, None]
        starts = (np.cumsum(self.lengths) - self.lengths)[rows]
        positions = np.arange(within.shape[1]) + starts[:, None]
        out = np.full(within.shape, PADDING, dtype=np.int64)
        out[within] = self.ids[positions[within]]
        return out


def tokenised(texts: Sequence[str], tokenizer: Tokenizer, max_length: int) -> Tokens:
    """Tokens of texts, with the marks that the tokenizer sets at beginning and end.

    Parameters
    ----------
    texts
        n texts; one without any token gets token 0.
    tokenizer
        Of the network.
    max_length
        The most tokens of a text, marks included; the end of a longer one is cut off.
    """
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    parts: list[np.ndarray] = []
    lengths = np.ones(len(texts), dtype=np.int64)
    cut = np.zeros(len(texts), dtype=bool)
    for start in range(0, len(texts), _CHUNK):
        for row, encoding in enumerate(tokenizer.encode_batch_fast(texts[start : start + _CHUNK]), start):
            ids = encoding.ids or [0]
            parts.append(np.asarray(ids, dtype=np.int32))
            lengths[row] = len(ids)
            cut[row] = bool(encoding.overflowing)
    return Tokens(np.concatenate([np.zeros(0, dtype=np.int32), *parts]), lengths, cut)


def equal_length_batches(lengths: np.ndarray, tokens: int) -> list[np.ndarray]:
    """Positions of rows in batches that need no padding, longest first.

    All batches of one length have the same number of rows, max(1, `tokens` ÷ length): the last is filled up
    with rows that it has already. So what is computed for a row does not depend, to the last bit, on what
    other rows there are.

    Parameters
    ----------
    lengths
        Of each row, int64 (n,).
    tokens
        About how many a batch holds.
    """
    order = np.argsort(-lengths, kind="stable")
    batches: list[np.ndarray] = []
    for rows in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        if not len(rows):
            continue
        size = max(1, tokens // int(lengths[rows[0]]))
        batches += [np.resize(rows[start : start + size], size) for start in range(0, len(rows), size)]
    return batches
