"""What the screening did, for people: `augmentation.md`, its pictures, and the file for reviewers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evenly.files import write_text
from evenly.payloads import first_of_each_rule, payloads
from evenly.samples import SampleTable
from evenly.screening import PAGE, REVIEW_SAMPLE
from evenly.screening.calibration import GENUINE_ROWS
from evenly.screening.pictures import write_pictures
from evenly.screening.review import write_review_sample
from evenly.screening.screen import Screening
from evenly.wording import first_names, markdown_table, markdown_text

#: Rejected candidates shown for each rule, and characters of one that are shown.
_INSTANCES, _LENGTH = 2, 160


def write_pages(
    screening: Screening, reports: str | Path, plots: str | Path, *, share: float, seed: int
) -> None:
    """Write the pages about a screening, and its pictures.

    Parameters
    ----------
    screening
        What became of the candidates.
    reports
        Folder that gets `augmentation.md` and `review_sample.csv`.
    plots
        Folder for pictures and their tables, which is replaced.
    share
        Of the kept rows, for reviewers, in 0..1.
    seed
        Chooses them.
    """
    reports = Path(reports)
    there = os.path.relpath(plots, reports).replace(os.sep, "/")
    pictures = [(title, f"{there}/{name}") for title, name in write_pictures(screening, plots)]
    reviewers = write_review_sample(
        screening.kept,
        screening.kept_vectors,
        screening.real,
        screening.real_vectors,
        reports / REVIEW_SAMPLE,
        share=share,
        seed=seed,
    )
    write_text("\n\n".join(_page(screening, pictures, reviewers)) + "\n", reports / PAGE)


def _page(screening: Screening, pictures: Sequence[tuple[str, str]], reviewers: int) -> Iterator[str]:
    """The paragraphs of the page; a picture is its title and address."""
    report = screening.report
    ratio, gini = report["imbalance"]["ratio"], report["imbalance"]["gini"]
    yield "# Generated samples"
    yield (
        f"{report['candidates']:,} candidates: **{report['kept']:,} kept** ({report['relabelled']:,} of them "
        f"in another class than they came), {report['rejected']:,} rejected. Imbalance ratio "
        f"{ratio['before']:.3g} → {ratio['after']:.3g}, Gini {gini['before']:.2f} → {gini['after']:.2f}."
    )
    yield (
        f"`{REVIEW_SAMPLE}` holds {reviewers:,} kept samples beside the real ones they resemble most; fill "
        "in `verdict` (keep, drop or relabel, then with `label`) and run `evenly review import`."
    )
    yield from _list("Warnings", report["warnings"])
    for title, address in pictures:
        yield from (f"## {title}", f"![{title}]({address})")
    yield from _genuine(report["genuine"])
    yield from ("## By class", _class_table(report["classes"]))
    yield from ("## By rule", "A candidate may fail several rules; the first is the primary one.")
    yield _table(
        ["rule", "primary", "any"],
        [[_words(rule), numbers["primary"], numbers["any"]] for rule, numbers in report["rules"].items()],
    )
    if instances := _rejected_instances(screening.rejected):
        columns = ["rule", "class", "sample", "why"]
        yield from ("For instance:", _table(columns, instances, text_columns=columns))
    yield "## By origin"
    yield _table(
        ["origin", "candidates", "kept"],
        [[origin, numbers["candidates"], numbers["kept"]] for origin, numbers in report["origins"].items()],
    )
    yield from _list("Opinions", screening.opinions)
    yield from _diversity(report["diversity"])
    skipped = report["skipped"].items()
    lines = [f"{_words(check)}: {why}" for check, reasons in skipped for why in reasons]
    yield from _list("Not checked", lines)


def _genuine(genuine: Mapping[str, Any]) -> Iterator[str]:
    """How many genuine rows would have passed; which limits are off is told among what was not checked."""
    sentence = genuine_sentence(genuine)
    if not sentence:
        return
    yield from ("## Genuine rows", sentence)
    classes = genuine["classes"].items()
    rows = [[name, numbers["rows"], f"{numbers['passing']:.0%}"] for name, numbers in classes]
    yield _table(["class", "genuine rows", "would have passed"], rows)
    if genuine["struck_by"]:
        struck = ", ".join(f"{_words(check)} {share:.1%}" for check, share in genuine["struck_by"].items())
        yield f"The others would have failed: {struck} of all."


def genuine_sentence(genuine: Mapping[str, Any]) -> str:
    """What share of genuine rows would have passed; empty where there were none to try."""
    if "passing" not in genuine:
        return ""
    few = [
        name
        for name, numbers in genuine["classes"].items()
        if numbers["rows"] >= GENUINE_ROWS and numbers["passing"] < genuine["wanted"] - 2 / numbers["rows"]
    ]
    short = f"; fewer than {genuine['wanted']:.0%} of {first_names(few, 3)}" if few else ""
    return f"Of genuine rows like these, {genuine['passing']:.0%} would have passed{short}."


def _list(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield from (f"## {title}", "\n".join(f"- {line}" for line in lines))


def _class_table(classes: Mapping[str, Mapping[str, Any]]) -> str:
    keys = ["requested", "candidates", "kept", "rejected", "moved_away", "moved_here", "gained", "shortfall"]
    if not any(numbers["moved_here"] for numbers in classes.values()):
        keys = [key for key in keys if key not in ("moved_away", "moved_here", "gained")]
    rows = []
    for name, numbers in classes.items():
        if numbers["candidates"] or numbers["gained"] or numbers["requested"]:
            reasons = ", ".join(f"{_words(rule)} {n}" for rule, n in numbers["rejected_for"].items())
            rows.append([name, *(numbers[key] for key in keys), reasons or "–"])
    return _table(["class", *map(_words, keys), "rejected for"], rows, text_columns=["rejected for"])


def _rejected_instances(rejected: SampleTable) -> list[list[str]]:
    """Rule, class, sample and reason of the first rejected candidates of each rule, by id."""
    chosen = first_of_each_rule(rejected, _INSTANCES)
    instances = []
    for (row, reason), payload in zip(chosen, payloads(rejected.take([r for r, _ in chosen])), strict=True):
        sample = "(an image)" if rejected.modality == "image" else _clipped(payload)
        instances.append([_words(reason["rule"]), rejected.labels[row], sample, _why(reason)])
    return instances


def _why(reason: Mapping[str, Any]) -> str:
    parts = [_clipped(reason["detail"])] if "detail" in reason else []
    if "score" in reason:
        limit = f", limit {_measure(reason['threshold'])}" if "threshold" in reason else ""
        parts.append(f"score {_measure(reason['score'])}{limit}")
    if "matched" in reason:
        parts.append(f"matches {reason['matched']}")
    return "; ".join(parts) or "–"


def _measure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _clipped(text: str) -> str:
    return text if len(text) <= _LENGTH else text[:_LENGTH] + " …"


def _diversity(diversity: Mapping[str, Any]) -> Iterator[str]:
    if diversity:
        yield "## Diversity"
    if "variance_ratio" in diversity:
        yield f"Variance within classes, kept over real: {diversity['variance_ratio']:.2f}."
    if "kept" in diversity:
        yield "Distinct n-grams are better high, the compression ratio is better low."
        keys = ["texts", "distinct_1", "distinct_2", "distinct_3", "compression_ratio"]
        rows = [[side, *(diversity[side][key] for key in keys)] for side in ("kept", "real")]
        yield _table(["equal numbers of", *map(_words, keys)], rows)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]], text_columns: Sequence[str] = ()) -> str:
    """A table of data: texts as they are, whole numbers with commas, others with three digits."""
    cells = [[markdown_text(_cell(value)) for value in row] for row in rows]
    return markdown_table(columns, cells, text_columns)


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}" if isinstance(value, float) else value


def _words(name: str) -> str:
    return name.replace("_", " ")
