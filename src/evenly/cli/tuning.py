"""The command that searches for better settings of a recipe."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from evenly.cli.terminal import (
    SETTINGS,
    check_metric,
    dataset_names,
    live_table,
    output_folder,
    recipe_names,
    resumable,
)
from evenly.errors import ParameterError
from evenly.experiments.experiments import Technique, Workshop, read_setting
from evenly.experiments.groups import read_seeds
from evenly.experiments.ledger import estimate
from evenly.files import write_text
from evenly.llm.engine.endpoint import keys_from
from evenly.params.base import read_yaml, settings_from
from evenly.params.datasets import DATASETS_FILE, read_entry
from evenly.params.project import PARAMS_FILE, Params
from evenly.tuning.candidates import Origin
from evenly.tuning.defaults import default_space
from evenly.tuning.gains import apparent_gain, corrected_gain
from evenly.tuning.outputs import (
    Result,
    TrialTable,
    entry,
    print_space,
    print_verdicts,
    verdicts,
    write_trials,
)
from evenly.tuning.search import Budget, Searched, predictions_by_seed, search
from evenly.tuning.search import confirm as confirm_best
from evenly.tuning.space import Setting, Space, narrowed, read_domains
from evenly.tuning.studies import Study
from evenly.tuning.workbench import METRICS, Workbench

#: Trials where neither number nor minutes are given.
TRIALS = 20


def tune(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE", help="An entry of recipes in params.yaml.", autocompletion=recipe_names
        ),
    ],
    trials: Annotated[
        int | None,
        typer.Option(min=1, help=f"Of all calls together; default {TRIALS} where --minutes is not given."),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="After these, no trial is started; the last one ends.")
    ] = None,
    metric: Annotated[
        str, typer.Option(help="On validation rows: macro_f1 or balanced_accuracy.")
    ] = "macro_f1",
    over: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Vary only this setting or those below it; repeatable."),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="YAML with what to vary instead: {KEY: [A, B], KEY: {low: 1, high: 9}}."
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(help="Such as 1..3: a trial is the mean over them. Default: seed of params.yaml."),
    ] = None,
    confirm: Annotated[
        int,
        typer.Option(min=0, help="New seeds on which the best is held against the recipe as it is; 0: none."),
    ] = 3,
    seed: Annotated[int, typer.Option(help="Of the proposals: the same seed tries the same.")] = 0,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Seeds at once.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what varies and what a search takes, and stop.")
    ] = False,
    set_: SETTINGS = None,
    dataset: Annotated[
        str | None, typer.Option(help="Entry of datasets.yaml.", autocompletion=dataset_names)
    ] = None,
    output: Annotated[
        Path, typer.Option(callback=output_folder, help="Folder for the recipe and the table of trials.")
    ] = Path("reports"),
) -> None:
    """Search for better settings of a recipe on validation rows, and say what the gain is worth.

    Every trial is a DVC experiment that stops before the test split is opened. A search that is interrupted
    goes on where it was when it is started again; with more trials or minutes it goes on further.
    """
    check_metric(metric, METRICS)
    if confirm == 1:
        raise ParameterError("--confirm is 0, or at least 2: one seed has no spread.")
    root = Path()
    workshop = Workshop(root, keys_from(os.environ))
    settings = tuple(sorted(read_setting(text) for text in set_ or ()))
    name = dataset or str(workshop.params.get("dataset"))
    chosen = read_seeds(seeds) if seeds else [int(workshop.params.get("seed", 0))]
    values = workshop.values(Technique(recipe, settings), name, chosen[0])
    params = settings_from(Params, values, PARAMS_FILE)
    entry = read_entry(name, root / DATASETS_FILE)
    encoded, rows = workshop.encodes(params, entry), workshop.training_rows(params, entry)
    origin = Origin(values, params, entry.modality, settings, encoded, rows)
    varied = narrowed(_space(origin, space), tuple(over or ()))
    bench = Workbench(workshop, origin, varied, dataset=name, seeds=tuple(chosen), metric=metric, jobs=jobs)
    print_space(bench.space)
    if trials is None and minutes is None:
        trials = TRIALS
    budget = Budget(trials, None if minutes is None else 60 * minutes)
    id_ = bench.study_id(seed)
    _print_plan(bench, budget, confirm)
    if dry_run:
        return
    study = Study(root, id_, bench.space, seed)
    with resumable(), study.held():
        with live_table(TrialTable(bench.space, metric, f"{recipe} on {name}")) as watch:
            searched = search(bench, study, budget, watch)
        _conclude(bench, study, searched, confirm, output)


def _space(origin: Origin, file: Path | None) -> Space:
    """What varies: what the file names, else what there is to vary in the recipe."""
    if file is None:
        return default_space(origin)
    domains = read_domains(read_yaml(file), str(file))
    return tuple(Setting(key, origin.current(key), domain) for key, domain in domains.items())


def _print_plan(bench: Workbench, budget: Budget, confirm: int) -> None:
    """Tell what a search would run, and what that takes."""
    runs = bench.experiments(bench.origin.itself())
    limits = [f"{budget.trials} trials"] if budget.trials is not None else []
    limits += [f"{budget.seconds / 60:g} minutes"] if budget.seconds is not None else []
    of = f" of {len(runs)} seeds each" if len(runs) > 1 else ""
    line = f"{' or '.join(limits)}{of}, after no balancing and the recipe as it is"
    if confirm:
        line += f"; then {2 * confirm} runs to confirm the best on {confirm} new seeds"
    expected = estimate(bench.root, runs, bench.jobs).seconds
    if expected is not None:
        line += f". A trial takes about {expected:.0f} s"
    if bench.origin.recipe.asks:
        line += ". Trials that vary what is asked of the language model ask it; answers are never paid twice"
    typer.echo(line + ".")


def _conclude(bench: Workbench, study: Study, searched: Searched, confirm: int, output: Path) -> None:
    """Say what the best is worth, and write it."""
    if searched.exhausted:
        typer.echo(f"The search ended early: {searched.exhausted}.")
    table = output / f"{bench.origin.name}_trials.csv"
    write_trials(bench.space, searched, bench.metric, table)
    best = searched.best
    result = Result(bench.metric, bench.seeds, searched)
    if best.number:
        trials, predictions = predictions_by_seed(bench, study, searched)
        place = trials.index(best)
        result = replace(
            result,
            apparent=apparent_gain(predictions, bench.metric, place, seed=0),
            corrected=corrected_gain(predictions, bench.metric, seed=0),
        )
    if best.number and confirm:
        with live_table(TrialTable(bench.space, bench.metric, f"{bench.origin.name} on new seeds")) as watch:
            result = replace(result, confirmed=confirm_best(bench, best.assignment, confirm, watch))
    sentences = verdicts(result)
    print_verdicts(sentences)
    if best.number:
        text = entry(bench.origin, bench.origin.candidate(best.assignment), sentences)
        file = output / f"{bench.origin.name}_tuned.yaml"
        write_text(text, file)
        typer.echo("\nFor params.yaml, under the keys of these names:\n")
        typer.echo("".join(line for line in text.splitlines(keepends=True) if not line.startswith("#")))
        typer.echo(f"Recipe   {file}")
    typer.echo(f"Trials   {table}")
