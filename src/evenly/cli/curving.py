"""The command that draws curves over synthetic volume."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from evenly.curves.grid import Progress


def curve(
    against: Annotated[
        str, typer.Option(help="Also rows of these: duplication, smote, fair_duplication.")
    ] = "duplication,smote,fair_duplication",
    models: Annotated[
        str | None,
        typer.Option(
            help="logistic_regression, random_forest, hist_gradient_boosting, catboost. Default: all but the "
            "third, catboost where it is installed."
        ),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="Synthetic rows of the last step. Default: those of the run, or a balance."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps after the one without synthetic rows.")] = 4,
    seeds: Annotated[
        str, typer.Option(help="Such as 1..5: other synthetic rows, other classifier seed.")
    ] = "1..5",
    metric: Annotated[
        str, typer.Option(help="balanced_error, macro_f1, worst_class_error, worst_group_error.")
    ] = "balanced_error",
    rev: Annotated[
        str, typer.Option(help="Experiment, branch or commit whose split and kept rows are taken.")
    ] = "workspace",
    brief: Annotated[bool, typer.Option("--brief", help="Print means only.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Fits at once; -1: one on each core.")] = -1,
    output: Annotated[Path, typer.Option(help="Folder for the tables and the picture; replaced.")] = Path(
        "reports/curve"
    ),
) -> None:
    """Train on the training rows and ever more synthetic ones: those of the run against copies and SMOTE.

    The split stays; seeds vary which synthetic rows are drawn and the classifier. Scores are of test rows
    and choose nothing. Every classifier is also fitted regularised: copies of scarce rows often need no more.
    """
    from typing import get_args

    from evenly.curves.grid import draw_curves
    from evenly.curves.material import read_material
    from evenly.curves.outputs import write_curves
    from evenly.curves.settings import CurveModel, CurveSettings, MetricName, SourceName, named_choices
    from evenly.curves.terminal import print_curves
    from evenly.errors import ParameterError
    from evenly.experiments.groups import read_seeds
    from evenly.experiments.history import find_revisions

    if metric not in get_args(MetricName):
        raise ParameterError(f"--metric is one of {', '.join(get_args(MetricName))}, not {metric!r}.")
    sources = [name for name in named_choices(against, SourceName, "--against") if name != "run"]
    chosen = named_choices(models or _default_models(), CurveModel, "--models")
    revision = find_revisions(Path(), [rev])[0]
    pool, material = read_material(revision, Path(".cache/vectors"))
    if len(pool.made):
        sources.insert(0, "run")
    if not sources or not chosen:
        raise ParameterError(
            "There is nothing to draw: name sources with --against and classifiers with --models."
        )
    settings = CurveSettings(
        sources=tuple(sources),
        models=chosen,
        steps=steps,
        most=rows,
        seeds=tuple(read_seeds(seeds)),
        metric=metric,  # type: ignore[arg-type]  # checked above
    )
    with _progress() as progress:
        curves = draw_curves(pool, material, settings, jobs, progress)
    heading = (
        f"{rev}: {len(pool.rows):,} training and {len(material.test):,} test rows, one split. Seeds "
        f"({seeds}) vary which synthetic rows are drawn and the classifier's randomness, not the split."
    )
    write_curves(curves, output, heading)
    print_curves(curves, heading, brief)
    typer.echo(
        f"Picture {output / 'curve.png'}\nTables  {output / 'table.csv'}, curve.csv, means.csv, curve.md"
    )


def _default_models() -> str:
    from importlib.util import find_spec

    return "logistic_regression,random_forest" + (",catboost" if find_spec("catboost") else "")


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """A progress bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("fits", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
