"""What commands share: an option, what they show while they work, and how they end when interrupted."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Protocol, TypeVar

import typer
from rich.live import Live
from tqdm import tqdm

from evenly.console import ResultsTable, output_console
from evenly.errors import EvenlyError, ParameterError
from evenly.experiments.groups import group_names
from evenly.params.base import read_yaml
from evenly.params.datasets import DATASETS_FILE
from evenly.params.project import PARAMS_FILE

E = TypeVar("E")
E_in = TypeVar("E_in", contravariant=True)

SETTINGS = Annotated[
    list[str] | None,
    typer.Option("--set", "-S", metavar="KEY=VALUE", help="A setting of params.yaml for all runs."),
]

RUN = typer.Argument(metavar="RUN", help="An experiment, branch, tag or commit, or workspace.")
#: How a file of rows is read.
DELIMITER = Annotated[str | None, typer.Option(help="Between fields, where it is unusual.")]
DECIMAL = Annotated[str | None, typer.Option(help="Sign before the decimals: a point or a comma.")]
THOUSANDS = Annotated[
    str | None, typer.Option(help="Sign between thousands: comma, point, space, apostrophe or _.")
]
MISSING = Annotated[
    list[str] | None, typer.Option(help="What stands for a missing value, such as ?; may be repeated.")
]


def dataset_names(incomplete: str) -> list[str]:
    """Complete an entry of datasets.yaml."""
    return _keys_of(DATASETS_FILE, incomplete)


def recipe_names(incomplete: str) -> list[str]:
    """Complete a recipe of params.yaml."""
    return _keys_of(PARAMS_FILE, incomplete, "recipes")


def technique_names(incomplete: str) -> list[str]:
    """Complete a group of recipes, or a recipe."""
    return [name for name in group_names() if name.startswith(incomplete)] + recipe_names(incomplete)


def _keys_of(file: str, incomplete: str, section: str | None = None) -> list[str]:
    """Keys of a YAML file, or of a section of it; none where it cannot be read, since nothing can be said."""
    try:
        values = read_yaml(file)
    except EvenlyError:
        return []
    found = values.get(section) if section else values
    return [key for key in found if str(key).startswith(incomplete)] if isinstance(found, dict) else []


def output_file(context: typer.Context, param: typer.CallbackParam, value: Path) -> Path:
    """Refuse an --output whose folder does not exist, or that is a folder, before any work."""
    _check_parent(context, param, value)
    if value.is_dir():
        raise ParameterError(f"The output {value} is a folder; name another file with --output.")
    return value


def output_folder(context: typer.Context, param: typer.CallbackParam, value: Path) -> Path:
    """Refuse an --output whose parent folder does not exist, or that is a file, before any work."""
    _check_parent(context, param, value)
    if value.exists() and not value.is_dir():
        raise ParameterError(f"The output {value} is a file; name a folder with --output.")
    return value


def _check_parent(context: typer.Context, param: typer.CallbackParam, value: Path) -> None:
    source = context.get_parameter_source(param.name or "")
    if source is not None and source.name == "COMMANDLINE" and not value.parent.is_dir():
        why = "is no folder" if value.parent.exists() else "does not exist"
        raise ParameterError(
            f"--output {value}: {value.parent} {why}; make the folder, or name another with --output."
        )


def check_metric(metric: str, choices: Collection[str]) -> None:
    """Refuse a name that is none of the choices, naming these."""
    if metric not in choices:
        raise ParameterError(f"--metric is one of {', '.join(choices)}, not {metric!r}.")


class EventTable(Protocol[E_in]):
    """What a command shows of its events: a table that rich draws, and where there is no terminal, lines."""

    def __rich__(self) -> ResultsTable: ...

    def update(self, event: E_in, /) -> None:
        """Take in what has happened."""

    def line(self, event: E_in, /) -> str:
        """What a log says of it; nothing where it is empty."""
        ...


@contextmanager
def live_table(table: EventTable[E]) -> Iterator[Callable[[E], None]]:
    """Give a function that takes every event, for the table on a terminal and for a line elsewhere."""
    live = Live(table, console=output_console(), refresh_per_second=4) if sys.stdout.isatty() else None

    def watch(event: E) -> None:
        table.update(event)
        if live:
            live.refresh()
        elif text := table.line(event):
            typer.echo(text)
            sys.stdout.flush()

    with live or nullcontext():
        yield watch


@contextmanager
def progress_bar(unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """Give a function that takes how much is done, of how much: a bar on a terminal, nothing elsewhere."""
    with tqdm(unit=unit, unit_scale=unit == "B", leave=False, disable=not sys.stderr.isatty()) as bar:

        def advance(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance


@contextmanager
def resumable() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does, its runs in progress too, and say that it can go on."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("Interrupted; the same command goes on where this one was.", err=True)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
