"""What sweeps leave in `.cache/sweeps/`: what each run cost, for estimates, and which runs a sweep had.

Nothing here decides whether a run is finished: DVC's experiments do.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenly.errors import DataError
from evenly.experiments.experiments import Experiment, digest
from evenly.experiments.history import Revision, read_cache
from evenly.experiments.runs import FIT_SECONDS, MAKING, SECOND_ROUND, STAGE_SECONDS, stage_key
from evenly.files import write_json

FOLDER = Path(".cache/sweeps")
_COSTS = FOLDER / "costs.json"


@dataclass(frozen=True)
class Sweep:
    """A sweep that was started: its id, what was asked for, the names of its experiments, and failures.

    `failures` has the reason for each run that failed, by name.
    """

    id: str
    asked: str
    names: tuple[str, ...]
    failures: dict[str, str]


@dataclass(frozen=True)
class Estimate:
    """What experiments will take, from what such experiments have taken.

    `seconds` is None where nothing is known; `money` sums up what is known, and `unpriced` are the techniques
    that ask a language model at an unknown price.
    """

    seconds: float | None
    money: float
    unpriced: tuple[str, ...]


def sweep_id(asked: str, experiments: Sequence[Experiment]) -> str:
    """Name a sweep for what it runs: the same sweep has the same name."""
    word = "".join(c if c.isalnum() else "-" for c in asked.split()[0].lower()).strip("-")
    return f"{word}-{digest([experiment.name for experiment in experiments])[:6]}"


def record_sweep(root: Path, sweep: Sweep) -> None:
    """Remember a sweep, for `evenly compare --group`."""
    write_json(
        {"asked": sweep.asked, "experiments": list(sweep.names), "failures": sweep.failures},
        root / FOLDER / f"{sweep.id}.sweep.json",
    )


def read_sweep(root: Path, id_: str | None) -> Sweep:
    """Read a sweep back; the last one that was run where `id_` is None.

    Raises
    ------
    DataError
        When there is no such sweep, naming those there are.
    """
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
    content = read_cache(root / FOLDER / f"{id_}.sweep.json")
    return Sweep(id_, content["asked"], tuple(content["experiments"]), dict(content.get("failures", {})))


def record_cost(root: Path, experiment: Experiment, revision: Revision, wall_s: float, logs: Path) -> None:
    """Remember what a finished run took: for estimates, and its seconds for comparisons."""
    costs = read_cache(root / _COSTS)
    llm = _llm(revision)
    costs[experiment.name] = {
        "technique": experiment.technique.label,
        "dataset": experiment.dataset,
        "wall_s": round(wall_s, 2),
        "cpu_s": round(sum(read_cache(log).get("cpu_s", 0.0) for log in logs.glob("*.json")), 2),
        "money": llm.get("cost") if llm else 0.0,
        "asks": bool(llm),
    }
    write_json(costs, root / _COSTS)
    fit = read_cache(logs / "train.json").get("fit") or {}
    model = revision.outputs.get("models/train")
    if model and "cpu_s" in fit:
        write_json({**read_cache(root / FIT_SECONDS), model: round(fit["cpu_s"], 3)}, root / FIT_SECONDS)
    stages = {
        stage_key(stage, output, revision): round(cpu, 3)
        for stage, output in {**MAKING, **SECOND_ROUND}.items()
        if (cpu := read_cache(logs / f"{stage}.json").get("cpu_s")) is not None
    }
    if stages:
        write_json({**read_cache(root / STAGE_SECONDS), **stages}, root / STAGE_SECONDS)


def estimate(root: Path, experiments: Iterable[Experiment], jobs: int) -> Estimate:
    """Estimate what experiments will take: the median of the same technique on the same data set, else of the
    data set, else of all runs so far.
    """
    costs = list(read_cache(root / _COSTS).values())
    total, money = 0.0, 0.0
    known, unpriced = bool(costs), []
    for experiment in experiments:
        label = experiment.technique.label
        alike, basis = _alike(costs, experiment)
        total += _median([cost["wall_s"] for cost in alike])
        same = alike if basis == "this technique" else []
        if "llm" in experiment.technique.recipe or any(cost["asks"] for cost in same):
            prices = [cost["money"] for cost in same if cost["money"] is not None]
            money += _median(prices)
            if not prices:
                unpriced.append(label)
    return Estimate(total / jobs if known else None, money, tuple(dict.fromkeys(unpriced)))


def measured_seconds(root: Path, experiment: Experiment) -> tuple[float, str] | None:
    """Wall seconds of a run from those that a sweep has measured on its data set, and of which of them.

    Returns
    -------
    seconds, basis
        `basis` is `this technique` or `other techniques`. None where nothing was measured on the data set.
    """
    alike, basis = _alike(list(read_cache(root / _COSTS).values()), experiment)
    if not alike or basis == "other data sets":
        return None
    return _median([cost["wall_s"] for cost in alike]), basis


def _alike(costs: Sequence[dict[str, Any]], experiment: Experiment) -> tuple[list[dict[str, Any]], str]:
    """Costs of the runs that are most like an experiment, and what they have in common with it."""
    same_data = [cost for cost in costs if cost["dataset"] == experiment.dataset]
    same = [cost for cost in same_data if cost["technique"] == experiment.technique.label]
    if same:
        return same, "this technique"
    return (same_data, "other techniques") if same_data else (list(costs), "other data sets")


def _median(values: Sequence[float]) -> float:
    return float(statistics.median(values)) if values else 0.0


def _llm(revision: Revision) -> dict[str, Any]:
    import json

    try:
        content = revision.read("metrics/llm.json")
    except DataError:
        return {}
    return json.loads(content) if content else {}
