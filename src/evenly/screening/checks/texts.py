"""The checks `length`, `script` and `keywords`; and how varied a set of texts is."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from evenly.errors import ParameterError
from evenly.features.ngramsets import ngram_sets, normalised_text
from evenly.screening.context import Context, Outcome, limited, verdict

#: Of the real rows, as many are not odder than what is still taken for their language.
_ODDEST = 0.995
#: One-sided probability with which a further row of a class keeps to that class's own limit.
_SURE = 0.975
# A letter of a script that is written without spaces, or a word with its digits.
_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0e7f\u1000-\u109f\u1780-\u17ff]|\w+")
_SPACED = {"LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "HANGUL", "DEVANAGARI", "ARMENIAN", "GEORGIAN"}


def badly_long(context: Context, rows: np.ndarray) -> Outcome:
    """Texts that are shorter or longer than allowed, in characters or in tokens."""
    rules = context.settings.length
    candidates, verdicts, usually = context.side(rows).texts, [], []
    for unit, size, least, most in (
        ("characters", len, rules.min_characters, rules.max_characters),
        ("tokens", lambda text: len(tokens(text)), rules.min_tokens, rules.max_tokens),
    ):
        lengths = np.array([size(text) for text in candidates], dtype=np.float64)
        few = lengths < least
        verdicts.append(verdict(few, score=lengths, threshold=least, detail=f"fewest {unit}"))
        if most is not None:
            verdicts.append(verdict(lengths > most, score=lengths, threshold=most, detail=f"most {unit}"))
        if rules.quantiles is None:
            continue
        real = np.array([size(text) for text in context.train.texts], dtype=np.float64)
        low, high = _usual_lengths(real, context, rules.quantiles, rules.min_real)[context.codes(rows)].T
        for above, where in ((False, np.floor(low / rules.slack)), (True, np.ceil(high * rules.slack))):
            usually.append(
                limited(
                    context,
                    rows,
                    "length",
                    lengths > where if above else lengths < where,
                    score=lengths,
                    threshold=where,
                    above=above,
                    detail=f"{'most' if above else 'fewest'} {unit}",
                )
            )
    return Outcome((*verdicts, *usually))


def tokens(text: str) -> list[str]:
    """Words of a text, and the single characters of scripts that are written without spaces."""
    return _TOKEN.findall(text)


def foreign_script(context: Context, rows: np.ndarray) -> Outcome:
    """Texts in another script than the real training rows, or in the same script but another language."""
    rules, codes = context.settings.script, context.train.samples.codes
    by_class: list[Counter[str]] = [Counter() for _ in context.classes]
    for code, text in zip(codes, context.train.texts, strict=True):
        by_class[code].update(letter_scripts(text))
    familiar = _frequent(sum(by_class, Counter()), rules.familiar)
    if not familiar:
        return Outcome(skipped=("the real training rows hold no letters",))
    of_class = [familiar | _frequent(counted, rules.familiar) for counted in by_class]
    shares = np.ones(len(rows))
    details = np.full(len(rows), None, dtype=object)
    candidates, own = context.side(rows).texts, context.codes(rows)
    for k, text in enumerate(candidates):
        scripts = letter_scripts(text)
        letters = sum(scripts.values())
        if letters:
            shares[k] = sum(n for script, n in scripts.items() if script in of_class[own[k]]) / letters
            details[k] = max(sorted(scripts), key=lambda script: scripts[script]).lower()
    unseen, usual = unseen_shares(candidates, context.train.texts)
    limit = max(rules.max_unseen, float(np.quantile(usual, _ODDEST, method="higher")))
    limits = np.maximum(limit, _own_limits(usual, codes, len(context.classes)))[own]
    return Outcome(
        (
            limited(
                context,
                rows,
                "script",
                shares < rules.min_share,
                score=shares,
                threshold=rules.min_share,
                unit=1.0,
                above=False,
                detail=details,
            ),
            limited(
                context,
                rows,
                "script: unseen trigrams",
                unseen > limits,
                score=unseen,
                threshold=limits,
                unit=1.0,
                detail="unseen trigrams",
            ),
        ),
        measured={"familiar": sorted(script.lower() for script in familiar)},
    )


def _frequent(counted: Counter[str], share: float) -> set[str]:
    return {script for script, n in counted.items() if n >= share * counted.total()}


def _own_limits(usual: np.ndarray, codes: np.ndarray, classes: int) -> np.ndarray:
    """Unseen share that one further row of each class stays below with `_SURE`, by a normal prediction bound.

    A scarce class has words of its own, of which the other rows show few; five rows bound them loosely.
    """
    from scipy.stats import t

    limits = np.zeros(classes)
    for code in np.unique(codes):
        own = usual[codes == code]
        spread = own.std(ddof=1) if len(own) > 1 else usual.std()
        limits[code] = own.mean() + t.ppf(_SURE, max(len(own) - 1, 1)) * spread * np.sqrt(1 + 1 / len(own))
    return limits


def unseen_shares(texts: Sequence[str], real: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """What share of a text's character trigrams occurs in no real text, float (n,); 0 for an empty one.

    And the same for each real text, against the other real texts.
    """
    sets = ngram_sets([*real, *texts], 3)
    end = sets.starts[len(real)]
    known = np.bincount(sets.tokens[:end], minlength=sets.vocabulary)
    new = known[sets.tokens] <= (np.arange(len(sets.tokens)) < end)
    totals = np.concatenate([[0], np.cumsum(new)])
    shares = (totals[sets.starts[1:]] - totals[sets.starts[:-1]]) / np.maximum(sets.sizes, 1)
    return shares[len(real) :], shares[: len(real)]


def letter_scripts(text: str) -> Counter[str]:
    """Number of letters of each script (`LATIN`, `CYRILLIC`, `CJK`, …) in a text; nothing else counts."""
    scripts: Counter[str] = Counter()
    for character, n in Counter(text).items():
        script = _script(character)
        if script:
            scripts[script] += n
    return scripts


def without_keywords(context: Context, rows: np.ndarray) -> Outcome:
    """Texts that lack every one of their class's `any_of` words, or one of its `all_of` words."""
    rules = context.settings.keywords
    if not rules.any_of and not rules.all_of:
        return Outcome(skipped=("no keywords are given",))
    for key, given in (("any_of", rules.any_of), ("all_of", rules.all_of)):
        unknown = sorted(set(given) - set(context.classes))
        if unknown:
            raise ParameterError(
                f"params.yaml: filter.keywords.{key} names the class {unknown[0]!r}, "
                f"which the data set has not; its classes are {', '.join(context.classes)}."
            )
    verdicts = []
    texts = context.side(rows).texts
    for key, wanted, combine in (("any of", rules.any_of, any), ("all of", rules.all_of, all)):
        failed = np.zeros(len(rows), dtype=bool)
        details = np.full(len(rows), None, dtype=object)
        for k, (label, text) in enumerate(zip(context.labels[rows], texts, strict=True)):
            words = wanted.get(label, ())
            if words:
                failed[k] = not combine(contains_word(text, word) for word in words)
                details[k] = f"{key} {', '.join(words)}"
        verdicts.append(verdict(failed, detail=details))
    return Outcome(tuple(verdicts))


def contains_word(text: str, word: str) -> bool:
    """Whether a text holds a word or phrase, whatever the case; whole words where the script has spaces."""
    plain, wanted = normalised_text(text), normalised_text(word)
    spaced = (
        not _TOKEN.fullmatch(wanted[:1]) or wanted[0].isascii() or letter_scripts(wanted).keys() & _SPACED
    )
    if not spaced:
        return wanted in plain
    return re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", plain) is not None


def _usual_lengths(
    real: np.ndarray, context: Context, quantiles: tuple[float, float], min_real: int
) -> np.ndarray:
    """Two quantiles of the real lengths of each class, (classes, 2); of all rows for small classes."""
    overall = np.quantile(real, quantiles) if len(real) else np.array([0.0, np.inf])
    usual = np.tile(overall, (len(context.classes), 1))
    for code, count in enumerate(context.train.samples.counts.values()):
        if count >= min_real:
            usual[code] = np.quantile(real[context.train.samples.codes == code], quantiles)
    return usual


@lru_cache(maxsize=1 << 16)
def _script(character: str) -> str:
    """Script of a letter as Unicode names it; empty for what is no letter or belongs to none."""
    if unicodedata.category(character)[0] != "L":
        return ""
    name = unicodedata.name(character, "")
    if name.startswith(("FULLWIDTH", "HALFWIDTH")):
        name = name.split(" ", 1)[1]
    return name.split(" ", 1)[0].split("-", 1)[0]


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
