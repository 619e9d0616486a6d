"""The command that examines an installation."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.panel import Panel
from rich.text import Text

from evenly.console import listing, output_console
from evenly.doctor import Finding, worst
from evenly.doctor.examine import examine

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "broken": ("✗", "red")}


def doctor(
    llm: Annotated[
        bool, typer.Option("--llm", help="Look at the language model's endpoint, whatever the recipe.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Examine the installation and the project, with a fix for each finding. Changes nothing.

    ✓ works, ! may surprise, ✗ is broken; exit status 1 when something is broken.
    """
    found = examine(Path(), os.environ, llm=llm)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in found], indent=2, ensure_ascii=False))
    elif sys.stdout.isatty():
        _panel(found)
    else:
        width = max(len(finding.area) for finding in found)
        for finding in found:
            fix = f" – {finding.fix}" if finding.fix else ""
            typer.echo(f"{_MARKS[finding.status][0]} {finding.area:<{width}}  {finding.says}{fix}")
        typer.echo(_verdict(found))
    if worst(found) == "broken":
        raise typer.Exit(1)


def _panel(found: list[Finding]) -> None:
    """One framed list, the fix of each finding behind it."""
    rows = []
    for finding in found:
        mark, colour = _MARKS[finding.status]
        says = Text(finding.says)
        if finding.fix:
            says.append(f" – {finding.fix}", style="dim" if finding.status == "ok" else colour)
        rows.append((Text(mark, style=colour), Text(f"{finding.area} "), says))
    frame = Panel(
        listing(rows, first_style="bold"),
        title="evenly doctor",
        subtitle=_verdict(found),
        border_style=_MARKS[worst(found)][1],
        padding=(1, 2),
    )
    output_console().print(frame)


def _verdict(found: list[Finding]) -> str:
    counts = {status: sum(finding.status == status for finding in found) for status in _MARKS}
    if not counts["broken"] and not counts["warning"]:
        return "Everything works."
    parts = [f"{counts['broken']} broken"] if counts["broken"] else ["nothing broken"]
    if counts["warning"]:
        parts.append(f"{counts['warning']} to know of")
    return f"{', '.join(parts)}.".capitalize()
