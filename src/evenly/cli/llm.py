"""Commands about language models: what a plan would cost, what it asks, and the journal of paid answers."""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from evenly.cli import CommandGroup
from evenly.console import listing, output_console, results_table
from evenly.errors import DataError, ParameterError
from evenly.llm.classifying import AskedClassifier
from evenly.llm.engine.batch import BatchReport, run_batches
from evenly.llm.engine.endpoint import endpoints_from, journal_folder, keys_from
from evenly.llm.engine.journal_files import (
    export_journals,
    import_journals,
    journal_summaries,
    prune_journals,
    repair_journals,
)
from evenly.llm.engine.messages import ChatRequest
from evenly.llm.judging import planned_judge
from evenly.llm.preview import Estimate, asked_estimate, plan_estimate, planned_requests, relabelling_requests
from evenly.llm.writing.prompts import Prompts
from evenly.params.generation import read_engine_settings
from evenly.params.llm import EngineSettings
from evenly.params.project import PARAMS_FILE
from evenly.plans import LlmPlan, TrainPlan, read_plan
from evenly.samples import has_no_samples, read_samples

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    help="Language models: what a plan would cost, and the journal of answers.",
)
journal = typer.Typer(
    cls=CommandGroup, no_args_is_help=True, help="Answers that are paid for: list, share, or forget them."
)
app.add_typer(journal, name="journal")

PLAN, TRAINING = "data/plan/llm.json", "data/plan/train.json"
HELD_OUT = ("data/split/val.parquet", "data/split/test.parquet")
TRAIN, GENERATED = "data/split/train.parquet", "data/generated/llm.parquet"


@app.command()
def estimate(
    show: Annotated[
        int, typer.Option(min=0, help="Also print so many of the requests as they would be sent.")
    ] = 0,
) -> None:
    """Calls, tokens, money and minutes of the plan, less what is in the journal. Sends nothing."""
    plan, asked = _plans()
    if asked is not None:
        classifier, texts = _asked(asked)
        for number, request in enumerate(classifier.requests(texts[:show])):
            _show(request, f"the model {asked.model}, request {number}")
        typer.echo(f"The model {asked.model} is asked about {len(texts):,} validation and test rows:")
        _print(asked_estimate(asked, read_samples(TRAIN), texts, journal_folder(os.environ)))
    if plan is None:
        return
    train, prompts = read_samples(TRAIN), Prompts(Path("prompts"))
    for request in islice(planned_requests(plan, train, prompts), show):
        _show(request, f"class {request.tag}, request {request.ordinal}")
    settings = plan.model.applied_to(read_engine_settings(PARAMS_FILE))
    judge = planned_judge(plan, settings, train, os.environ)
    found = plan_estimate(plan, train, prompts, settings, journal_folder(os.environ), judge)
    _print(found)


def _plans() -> tuple[LlmPlan | None, TrainPlan | None]:
    """What is asked of a language model: for rows, and as the model. One of them at least, or it is said."""
    plan = read_plan(LlmPlan, PLAN)
    training = read_plan(TrainPlan, TRAINING) if Path(TRAINING).exists() else None
    asked = training if training is not None and training.asked is not None else None
    if plan is None and asked is None:
        typer.echo(f"{PLAN} is empty: the recipe asks no language model.")
    return plan, asked


def _asked(plan: TrainPlan) -> tuple[AskedClassifier, list[str]]:
    """The model that is asked, and the texts that evaluation has it asked about, each once."""
    train = read_samples(TRAIN)
    asked = AskedClassifier(plan, train.schema)
    asked.prepare(train)
    texts = [text or "" for path in HELD_OUT for text in read_samples(path, train.schema).texts]
    return asked, list(dict.fromkeys(texts))


def _show(request: ChatRequest, title: str) -> None:
    typer.echo(f"--- {title}")
    for message in request.messages:
        typer.echo(f"[{message['role']}]\n{message['content']}\n")


def _print(found: Estimate) -> None:
    output_console().print(listing((f"{name:<11}", escape(says)) for name, says in found.parts()))


@app.command()
def batch(
    wait: Annotated[
        bool, typer.Option(help="Poll until all batches are over, instead of looking once.")
    ] = True,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two looks.")] = 30.0,
    judge: Annotated[
        bool,
        typer.Option("--judge", help="The judge's requests about the rows that are there (filter.judge)."),
    ] = False,
) -> None:
    """Have the plan's requests answered by the Batch API, cheaper and within a day; then run `dvc repro`.

    May be stopped and started again at any time: the journal knows the batches, and takes their answers.
    """
    plan, asked = _plans()
    keys, folder = keys_from(os.environ), journal_folder(os.environ)

    def sent(settings: EngineSettings, requests: list[ChatRequest]) -> BatchReport:
        report = asyncio.run(run_batches(settings, keys, folder, requests, wait, every, typer.echo))
        typer.echo(
            f"{report.known} answers were there, {report.submitted} requests submitted, {report.collected} "
            f"answers collected, {report.failed} without an answer, {report.open_batches} batches still open."
        )
        return report

    if asked is not None and not judge:
        classifier, texts = _asked(asked)
        sent(classifier.engine_settings, list(classifier.requests(texts)))
    if plan is None:
        return
    settings = plan.model.applied_to(read_engine_settings(PARAMS_FILE))
    train, prompts = read_samples(TRAIN), Prompts(Path("prompts"))
    (endpoint, *_) = endpoints_from(settings, keys)

    def following() -> list[ChatRequest]:
        return list(relabelling_requests(plan, train, prompts, endpoint, folder))

    if judge:
        sent(settings, _judge_requests(plan, settings))
        return
    known = following()
    report = sent(settings, [*planned_requests(plan, train, prompts), *known])
    if not report.open_batches and len(requests := following()) > len(known):
        typer.echo("Which classes the new texts belong to:")
        sent(settings, requests)


@app.command()
def repair() -> None:
    """Save every whole answer of damaged journals into sound ones; the damaged files are kept beside them."""
    for path, answers, kept in repair_journals(journal_folder(os.environ)):
        if kept is None:
            typer.echo(f"{path} is sound.")
        else:
            typer.echo(f"{path}: {answers} whole answers saved; the damaged file is {kept}.")


def _judge_requests(plan: LlmPlan, settings: EngineSettings) -> list[ChatRequest]:
    """What `filter` asks the judge, about every row: what the other checks leave is not known yet."""
    train = read_samples(TRAIN)
    judge = planned_judge(plan, settings, train, os.environ)
    if judge is None:
        raise ParameterError(
            "params.yaml: filter.judge is null, so there is nothing to judge; leave --judge off."
        )
    if not Path(GENERATED).exists() or has_no_samples(GENERATED):
        raise DataError(f"{GENERATED} has no rows to judge; run `dvc repro llm_generate` first.")
    candidates = read_samples(GENERATED, train.schema).sorted_by_id()
    return list(judge.requests(candidates))


@journal.command("list")
def list_journals() -> None:
    """Show every journal: endpoint, model, answers, tokens and dates."""
    folder = journal_folder(os.environ)
    summaries = journal_summaries(folder)
    if not summaries:
        typer.echo(f"There is no journal in {folder}.")
        return
    table = results_table(None, "model", "answers", "tokens", "failures", "calls", "unseen", "MiB")
    table.add_words("last answer", "endpoint")
    for one in summaries:
        last = "" if one.last is None else datetime.fromtimestamp(one.last).strftime("%Y-%m-%d %H:%M")
        numbers = (one.answers, one.prompt_tokens + one.completion_tokens, one.failures, one.calls)
        cells = [f"{number:,}" for number in (*numbers, one.uncertain_calls)]
        table.add_row(escape(one.model), *cells, f"{one.bytes / 2**20:.1f}", last, escape(one.base_url))
    output_console().print(table)


@journal.command("export")
def export(target: Annotated[Path, typer.Argument(help="The .jsonl file to write.")]) -> None:
    """Write all answers to a file that others can import. It holds the prompts, training rows included."""
    typer.echo(f"{export_journals(journal_folder(os.environ), target)} answers written to {target}.")


@journal.command("import")
def import_(source: Annotated[Path, typer.Argument(help="A file that `export` wrote.", exists=True)]) -> None:
    """Take in answers that somebody else has paid for."""
    new, known = import_journals(source, journal_folder(os.environ))
    typer.echo(f"{new} answers taken in, {known} were there already.")


@journal.command()
def prune(
    days: Annotated[float | None, typer.Option(min=0, help="Only answers older than so many days.")] = None,
    failures: Annotated[
        bool, typer.Option("--failures", help="Only refusals, empty and cut answers.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="All answers.")] = False,
) -> None:
    """Forget answers; what needs them again pays again."""
    if days is None and not failures and not everything:
        raise ParameterError("Say which answers to forget: --days N, --failures, or --all.")
    typer.echo(f"{prune_journals(journal_folder(os.environ), days, failures)} answers forgotten.")
