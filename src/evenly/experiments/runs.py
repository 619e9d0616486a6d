"""One finished run, read back from its revision: what was run, what it scored, and what it cost."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenly.errors import DataError
from evenly.experiments.history import Revision, read_cache

#: Seconds of the fit by the MD5 of the model that came out; a sweep writes it.
FIT_SECONDS = Path(".cache/sweeps/fit_seconds.json")
#: Seconds of whole stages, by stage and MD5 of what came out; a sweep writes it, too.
STAGE_SECONDS = Path(".cache/sweeps/stage_seconds.json")
#: The stages that make, screen or assemble rows, and the output that tells one run of theirs from another.
MAKING = {
    "llm_generate": "data/generated/llm.parquet",
    "generate": "data/generated/model.parquet",
    "filter": "data/filtered/kept.parquet",
    "offline_augment": "data/augmented/augmented.parquet",
    "resample": "data/balanced/train.parquet",
}
#: The stages of the second round, likewise.
SECOND_ROUND = {"mine_hard_examples": "data/hard/hard.parquet", "finetune": "models/finetune"}
#: Keys of params.yaml that say which run it is rather than how a technique is set.
_IDENTITY = ("seed", "dataset", "balancing", "recipes")


@dataclass(frozen=True)
class ClassScore:
    """How a run does on one class; `f1` is None without test rows."""

    name: str
    train_rows: int
    f1: float | None


@dataclass(frozen=True)
class Run:
    """A run of the whole pipeline.

    Attributes
    ----------
    name
        Its experiment, or how else its revision is called.
    committed
        When, in seconds since 1970: of two equal runs the later one counts.
    dataset, recipe, model, loss, seed
        What was run; model and loss as resolved.
    settings
        Everything else that params.yaml said, as dotted key to value.
    scores
        `metrics/evaluate.json`.
    classes
        In class order.
    test_share
        Test rows over all other rows that the split is drawn from.
    test_given
        Whether the test split is the data set's own, so that seeds do not vary it.
    added_rows
        Rows of the training table that are not real.
    tokens
        Of a language model.
    money
        What they cost; None where the price is unknown.
    fit_seconds
        CPU seconds of fitting the model, those of a second round included; None where no sweep has measured
        them.
    making_seconds
        CPU seconds of the stages that make, screen and assemble rows, likewise.
    """

    name: str
    committed: int
    dataset: str
    recipe: str
    model: str
    loss: str
    seed: int
    settings: Mapping[str, Any]
    scores: Mapping[str, Any]
    classes: tuple[ClassScore, ...]
    test_share: float
    test_given: bool = False
    added_rows: int = 0
    tokens: int = 0
    money: float | None = 0.0
    fit_seconds: float | None = None
    making_seconds: float | None = None


def read_run(revision: Revision) -> Run:
    """Read a run from its revision.

    Raises
    ------
    DataError
        When the revision has not been evaluated, or DVC's cache does not hold what it made.
    """
    params = revision.yaml("params.yaml")
    scores = _json(revision, "metrics/evaluate.json")
    if not scores or not params:
        raise DataError(f"{revision.name} has no metrics/evaluate.json; run `dvc repro` there and commit.")
    split = _json(revision, "metrics/split.json")
    llm = _json(revision, "metrics/llm.json")
    plan = _json(revision, "data/plan/train.json")
    recipe = str(params["balancing"])
    identity = {key: value for key, value in params.items() if key not in _IDENTITY}
    identity["recipe"] = params.get("recipes", {}).get(recipe, {})
    return Run(
        name=revision.name,
        committed=revision.committed,
        dataset=str(params["dataset"]),
        recipe=recipe,
        model=str(plan.get("model", params["model"])),
        loss=str(plan.get("loss", params["loss"])),
        seed=int(params["seed"]),
        settings=flattened(identity),
        scores=scores,
        classes=_classes(revision),
        test_share=_test_share(split),
        test_given=split.get("strategy") == "given",
        added_rows=sum(o["rows"] for origin, o in scores.get("by_origin", {}).items() if origin != "real"),
        tokens=int(llm.get("prompt_tokens", 0)) + int(llm.get("completion_tokens", 0)),
        money=llm.get("cost") if llm else 0.0,
        fit_seconds=_fit_seconds(revision, second_round=bool(identity["recipe"].get("finetune"))),
        making_seconds=_stage_seconds(revision, MAKING),
    )


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping of dotted keys."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flattened(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _json(revision: Revision, path: str) -> dict[str, Any]:
    content = revision.read(path)
    return json.loads(content) if content else {}


def _classes(revision: Revision) -> tuple[ClassScore, ...]:
    content = revision.read("reports/per_class.csv")
    if content is None:
        return ()
    rows = csv.DictReader(io.StringIO(content.decode("utf-8")))
    return tuple(
        ClassScore(row["class"], int(row["train_rows"]), float(row["f1"]) if row["f1"] else None)
        for row in rows
    )


def _test_share(split: Mapping[str, Any]) -> float:
    """Test rows over the others, as they were before a long tail was made of the training rows."""
    rows = split["rows"]
    before = (split.get("imbalance") or {}).get("train_before")
    train = sum(before.values()) if before else rows["train"]
    return float(rows["test"] / max(1, train + rows["validation"]))


def stage_key(stage: str, output: str, revision: Revision) -> str:
    """What `STAGE_SECONDS` calls the run of a stage whose output a revision has."""
    return f"{stage}:{revision.outputs.get(output, '')}"


def _fit_seconds(revision: Revision, *, second_round: bool) -> float | None:
    measured = read_cache(revision.root / FIT_SECONDS)
    first = measured.get(revision.outputs.get("models/train", ""))
    second = _stage_seconds(revision, SECOND_ROUND) if second_round else 0.0
    return None if first is None or second is None else first + second


def _stage_seconds(revision: Revision, stages: Mapping[str, str]) -> float | None:
    """Sum over stages; None where one was not measured."""
    measured = read_cache(revision.root / STAGE_SECONDS)
    keys = [stage_key(stage, output, revision) for stage, output in stages.items()]
    return sum(float(measured[key]) for key in keys) if all(key in measured for key in keys) else None
