"""The commands that begin a project, and examine one with its installation."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.panel import Panel
from rich.text import Text

from evenly import __version__
from evenly.console import listing, output_console
from evenly.doctor import Finding, worst
from evenly.doctor.project import examine
from evenly.errors import EvenlyError
from evenly.experiments.runs import flattened
from evenly.laying import LAID, Laid, changed_lines, lay, upgrade
from evenly.params.base import read_yaml
from evenly.wording import counted, first_names

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "broken": ("✗", "red")}


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The root of a repository; one is made where none is.")
    ] = Path(),
    upgrading: Annotated[
        bool, typer.Option("--upgrade", help="Bring the laid files to the installed version.")
    ] = False,
) -> None:
    """Lay the pipeline's files into a repository of your own: dvc.yaml, settings, stages, prompts.

    Nothing that is there is replaced. --upgrade replaces files that nobody has changed, lays the new ones
    beside the others as `.new`, and says what changed.
    """
    if upgrading:
        _print_upgrade(upgrade(folder), folder)
        return
    laid = lay(folder)
    where = f"{folder.resolve()}{', a new Git repository' if laid.made_repository else ''}"
    typer.echo(f"evenly {__version__}: {counted(len(laid.new), 'file')} laid into {where}.")
    for name in laid.added_to:
        typer.echo(f"{name} was there: what evenly needs was added to it.")
    names = sorted({name.partition("/")[0] for name in [*laid.new, *laid.added_to, LAID]})
    typer.echo("Next:")
    if folder.resolve() != Path.cwd():
        typer.echo(f"  cd {shlex.quote(str(folder))}")
    typer.echo(f"  git add {' '.join(names)} && git commit -m 'Begin with evenly'")
    typer.echo("  dvc repro && evenly summary                          # handwritten digits, a minute or two")
    typer.echo("  evenly add NAME FILE --label COLUMN                  # your own data; evenly add --help")
    typer.echo("  evenly advise --dataset NAME")
    typer.echo("  evenly sweep classical rivals --dataset NAME")


def _print_upgrade(laid: Laid, folder: Path) -> None:
    for name in laid.new:
        typer.echo(f"{name}: new")
    for name, lines in laid.replaced.items():
        typer.echo(f"{name}: replaced ({changed_lines(*lines)})")
    for name in laid.removed:
        typer.echo(f"{name}: removed, this version has no such file")
    for name, lines in laid.beside.items():
        typer.echo(
            f"{name}: changed by you, left as it is; {name}.new differs from it ({changed_lines(*lines)})"
        )
        for says, keys in _keys(folder / name) if name.endswith(".yaml") else ():
            typer.echo(f"  {says}: {first_names(keys, 12)}")
    if laid.stages:
        typer.echo(f"Code has changed of {', '.join(laid.stages)}: `dvc repro` runs them again.")
    if not (laid.new or laid.replaced or laid.removed or laid.beside or laid.stages):
        typer.echo(f"Everything is as evenly {__version__} lays it, but for what you have changed.")
        return
    typer.echo(f"From evenly {laid.before} to {__version__}.")
    if laid.beside:
        typer.echo("Next: merge each .new into its file and delete it (`git diff --no-index FILE FILE.new`),")
    typer.echo(f"{'then' if laid.beside else 'Next:'} look at `git diff`, and commit.")


def _keys(path: Path) -> list[tuple[str, list[str]]]:
    """Keys that only one of a settings file and the new one beside it has."""
    try:
        here, new = (list(flattened(read_yaml(f"{path}{ending}"))) for ending in ("", ".new"))
    except EvenlyError:
        return []
    both = [("only in the new file", new, here), ("only in yours", here, new)]
    return [(says, keys) for says, one, other in both if (keys := [key for key in one if key not in other])]


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
