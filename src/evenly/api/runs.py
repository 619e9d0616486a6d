"""Finished runs as frames: what `evenly compare` says, for a notebook."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from evenly.comparison.findings import Comparison as Findings
from evenly.comparison.leaderboards import WORTH
from evenly.comparison.leaderboards import compare as compare_runs
from evenly.comparison.recommendation import recommendation
from evenly.comparison.tables import csv_columns, csv_rows
from evenly.comparison.techniques import MEASURES
from evenly.comparison.verdicts import headline, verdicts
from evenly.errors import DataError, ParameterError
from evenly.experiments.history import Revision, experiment_revisions, find_revisions
from evenly.experiments.ledger import read_sweep
from evenly.experiments.runs import Run, finished_runs, read_run
from evenly.wording import nearest_names

EVALUATED = "metrics/evaluate.json"


@dataclass(frozen=True)
class Comparison:
    """A comparison of finished runs; `compare` makes one.

    Attributes
    ----------
    leaderboard : DataFrame
        A row for each technique on each data set, the best mean first: the metric with its 95% interval, the
        gain over no balancing (`vs_none_…`), over the best cheap rival (`vs_rival_…`), and costs. The columns
        are those of comparison.csv.
    runs : DataFrame
        A row for each run: data set, recipe, model, loss, seed, and every metric on test rows.
    verdicts : DataFrame
        What can be said, the most important first: `dataset`, `model`, `verdict`.
    recommendation : DataFrame
        What to take on each data set, chosen on validation rows: `technique`, `rule`, `sentence`.
    headline : str
        All of it in a few words.
    """

    leaderboard: pd.DataFrame
    runs: pd.DataFrame
    verdicts: pd.DataFrame
    recommendation: pd.DataFrame
    headline: str

    def __repr__(self) -> str:
        return self.headline


def compare(
    revisions: str | Path | Sequence[str | Path] | None = None,
    *,
    project: str | Path = ".",
    metric: str = "macro_f1",
    group: str | None = None,
    worth: float = WORTH,
) -> Comparison:
    """Compare finished runs.

    Parameters
    ----------
    revisions : sequence of str or Path, optional
        Experiments, branches, tags, commits, or `workspace`; or folders that hold the files of a run, such as
        other checkouts. Default: those of `group`, else all experiments that have finished.
    project : str or Path
        The folder with dvc.yaml.
    metric : str
        `macro_f1`, `balanced_accuracy`, `accuracy`, `worst_class_recall`, `nll`, `brier`, …
    group : str, optional
        The id that a sweep has printed.
    worth : float
        The smallest difference of interest, above 0.

    Returns
    -------
    Comparison

    Raises
    ------
    EvenlyError
        When there is no such run or metric, or no run has finished.

    Examples
    --------
    >>> import evenly
    >>> found = evenly.compare()  # doctest: +SKIP
    >>> found.leaderboard[["technique", "mean", "low", "high"]]  # doctest: +SKIP
    """
    if metric not in MEASURES:
        raise ParameterError(f"There is no metric {metric!r}; {nearest_names(metric, MEASURES)}")
    if not worth > 0:
        raise ParameterError(f"worth is {worth}; it is a difference above 0.")
    root = Path(project)
    given = [revisions] if isinstance(revisions, str | Path) else list(revisions or [])
    folders = [Path(name) for name in given if (Path(name) / EVALUATED).is_file()]
    names = [str(name) for name in given if Path(name) not in folders]
    if not folders and not (root / "dvc.yaml").is_file():
        raise ParameterError(f"{root / 'dvc.yaml'} does not exist; give a project's folder as `project`.")
    if group is not None:
        finished = experiment_revisions(root)
        names += [name for name in read_sweep(root, group).names if name in finished]
    if names or folders or group is not None:
        found = find_revisions(root, list(dict.fromkeys(names))) if names else []
        found += [Revision(folder, folder.name, None) for folder in folders]
        runs = [read_run(revision) for revision in found]
    else:
        runs, left_out = finished_runs(root)
        for sentence in left_out:
            warnings.warn(sentence, UserWarning, stacklevel=2)
    if not runs:
        raise DataError(f"No run has finished in {root.resolve().name}; `evenly sweep` makes some.")
    return as_frames(compare_runs(runs, metric, worth=worth), runs)


def as_frames(found: Findings, runs: Sequence[Run]) -> Comparison:
    """What a comparison has found, and the runs behind it, as frames."""
    boards = [(board.field.dataset, board.field.model, board) for board in found.leaderboards]
    advised = [(dataset, model, recommendation(board)) for dataset, model, board in boards]
    return Comparison(
        leaderboard=pd.DataFrame(list(csv_rows(found)), columns=csv_columns()),
        runs=pd.DataFrame([_run(run) for run in runs]),
        verdicts=pd.DataFrame(
            [(dataset, model, sentence) for dataset, model, board in boards for sentence in verdicts(board)],
            columns=["dataset", "model", "verdict"],
        ),
        recommendation=pd.DataFrame(
            [(dataset, model, one.name, one.rule, one.sentence) for dataset, model, one in advised if one],
            columns=["dataset", "model", "technique", "rule", "sentence"],
        ),
        headline=headline(found),
    )


def _run(run: Run) -> dict[str, Any]:
    fields = ("name", "dataset", "recipe", "model", "loss", "seed", "added_rows", "fit_seconds", "money")
    scores = {name: run.scores["test"].get(name) for name in MEASURES if name in run.scores["test"]}
    return {name: getattr(run, name) for name in fields} | scores
