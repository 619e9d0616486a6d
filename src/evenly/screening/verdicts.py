"""What people said about single samples: reading a filled-in review file, keeping it, and applying it.

The file that people fill in is written in `evenly.screening.review`.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from evenly.errors import DataError
from evenly.files import write_text
from evenly.payloads import FORMULA, payloads
from evenly.samples import SampleTable

Verdict = Literal["keep", "drop", "relabel"]
_LONGEST_CELL = 30_000
#: What the kept file is made of; `content` ties a verdict to what the person has read.
COLUMNS = ("id", "verdict", "label", "content")


@dataclass(frozen=True)
class Review:
    """What a person said about one sample.

    Attributes
    ----------
    label
        Its class from now on, given with `relabel` only.
    content
        Fingerprint of the sample that was read; None stands for whatever has the id.
    """

    verdict: Verdict
    label: str | None = None
    content: str | None = None


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
    shown = dict(zip(candidates.ids, payloads(candidates), strict=True))
    counts: Counter[str] = Counter()
    for row in _filled_rows(Path(source)):
        where, name, review = f"{source}, row {row.number}", row.name, row.review
        if name not in shown:
            raise DataError(
                f"{where}: there is no generated sample {name!r}; import a review of the present samples "
                "(reports/review_sample.csv of the last run of `filter`)."
            )
        if review.label is not None and review.label not in classes:
            raise DataError(f"{where}: {review.label!r} is not one of the classes {_listed(classes)}.")
        content = fingerprint(shown[name])
        if review.content not in (None, content) or _reads_otherwise(row.sample, shown[name]):
            raise DataError(
                f"{where}: {name!r} reads otherwise now than here; read the sample again in "
                "reports/review_sample.csv of the last run of `filter`."
            )
        before = known.get(name)
        stale = before is not None and before.content not in (None, content)
        differs = before is not None and (before.verdict, before.label) != (review.verdict, review.label)
        if before is not None and differs and not stale and not replacing:
            raise DataError(
                f"{where}: {name!r} is {_said(review)} here and {_said(before)} in {kept_file}; settle it, "
                "or import with --replace."
            )
        counts["new" if before is None or stale else "replaced" if differs else "known"] += 1
        merged[name] = replace(review, content=content)
    write_reviews(merged, kept_file)
    return Import(counts["new"], counts["replaced"], counts["known"])


def write_reviews(reviews: Mapping[str, Review], path: str | Path) -> None:
    """Write verdicts as CSV (UTF-8), sorted by id, so that a change reads well in a diff."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, review in sorted(reviews.items()):
        writer.writerow([name, review.verdict, review.label or "", review.content or ""])
    write_text(file.getvalue(), path)


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
    for row, shown in zip(rows, payloads(candidates.take(rows)), strict=True):
        name = candidates.ids[row]
        review = reviews[name]
        if review.content not in (None, fingerprint(shown)):
            continue
        if review.label is not None and review.label not in candidates.classes:
            raise DataError(
                f"The review of {name!r} moves it to {review.label!r}, which is not one of the classes "
                f"{_listed(candidates.classes)}."
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
    value = (cell or "").strip()
    return value[1:] if value.startswith("'") and value[1:].startswith(FORMULA) else value


def _reads_otherwise(cell: str, payload: str) -> bool:
    """Whether a cell shows another sample; spreadsheets change white space and cut what is very long."""
    return bool(cell) and len(cell) < _LONGEST_CELL and cell.split() != payload.split()


def _said(review: Review) -> str:
    return review.verdict + (f" to {review.label!r}" if review.label is not None else "")


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
