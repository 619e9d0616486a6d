"""Commands that hand over what a run has made: a folder for people, rows for tools, the run to trackers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from evenly.cli.terminal import RUN, output_file
from evenly.errors import ParameterError
from evenly.handover.folder import export_run
from evenly.handover.tracking import track_run
from evenly.payloads import write_jsonl
from evenly.samples import read_samples

BALANCED = "data/balanced/train.parquet"


class _RunByDefault(TyperGroup):
    """A group in which a first word that is no command is the run of the command `run`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Put the default command's name where the user left it out."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["run", *args])


app = typer.Typer(
    cls=_RunByDefault,
    no_args_is_help=True,
    subcommand_metavar="RUN DIR | COMMAND [ARGS]...",
    help="Hand over what a run has made: its experiment folder, or its training rows for other tools.\n\n"
    "`evenly export RUN DIR` is short for `evenly export run RUN DIR`.",
)


@app.callback()
def export() -> None:
    """Take no options of its own."""


@app.command()
def run(
    name: Annotated[str, RUN],
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder that does not exist yet, or is empty.")
    ],
) -> None:
    """Write the experiment folder of a run: model, model card, tables, pictures, settings, code revision.

    Everything comes from what the run has stored; nothing is run or checked out. Of the data the folder
    holds ids and labels of test rows, and what the model has kept.
    """
    stored = export_run(Path(), name, folder)
    test = stored.run.scores["test"]
    typer.echo(
        f"{folder}: {stored.run.dataset} · {stored.run.recipe}, macro F1 {test['macro_f1']:.3f} (95% "
        f"{test['macro_f1_low']:.3f} to {test['macro_f1_high']:.3f}), seed {stored.run.seed}."
    )
    typer.echo(
        f"Model card {folder / 'README.md'}\nModel      {folder / 'model'} (`evenly predict` loads it)"
    )
    if stored.holds_rows:
        typer.echo(f"{folder / 'model'} holds training rows: whoever gets the model gets them.")


@app.command()
def jsonl(
    output: Annotated[
        Path,
        typer.Option(callback=output_file, help="The file to write."),
    ] = Path("data/balanced/train.jsonl"),
    form: Annotated[
        Literal["plain", "chat"],
        typer.Option(
            "--format", help="plain: text or columns, label, origin, id. chat: messages for fine-tuning."
        ),
    ] = "plain",
    system: Annotated[str, typer.Option(help="With chat: what the system says first.")] = "",
) -> None:
    """Write the balanced training rows as JSON Lines: texts or tables, one row a line."""
    if system and form != "chat":
        raise ParameterError("--system belongs to --format chat; add that, or leave it out.")
    written = write_jsonl(read_samples(BALANCED), output, form, system)
    typer.echo(f"{written.rows:,} rows written to {output}.")
    if written.left_out:
        kinds = ", ".join(f"{origin} {n:,}" for origin, n in sorted(written.left_out.items()))
        typer.echo(f"{sum(written.left_out.values()):,} rows are vectors without a text, left out: {kinds}.")


def track(
    name: Annotated[str, RUN],
    to: Annotated[Literal["mlflow", "wandb"], typer.Option(help="Each needs the extra of its name.")],
    project: Annotated[
        str, typer.Option(help="The experiment of MLflow, the project of Weights & Biases.")
    ] = "evenly",
    uri: Annotated[
        str | None,
        typer.Option(
            envvar="MLFLOW_TRACKING_URI",
            help="With mlflow: its server or database; without one, a database in .cache/trackers/.",
        ),
    ] = None,
) -> None:
    """Send a finished run to MLflow or Weights & Biases: settings, metrics, curves, experiment folder.

    Also a run that DVC took from its cache. A run that MLflow has already is not sent twice. Weights & Biases
    takes its own settings from the environment (WANDB_MODE=offline, WANDB_BASE_URL).
    """
    typer.echo(f"{track_run(Path(), name, to, project, uri)}.")
