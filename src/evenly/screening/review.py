"""Samples that people review: the file they fill in, and how their verdicts are kept and applied."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from evenly.errors import DataError
from evenly.files import write_csv
from evenly.payloads import payloads
from evenly.samples import SampleTable
from evenly.screening import REVIEW_COLUMNS, SOURCES
from evenly.wording import csv_text, first_names

Verdict = Literal["keep", "drop", "relabel"]
_LONGEST_CELL = 30_000
#: What the kept file is made of; `content` ties a verdict to what the person has read.
COLUMNS = ("id", "verdict", "label", "content")


def write_review_sample(
    kept: SampleTable,
    kept_vectors: np.ndarray,
    train: SampleTable,
    train_vectors: np.ndarray,
    path: str | Path,
    *,
    share: float,
    seed: int,
) -> int:
    """Write a share of the kept rows of every class, each beside the real rows that it resembles most.

    The columns `verdict` and `label` are left empty for the reader. Returns the number of rows.
    """
    from evenly.features.neighbours import nearest_neighbours

    chosen = stratified_rows(kept.labels, share, seed)
    samples, sources = payloads(kept.take(chosen)), payloads(train)
    position = {name: k for k, name in enumerate(train.ids)}
    rows = []
    for row, payload in zip(chosen, samples, strict=True):
        own = np.flatnonzero(train.labels == kept.labels[row])
        near: list[int] = []
        if len(own):
            k = min(SOURCES, len(own))
            near = list(own[nearest_neighbours(kept_vectors[[row]], train_vectors[own], k)[1][0]])
        parent = position.get(kept.column("parent")[row])
        if parent is not None:
            near = [parent, *(k for k in near if k != parent)][:SOURCES]
        cells = [kept.ids[row], kept.labels[row], kept.origins[row], payload]
        cells += [sources[k] for k in near] + [""] * (SOURCES - len(near))
        rows.append([*cells, "", ""])
    write_csv(path, REVIEW_COLUMNS, rows, encoding="utf-8-sig")
    return len(chosen)


def stratified_rows(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Positions of a share of the rows of every class, rounded up, rising."""
    rng = np.random.default_rng([seed, 7])
    chosen = [np.empty(0, dtype=np.int64)]
    for name in sorted(set(labels)):
        own = np.flatnonzero(labels == name)
        chosen.append(rng.permutation(own)[: math.ceil(share * len(own))])
    return np.sort(np.concatenate(chosen))


@dataclass(frozen=True)
class Review:
    """What a person said about one sample."""

    verdict: Verdict
    label: str | None = None  # its class from now on, given with `relabel` only
    content: str | None = None  # fingerprint of the sample that was read; None stands for whatever has the id


@dataclass(frozen=True)
class Import:
    """What came of taking verdicts in: how many were new, replaced, and known already."""

    new: int
    replaced: int
    known: int


def read_reviews(path: str | Path) -> dict[str, Review]:
    """People's verdicts by sample id, from a CSV with the columns id, verdict and (for `relabel`) label.

    Rows without a verdict count for nothing, so that a half-filled review file can be brought in as it is.
    Commas, semicolons and tabs are understood, as spreadsheets write them in different countries.

    Raises
    ------
    DataError
        Naming the row that cannot be understood.
    """
    return {row.name: row.review for row in _filled_rows(Path(path))}


def import_reviews(
    source: str | Path, kept_file: str | Path, candidates: SampleTable, *, replacing: bool = False
) -> Import:
    """Take the verdicts of a filled-in review file into the file that `filter` reads.

    Parameters
    ----------
    source
        What people filled in.
    kept_file
        The verdicts so far; written anew, sorted by id, if everything in `source` can be used.
    candidates
        The samples there are, kept and rejected ones.
    replacing
        Let a verdict take the place of another one on the same sample.

    Raises
    ------
    DataError
        Naming the row: an unknown sample, an unknown class, or a second opinion without `replacing`.
    """
    known = read_reviews(kept_file) if Path(kept_file).exists() else {}
    merged, classes = dict(known), candidates.classes
    present = dict(zip(candidates.ids, payloads(candidates), strict=True))
    counts: Counter[str] = Counter()
    for row in _filled_rows(Path(source)):
        where, name, review = f"{source}, row {row.number}", row.name, row.review
        if name not in present:
            raise DataError(
                f"{where}: there is no generated sample {name!r}; import a review of the present samples "
                "(reports/review_sample.csv of the last run of `filter`)."
            )
        if review.label is not None and review.label not in classes:
            raise DataError(
                f"{where}: {review.label!r} is not one of the classes {first_names(classes, 20)}."
            )
        content = fingerprint(present[name])
        if review.content not in (None, content) or _reads_otherwise(row.sample, present[name]):
            raise DataError(
                f"{where}: {name!r} reads otherwise now than here; read the sample again in "
                "reports/review_sample.csv of the last run of `filter`."
            )
        before = known.get(name)
        stale = before is not None and before.content not in (None, content)
        differs = before is not None and (before.verdict, before.label) != (review.verdict, review.label)
        if before is not None and differs and not stale and not replacing:
            raise DataError(
                f"{where}: {name!r} is {_sentence(review)} here and {_sentence(before)} in {kept_file}; "
                "settle it, or import with --replace."
            )
        counts["new" if before is None or stale else "replaced" if differs else "known"] += 1
        merged[name] = replace(review, content=content)
    write_reviews(merged, kept_file)
    return Import(counts["new"], counts["replaced"], counts["known"])


def write_reviews(reviews: Mapping[str, Review], path: str | Path) -> None:
    """Write verdicts as CSV (UTF-8), sorted by id, so that a change reads well in a diff."""
    rows = ([name, r.verdict, r.label or "", r.content or ""] for name, r in sorted(reviews.items()))
    write_csv(path, COLUMNS, rows)


def applicable(reviews: Mapping[str, Review], candidates: SampleTable) -> dict[int, Review]:
    """Verdicts by position of the candidate.

    One on a sample that is not here, or that reads otherwise than when it was given, counts for nothing.

    Raises
    ------
    DataError
        When a sample is to move to a class that does not exist.
    """
    rows = [row for row, name in enumerate(candidates.ids) if name in reviews]
    found = {}
    for row, payload in zip(rows, payloads(candidates.take(rows)), strict=True):
        name = candidates.ids[row]
        review = reviews[name]
        if review.content not in (None, fingerprint(payload)):
            continue
        if review.label is not None and review.label not in candidates.classes:
            raise DataError(
                f"The review of {name!r} moves it to {review.label!r}, which is not one of the classes "
                f"{first_names(candidates.classes, 20)}."
            )
        found[row] = review
    return found


def fingerprint(payload: str) -> str:
    """Sixteen hexadecimal digits for what a sample shows to a reader, whatever its label."""
    return hashlib.sha256(payload.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True)
class _FilledRow:
    """A row with a verdict; the heading of a file is its row 1."""

    number: int
    name: str
    review: Review
    sample: str


def _filled_rows(path: Path) -> Iterator[_FilledRow]:
    """The rows with a verdict, each sample once."""
    rows = _rows(path)
    found: dict[str, Review] = {}
    for number, row in enumerate(rows, start=2):
        name, word = _plain(row["id"]), _plain(row["verdict"]).lower()
        label, content = _plain(row.get("label")), _plain(row.get("content"))
        if not word:
            continue
        if word not in get_args(Verdict):
            raise DataError(f"{path}, row {number}: verdict {word!r} is not one of keep, drop, relabel.")
        if word == "relabel" and not label:
            raise DataError(f"{path}, row {number}: relabel needs the new class in the column label.")
        if word == "keep" and label and label != (_plain(row.get("class")) or label):
            raise DataError(
                f"{path}, row {number}: {name!r} is to be kept and has the label {label!r}; write relabel to "
                "move it, or leave the label empty."
            )
        review = Review(word, label if word == "relabel" else None, content or None)  # type: ignore[arg-type]
        if name in found and found[name] != review:
            raise DataError(f"{path}, row {number}: {name!r} has two verdicts; leave one.")
        if name not in found:
            found[name] = review
            yield _FilledRow(number, name, review, _plain(row.get("sample")))


def _rows(path: Path) -> csv.DictReader[str]:
    try:
        content = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; write verdicts into a copy of the review file.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}); save it as CSV UTF-8.") from error
    heading = content.partition("\n")[0]
    between = max(",;\t", key=heading.count)
    rows = csv.DictReader(io.StringIO(content, newline=""), delimiter=between)
    missing = sorted({"id", "verdict"} - set(rows.fieldnames or ()))
    if missing:
        raise DataError(f"{path} has no column {missing[0]!r}; it needs id, verdict and label.")
    return rows


def _plain(cell: str | None) -> str:
    """A cell without the apostrophe that kept a spreadsheet from calculating it."""
    return csv_text((cell or "").strip())


def _reads_otherwise(cell: str, payload: str) -> bool:
    """Whether a cell shows another sample; spreadsheets change white space and cut what is very long."""
    return bool(cell) and len(cell) < _LONGEST_CELL and cell.split() != payload.split()


def _sentence(review: Review) -> str:
    return review.verdict + (f" to {review.label!r}" if review.label is not None else "")
