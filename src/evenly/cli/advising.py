"""The command that advises: which techniques to try first on a data set, or what to take after runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evenly.cli.comparing import METRIC

if TYPE_CHECKING:
    from evenly.comparison.findings import Leaderboard


def advise(
    dataset: Annotated[
        str | None, typer.Option(help="Entry of datasets.yaml; left out, that of params.yaml.")
    ] = None,
    metric: Annotated[str, METRIC] = "macro_f1",
) -> None:
    """Say which three techniques to try first, what they cost and why; after runs, also what to take.

    Looks at class sizes, kind and width of the data, the model, and finished experiments. Runs nothing.
    """
    import os

    from evenly.advice.advise import advise as advise_on
    from evenly.advice.costs import run_cost
    from evenly.advice.shape import data_shape
    from evenly.advice.terminal import print_advice
    from evenly.cli.comparing import check_metric
    from evenly.comparison.recommendation import recommendation
    from evenly.datasets.load import load_splits
    from evenly.errors import RecipeError
    from evenly.experiments.experiments import Experiment, Workshop, read_technique
    from evenly.llm.engine.endpoint import journal_folder, keys_from
    from evenly.params.datasets import read_entry
    from evenly.params.generation import require_endpoint
    from evenly.params.project import read_params

    check_metric(metric)
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
            if params.recipes[technique.recipe].llm is not None:
                require_endpoint(params.llm, keys, technique.recipe, ())
            experiments[text] = workshop.experiment(technique, name, params.seed)
        except RecipeError as error:
            return str(error)
        return None

    board = _board(root, name, shape.model, metric)
    tried = [] if board is None else _tried(board)
    advice = advise_on(shape, params.recipes, obstacle, tried)
    costs = {
        one.technique: run_cost(
            experiments[one.technique], splits.train, params, entry, keys, root, journal_folder(os.environ)
        )
        for one in advice.first
    }
    advised = None if board is None else recommendation(board)
    print_advice(name, shape, advice, costs, [] if advised is None else [advised.sentence])


def _board(root: Path, dataset: str, model: str, metric: str) -> Leaderboard | None:
    """Leaderboard of the finished experiments with this data set and model; None where there are none."""
    from evenly.comparison.leaderboards import compare
    from evenly.errors import DataError
    from evenly.experiments.history import experiment_revisions, find_revisions
    from evenly.experiments.runs import Run, read_run

    runs: list[Run] = []
    for revision in find_revisions(root, list(experiment_revisions(root))):
        try:
            run = read_run(revision)
        except DataError:
            continue  # of another version, or its files are elsewhere: no reason to withhold advice
        if (run.dataset, run.model) == (dataset, model):
            runs.append(run)
    boards = compare(runs, metric).leaderboards if runs else ()
    return boards[0] if boards else None


def _tried(board: Leaderboard) -> Sequence[str]:
    """Techniques that have two seeds or more, as they are written on the command line."""
    return [name for name, technique in board.field.techniques.items() if len(technique.seeds) > 1]
