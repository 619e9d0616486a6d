"""The command line, `evenly COMMAND`: its table of contents; the commands are in the modules of this package.

Commands read arguments, call the library and print. Importing this package is cheap: what a command needs, it
imports when it runs.
"""

from __future__ import annotations

import sys

import typer

from evenly.cli import advising, comparing, data, doctor, export, llm, model, review, tuning
from evenly.errors import EvenlyError

app = typer.Typer(
    name="evenly",
    help="Which class-balancing technique helps on your data, by how much, and at what price.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("datasets")(data.datasets)
app.command("fetch")(data.fetch)
app.command("add")(data.add)
app.command("predict")(model.predict)
app.command("summary")(model.summary)
app.command("sweep")(comparing.sweep)
app.command("compare")(comparing.compare)
app.command("tune")(tuning.tune)
app.command("track")(export.track)
app.command("doctor")(doctor.doctor)
app.command("diff")(comparing.diff)
app.command("advise")(advising.advise)
app.command("curve")(advising.curve)
app.add_typer(llm.app, name="llm")
app.add_typer(review.app, name="review")
app.add_typer(export.app, name="export")


def main() -> None:
    """Run the command line. An error that the user can mend is one sentence on stderr and exit status 1."""
    try:
        app()
    except EvenlyError as error:
        typer.echo(f"evenly: {error}", err=True)
        sys.exit(1)
