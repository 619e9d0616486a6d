"""Commands about many runs: sweeps over techniques and seeds, and the comparison of what came out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evenly.cli.interruption import terminated_as_interrupted

if TYPE_CHECKING:
    from collections.abc import Callable

    from evenly.experiments.groups import Plan
    from evenly.experiments.sweeping import Event

METRIC = typer.Option(help="macro_f1, balanced_accuracy, accuracy, worst_class_recall, nll, brier, …")
OUTPUT = typer.Option(help="Folder for comparison.md, .html, .csv, .json, and the pictures.")


def sweep(
    groups: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="GROUP...",
            help="classical, baseline, resampling, augmentation, loss_function, combined, rivals, spurious, "
            "llm, generative, all, recipes, and recipes with settings such as smote+loss=focal. "
            "Default: classical rivals.",
        ),
    ] = None,
    seeds: Annotated[
        str, typer.Option(help="Such as 1..10 or 1,2,5: each varies split and training.")
    ] = "1..5",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Runs at once.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run, and stop.")] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", "-S", metavar="KEY=VALUE", help="A setting of params.yaml for all runs."),
    ] = None,
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
    import os

    from evenly.experiments.experiments import Workshop, read_setting
    from evenly.experiments.groups import plan_sweep, read_seeds
    from evenly.experiments.history import experiment_revisions
    from evenly.experiments.ledger import Sweep, record_sweep, sweep_id
    from evenly.experiments.sweeping import run_experiments
    from evenly.llm.engine.endpoint import keys_from

    root = Path()
    asked = groups or ["classical", "rivals"]
    check_metric(metric)
    settings = [read_setting(text) for text in set_ or []]
    workshop = Workshop(root, keys_from(os.environ))
    datasets = dataset or [str(workshop.params.get("dataset"))]
    plan = plan_sweep(workshop, asked, datasets=datasets, seeds=read_seeds(seeds), settings=settings)
    for sentence in plan.left_out:
        typer.echo(sentence)
    _say_plan(root, plan, jobs)
    if dry_run:
        return
    names = tuple(experiment.name for experiment in plan.experiments)
    swept = Sweep(sweep_id(" ".join(asked), plan.experiments), " ".join(asked), names, {})
    record_sweep(root, swept)
    try:
        with terminated_as_interrupted(), _watching(plan) as watch:
            failures = run_experiments(root, plan.experiments, jobs=jobs, watch=watch)
    except KeyboardInterrupt:
        typer.echo("Interrupted; the same command goes on where this one was.", err=True)
        raise typer.Exit(130) from None
    swept = Sweep(swept.id, swept.groups, names, failures)
    record_sweep(root, swept)
    typer.echo(f"\nSweep {swept.id}: `evenly compare --group {swept.id}` shows it again.")
    finished = experiment_revisions(root)
    _compare(root, [name for name in names if name in finished], metric, output, failures)


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
) -> None:
    """Compare runs: mean, interval, rank, paired tests against no balancing and the best cheap rival, costs.

    Without arguments, the last sweep.
    """
    from evenly.experiments.history import experiment_revisions
    from evenly.experiments.ledger import read_sweep

    root = Path()
    check_metric(metric)
    names = list(revisions or [])
    failures: dict[str, str] = {}
    if group or not names:
        finished = experiment_revisions(root)
        for id_ in group or (None,):
            swept = read_sweep(root, id_)
            names += [name for name in swept.names if name in finished]
            failures |= swept.failures
    _compare(root, list(dict.fromkeys(names)), metric, output, failures)


def _compare(root: Path, names: Sequence[str], metric: str, output: Path, failures: dict[str, str]) -> None:
    from evenly.comparison.findings import Failure
    from evenly.comparison.leaderboards import compare as compare_runs
    from evenly.comparison.report import write_comparison
    from evenly.comparison.tables import print_comparison
    from evenly.errors import DataError
    from evenly.experiments.history import find_revisions
    from evenly.experiments.runs import read_run

    if not names:
        reasons = " ".join(dict.fromkeys(failures.values()))
        raise DataError(f"There is nothing to compare: no run has finished. {reasons}".strip())
    runs = [read_run(revision) for revision in find_revisions(root, list(names))]
    failed = [Failure(name, reason) for name, reason in failures.items() if name not in names]
    comparison = compare_runs(runs, metric, failed)
    write_comparison(comparison, output)
    print_comparison(comparison)
    typer.echo(f"Report   {output / 'comparison.html'}\nMarkdown {output / 'comparison.md'}")


def check_metric(metric: str) -> None:
    """Refuse a name that is no metric of a comparison.

    Raises
    ------
    ParameterError
        Naming those there are.
    """
    from evenly.comparison.techniques import MEASURES
    from evenly.errors import ParameterError

    if metric not in MEASURES:
        raise ParameterError(f"--metric is one of {', '.join(MEASURES)}, not {metric!r}.")


def _say_plan(root: Path, plan: Plan, jobs: int) -> None:
    """Tell the number of runs, how many are there already, and what the others will take."""
    from evenly.experiments.history import experiment_revisions
    from evenly.experiments.ledger import estimate

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


@contextmanager
def _watching(plan: Plan) -> Iterator[Callable[[Event], None]]:
    from evenly.cli.live import shown_live
    from evenly.experiments.sweeping import SweepTable, event_line

    table = SweepTable(plan.experiments)

    def line(event: Event) -> str:
        return event_line(event, table.settled, len(plan.experiments))

    with shown_live(table, table.update, line) as watch:
        yield watch
