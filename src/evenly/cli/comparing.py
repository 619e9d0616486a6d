"""Commands about many runs: sweeps over techniques and seeds, the comparison of what came out, and what one
revision changes against another.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from evenly.cli.terminal import SETTINGS, check_metric, live_table, output_file, output_folder, resumable
from evenly.comparison.changes import find_changes
from evenly.comparison.changes_report import verdicts, write_changes
from evenly.comparison.findings import Failure
from evenly.comparison.leaderboards import WORTH
from evenly.comparison.leaderboards import compare as compare_runs
from evenly.comparison.report import write_comparison
from evenly.comparison.tables import print_comparison
from evenly.comparison.techniques import MEASURES
from evenly.errors import DataError
from evenly.experiments.experiments import Workshop, read_setting
from evenly.experiments.groups import Plan, plan_sweep, read_seeds
from evenly.experiments.history import experiment_revisions, find_revisions
from evenly.experiments.ledger import Sweep, estimate, read_sweep, record_sweep, sweep_id
from evenly.experiments.runs import read_run
from evenly.experiments.sweeping import SweepTable, run_experiments
from evenly.llm.engine.endpoint import keys_from

METRIC = typer.Option(help="macro_f1, balanced_accuracy, accuracy, worst_class_recall, nll, brier, …")
OUTPUT = typer.Option(
    callback=output_folder, help="Folder for comparison.md, .html, .csv, .json, and the pictures."
)


def sweep(
    groups: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="GROUP...",
            help="classical, baseline, resampling, augmentation, loss_function, combined, rivals, ensembles, "
            "spurious, llm, generative, all, recipes, and recipes with settings such as smote+loss=focal. "
            "Default: classical rivals.",
        ),
    ] = None,
    seeds: Annotated[
        str, typer.Option(help="Such as 1..10 or 1,2,5: each varies split and training.")
    ] = "1..5",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Runs at once.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run, and stop.")] = False,
    set_: SETTINGS = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="Entry of datasets.yaml; several for a comparison over data sets."),
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
    workshop = Workshop(root, keys_from(os.environ))
    datasets = dataset or [str(workshop.params.get("dataset"))]
    plan = plan_sweep(workshop, names, datasets=datasets, seeds=read_seeds(seeds), settings=settings)
    experiments = plan.experiments
    for sentence in plan.left_out:
        typer.echo(sentence)
    _print_plan(root, plan, jobs)
    if dry_run:
        return
    typed = " ".join(names)
    this = Sweep(sweep_id(typed, experiments), typed, tuple(experiment.name for experiment in experiments))
    record_sweep(root, this)
    with resumable(), live_table(SweepTable(experiments)) as watch:
        failures = run_experiments(root, experiments, jobs=jobs, watch=watch)
    record_sweep(root, replace(this, failures=failures))
    typer.echo(f"\nSweep {this.id}: `evenly compare --group {this.id}` shows it again.")
    finished = experiment_revisions(root)
    _compare(root, [name for name in this.names if name in finished], metric, output, failures)


def compare(
    revisions: Annotated[
        list[str] | None,
        typer.Argument(metavar="REV...", help="Experiments, branches, tags, commits, or workspace."),
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option(metavar="SWEEP", help="The id that a sweep has printed; repeatable.")
    ] = None,
    metric: Annotated[str, METRIC] = "macro_f1",
    output: Annotated[Path, OUTPUT] = Path("reports"),
    worth: Annotated[
        float, typer.Option(min=0, help="The smallest difference of interest: 'nothing helps' excludes it.")
    ] = WORTH,
    rules: Annotated[bool, typer.Option("--rules", help="Show every technique under every rule.")] = False,
) -> None:
    """Compare runs: mean, interval, rank, paired tests against no balancing and the best cheap rival, costs.

    Without arguments, the last sweep.
    """
    root = Path()
    check_metric(metric, MEASURES)
    names = list(revisions or [])
    failures: dict[str, str] = {}
    if group or not names:
        finished = experiment_revisions(root)
        for id_ in group or (None,):
            sweep = read_sweep(root, id_)
            names += [name for name in sweep.names if name in finished]
            failures |= sweep.failures
    _compare(root, list(dict.fromkeys(names)), metric, output, failures, worth, rules)


def _compare(
    root: Path,
    names: Sequence[str],
    metric: str,
    output: Path,
    failures: dict[str, str],
    worth: float = WORTH,
    rules: bool = False,
) -> None:
    if not names:
        reasons = " ".join(dict.fromkeys(failures.values()))
        raise DataError(f"There is nothing to compare: no run has finished. {reasons}".strip())
    runs = [read_run(revision) for revision in find_revisions(root, list(names))]
    failed = [Failure(name, reason) for name, reason in failures.items() if name not in names]
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
        minutes = "unknown time" if expected.seconds is None else f"about {_duration(expected.seconds)}"
        line += f"; {len(missing)} to run, {minutes} with {jobs} at once"
        if expected.unpriced:
            line += (
                f"; {', '.join(expected.unpriced)} will ask a language model at an unknown price "
                "(`evenly llm estimate` estimates it)"
            )
        elif expected.money:
            line += f", {expected.money:.4g} for the language model"
    typer.echo(line + ".")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def diff(
    base: Annotated[str, typer.Argument(metavar="BASE", help="Branch, tag, commit or experiment.")] = "main",
    revision: Annotated[
        str, typer.Argument(metavar="REV", help="The same, or workspace: what lies here now.")
    ] = "workspace",
    output: Annotated[
        Path, typer.Option(callback=output_file, help="The Markdown file; its pictures go beside it.")
    ] = Path("reports/diff.md"),
) -> None:
    """Say what changes between two revisions: settings, scores with paired intervals, classes, plots."""
    changes = find_changes(*find_revisions(Path(), [base, revision]))
    write_changes(changes, output)
    for sentence in verdicts(changes):
        typer.echo(f"- {sentence}")
    typer.echo(f"Report   {output}")
