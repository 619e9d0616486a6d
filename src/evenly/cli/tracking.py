"""The command that sends a finished run to a tracker."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class To(StrEnum):
    """Trackers, by the extra that brings them."""

    mlflow = "mlflow"
    wandb = "wandb"


def track(
    name: Annotated[
        str, typer.Argument(metavar="RUN", help="An experiment, branch, tag or commit, or workspace.")
    ],
    to: Annotated[To, typer.Option(help="Each needs the extra of its name.")],
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
    from evenly.handover.tracking import track_run

    typer.echo(f"{track_run(Path(), name, to.value, project, uri)}.")
