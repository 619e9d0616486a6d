"""The distinctive terms of each class, from training rows: what it says more often than the others do."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

#: Writing without spaces between words: Han, kana, Thai, Lao, Khmer, Burmese.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_RUNS = re.compile(rf"([{_UNSPACED}]+)|([^\W\d_{_UNSPACED}]+(?:['’][^\W\d_]+)?)")
_LONGEST_GRAM = 4
#: A term below this z-score is not shown. It is no test: a class of five rows hardly reaches 1.96 with
#: anything.
_DISTINCT = 1.0


def terms(text: str) -> Iterator[str]:
    """Words of two letters or more, folded; a run of a script without spaces gives its 2- to 4-grams."""
    for run, word in _RUNS.findall(unicodedata.normalize("NFKC", text).casefold()):
        if run:
            for n in range(2, _LONGEST_GRAM + 1):
                yield from (run[k : k + n] for k in range(len(run) - n + 1))
        elif len(word) > 1:
            yield word


def distinctive_terms(texts: Sequence[str], labels: Sequence[str], count: int) -> dict[str, tuple[str, ...]]:
    """The terms that speak most for each class against all others.

    The log-odds ratio with an informative Dirichlet prior, divided by its standard deviation (Monroe,
    Colaresi and Quinn 2008, "Fightin' Words", equations 16 and 22). The prior has the term shares of all
    texts; its weight, the geometric mean of the term counts of the class and of all texts, keeps rare words
    from leading in large classes and common ones in small classes. A term counts once per text, so that one
    long text does not speak for its class.

    Parameters
    ----------
    texts, labels
        Training rows (n,).
    count
        At most so many terms per class; only those with a z-score above 1.

    Returns
    -------
    dict
        Class to terms, the most distinctive first.
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
        found[label] = _without_overlap([word for score, word in ranked if -score > _DISTINCT], count)
    return found


def _log_odds_z(inside: np.ndarray, outside: np.ndarray, inside_total: int, total: int) -> np.ndarray:
    weight = float(np.sqrt(inside_total * total))
    prior = weight * (inside + outside) / total
    own, others = inside + prior, outside + prior
    own_rest, others_rest = inside_total + weight - own, total - inside_total + weight - others
    tiny = 1e-9  # a class that says one thing only has no rest
    difference = np.log(own / np.maximum(own_rest, tiny)) - np.log(others / np.maximum(others_rest, tiny))
    return np.asarray(difference / np.sqrt(1.0 / own + 1.0 / others))


def _without_overlap(ranked: Sequence[str], count: int) -> tuple[str, ...]:
    """The first `count` terms, leaving out n-grams that lie inside a better one or around it."""
    chosen: list[str] = []
    for term in ranked:
        unspaced = re.fullmatch(rf"[{_UNSPACED}]+", term) is not None
        if not (unspaced and any(term in other or other in term for other in chosen)):
            chosen.append(term)
        if len(chosen) == count:
            break
    return tuple(chosen)
