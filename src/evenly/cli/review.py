"""Commands about people's verdicts on generated samples. Run in a project's root."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from evenly.cli import CommandGroup
from evenly.errors import DataError
from evenly.samples import SampleTable, concatenate, has_no_samples, read_samples
from evenly.screening.review import applicable, import_reviews, read_reviews

app = typer.Typer(cls=CommandGroup, no_args_is_help=True, help="People's verdicts on generated samples.")

SCREENED = ("data/filtered/kept.parquet", "data/filtered/rejected.parquet")
SAMPLE = "reports/review_sample.csv"
VERDICTS = "data/review/verdicts.csv"


@app.command("import")
def import_(
    source: Annotated[
        Path, typer.Argument(help=f"A filled-in copy of {SAMPLE}: id, verdict (keep, drop, relabel), label.")
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Let these verdicts replace others on the same samples.")
    ] = False,
) -> None:
    """Take filled-in verdicts into data/review/verdicts.csv, which `filter` obeys; all of them or none."""
    taken = import_reviews(source, VERDICTS, _candidates(), replacing=replace)
    typer.echo(f"{taken.new:,} new verdicts, {taken.replaced:,} replaced, {taken.known:,} known already.")
    if taken.new or taken.replaced:
        typer.echo(f"Next: git add {VERDICTS}, then dvc repro")


@app.command()
def status() -> None:
    """Say how many verdicts there are, and how many of them speak of the present samples."""
    candidates = _candidates()
    reviews = read_reviews(VERDICTS) if Path(VERDICTS).exists() else {}
    counts = Counter(review.verdict for review in reviews.values())
    by_verdict = ", ".join(f"{name} {counts[name]:,}" for name in ("keep", "drop", "relabel"))
    here = len(applicable(reviews, candidates))
    typer.echo(
        f"{len(reviews):,} verdicts ({by_verdict}), {here:,} on the present {len(candidates):,} candidates."
    )


def _candidates() -> SampleTable:
    """All samples that were screened last, kept or not."""
    screened = [path for path in SCREENED if not has_no_samples(path)]
    if not screened:
        raise DataError("There is no generated sample to review: the recipe of the last run generates none.")
    return concatenate([read_samples(path) for path in screened])
