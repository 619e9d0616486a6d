"""What earlier stages reported, as sentences: what they read, dropped, made, or did otherwise than asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from evenly.resampling.report import ClassOutcome, ResampleReport
from evenly.wording import counted, first_names, sentence_list

_PARTS = {"train": "to train on", "validation": "for validation", "test": "to test on"}


def split_sentences(report: Mapping[str, Any]) -> Iterator[str]:
    """Sentences about `metrics/split.json`; what did not happen is not told."""
    if rows := report.get("rows"):
        parts = [f"{rows[part]:,} {words}" for part, words in _PARTS.items() if part in rows]
        yield f"{counted(rows['read'], 'row was', 'rows were')} read: {sentence_list(parts)}."
    if (tail := report.get("imbalance")) and rows:
        before = sum(tail["train_before"].values())
        ratio = f" of ratio {tail['ratio']:g}" if tail.get("ratio") else ""
        yield (
            f"A long tail{ratio} was induced on the training rows: {rows['train']:,} of {before:,} were kept."
        )
    copies = report.get("duplicates", {})
    dropped = {"before the split": copies.get("dropped_before_split", 0)}
    dropped |= {f"from {part}": n for part, n in copies.get("dropped", {}).items()}
    if total := sum(dropped.values()):
        where = sentence_list([f"{n:,} {place}" for place, n in dropped.items() if n])
        yield f"{counted(total, 'copy of another row was', 'copies of other rows were')} dropped: {where}."
    conflicts = report.get("conflicts", {})
    if n := conflicts.get("rows"):
        names = first_names((one["id"] for one in conflicts["examples"]), 3)
        gone = f"; {conflicts['dropped']:,} of them were dropped" if conflicts["dropped"] else ""
        yield f"{counted(n, 'row has', 'rows have')} the content of a row of another class ({names}){gone}."
    yield from report.get("warnings", ())


def filter_sentences(report: Mapping[str, Any]) -> Iterator[str]:
    """Sentences about `metrics/filter.json`; none where nothing was generated."""
    if not report.get("candidates"):
        return
    moved = f", {report['relabelled']:,} of them in another class" if report["relabelled"] else ""
    rules = sorted(report.get("rules", {}).items(), key=lambda item: (-item[1]["primary"], item[0]))
    why = first_names((f"{rule.replace('_', ' ')} {n['primary']:,}" for rule, n in rules if n["primary"]), 4)
    yield (
        f"Of {counted(report['candidates'], 'generated row')} the screening kept {report['kept']:,}{moved}, "
        f"and rejected {report['rejected']:,}{f' ({why})' if why else ''}; reports/augmentation.md says more."
    )
    genuine = report.get("genuine", {})
    if "passing" in genuine:
        yield f"Of genuine rows like these, {genuine['passing']:.0%} would have passed."
    yield from report.get("warnings", ())
    for check, reasons in report.get("skipped", {}).items():
        yield f"Not checked: {check.replace('_', ' ')} ({first_names(reasons, 3)})."


def resample_sentences(report: Mapping[str, Any]) -> Iterator[str]:
    """Sentences about `metrics/resample.json`; none where the rows stayed as they were."""
    if not report:
        return
    unit: Literal["class", "group"] = "group" if "groups" in report else "class"
    units = report["groups" if unit == "group" else "classes"]
    if report["made"] or report["removed"]:
        copies = sum(outcome["copies"] for outcome in units.values())
        made = f"made {report['made']:,}" + (f" ({copies:,} of them copies)" if copies else "")
        parts = [made] * bool(report["made"]) + [f"took {report['removed']:,} away"] * bool(report["removed"])
        yield (
            f"Resampling ({report['method']}) {sentence_list(parts)}: {report['rows_before']:,} rows became "
            f"{report['rows_after']:,}."
        )
    imbalance = report.get("imbalance", {})
    last = next((step for step in ("resample", "augment", "kept") if step in imbalance), None)
    if last is not None:
        first, now = (imbalance[step]["imbalance_ratio"] for step in ("train", last))
        yield f"The largest class had {first:.3g} times the rows of the smallest, now it has {now:.3g} times."
    outcomes = {name: ClassOutcome(**outcome) for name, outcome in units.items()}
    yield from ResampleReport(report["method"], outcomes, unit).messages()


#: By stage, what makes sentences of its report.
STAGES = {"split": split_sentences, "filter": filter_sentences, "resample": resample_sentences}
