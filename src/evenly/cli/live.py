"""How commands show what is happening: one live table on a terminal, a line for each event elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

E = TypeVar("E")


@contextmanager
def shown_live(
    table: RenderableType, update: Callable[[E], None], line: Callable[[E], str]
) -> Iterator[Callable[[E], None]]:
    """Give a function that is told of every event.

    Parameters
    ----------
    table
        What a terminal shows, drawn anew after each event.
    update
        Brings the table up to date with an event.
    line
        What is printed of an event where there is no terminal; nothing where it is empty.
    """
    if not sys.stdout.isatty():

        def say(event: E) -> None:
            update(event)
            if text := line(event):
                typer.echo(text)
                sys.stdout.flush()

        yield say
        return
    from rich.live import Live

    with Live(table, refresh_per_second=4) as live:

        def show(event: E) -> None:
            update(event)
            live.refresh()

        yield show
