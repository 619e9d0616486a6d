"""What commands share: an option, what they show while they work, and how they end when interrupted."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar

import typer
from rich.console import RenderableType
from tqdm import tqdm

from evenly.errors import ParameterError

E = TypeVar("E")

SETTINGS = Annotated[
    list[str] | None,
    typer.Option("--set", "-S", metavar="KEY=VALUE", help="A setting of params.yaml for all runs."),
]


def check_metric(metric: str, choices: Collection[str]) -> None:
    """Refuse a name that is none of the choices, naming these."""
    if metric not in choices:
        raise ParameterError(f"--metric is one of {', '.join(choices)}, not {metric!r}.")


@contextmanager
def live_table(
    table: RenderableType, update: Callable[[E], None], line: Callable[[E], str]
) -> Iterator[Callable[[E], None]]:
    """Give a function that takes every event: to `update` a table on a terminal, for a `line` elsewhere."""
    if not sys.stdout.isatty():

        def print_line(event: E) -> None:
            update(event)
            if text := line(event):
                typer.echo(text)
                sys.stdout.flush()

        yield print_line
        return
    from rich.live import Live

    with Live(table, refresh_per_second=4) as live:

        def refresh(event: E) -> None:
            update(event)
            live.refresh()

        yield refresh


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
