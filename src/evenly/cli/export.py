"""Commands that hand the balanced training rows to other tools."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Hand the balanced training rows to other tools.")

BALANCED = "data/balanced/train.parquet"


class Form(StrEnum):
    """What a line looks like."""

    plain = "plain"
    chat = "chat"


@app.callback()
def export() -> None:
    """Hand the balanced training rows to other tools."""


@app.command()
def jsonl(
    output: Annotated[Path, typer.Option(help="The file to write.")] = Path("data/balanced/train.jsonl"),
    form: Annotated[
        Form,
        typer.Option(
            "--format", help="plain: text or columns, label, origin, id. chat: messages for fine-tuning."
        ),
    ] = Form.plain,
    system: Annotated[str, typer.Option(help="With chat: what the system says first.")] = "",
) -> None:
    """Write the balanced training rows as JSON Lines: texts or tables, one row a line."""
    from evenly.errors import ParameterError
    from evenly.jsonl import write_jsonl
    from evenly.samples import read_samples

    if system and form is not Form.chat:
        raise ParameterError("--system belongs to --format chat; add that, or leave it out.")
    written = write_jsonl(read_samples(BALANCED), output, form.value, system)
    typer.echo(f"{written.rows:,} rows written to {output}.")
    if written.left_out:
        kinds = ", ".join(f"{origin} {n:,}" for origin, n in sorted(written.left_out.items()))
        typer.echo(f"{sum(written.left_out.values()):,} rows are vectors without a text, left out: {kinds}.")
