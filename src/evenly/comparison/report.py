"""Writes a comparison down: one self-contained page, Markdown for pull requests, tables, pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evenly.comparison.findings import Comparison, Gain, Leaderboard, Standing
from evenly.comparison.plots import write_plots
from evenly.comparison.recommendation import recommendations
from evenly.comparison.tables import (
    across_columns,
    across_rows,
    column_rows,
    comparison_json,
    comparison_markdown,
    cost_columns,
    csv_columns,
    csv_rows,
    record,
    rule_columns,
    rule_rows,
)
from evenly.comparison.techniques import ARGMAX, MEASURES
from evenly.comparison.verdicts import headline, p_phrase, verdicts, verdicts_over_data_sets
from evenly.files import atomic_folder, write_csv, write_json, write_text
from evenly.pages import figure, page_html
from evenly.wording import decimal, signed_decimal

_READING = (
    "Every technique is run over the same seeds; a seed draws a new split and a new initialisation. Gains "
    "are paired: technique minus reference, seed by seed, on the same test rows. Above 0 is better, whatever "
    "the metric.",
    "Seeds vary the training, and the rows could have been others: both are in every interval. Where seeds "
    "draw their test rows anew, the corrected resampled t-test (Nadeau & Bengio 2003) allows for rows that "
    "they share; where the test rows are given, the spread over seeds and that over resamples of the rows "
    "add up; folds are tested on resamples of all rows. p-values are then adjusted for the number of "
    "techniques (Holm 1979); intervals are not.",
    "Every technique is read out by each decision rule, and stands with the one that validation rows choose. "
    "Against no balancing under the same rule one sees what its rows or its loss do; against the best cheap "
    "rival, what to take.",
    "Cheap rivals cost nothing beyond a run without balancing: other decisions from the same scores (logits "
    "adjusted to the deployment prior, thresholds tuned on validation rows, temperature scaling), and "
    "weights or a prior in the loss. A technique that does not beat the best of them is not worth rows, "
    "tokens or time.",
    "The best rival is chosen on validation rows, tuned rules read out of fold; test rows choose nothing. "
    "Its comparison with no balancing is therefore a single, planned one, and not adjusted.",
    "Log loss and calibration error are taken at the deployment prior of params.yaml.",
    "What to take is the simplest technique within one standard error of the best on validation rows (the "
    "1-SE rule of Breiman et al. 1984): a technique that costs more has to be better by more than chance.",
)
_PICTURES = {
    "leaderboard": (
        "Scores of all techniques",
        "Dashed: no balancing. Dotted: the best cheap rival on validation rows.",
    ),
    "gains": ("Paired gains", "Filled: differs at 5% after Holm's adjustment. Grey: cannot be told from it."),
    "classes": (
        "Gains by class",
        "F1 against no balancing, mean over seeds. Size groups are made anew in each seed.",
    ),
}


def write_comparison(comparison: Comparison, folder: str | Path) -> None:
    """Write comparison.html, .md, .csv and .json, and the pictures into the folder `comparison`."""
    folder = Path(folder)
    with atomic_folder(folder / "comparison") as pictures:
        names = write_plots(comparison, pictures)
        page = page_html(_page(comparison, pictures, names))
    addresses = {title: [f"comparison/{name}" for name in files] for title, files in names.items()}
    write_text(page, folder / "comparison.html")
    write_text(comparison_markdown(comparison, addresses), folder / "comparison.md")
    write_csv(folder / "comparison.csv", csv_columns(), csv_rows(comparison))
    write_json(comparison_json(comparison), folder / "comparison.json")


def _page(comparison: Comparison, folder: Path, pictures: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Tell a comparison, section by section, as the context of `page_html`."""
    boards = comparison.leaderboards
    seeds = {board.seeds for board in boards}
    facts = [
        ("data sets", ", ".join(dict.fromkeys(board.field.dataset for board in boards))),
        ("models", ", ".join(dict.fromkeys(board.field.model for board in boards))),
        ("metric", MEASURES[comparison.metric].label),
        ("seeds", f"{min(seeds)}" if len(seeds) == 1 else f"{min(seeds)} to {max(seeds)}"),
        ("runs", str(sum(len(board.field.runs) for board in boards))),
    ]
    sections: list[dict[str, Any]] = []
    if advised := recommendations(comparison):
        sections.append({"title": "What to take, and why", "blocks": [{"remarks": advised}]})
    if comparison.across is not None:
        sections.append(_across(comparison, folder, pictures.get("", ())))
    for board in boards:
        sections += _board(board, folder, pictures.get(board.field.title, ()), len(boards) > 1)
    if comparison.failures:
        rows = [[failure.name, failure.reason] for failure in comparison.failures]
        sections.append({"title": "Failed runs", "blocks": [{"table": rows, "columns": ["Run", "Reason"]}]})
    sections.append({"title": "How to read this", "blocks": [{"remarks": _READING}]})
    return {
        "title": "Comparison of balancing techniques",
        "summary": headline(comparison),
        "facts": facts,
        "sections": sections,
    }


def _across(comparison: Comparison, folder: Path, pictures: Sequence[str]) -> dict[str, Any]:
    across = comparison.across
    assert across is not None
    blocks: list[dict[str, Any]] = [{"remarks": verdicts_over_data_sets(across)}]
    if pictures:
        blocks.append(
            {"figures": [figure(folder / name, "Critical difference", wide=True) for name in pictures]}
        )
    blocks.append(
        {
            "table": across_rows(across),
            "columns": across_columns(across),
            "caption": "Mean score on each data set; record and Wilcoxon's test are against no balancing.",
        }
    )
    return {"title": "Over data sets", "blocks": blocks}


def _board(
    board: Leaderboard, folder: Path, pictures: Sequence[str], several: bool
) -> Iterator[dict[str, Any]]:
    title = f"{board.field.title}: " if several else ""
    figures = []
    for name in pictures:
        alt, caption = next(words for kind, words in _PICTURES.items() if kind in name)
        figures.append(figure(folder / name, alt, caption, wide=True))
    sections = {
        "Verdicts": [{"remarks": verdicts(board)}],
        "Leaderboard": [_leaderboard(board), {"figures": figures}],
        "What it costs": [_costs(board)],
        "Which classes gain": _classes(board),
        "Every technique under every rule": list(_rules(board)),
    }
    if several:
        blocks = [block for blocks in sections.values() for block in blocks]
        yield {"title": board.field.title, "blocks": blocks}
        return
    for title, blocks in sections.items():
        if blocks:
            yield {"title": title, "blocks": blocks}


def _leaderboard(board: Leaderboard) -> dict[str, Any]:
    metric = MEASURES[board.metric].label
    columns = ["Technique", metric, "Validation", "Rank", "Against no balancing", "Won-tied-lost"]
    columns += ["Under the same rule", "Against the best cheap rival", "Seeds"]
    rows = [
        [
            _name(board, s),
            {
                "text": decimal(s.mean),
                "note": None if s.low == s.high else f"{decimal(s.low)}–{decimal(s.high)}",
            },
            None if s.validation is None else decimal(s.validation),
            None if s.rank is None else f"{s.rank:.1f}",
            _gain(s.against_baseline),
            record(s.against_baseline),
            None if s.rule == ARGMAX else _gain(s.against_same_rule),
            _gain(s.against_rival),
            len(s.seeds),
        ]
        for s in board.standings
    ]
    caption = (
        "Means over seeds with 95% intervals, and p-values after Holm; rank 1 is the best of a seed. Under "
        "the same rule: against no balancing read out by the rule of the technique, which shows what its "
        "rows or its loss do."
    )
    return {"table": rows, "columns": columns, "caption": caption}


def _name(board: Leaderboard, standing: Standing) -> dict[str, Any] | str:
    note = (
        "the best cheap rival" if standing.title == board.rival else "cheap rival" if standing.cheap else None
    )
    return {"text": standing.title, "note": note} if note else standing.title


def _gain(gain: Gain | None) -> dict[str, Any] | None:
    if gain is None:
        return None
    mark = ("better" if gain.mean > 0 else "worse") if gain.differs else None
    note = f"{decimal(gain.low)} to {decimal(gain.high)}, p {p_phrase(gain.holm_p)}"
    return {"text": signed_decimal(gain.mean), "note": note, "mark": mark}


def _costs(board: Leaderboard) -> dict[str, Any]:
    columns = cost_columns(board)
    caption = (
        "Means over seeds, at the deployment prior. CPU seconds are those of fitting the model, as sweeps "
        "have measured them. Tuned thresholds decide only: their probabilities are those of no balancing."
    )
    return {"table": column_rows(columns, board), "columns": list(columns), "caption": caption}


def _rules(board: Leaderboard) -> Iterator[dict[str, Any]]:
    """Show every technique under every decision rule."""
    rows = rule_rows(board)
    if len(rows) > len(board.standings):
        plain = [[cell and cell.replace("**", "") for cell in row] for row in rows]
        caption = (
            "The same models read out by each rule; * chosen on validation rows. Gains are over no balancing "
            "under the same rule."
        )
        yield {"table": plain, "columns": rule_columns(board), "caption": caption}


def _classes(board: Leaderboard) -> list[dict[str, Any]]:
    gaining = [(s.name, s.classes) for s in board.standings if s.classes is not None]
    if not gaining:
        return []
    groups = [gain.name for gain in gaining[0][1].by_size]
    rows = [
        [
            name,
            {"text": signed_decimal(classes.worst.gain), "note": f"from {decimal(classes.worst.baseline)}"},
            *(signed_decimal(gain.gain) for gain in classes.by_size),
            _extreme(classes.by_name, best=True),
            _extreme(classes.by_name, best=False),
        ]
        for name, classes in gaining
    ]
    return [
        {
            "table": rows,
            "columns": ["Technique", "Worst class", *groups, "Gains most", "Gains least"],
            "caption": "Mean gain in F1 over no balancing, both without a rule; the worst class is its.",
        }
    ]


def _extreme(gains: Sequence[Any], *, best: bool) -> str:
    chosen = max(gains, key=lambda gain: gain.gain if best else -gain.gain)
    return f"{chosen.name} {signed_decimal(chosen.gain)}"
