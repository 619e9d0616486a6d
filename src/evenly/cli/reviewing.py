"""The command for code reviews: what a branch changes, as a report that a pull request can show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def diff(
    base: Annotated[str, typer.Argument(metavar="BASE", help="Branch, tag, commit or experiment.")] = "main",
    revision: Annotated[
        str, typer.Argument(metavar="REV", help="The same, or workspace: what lies here now.")
    ] = "workspace",
    output: Annotated[Path, typer.Option(help="The Markdown file; its pictures go beside it.")] = Path(
        "reports/diff.md"
    ),
) -> None:
    """Say what changes between two revisions: settings, scores with paired intervals, classes, plots."""
    from evenly.comparison.changes import find_changes
    from evenly.comparison.changes_report import verdicts, write_changes
    from evenly.experiments.history import find_revisions

    changes = find_changes(*find_revisions(Path(), [base, revision]))
    write_changes(changes, output)
    for sentence in verdicts(changes):
        typer.echo(f"- {sentence}")
    typer.echo(f"Report   {output}")
