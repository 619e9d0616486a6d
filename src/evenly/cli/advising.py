"""Commands that advise: which techniques to try first or to take, and what more synthetic rows are worth."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, get_args

import typer

from evenly.advice.advise import advise as advise_on
from evenly.advice.advise import print_advice
from evenly.advice.costs import run_cost
from evenly.advice.shape import data_shape
from evenly.cli.comparing import METRIC
from evenly.cli.terminal import check_metric, dataset_names, output_folder, progress_bar
from evenly.comparison.findings import Leaderboard
from evenly.comparison.leaderboards import compare
from evenly.comparison.recommendation import recommendation
from evenly.comparison.techniques import MEASURES
from evenly.curves.grid import draw_curves, read_material, read_resplit
from evenly.curves.outputs import print_curves, write_curves
from evenly.curves.sources import CurveModel, CurveSettings, MetricName, SourceName, named_choices
from evenly.datasets.load import load_splits
from evenly.errors import ParameterError, RecipeError
from evenly.experiments.experiments import Experiment, Workshop, read_technique
from evenly.experiments.groups import read_seeds
from evenly.experiments.history import find_revisions
from evenly.experiments.runs import finished_runs
from evenly.llm.engine.endpoint import journal_folder, keys_from
from evenly.params.datasets import read_entry
from evenly.params.generation import require_endpoint
from evenly.params.models import MODELS
from evenly.params.project import read_params


def advise(
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Entry of datasets.yaml; left out, that of params.yaml.", autocompletion=dataset_names
        ),
    ] = None,
    metric: Annotated[str, METRIC] = "macro_f1",
) -> None:
    """Say which three techniques to try first, what they cost and why; after runs, also what to take.

    Looks at class sizes, kind and width of the data, the model, and finished experiments. Runs nothing.
    """
    check_metric(metric, MEASURES)
    root, keys, params = Path(), keys_from(os.environ), read_params()
    name = dataset or params.dataset
    entry = read_entry(name)
    splits = load_splits(entry, name, params.seed, [root])
    shape = data_shape(splits.train, splits.validation, params)
    workshop = Workshop(root, keys)
    experiments: dict[str, Experiment] = {}

    def obstacle(text: str) -> str | None:
        technique = read_technique(text)
        try:
            if params.recipes[technique.recipe].asks:
                require_endpoint(params.llm, keys, technique.recipe, ())
            experiments[text] = workshop.experiment(technique, name, params.seed)
        except RecipeError as error:
            return str(error)
        return None

    board = _board(root, name, shape.model, metric)
    # Techniques that have two seeds or more, as they are written on the command line.
    techniques = board.field.techniques.items() if board else ()
    tried = [technique for technique, runs in techniques if len(runs.seeds) > 1]
    advice = advise_on(shape, params.recipes, obstacle, tried)
    costs = {
        one.technique: run_cost(
            experiments[one.technique], splits, params, entry, keys, root, journal_folder(os.environ)
        )
        for one in advice.first
    }
    advised = None if board is None else recommendation(board)
    design = None
    if entry.strategy != "given" and not entry.split.folds and len(splits.test) < FEW_TEST_ROWS:
        design = (
            f"{len(splits.test):,} test rows a seed show little: with `split: {{folds: 5}}` in datasets.yaml "
            "five seeds test all rows once, and find about twice as many true differences at the same cost."
        )
    print_advice(name, shape, advice, costs, [] if advised is None else [advised.sentence], design)


#: Below this, cross-validation is proposed.
FEW_TEST_ROWS = 200


def _board(root: Path, dataset: str, model: str, metric: str) -> Leaderboard | None:
    """Leaderboard of the finished experiments with this data set and model; None where there are none."""
    # One that is of another version, or whose files are elsewhere, is no reason to withhold advice.
    runs = [run for run in finished_runs(root)[0] if (run.dataset, run.model) == (dataset, model)]
    boards = compare(runs, metric).leaderboards if runs else ()
    return boards[0] if boards else None


def curve(
    against: Annotated[
        str, typer.Option(help="Also rows of these: duplication, smote, fair_duplication.")
    ] = "duplication,smote,fair_duplication",
    models: Annotated[
        str | None,
        typer.Option(
            help="logistic_regression, random_forest, hist_gradient_boosting, catboost, lightgbm, xgboost. "
            "Default: the first two, and catboost where it is installed."
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
        str, typer.Option(help="error, balanced_error, macro_f1, worst_class_error, worst_group_error.")
    ] = "balanced_error",
    vary_split: Annotated[
        bool, typer.Option("--vary-split", help="Seeds split the rows anew, in parts of the same sizes.")
    ] = False,
    in_order: Annotated[
        bool, typer.Option("--in-order", help="Add the run's rows in the order in which they came.")
    ] = False,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Boosting rounds, all of which are made; validation rows are then trained on. Default: at "
            "most 80, stopped by validation rows.",
        ),
    ] = None,
    rev: Annotated[
        str, typer.Option(help="Experiment, branch or commit whose split and kept rows are taken.")
    ] = "workspace",
    brief: Annotated[bool, typer.Option("--brief", help="Print means only.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Fits at once; -1: one on each core.")] = -1,
    output: Annotated[
        Path, typer.Option(callback=output_folder, help="Folder for the tables and the picture; replaced.")
    ] = Path("reports/curve"),
) -> None:
    """Train on the training rows and ever more synthetic ones: those of the run against copies and SMOTE.

    The split stays; seeds vary which synthetic rows are drawn and the classifier. Scores are of test rows
    and choose nothing. Every classifier is also fitted regularised: copies of scarce rows often need no more.
    """
    check_metric(metric, get_args(MetricName))
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
        rounds=rounds,
        in_order=in_order,
    )
    resplit = read_resplit(revision, Path(".cache/vectors")) if vary_split else None
    with progress_bar("fits") as progress:
        curves = draw_curves(pool, material, settings, jobs, progress, resplit)
    varies, one_split = ("the split", "") if vary_split else ("not the split", ", one split")
    drawn = "" if in_order else "which synthetic rows are drawn, "
    heading = (
        f"{rev}: {len(pool.rows):,} training and {len(material.test):,} test rows{one_split}. Seeds "
        f"({seeds}) vary {drawn}the classifier's randomness and {varies}."
    ).replace("and not the split", "but not the split")
    write_curves(curves, output, heading)
    print_curves(curves, heading, brief)
    typer.echo(
        f"Picture {output / 'curve.png'}\nTables  {output / 'table.csv'}, curve.csv, means.csv, curve.md"
    )


def _default_models() -> str:
    return ",".join(name for name, spec in MODELS.items() if spec.in_curves and spec.is_installed)
