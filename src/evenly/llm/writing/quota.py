"""How many calls a class still needs, and which of their samples it takes: decided in the order of calls.

Answers arrive in any order; they are judged in the order of their numbers. So the same answers give the same
samples, and the same number of calls, whatever the weather.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from evenly.features.ngramsets import character_ngrams, normalised_text
from evenly.llm.writing.answers import Candidate, Outcome, Tally
from evenly.llm.writing.columns import Value
from evenly.llm.writing.training_rows import Cell


class TextShape(NamedTuple):
    """A text as it is compared: normalised, its n-grams, and those by which it is found."""

    plain: str
    grams: frozenset[str]
    beginning: tuple[str, ...]


@dataclass(frozen=True)
class Shaping:
    """How texts become shapes; shapes of one shaping can be compared.

    Two sets with a Jaccard index of t or more share an element among the first |x| − ⌈t·|x|⌉ + 1 of each in
    any one order of all elements (Chaudhuri, Ganti and Kaushik 2006), so these beginnings are enough to find
    a text by: rarest first, which keeps the lists short. Nothing is missed.
    """

    threshold: float | None
    n: int
    frequencies: Mapping[str, int]

    def shape(self, text: str) -> TextShape:
        """The shape of a text."""
        plain = normalised_text(text)
        if self.threshold is None:
            return TextShape(plain, frozenset(), ())
        grams = character_ngrams(text, self.n)
        # A little below ⌈t·|x|⌉ where t·|x| is whole but for rounding: one element more, never one less.
        length = len(grams) - math.ceil(self.threshold * len(grams) - 1e-9) + 1
        known = self.frequencies
        ranked = sorted((known.get(gram, 0), gram) for gram in grams)[:length]
        return TextShape(plain, frozenset(grams), tuple(gram for _, gram in ranked))


class TextIndex:
    """Texts to compare with, growing one by one."""

    def __init__(self, threshold: float | None) -> None:
        self._threshold = threshold
        self._texts: set[str] = set()
        self._postings: dict[str, list[int]] = {}
        self._sets: list[frozenset[str]] = []

    def add(self, shape: TextShape) -> None:
        """Take in a text."""
        if shape.plain in self._texts:
            return
        self._texts.add(shape.plain)
        for gram in shape.beginning:
            self._postings.setdefault(gram, []).append(len(self._sets))
        self._sets.append(shape.grams)

    def similarity(self, shape: TextShape) -> float | None:
        """Jaccard index with the most similar text: 1 for an equal one, None below the threshold."""
        if shape.plain in self._texts:
            return 1.0
        if self._threshold is None:
            return None
        candidates = {row for gram in shape.beginning for row in self._postings.get(gram, ())}
        grams, size, best = shape.grams, len(shape.grams), 0.0
        for row in candidates:
            other = self._sets[row]
            larger, smaller = (size, len(other)) if size > len(other) else (len(other), size)
            if smaller < max(best, self._threshold - 1e-12) * larger:
                continue
            shared = len(grams & other)
            best = max(best, shared / (size + len(other) - shared))
        return best if best >= self._threshold else None


def ngram_frequencies(texts: Iterable[str], n: int) -> Counter[str]:
    """In how many texts each character n-gram occurs."""
    counted: Counter[str] = Counter()
    for text in texts:
        counted.update(character_ngrams(text, n))
    return counted


RowKey = tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """A sample that a class has accepted, and where it came from.

    `moved_from` is the cell whose call brought it, where the model found that it belongs to this one.
    """

    candidate: Candidate
    outcome: Outcome
    moved_from: Cell | None = None


class Novelty:
    """Whether a sample is new to its class: neither a training row nor one already taken, nor nearly so."""

    def __init__(self, shaping: Shaping, real_texts: TextIndex, real_rows: frozenset[RowKey]) -> None:
        self._shaping = shaping
        self._real_texts = real_texts
        self._real_rows = real_rows
        self._own_texts = TextIndex(shaping.threshold)
        self._own_rows: set[RowKey] = set()

    def admit(self, candidate: Candidate) -> str | None:
        """Remember the sample as taken, or say in a word why it is not new."""
        if candidate.row is not None:
            key = row_key(candidate.row)
            if key in self._real_rows:
                return "duplicate_of_real"
            if key in self._own_rows:
                return "duplicate"
            self._own_rows.add(key)
            return None
        shape = self._shaping.shape(candidate.text or "")
        for index, suffix in ((self._real_texts, "_of_real"), (self._own_texts, "")):
            similarity = index.similarity(shape)
            if similarity is not None:
                return f"{'duplicate' if similarity == 1.0 else 'near_duplicate'}{suffix}"
        self._own_texts.add(shape)
        return None


@dataclass(kw_only=True)
class Quota(Tally):
    """One cell on its way to its number of samples: at most `most_calls` calls worth `size` samples each.

    `calls` are to be made by now: those judged, and as many as the missing samples take if all are accepted.
    So no call is made whose samples could turn out not to be needed, and each rejection that leaves a gap
    adds one. The first `judged` of them have been judged so far.
    """

    cell: Cell
    wanted: int
    size: int
    most_calls: int
    novelty: Novelty
    #: Calls of the last `patience` samples, and the share of these that must be taken.
    patience: int
    least_yield: float
    taken: list[Taken] = field(default_factory=list)
    calls: int = 0
    judged: int = 0
    unused: int = 0
    spent: bool = False
    #: Why the class is given up before its attempts are spent, in a sentence.
    given_up: str | None = None
    #: Samples and tokens that each judged call has brought and cost.
    yields: list[tuple[int, int]] = field(default_factory=list)
    #: Samples that the model assigned to another class.
    strays: list[Taken] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._count_calls()

    @property
    def missing(self) -> int:
        """Samples still to accept."""
        return self.wanted - len(self.taken)

    @property
    def done(self) -> bool:
        """Whether every call that is to be made has been judged."""
        return self.judged >= self.calls

    @property
    def due(self) -> int:
        """Calls to have been sent by now: no more ahead of the judged ones than these, or than patience.

        So a class that yields nothing costs a few calls, not all, and the number depends on no clock.
        """
        return min(self.calls, self.judged + max(self.patience, self.judged))

    def judge(self, outcome: Outcome) -> None:
        """Take what is new of the next call's samples, as long as there is room."""
        sent, before = self.due, len(self.taken) + self.unused
        self.judged += 1
        self.add(outcome)
        self.spent = self.spent or outcome.spent
        for candidate in outcome.candidates:
            if candidate.label == self.cell.label:
                self._offer(Taken(candidate, outcome))
            else:
                self.rejected["relabelled"] += 1
                self.strays.append(Taken(candidate, outcome, self.cell))
        brought = len(self.taken) + self.unused - before
        self.yields.append((brought, outcome.prompt_tokens + outcome.completion_tokens))
        if self.given_up is None and self.missing > 0 and self.judged < self.most_calls and self._stalled():
            self.calls = sent  # what has been sent is paid for, and judged as well
        self._count_calls()

    def adopt(self, stray: Taken) -> bool:
        """Take a sample from another class's call, where there is room and it is new here."""
        if self.missing <= 0 or self.novelty.admit(stray.candidate) is not None:
            return False
        self.taken.append(stray)
        return True

    def _count_calls(self) -> None:
        if not self.spent and self.given_up is None and self.size:
            needed = self.judged + math.ceil(self.missing / self.size)
            self.calls = max(self.calls, min(needed, self.most_calls))

    def _stalled(self) -> bool:
        last = self.yields[-self.patience :]
        brought, wanted = sum(one for one, _ in last), self.patience * self.size
        if len(last) < self.patience or brought >= self.least_yield * wanted:
            return False
        self.given_up = (
            f"its last {self.patience} calls brought {brought} of {wanted} samples for "
            f"{sum(tokens for _, tokens in last)} tokens, a share below least_yield {self.least_yield:g}"
        )
        return True

    def _offer(self, sample: Taken) -> None:
        if self.missing <= 0:
            self.unused += 1
        elif objection := self.novelty.admit(sample.candidate):
            self.rejected[objection] += 1
        else:
            self.taken.append(sample)


def row_key(row: Mapping[str, Value]) -> RowKey:
    """A table row in comparable form: 1 equals 1.0, and values that differ by rounding alone are equal."""
    return tuple(
        (name, float(f"{value:.9g}") if isinstance(value, int | float) else value)
        for name, value in sorted(row.items())
    )
