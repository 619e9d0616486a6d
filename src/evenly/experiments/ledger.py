"""What sweeps leave in `.cache/sweeps/`: which runs a sweep had, and what each run cost, for estimates and
comparisons.

Nothing here decides whether a run is finished: DVC's experiments do.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evenly.errors import DataError
from evenly.experiments.experiments import Experiment, digest
from evenly.experiments.history import Revision, read_cache
from evenly.files import json_mapping, reading, write_json

FOLDER = Path(".cache/sweeps")
_COSTS = FOLDER / "costs.json"
#: Seconds of the fit by the MD5 of the model that came out.
FIT_SECONDS = FOLDER / "fit_seconds.json"
#: Seconds of whole stages, by stage and MD5 of what came out.
STAGE_SECONDS = FOLDER / "stage_seconds.json"
#: The stages that make, screen or assemble rows, and the output that tells one run of theirs from another.
MAKING = {
    "llm_generate": "data/generated/llm.parquet",
    "imported": "data/generated/imported.parquet",
    "generate": "data/generated/model.parquet",
    "filter": "data/filtered/kept.parquet",
    "offline_augment": "data/augmented/augmented.parquet",
    "resample": "data/balanced/train.parquet",
}
#: The stages of the second round, likewise.
SECOND_ROUND = {"mine_hard_examples": "data/hard/hard.parquet", "finetune": "models/finetune"}


@dataclass(frozen=True)
class Sweep:
    """A sweep that was started: its id, its groups as typed, its experiments, and why some of them failed."""

    id: str
    groups: str
    names: tuple[str, ...]
    failures: dict[str, str] = field(default_factory=dict)


def sweep_id(groups: str, experiments: Sequence[Experiment]) -> str:
    """Name a sweep for what it runs: the same sweep has the same name."""
    word = "".join(c if c.isalnum() else "-" for c in groups.split()[0].lower()).strip("-")
    return f"{word}-{digest([experiment.name for experiment in experiments])[:6]}"


def record_sweep(root: Path, sweep: Sweep) -> None:
    """Remember a sweep, for `evenly compare --group`."""
    write_json(
        {"asked": sweep.groups, "experiments": list(sweep.names), "failures": sweep.failures},
        root / FOLDER / f"{sweep.id}.sweep.json",
    )


def read_sweep(root: Path, id_: str | None) -> Sweep:
    """Read a sweep back; the last one that was run where `id_` is None."""
    files = sorted((root / FOLDER).glob("*.sweep.json"), key=lambda file: file.stat().st_mtime)
    names = [file.name.removesuffix(".sweep.json") for file in files]
    if id_ is None and names:
        id_ = names[-1]
    if id_ not in names or id_ is None:
        raise DataError(
            f"There is no sweep {id_!r}; there are {', '.join(names)}."
            if names
            else "No sweep has been run here; `evenly sweep` runs one."
        )
    file = root / FOLDER / f"{id_}.sweep.json"
    with reading(file, "delete it; the same `evenly sweep` writes it again and runs nothing twice"):
        content = json_mapping(file.read_bytes(), str(file))
        failures = dict(content.get("failures", {}))
        return Sweep(id_, str(content["asked"]), tuple(map(str, content["experiments"])), failures)


@dataclass(frozen=True)
class Progress:
    """How a sweep is getting on: the stage of each run in progress, why runs failed, whether it is there."""

    running: dict[str, str]
    failures: dict[str, str]
    alive: bool


def progress_file(root: Path, sweep: str) -> Path:
    """Where a sweep that is running keeps its progress."""
    return root / FOLDER / f"{sweep}.progress.json"


def read_progress(root: Path, sweep: Sweep) -> Progress:
    """How a sweep is getting on; one that was killed has nothing running."""
    import fcntl

    path = progress_file(root, sweep.id)
    try:
        with path.with_suffix(".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        pass
    except BlockingIOError:
        content = read_cache(path)
        return Progress(content.get("running", {}), content.get("failures", {}), True)
    return Progress({}, sweep.failures, False)


def money_asked(llm: Mapping[str, Any], scores: Mapping[str, Any]) -> float | None:
    """What the language models of a run cost, for rows and as its model; None where a price is unknown."""
    costs = [part.get("cost") for part in (llm, scores.get("asked", {})) if part]
    known = [cost for cost in costs if cost is not None]
    return sum(known, 0.0) if len(known) == len(costs) else None


def record_cost(root: Path, experiment: Experiment, revision: Revision, wall_s: float, logs: Path) -> None:
    """Remember what a finished run took; each stage has left its own seconds in `logs`."""
    llm: dict[str, Any] = {}
    scores: dict[str, Any] = {}
    measured = {log.stem: read_cache(log) for log in logs.glob("*.json")}
    with suppress(DataError):
        llm = json_mapping(revision.read("metrics/llm.json") or b"{}", "metrics/llm.json")
        scores = json_mapping(revision.read("metrics/evaluate.json") or b"{}", "metrics/evaluate.json")
    cost = {
        "technique": experiment.technique.label,
        "dataset": experiment.dataset,
        "wall_s": round(wall_s, 2),
        "cpu_s": round(sum(stage.get("cpu_s", 0.0) for stage in measured.values()), 2),
        "money": money_asked(llm, scores),
        "asks": bool(llm) or "asked" in scores,
    }
    _add(root / _COSTS, {experiment.name: cost})
    model = revision.outputs.get("models/train")
    fit = (measured.get("train", {}).get("fit") or {}).get("cpu_s")
    if model and fit is not None:
        _add(root / FIT_SECONDS, {model: round(fit, 3)})
    stages = {
        stage_key(stage, output, revision): round(measured[stage]["cpu_s"], 3)
        for stage, output in {**MAKING, **SECOND_ROUND}.items()
        if measured.get(stage, {}).get("cpu_s") is not None
    }
    if stages:
        _add(root / STAGE_SECONDS, stages)


def _add(path: Path, values: Mapping[str, Any]) -> None:
    write_json({**read_cache(path), **values}, path)


def stage_key(stage: str, output: str, revision: Revision) -> str:
    """What `STAGE_SECONDS` calls the run of a stage whose output a revision has."""
    return f"{stage}:{revision.outputs.get(output, '')}"


def fit_seconds(revision: Revision, *, second_round: bool) -> float | None:
    """CPU seconds of fitting the model, of the second round too; None where they were not measured."""
    first = read_cache(revision.root / FIT_SECONDS).get(revision.outputs.get("models/train", ""))
    second = stage_seconds(revision, SECOND_ROUND) if second_round else 0.0
    return None if first is None or second is None else first + second


def stage_seconds(revision: Revision, stages: Mapping[str, str]) -> float | None:
    """CPU seconds of stages together; None where one was not measured."""
    measured = read_cache(revision.root / STAGE_SECONDS)
    keys = [stage_key(stage, output, revision) for stage, output in stages.items()]
    return sum(float(measured[key]) for key in keys) if all(key in measured for key in keys) else None


@dataclass(frozen=True)
class Estimate:
    """What experiments will take: `seconds` is None where nothing is known, `money` sums up what is known."""

    seconds: float | None
    money: float
    #: Techniques that ask a language model at an unknown price.
    unpriced: tuple[str, ...]


def estimate(root: Path, experiments: Iterable[Experiment], jobs: int) -> Estimate:
    """Estimate what experiments will take: the median of the same technique on the same data set, else of the
    data set, else of all runs so far.
    """
    costs = _costs(root)
    total, money, unpriced = 0.0, 0.0, []
    for experiment in experiments:
        alike, basis = _alike(costs, experiment)
        total += _median([cost["wall_s"] for cost in alike])
        same = alike if basis == "this technique" else []
        if experiment.asks_llm or any(cost["asks"] for cost in same):
            prices = [cost["money"] for cost in same if cost["money"] is not None]
            money += _median(prices)
            if not prices:
                unpriced.append(experiment.technique.label)
    return Estimate(total / jobs if costs else None, money, tuple(dict.fromkeys(unpriced)))


def measured_seconds(root: Path, experiment: Experiment) -> tuple[float, str] | None:
    """Median wall seconds of measured runs on a data set, and of which: `this technique`, `other techniques`.

    None where nothing was measured on the data set.
    """
    alike, basis = _alike(_costs(root), experiment)
    if not alike or basis == "other data sets":
        return None
    return _median([cost["wall_s"] for cost in alike]), basis


def _costs(root: Path) -> list[dict[str, Any]]:
    """What runs have cost; entries that are not whole tell nothing."""
    found = read_cache(root / _COSTS).values()
    return [
        cost
        for cost in found
        if isinstance(cost, dict)
        and cost.keys() >= {"technique", "dataset", "wall_s", "money", "asks"}
        and isinstance(cost["wall_s"], int | float)
        and isinstance(cost["money"], int | float | None)
    ]


def _alike(costs: Sequence[dict[str, Any]], experiment: Experiment) -> tuple[list[dict[str, Any]], str]:
    """Costs of the runs that are most like an experiment, and what they have in common with it."""
    same_data = [cost for cost in costs if cost["dataset"] == experiment.dataset]
    same = [cost for cost in same_data if cost["technique"] == experiment.technique.label]
    if same:
        return same, "this technique"
    return (same_data, "other techniques") if same_data else (list(costs), "other data sets")


def _median(values: Sequence[float]) -> float:
    return float(statistics.median(values)) if values else 0.0
