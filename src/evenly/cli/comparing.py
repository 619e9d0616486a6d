"""Commands about many runs: sweeps over techniques and seeds, the comparison of what came out, and what one
revision changes against another.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import Annotated, Literal

import typer
from rich.markup import escape

from evenly.advice.costs import planned_costs
from evenly.cli.terminal import (
    SETTINGS,
    check_metric,
    dataset_names,
    live_table,
    output_file,
    output_folder,
    resumable,
    technique_names,
)
from evenly.comparison.changes import find_changes
from evenly.comparison.changes_report import verdicts, write_changes
from evenly.comparison.findings import Failure
from evenly.comparison.leaderboards import WORTH
from evenly.comparison.leaderboards import compare as compare_runs
from evenly.comparison.report import write_comparison
from evenly.comparison.tables import print_comparison
from evenly.comparison.techniques import MEASURES
from evenly.console import ResultsTable, output_console, points
from evenly.errors import DataError, ParameterError
from evenly.experiments.cluster_settings import CLUSTER_FILE, read_cluster
from evenly.experiments.clusters import open_cluster
from evenly.experiments.dispatching import run_on_cluster
from evenly.experiments.experiments import Workshop, read_setting
from evenly.experiments.groups import Plan, group_contents, plan_sweep, read_seeds
from evenly.experiments.history import Revision, changed_stages, experiment_revisions, find_revisions
from evenly.experiments.hub import Hub
from evenly.experiments.ledger import Sweep, estimate, read_sweep, record_sweep, sweep_id
from evenly.experiments.runs import Run, finished_runs, read_run
from evenly.experiments.sweeping import SweepTable, log_file, recorded_progress, run_experiments
from evenly.llm.engine.endpoint import journal_folder, keys_from
from evenly.wording import duration

METRIC = typer.Option(help="macro_f1, balanced_accuracy, accuracy, worst_class_recall, nll, brier, …")
#: Of what a failed run has printed.
_LAST_LINES = 8
OUTPUT = typer.Option(
    callback=output_folder, help="Folder for comparison.md, .html, .csv, .json, and the pictures."
)


def _group_lines() -> str:
    """What is in each group, as lines below the help."""
    lines = ["[bold]Groups[/bold]"]
    for name, words in group_contents().items():
        lines += wrap(f"{name:<15}{words}", 76, subsequent_indent=" " * 15, drop_whitespace=True)
    return "\n".join(lines)


#: What stands below the help of a command.
EPILOGS = {"sweep": _group_lines()}


def sweep(
    groups: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="GROUP...",
            help="Groups of recipes (they are explained below), recipes of params.yaml, and recipes with "
            "settings such as smote+loss=focal. Default: classical rivals.",
            autocompletion=technique_names,
        ),
    ] = None,
    seeds: Annotated[
        str, typer.Option(help="Such as 1..10 or 1,2,5: each varies split and training.")
    ] = "1..5",
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Runs at once: by default 1 here, 64 elsewhere."),
    ] = None,
    on: Annotated[
        Literal["local", "slurm", "ray", "command"],
        typer.Option(help="Where runs happen: here, or as jobs elsewhere (docs/cluster.md)."),
    ] = "local",
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs of a job elsewhere.")] = None,
    jobs_per_gpu: Annotated[int | None, typer.Option(min=1, help="Runs that share a job's GPUs.")] = None,
    address: Annotated[str | None, typer.Option(help="Of --on ray, as Ray takes it.")] = None,
    command: Annotated[
        str | None, typer.Option(help="Of --on command: runs a job, such as 'ssh HOST {job}'.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be run and what it takes, and stop.")
    ] = False,
    set_: SETTINGS = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            help="Entry of datasets.yaml; several for a comparison over data sets.",
            autocompletion=dataset_names,
        ),
    ] = None,
    metric: Annotated[str, METRIC] = "macro_f1",
    output: Annotated[Path, OUTPUT] = Path("reports"),
) -> None:
    """Run techniques over seeds as DVC experiments, reusing all that is there, and compare them.

    A sweep that is interrupted goes on where it was when it is started again.
    """
    root = Path()
    names = groups or ["classical", "rivals"]
    check_metric(metric, MEASURES)
    settings = [read_setting(text) for text in set_ or []]
    elsewhere = {"--gpus": gpus, "--jobs-per-gpu": jobs_per_gpu, "--address": address, "--command": command}
    if on == "local" and (given := [name for name, value in elsewhere.items() if value is not None]):
        raise ParameterError(
            f"{given[0]} is for jobs elsewhere: name the place with --on slurm, ray or command."
        )
    jobs = jobs or (1 if on == "local" else 64)
    keys = keys_from(os.environ)
    workshop = Workshop(root, keys)
    datasets = dataset or [str(workshop.params.get("dataset"))]
    plan = plan_sweep(workshop, names, datasets=datasets, seeds=read_seeds(seeds), settings=settings)
    experiments = plan.experiments
    for sentence in plan.left_out:
        typer.echo(sentence)
    if dry_run:
        _print_costs(workshop, plan, jobs, keys)
        return
    _print_plan(root, plan, jobs)
    typed = " ".join(names)
    this = Sweep(sweep_id(typed, experiments), typed, tuple(experiment.name for experiment in experiments))
    record_sweep(root, this)
    if on == "local":
        run = partial(run_experiments, root, experiments, jobs=jobs)
    else:
        changes = {"ray__address": address, "command__submit": command}
        site = read_cluster(root / CLUSTER_FILE, gpus=gpus, jobs_per_gpu=jobs_per_gpu, **changes)
        hub, cluster = Hub(root, site.git), open_cluster(on, root, site)
        run = partial(run_on_cluster, root, experiments, cluster, hub, site, jobs)
    with (
        resumable(),
        live_table(SweepTable(experiments)) as shown,
        recorded_progress(root, this.id, shown) as watch,
    ):
        failures = run(watch=watch)
    record_sweep(root, replace(this, failures=failures))
    _print_failures(root, failures)
    typer.echo(f"\nSweep {this.id}: `evenly compare --group {this.id}` shows it again.")
    finished = experiment_revisions(root)
    _compare(root, [name for name in this.names if name in finished], metric, output, failures)


def compare(
    revisions: Annotated[
        list[str] | None,
        typer.Argument(metavar="REV...", help="Experiments, branches, tags, commits, or workspace."),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(metavar="SWEEP", help="The id that a sweep has printed, or last; repeatable."),
    ] = None,
    metric: Annotated[str, METRIC] = "macro_f1",
    output: Annotated[Path, OUTPUT] = Path("reports"),
    worth: Annotated[
        float, typer.Option(min=0, help="The smallest difference of interest: 'nothing helps' excludes it.")
    ] = WORTH,
    rules: Annotated[bool, typer.Option("--rules", help="Show every technique under every rule.")] = False,
) -> None:
    """Compare runs: mean, interval, rank, paired tests against no balancing and the best cheap rival, costs.

    Without arguments, all runs there are: finished experiments, and the workspace where it is up to date.
    """
    root = Path()
    check_metric(metric, MEASURES)
    names = list(revisions or [])
    failures: dict[str, str] = {}
    if not names and not group:
        _show(_all_runs(root), metric, output, (), worth, rules)
        return
    finished = experiment_revisions(root) if group else {}
    for id_ in group or ():
        sweep = read_sweep(root, None if id_ == "last" else id_)
        names += [name for name in sweep.names if name in finished]
        failures |= sweep.failures
    _compare(root, list(dict.fromkeys(names)), metric, output, failures, worth, rules)


def _all_runs(root: Path) -> list[Run]:
    """Read every run there is; say which are left out, and why."""
    runs, left_out = finished_runs(root)
    workspace = Revision(root, "workspace", None)
    try:
        if (root / "metrics" / "evaluate.json").is_file():
            if changed_stages(root):
                raise DataError("The workspace's results are not of its settings; `dvc repro` renews them.")
            runs.append(read_run(workspace))
    except DataError as error:
        left_out.insert(0, str(error))
    for sentence in left_out[:_MOST_LEFT_OUT]:
        typer.echo(f"Left out: {sentence}")
    if len(left_out) > _MOST_LEFT_OUT:
        typer.echo(f"Left out: {len(left_out) - _MOST_LEFT_OUT} more.")
    return runs


#: Runs of which `compare` says why they are left out.
_MOST_LEFT_OUT = 3


def board(
    port: Annotated[int, typer.Option(min=0, max=65535, help="On this machine; 0 takes a free one.")] = 7575,
) -> None:
    """Show runs, reports, the comparison and the progress of a sweep in a browser, on this machine only.

    The page loads itself anew while a sweep runs. Nothing can be changed from it. Ctrl-C ends it.
    """
    from evenly.experiments.board import serve

    serve(Path(), port, say=typer.echo)


def _compare(
    root: Path,
    names: Sequence[str],
    metric: str,
    output: Path,
    failures: dict[str, str],
    worth: float = WORTH,
    rules: bool = False,
) -> None:
    runs = [read_run(revision) for revision in find_revisions(root, list(names))]
    failed = [Failure(name, reason) for name, reason in failures.items() if name not in names]
    _show(runs, metric, output, failed, worth, rules)


def _show(
    runs: Sequence[Run], metric: str, output: Path, failed: Sequence[Failure], worth: float, rules: bool
) -> None:
    if not runs:
        reasons = " ".join(dict.fromkeys(failure.reason for failure in failed))
        raise DataError(
            "There is nothing to compare: no run has finished. "
            + (reasons or "`dvc repro` makes one, `evenly sweep` many.")
        )
    comparison = compare_runs(runs, metric, failed, worth)
    write_comparison(comparison, output)
    print_comparison(comparison, rules=rules)
    typer.echo(f"Report   {output / 'comparison.html'}\nMarkdown {output / 'comparison.md'}")


def _print_plan(root: Path, plan: Plan, jobs: int) -> None:
    """Tell the number of runs, how many are there already, and what the others will take."""
    finished = experiment_revisions(root)
    missing = [experiment for experiment in plan.experiments if experiment.name not in finished]
    line = f"{len(plan.experiments)} runs, {len(plan.experiments) - len(missing)} of them finished already"
    if missing:
        expected = estimate(root, missing, jobs)
        minutes = "unknown time" if expected.seconds is None else f"about {duration(expected.seconds)}"
        line += f"; {len(missing)} to run, {minutes} with {jobs} at once"
        if expected.unpriced:
            line += (
                f"; {', '.join(expected.unpriced)} will ask a language model at an unknown price "
                "(`evenly llm estimate` estimates it)"
            )
        elif expected.money:
            line += f", {expected.money:.4g} for the language model"
    typer.echo(line + ".")


def _print_costs(workshop: Workshop, plan: Plan, jobs: int, keys: Mapping[str, str]) -> None:
    """Tell what would be run, and what each technique would take by the estimate of `evenly advise`."""
    finished = experiment_revisions(workshop.root)
    missing = [experiment for experiment in plan.experiments if experiment.name not in finished]
    known = len(plan.experiments) - len(missing)
    typer.echo(f"{len(plan.experiments)} runs, {known} of them finished already.")
    if not missing:
        return
    costs = planned_costs(workshop, missing, keys, journal_folder(os.environ))
    table = ResultsTable(None)
    several = len({experiment.dataset for experiment in missing}) > 1
    table.add_names(*(["data set"] if several else []), "technique")
    table.add_numbers("to run", "a run")
    asking = any(cost.tokens for _, _, cost in costs)
    table.add_numbers(*(["tokens a run", "money a run"] if asking else []))
    table.add_prose("basis")
    for one, number, cost in costs:
        cells = [escape(one.dataset)] if several else []
        cells += [escape(one.technique.label), str(number)]
        cells.append("unknown" if cost.seconds is None else duration(cost.seconds))
        if asking:
            cells.append(f"{cost.tokens:,}" if cost.tokens else "")
            cells.append("" if not cost.tokens else "unknown" if cost.money is None else f"{cost.money:.2f}")
        table.add_row(*cells, escape(cost.basis))
    output_console().print(table)
    seconds = [number * cost.seconds for _, number, cost in costs if cost.seconds is not None]
    line = f"{len(missing)} to run"
    if seconds:
        least = "at least " if len(seconds) < len(costs) else ""
        line += f", {least}about {duration(sum(seconds) / jobs)} with {jobs} at once"
    if asking:
        line += f", {sum(number * cost.tokens for _, number, cost in costs):,} tokens"
        money = [number * cost.money for _, number, cost in costs if cost.money is not None]
        line += f" for about {sum(money):.2f}" if len(money) == len(costs) else " at an unknown price"
    typer.echo(line + ".")


def _print_failures(root: Path, failures: Mapping[str, str]) -> None:
    """Tell why runs have failed, each reason once, with the last lines that its run printed."""
    for reason in dict.fromkeys(failures.values()):
        name = next(name for name, why in failures.items() if why == reason)
        log = log_file(root, name)
        printed = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        lines = [f"    {line}" for line in printed.strip().splitlines()[-_LAST_LINES:]]
        typer.echo("\n".join([f"\n{name} failed: {reason}", *([f"  {log} ends:"] if lines else []), *lines]))


def diff(
    base: Annotated[str, typer.Argument(metavar="BASE", help="Branch, tag, commit or experiment.")] = "main",
    revision: Annotated[
        str, typer.Argument(metavar="REV", help="The same, or workspace: what lies here now.")
    ] = "workspace",
    output: Annotated[
        Path,
        typer.Option(callback=output_file, help="The Markdown file; a page and the pictures go beside it."),
    ] = Path("reports/diff.md"),
) -> None:
    """Say what changes between two revisions: settings, scores with paired intervals, classes, plots."""
    if output.suffix in ("", ".html"):  # names of the pictures' folder and of the page
        output = output.with_suffix(".md")
    changes = find_changes(*find_revisions(Path(), [base, revision]))
    write_changes(changes, output)
    output_console().print(points(verdicts(changes)))
    typer.echo(f"Report   {output.with_suffix('.html')}\nMarkdown {output}")
