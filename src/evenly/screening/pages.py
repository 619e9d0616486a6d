"""What the screening did, for people: `augmentation.md`, its pictures, and the file for reviewers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evenly.files import write_text
from evenly.payloads import payloads
from evenly.samples import SampleTable
from evenly.screening.nothing import PAGE, REVIEW_SAMPLE
from evenly.screening.pictures import write_pictures
from evenly.screening.review import write_review_sample
from evenly.screening.screen import Screening

#: Rejected candidates shown for each rule, and characters of one that are shown.
_INSTANCES, _SHOWN = 2, 160
_ESCAPES = str.maketrans(
    {letter: f"\\{letter}" for letter in "\\`*_{}[]|~$"} | {letter: f"&#{ord(letter)};" for letter in "<>&"}
)


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
    page = augmentation_page(screening.report, pictures, rejected_instances(screening.rejected), reviewers)
    write_text(page, reports / PAGE)


def augmentation_page(
    report: Mapping[str, Any],
    pictures: Sequence[tuple[str, str]],
    instances: Sequence[Sequence[str]],
    reviewers: int,
) -> str:
    """Page about a screening, in Markdown.

    Parameters
    ----------
    report
        What `screening_report` gives.
    pictures
        Title and address of each.
    instances
        What `rejected_instances` gives.
    reviewers
        Number of rows in the file for reviewers.
    """
    ratio, gini = report["imbalance"]["ratio"], report["imbalance"]["gini"]
    lines = [
        "# Generated samples",
        "",
        f"{report['candidates']:,} candidates: **{report['kept']:,} kept** ({report['relabelled']:,} of them "
        f"in another class than they came), {report['rejected']:,} rejected. Imbalance ratio "
        f"{ratio['before']:.3g} → {ratio['after']:.3g}, Gini {gini['before']:.2f} → {gini['after']:.2f}.",
        "",
        f"`{REVIEW_SAMPLE}` holds {reviewers:,} kept samples beside the real ones they resemble most; fill "
        "in `verdict` (keep, drop or relabel, then with `label`) and run `evenly review import`.",
        "",
    ]
    if report["warnings"]:
        lines += ["## Warnings", "", *(f"- {warning}" for warning in report["warnings"]), ""]
    titled = dict(pictures)
    for title, address in titled.items():
        lines += [f"## {title}", "", f"![{title}]({address})", ""]
    lines += ["## By class", "", *_class_table(report["classes"])]
    lines += ["## By rule", "", "A candidate may fail several rules; the first is the primary one.", ""]
    lines += _table(
        ["rule", "primary", "any"],
        [[_word(rule), numbers["primary"], numbers["any"]] for rule, numbers in report["rules"].items()],
    )
    if instances:
        lines += ["For instance:", "", *_table(["rule", "class", "sample", "why"], instances)]
    lines += ["## By origin", ""]
    lines += _table(
        ["origin", "candidates", "kept"],
        [[origin, numbers["candidates"], numbers["kept"]] for origin, numbers in report["origins"].items()],
    )
    lines += _opinion_lines(report["measured"])
    lines += _diversity_lines(report["diversity"])
    if report["skipped"]:
        lines += ["## Not checked", ""]
        lines += [
            f"- {_word(check)}: {why}" for check, reasons in report["skipped"].items() for why in reasons
        ]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def rejected_instances(rejected: SampleTable) -> list[list[str]]:
    """Rule, class, sample and reason of the first rejected candidates of each rule, by id."""
    chosen: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for row, details in enumerate(rejected.column("details")):
        reason = json.loads(details)["screening"]["rejected_for"][0]
        own = chosen.setdefault(reason["rule"], [])
        if len(own) < _INSTANCES:
            own.append((row, reason))
    found = []
    for rule in sorted(chosen):
        shown = payloads(rejected.take([row for row, _ in chosen[rule]]))
        for (row, reason), payload in zip(chosen[rule], shown, strict=True):
            sample = "(an image)" if rejected.modality == "image" else _clipped(payload)
            found.append([_word(rule), rejected.labels[row], sample, _why(reason)])
    return found


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
    return text if len(text) <= _SHOWN else text[:_SHOWN] + " …"


def _class_table(classes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    keys = ["requested", "candidates", "kept", "rejected", "moved_away", "moved_here", "gained", "shortfall"]
    if not any(numbers["moved_here"] for numbers in classes.values()):
        keys = [key for key in keys if key not in ("moved_away", "moved_here", "gained")]
    rows = []
    for name, numbers in classes.items():
        if numbers["candidates"] or numbers["gained"] or numbers["requested"]:
            reasons = ", ".join(f"{_word(rule)} {n}" for rule, n in numbers["rejected_for"].items())
            rows.append([name, *(f"{numbers[key]:,}" for key in keys), reasons or "–"])
    return _table(["class", *map(_word, keys), "rejected for"], rows)


def _opinion_lines(measured: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What classifier and judge think of the candidates, and of each other."""
    lines = []
    if "candidates_agreeing" in (agreement := measured.get("agreement", {})):
        lines.append(
            f"- A classifier of the real rows has the label of {agreement['candidates_agreeing']:.0%} of the "
            f"candidates among its first {agreement['top_k']} ({agreement['candidates_first']:.0%} as the "
            f"first), and of {agreement['real_rows_passing']:.0%} of the real rows, out of fold."
        )
    if "mean_mark" in (judge := measured.get("judge", {})):
        marks = ", ".join(
            f"{name} {judge[f'mean_{name}']:.1f}" for name in ("consistency", "completeness", "naturalness")
        )
        cost = "at an unknown cost" if judge.get("cost") is None else f"for {judge['cost']:.4f}"
        by = f" by {judge['model']} {cost}" if "model" in judge else ""
        lines.append(
            f"- {judge['judged']:,} candidates judged{by}: mean mark {judge['mean_mark']:.1f} ({marks})."
        )
        if "agreement_with_classifier" in judge:
            lines.append(
                f"- Judge and classifier are of one opinion on {judge['agreement_with_classifier']:.0%} of "
                "them (the classifier's yes: the label is its first choice)."
            )
    return ["## Opinions", "", *lines, ""] if lines else []


def _diversity_lines(diversity: Mapping[str, Any]) -> list[str]:
    if not diversity:
        return []
    lines = ["## Diversity", ""]
    if "variance_ratio" in diversity:
        lines += [f"Variance within classes, kept over real: {diversity['variance_ratio']:.2f}.", ""]
    if "kept" in diversity:
        keys = ["texts", "distinct_1", "distinct_2", "distinct_3", "compression_ratio"]
        rows = [[side, *(_number(diversity[side][key]) for key in keys)] for side in ("kept", "real")]
        lines += ["Distinct n-grams are better high, the compression ratio is better low.", ""]
        lines += _table(["equal numbers of", *map(_word, keys)], rows)
    return lines


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(_table_cell(str(cell)) for cell in row) + " |" for row in rows]
    return [*lines, ""]


def _table_cell(text: str) -> str:
    """Text in a cell, on one line, none of it taken for Markdown or HTML."""
    return " ".join(text.translate(_ESCAPES).split())


def _word(name: str) -> str:
    return name.replace("_", " ")


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
