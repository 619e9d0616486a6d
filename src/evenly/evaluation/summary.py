"""The result of a run on a terminal: read back from metrics/evaluate.json, without model or data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenly.console import ResultsTable, output_console, results_table
from evenly.errors import DataError
from evenly.evaluation.decisions import RULES
from evenly.evaluation.groups import group_sentence
from evenly.evaluation.metrics import HEADLINE, SHORT
from evenly.evaluation.remarks import operating_sentence
from evenly.files import json_mapping, reading

if TYPE_CHECKING:
    from rich.console import Console


def print_summary(metrics_path: str | Path, console: Console | None = None) -> None:
    """Print the metrics table, the decision-rule table, and where plots and report are.

    A `DataError` where there is no `metrics/evaluate.json`.
    """
    from rich.markup import escape

    path = Path(metrics_path)
    if not path.exists():
        raise DataError(f"{path} does not exist; run `dvc repro` first.")
    console = console or output_console()
    with reading(path):
        parts = list(_parts(json_mapping(path.read_bytes(), str(path))))
    for part in parts:
        console.print(part)
    root = path.parent.parent
    console.print(f"Report   {escape(str(root / 'reports' / 'report.html'))}", soft_wrap=True)
    console.print(f"Plots    {escape(str(root / 'plots' / 'evaluate'))}", soft_wrap=True)
    console.print("Compare  dvc exp run -S balancing=smote, then dvc metrics diff", soft_wrap=True)


def _parts(found: Mapping[str, Any]) -> Iterator[ResultsTable | str]:
    """What is printed, one after the other; all of it is made before anything is."""
    from rich.markup import escape

    test = found["test"]
    rare = f"; rare: class {escape(str(test['rare_class']))}" if "rare_class" in test else ""
    yield ""
    yield _metrics_table(found)
    yield (
        f"[dim]{test['rows']} test rows, {test['classes']} classes; found least: class "
        f"{escape(str(test['worst_class']))}{rare}. Intervals are over test rows, not over seeds.[/dim]\n"
    )
    for point, values in found.get("operating_points", {}).items():
        of, wanted = point.split("_", 1)
        sentence = operating_sentence(f"class {test['rare_class']}", of, float(wanted), values)
        yield escape(sentence) + "\n"
    yield _rules_table(found["decision_rules"])
    yield (
        "[dim]The same scores, decided otherwise; no rule has seen test rows. Bold: the interval of the gain "
        "excludes zero.[/dim]\n"
    )
    if "groups" in found:
        yield escape(group_sentence(found["groups"])) + "\n"
    if "difference" in found:
        gain, interval = _gain(found["difference"])
        yield f"Second round of training: macro F1 {gain} against the first, 95% {interval}.\n"


def _metrics_table(found: Mapping[str, Any]) -> ResultsTable:
    table = results_table("Metrics", "Metric", "Test", "95% interval", "Validation", "Train, real rows")
    test = found["test"]
    for name in SHORT:
        if name in test:
            others = (found[split].get(name) for split in ("validation", "train"))
            table.add_row(
                HEADLINE[name].label,
                f"{test[name]:.3f}",
                f"{test[name + '_low']:.3f} – {test[name + '_high']:.3f}",
                *("–" if other is None else f"{other:.3f}" for other in others),
            )
    return table


def _rules_table(rules: Mapping[str, Mapping[str, Any]]) -> ResultsTable:
    table = results_table("Decision rules", "Rule", "Macro F1", "Gain", "95% interval", "Log loss")
    # JSON has sorted the keys; the table has the order of the rules, what the model says by itself first.
    for name, label in RULES.items():
        if name in rules:
            rule = rules[name]
            table.add_row(
                label,
                f"{rule['macro_f1']:.3f}",
                *(_gain(rule["gain"]) if "gain" in rule else ("–", "")),
                f"{rule['nll']:.3f}",
            )
    return table


def _gain(gains: Mapping[str, float]) -> tuple[str, str]:
    """Write the gain in macro F1 and its interval, bold where that excludes zero."""
    value, low, high = (gains[f"macro_f1{end}"] for end in ("", "_low", "_high"))
    texts = f"{value:+.3f}", f"{low:+.3f} to {high:+.3f}"
    return (f"[bold]{texts[0]}[/bold]", f"[bold]{texts[1]}[/bold]") if low > 0 or high < 0 else texts
