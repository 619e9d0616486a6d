"""How varied a set of samples is: lexical measures for texts, variance for vectors."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from evenly.screening.text_rules import tokens


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Different token n-grams over all token n-grams, in 0..1 (Li et al. 2016); 0 where there is none.

    The measure falls with the number of texts: compare sets of equal size only.
    """
    seen: set[tuple[str, ...]] = set()
    total = 0
    for text in texts:
        words = [word.casefold() for word in tokens(text)]
        grams = list(zip(*(words[k:] for k in range(n)), strict=False))
        total += len(grams)
        seen.update(grams)
    return len(seen) / total if total else 0.0


def compression_ratio(texts: Sequence[str]) -> float:
    """Bytes of the texts over bytes after DEFLATE (Shaib et al. 2024): higher where more is repeated."""
    content = "\n".join(texts).encode("utf-8", "surrogatepass")
    return len(content) / len(zlib.compress(content, 9)) if content else 1.0


def variance_ratio(
    vectors: np.ndarray, codes: np.ndarray, real: np.ndarray, real_codes: np.ndarray
) -> float | None:
    """Total variance within classes over that of the real rows, the mean of the classes' ratios.

    Parameters
    ----------
    vectors, codes
        float (n, d) and int64 (n,): the rows to measure, and their classes.
    real, real_codes
        The same for the real rows.

    Returns
    -------
    float or None
        1 where the rows spread as the real ones do; interpolation gives about two thirds (Blagus & Lusa
        2013). None where no class has two rows on either side, or real rows that differ.
    """
    ratios = variance_ratios(vectors, codes, real, real_codes)
    return float(np.mean(list(ratios.values()))) if ratios else None


def variance_ratios(
    vectors: np.ndarray, codes: np.ndarray, real: np.ndarray, real_codes: np.ndarray, fewest: int = 2
) -> dict[int, float]:
    """The ratio of each class of `fewest` rows (at least 2) on both sides, the real ones not all alike."""
    ratios = {}
    for code in np.intersect1d(codes, real_codes):
        own, reference = vectors[codes == code], real[real_codes == code]
        if min(len(own), len(reference)) >= max(2, fewest):
            spread = float(reference.var(axis=0, ddof=1, dtype=np.float64).sum())
            if spread > 0:
                ratios[int(code)] = float(own.var(axis=0, ddof=1, dtype=np.float64).sum()) / spread
    return ratios
