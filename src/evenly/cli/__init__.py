"""The command line, `evenly COMMAND`: its table of contents; the commands are in the modules of this package.

Commands read arguments, call the library and print. A command's module, with all that it imports, is imported
when the command is called: importing this package, and `evenly --help`, are cheap.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from evenly import __version__
from evenly.errors import EvenlyError
from evenly.wording import near_names, nearest_names

#: Commands in the order of use, under the headings of `evenly --help`.
SECTIONS = {
    "Start": ("init", "doctor", "datasets", "fetch", "add", "import-rows"),
    "Try techniques": ("advise", "sweep", "tune", "curve", "llm"),
    "See what came out": ("summary", "compare", "diff", "board", "review"),
    "Use it": ("predict", "export", "track"),
}
#: Command, where in this package it is, and what it does.
COMMANDS = {
    "init": ("doctor.init", "Lay the pipeline's files into a repository of your own, or upgrade them."),
    "datasets": ("data.datasets", "List the data sets of datasets.yaml: those that are here first."),
    "fetch": ("data.fetch", "Download a data set of the catalogue into data/raw, and put it under DVC."),
    "add": ("data.add", "Copy your own data into data/raw, under DVC, with an entry in datasets.yaml."),
    "import-rows": (
        "data.import_rows",
        "Keep rows that were made elsewhere in data/imported, under DVC.",
    ),
    "predict": ("model.predict", "Predict the classes of new rows, as csv."),
    "summary": ("model.summary", "Show the metrics and the decision rules of the last run."),
    "sweep": ("comparing.sweep", "Run techniques over seeds as DVC experiments, and compare them."),
    "compare": ("comparing.compare", "Compare runs: intervals, ranks, paired tests, costs."),
    "board": ("comparing.board", "Show runs, reports and the progress of a sweep in a browser."),
    "tune": ("tuning.tune", "Search for better settings of a recipe on validation rows."),
    "track": ("export.track", "Send a finished run to MLflow or Weights & Biases."),
    "doctor": ("doctor.doctor", "Examine the installation and the project, with a fix for each finding."),
    "diff": ("comparing.diff", "Say what changes between two revisions."),
    "advise": ("advising.advise", "Say which three techniques to try first, what they cost and why."),
    "curve": ("advising.curve", "Train on the training rows and ever more synthetic ones."),
    "llm": ("llm.app", "Language models: what a plan would cost, and the journal of answers."),
    "review": ("review.app", "People's verdicts on generated samples."),
    "export": ("export.app", "Hand over what a run has made: its experiment folder, or its training rows."),
}


class CommandGroup(TyperGroup):
    """Commands of which a mistyped one, or a mistyped option, is answered with the one that is near."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that is called."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if hasattr(error, "possibilities"):  # of click, whose class is where typer keeps it
                params = getattr(getattr(error, "ctx", None), "command", ctx.command).params
                known = [name[2:] for one in params for name in one.opts if name.startswith("--")]
                near = near_names(str(getattr(error, "option_name", "")).lstrip("-"), known)
                error.possibilities = [f"--{name}" for name in near]
            raise

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that is called."""
        name = args[0]
        if name not in self.commands and not name.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"There is no command {name!r}; {nearest_names(name, self.commands)}")
        return super().resolve_command(ctx, args)


class _Commands(CommandGroup):
    """The commands, listed from the tables above, each imported when it is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {
            name: TyperCommand(name, help=COMMANDS[name][1], rich_help_panel=section)
            for section, names in SECTIONS.items()
            for name in names
            if name in COMMANDS
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the command that is called."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, imported_command(name) if name else command, rest


def imported_command(name: str) -> Any:
    """Give a command as click runs it."""
    module, _, attribute = COMMANDS[name][0].partition(".")
    home = import_module(f"evenly.cli.{module}")
    found = getattr(home, attribute)
    if isinstance(found, typer.Typer):
        return typer.main.get_group(found)
    alone = typer.Typer(add_completion=False)
    alone.command(name, epilog=getattr(home, "EPILOGS", {}).get(name))(found)
    return typer.main.get_command(alone)


app = typer.Typer(
    name="evenly",
    cls=_Commands,
    help="Which class-balancing technique helps on your data, by how much, and at what price.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"evenly {__version__}")
        raise typer.Exit


@app.callback()
def _evenly(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Take the options of `evenly` itself."""


def main() -> None:
    """Run the command line. An error that the user can mend is one sentence on stderr and exit status 1."""
    try:
        app()
    except EvenlyError as error:
        typer.echo(f"evenly: {error}", err=True)
        sys.exit(1)
