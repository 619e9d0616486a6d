"""A comparison as tables: JSON and CSV for programs, Markdown for pull requests, and on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from evenly.comparison.findings import Across, Comparison, Gain, Leaderboard, Standing
from evenly.comparison.recommendation import free_gain, recommendation, recommendations
from evenly.comparison.techniques import ARGMAX, MEASURES, RULE_NAMES, WORST_GROUP
from evenly.comparison.verdicts import verdicts, verdicts_over_data_sets
from evenly.console import ResultsTable, output_console, points, results_table
from evenly.wording import decimal, markdown_table, signed_decimal

if TYPE_CHECKING:
    from rich.console import Console

#: Where to find the columns that a narrow terminal leaves out.
_ELSEWHERE = "the report has them all"
#: Columns of the CSV besides those of the gains.
_PLAIN = ("mean", "low", "high", "rank", "validation")
_COSTS = ("gap", "making_seconds", "fit_seconds", "added_rows", "tokens", "money", "gain_per_money")
_AGAINST = {
    "vs_none": "against_baseline",
    "vs_rival": "against_rival",
    "vs_same_rule": "against_same_rule",
    "log_loss": "log_loss",
}
_GAIN = ("mean", "low", "high", "p_value", "holm_p", "wins", "ties", "losses")


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Everything, for programs."""
    boards = [
        {
            "dataset": board.field.dataset,
            "model": board.field.model,
            "metric": board.metric,
            "design": asdict(board.design),
            "smallest_difference": board.worth,
            "best_cheap_rival": board.rival,
            "techniques": [
                {
                    **asdict(standing),
                    "scores": {str(seed): value for seed, value in standing.scores.items()},
                    "gain_per_money": standing.gain_per_money,
                }
                for standing in board.standings
            ],
            "verdicts": verdicts(board),
            "recommendation": asdict(advised) if (advised := recommendation(board)) else None,
            "free_gain": free_gain(board),
        }
        for board in comparison.leaderboards
    ]
    across = comparison.across
    return {
        "metric": comparison.metric,
        "leaderboards": boards,
        "over_data_sets": {**asdict(across), "verdicts": verdicts_over_data_sets(across)} if across else None,
        "failures": [asdict(failure) for failure in comparison.failures],
    }


def csv_columns() -> list[str]:
    """Name the columns of `csv_rows`."""
    gains = [f"{against}_{name}" for against in _AGAINST for name in _GAIN]
    head = ["dataset", "model", "metric", "technique", "rule", "cheap_rival", "seeds"]
    return [*head, *_PLAIN, *gains, *_COSTS]


def csv_rows(comparison: Comparison) -> Iterator[list[Any]]:
    """One row for each technique on each data set; empty cells where there is nothing to tell."""
    for board in comparison.leaderboards:
        for standing in board.standings:
            gains = [getattr(standing, name) for name in _AGAINST.values()]
            yield [
                *(board.field.dataset, board.field.model, board.metric, standing.name, standing.rule),
                *("yes" if standing.cheap else "", len(standing.seeds)),
                *(getattr(standing, name) for name in _PLAIN),
                *(getattr(gain, name) if gain else None for gain in gains for name in _GAIN),
                *(getattr(standing, name) for name in _COSTS),
            ]


Column = Callable[[Standing], str | None]


def leaderboard_columns(board: Leaderboard) -> dict[str, Column]:
    """The columns that people read: name to what a technique's cell says."""
    metric = MEASURES[board.metric].label
    columns: dict[str, Column] = {
        "Technique": lambda s: s.title,
        metric: lambda s: decimal(s.mean),
        "vs none": lambda s: _gain(s.against_baseline),
        "Won-tied-lost": lambda s: record(s.against_baseline),
        "vs best cheap rival": lambda s: (
            "(it is the rival)" if s.title == board.rival else _gain(s.against_rival)
        ),
        "vs none, same rule": lambda s: None if s.rule == ARGMAX else _gain(s.against_same_rule),
        "95%": lambda s: None if s.low == s.high else f"{decimal(s.low)} to {decimal(s.high)}",
        "Rank": lambda s: None if s.rank is None else f"{s.rank:.1f}",
        "Seeds": lambda s: str(len(s.seeds)),
    }
    return _telling(columns, board)


def cost_columns(board: Leaderboard) -> dict[str, Column]:
    """What techniques cost, and what else they change; columns that say nothing are left out."""
    columns: dict[str, Column] = {
        "Technique": lambda s: s.title,
        "Log loss": lambda s: _metric(s, "nll"),
        "Calibration error": lambda s: _metric(s, "calibration_error"),
        "Worst-class recall": lambda s: _metric(s, "worst_class_recall"),
        "Worst-group error": lambda s: _metric(s, WORST_GROUP),
        "Train − test F1": lambda s: None if s.gap is None else decimal(s.gap),
        "Rows, CPU s": lambda s: _seconds(s, s.making_seconds),
        "Fit, CPU s": lambda s: _seconds(s, s.fit_seconds),
        "Rows added": lambda s: None if s.is_rule else f"{s.added_rows:,.0f}",
        "Tokens": lambda s: f"{s.tokens:,.0f}" if s.tokens else None,
        "Money": lambda s: "unknown" if s.money is None else f"{s.money:.4g}" if s.money else None,
        "Gain per money": lambda s: None if s.gain_per_money is None else decimal(s.gain_per_money),
    }
    return _telling(columns, board)


def _telling(columns: Mapping[str, Column], board: Leaderboard) -> dict[str, Column]:
    """Leave out columns that say nothing of any technique."""
    return {name: cell for name, cell in columns.items() if any(cell(s) is not None for s in board.standings)}


def rule_columns(board: Leaderboard) -> list[str]:
    """Name the columns of `rule_rows`."""
    return ["Technique", "Rule", MEASURES[board.metric].label, "Validation", "vs none, same rule"]


def rule_rows(board: Leaderboard) -> list[list[str | None]]:
    """One row for each technique under each rule; the chosen one is starred."""
    return [
        [
            standing.name,
            RULE_NAMES.get(one.rule, "as it decides") + (" *" if one.rule == standing.rule else ""),
            decimal(one.mean),
            None if one.validation is None else decimal(one.validation),
            _gain(one.gain),
        ]
        for standing in board.standings
        for one in standing.readings
    ]


def _seconds(standing: Standing, seconds: float | None) -> str | None:
    return None if seconds is None or standing.is_rule else f"{seconds:.1f}"


def _metric(standing: Standing, name: str) -> str | None:
    return decimal(standing.metrics[name]) if name in standing.metrics else None


def _gain(gain: Gain | None) -> str | None:
    if gain is None:
        return None
    mark = "**" if gain.differs else ""
    return f"{mark}{signed_decimal(gain.mean)}{mark} ({decimal(gain.low)} to {decimal(gain.high)})"


def record(gain: Gain | None) -> str | None:
    """Seeds won, tied and lost: `4-0-1`."""
    return None if gain is None else f"{gain.wins}-{gain.ties}-{gain.losses}"


def column_rows(columns: Mapping[str, Column], board: Leaderboard) -> list[list[str | None]]:
    """The cells of a leaderboard, a row for each technique."""
    return [[cell(standing) for cell in columns.values()] for standing in board.standings]


def across_columns(across: Across) -> list[str]:
    """Name the columns of `across_rows`."""
    return ["Technique", "Mean rank", *across.titles, "Won-tied-lost", "Wilcoxon p", "Holm p"]


def across_rows(across: Across) -> list[list[str | None]]:
    """One row for each technique that all data sets have."""
    return [
        [
            row.name,
            f"{row.rank:.2f}",
            *(decimal(mean) for mean in row.means),
            None if row.wilcoxon_p is None else f"{row.wins}-{row.ties}-{row.losses}",
            *(None if p is None else decimal(p) for p in (row.wilcoxon_p, row.holm_p)),
        ]
        for row in across.rows
    ]


def comparison_markdown(comparison: Comparison, pictures: Mapping[str, Sequence[str]]) -> str:
    """Write a comparison for a pull request.

    `pictures` are the addresses of each leaderboard's pictures, relative to the file, by its title; "" has
    those of all.
    """

    def bullets(sentences: Sequence[str]) -> str:
        return "\n".join(f"- {sentence}" for sentence in sentences)

    parts = ["# Comparison of balancing techniques"]
    if advised := recommendations(comparison):
        parts += ["## What to take", "\n\n".join(advised)]
    for board in comparison.leaderboards:
        parts += [f"## {board.field.title}", bullets(verdicts(board))]
        parts += [f"![{board.field.title}]({address})" for address in pictures.get(board.field.title, ())]
        for columns in (leaderboard_columns(board), cost_columns(board)):
            parts.append(markdown_table(list(columns), column_rows(columns, board)))
    across = comparison.across
    if across is not None:
        parts += ["## Over data sets", bullets(verdicts_over_data_sets(across))]
        parts += [f"![critical difference]({address})" for address in pictures.get("", ())]
        parts.append(markdown_table(across_columns(across), across_rows(across)))
    if comparison.failures:
        rows = [[failure.name, failure.reason] for failure in comparison.failures]
        parts += ["## Failed runs", markdown_table(["Run", "Reason"], rows)]
    parts.append(
        "Bold: differs at 5% after Holm's adjustment. Every technique is read out by the decision rule that "
        "validation rows choose; `none` stands as it decides and under each rule. The rival is chosen on "
        "validation rows as well, so that its own comparison with no balancing is a single, planned one."
    )
    return "\n\n".join(parts) + "\n"


def print_comparison(comparison: Comparison, console: Console | None = None, *, rules: bool = False) -> None:
    """Print what to take, then the leaderboards and what they say; all `rules` of each technique if asked."""
    from rich.markup import escape

    console = console or output_console()
    for sentence in recommendations(comparison):
        console.print(f"\n{escape(sentence)}", style="bold")
    for board in comparison.leaderboards:
        console.print()
        console.print(_leaderboard(board))
        if rules:
            technique, rule, *numbers = rule_columns(board)
            table = ResultsTable("Every rule (* chosen on validation rows)", _ELSEWHERE)
            table.add_names(technique, rule)
            table.add_numbers(*numbers)
            for row in rule_rows(board):
                table.add_row(*(_bold(escape(cell or "")) for cell in row))
            console.print(table)
        console.print(points(verdicts(board)))
    across = comparison.across
    if across is not None:
        technique, *numbers = map(escape, across_columns(across))
        table = results_table("Over data sets", technique, *numbers)
        for row in across_rows(across):
            table.add_row(*(escape(cell or "") for cell in row))
        console.print()
        console.print(table)
        console.print(points(verdicts_over_data_sets(across)))
    for failure in comparison.failures:
        console.print(f"[red]failed[/red] {escape(failure.name)}: {escape(failure.reason)}")
    console.print()


def _leaderboard(board: Leaderboard) -> ResultsTable:
    from rich.markup import escape

    columns = leaderboard_columns(board)
    technique, *numbers = columns
    table = ResultsTable(escape(board.field.title), _ELSEWHERE)
    table.add_names(technique)
    table.add_numbers(*numbers)
    for row in column_rows(columns, board):
        table.add_row(*(_bold(escape(cell or "")) for cell in row))
    return table


def _bold(cell: str) -> str:
    """Markdown's bold as that of rich."""
    first, *rest = cell.split("**")
    return first if len(rest) != 2 else f"{first}[bold]{rest[0]}[/bold]{rest[1]}"
