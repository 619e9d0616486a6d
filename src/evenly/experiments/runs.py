"""One finished run, read back from its revision: what was run, what it scored, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evenly.errors import DataError
from evenly.experiments.history import Revision, experiment_revisions
from evenly.experiments.ledger import MAKING, fit_seconds, money_asked, stage_seconds
from evenly.files import json_mapping, read_csv, reading
from evenly.resamples import Resamples, read_resamples

RESAMPLES, PER_CLASS = "reports/resamples.parquet", "reports/per_class.csv"
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
    """A run of the whole pipeline, under the name of its experiment or of its revision."""

    name: str
    #: When, in seconds since 1970: of two equal runs the later one counts.
    committed: int
    dataset: str
    recipe: str
    #: Model and loss as resolved.
    model: str
    loss: str
    seed: int
    #: Everything else that params.yaml says, as dotted key to value; the recipe's own begin with `recipe.`.
    settings: Mapping[str, Any]
    #: `metrics/evaluate.json`.
    scores: Mapping[str, Any]
    classes: tuple[ClassScore, ...]
    #: Test rows over all other rows that the split is drawn from.
    test_share: float
    #: Whether the test split is the data set's own, so that seeds do not vary it.
    test_given: bool = False
    #: Of cross-validation: folds of a repetition; 0 where each seed draws its own test rows.
    folds: int = 0
    #: In the split; 0 where unknown.
    validation_rows: int = 0
    #: What decision rules score on resamples that all runs share; empty for runs of earlier versions.
    resamples: Resamples = field(default_factory=dict, compare=False)
    #: Of cross-validation without groups: `reports/predictions.csv`, and what `models/rules.json` says; else
    #: empty.
    predictions: bytes = b""
    rules: Mapping[str, Any] = field(default_factory=dict)
    #: What a linear model reads of texts: `terms`, `vectors` or `both`; empty of other models.
    reads: str = ""
    #: Rows of the training table that are not real.
    added_rows: int = 0
    #: Of a language model, with what they cost; None where the price is unknown.
    tokens: int = 0
    money: float | None = 0.0
    #: CPU seconds of fitting the model, and of making, screening and assembling rows; None where no sweep has
    #: measured them.
    fit_seconds: float | None = None
    making_seconds: float | None = None


def read_run(revision: Revision) -> Run:
    """Read a run from its revision, which must have been evaluated."""
    with reading(f"What {revision.name} has left"):
        return _run(revision)


def _run(revision: Revision) -> Run:
    params = revision.yaml("params.yaml")
    scores = json_of(revision, "metrics/evaluate.json")
    if not scores or not params:
        raise DataError(f"{revision.name} has no metrics/evaluate.json; run `dvc repro` there and commit.")
    split = json_of(revision, "metrics/split.json")
    llm = json_of(revision, "metrics/llm.json")
    plan = json_of(revision, "data/plan/train.json")
    recipe = str(params["balancing"])
    folds = int(split.get("folds", 0))
    # The rows of a group are drawn as one, and predictions do not say which these are.
    alone = folds > 0 and split.get("strategy") != "grouped"
    identity = {key: value for key, value in params.items() if key not in _IDENTITY}
    identity["recipe"] = params.get("recipes", {}).get(recipe, {})
    return Run(
        name=revision.name,
        committed=revision.committed,
        dataset=str(params["dataset"]),
        recipe=recipe,
        model=_model(plan, params),
        loss=str(plan.get("loss", params["loss"])),
        seed=int(params["seed"]),
        settings=flattened(identity),
        scores=scores,
        classes=_classes(revision),
        test_share=split_share(split, "test", "validation"),
        test_given=split.get("strategy") == "given",
        folds=folds,
        validation_rows=int(split["rows"]["validation"]),
        resamples=_resamples(revision),
        predictions=(revision.read("reports/predictions.csv") or b"") if alone else b"",
        rules=json_of(revision, "models/rules.json") if alone else {},
        reads=str(plan.get("settings", {}).get("reads", "")),
        added_rows=sum(o["rows"] for origin, o in scores.get("by_origin", {}).items() if origin != "real"),
        tokens=sum(int(llm.get(f"{part}_tokens", 0)) for part in ("prompt", "completion"))
        + int(scores.get("asked", {}).get("tokens", 0)),
        money=money_asked(llm, scores),
        fit_seconds=fit_seconds(revision, second_round=bool(identity["recipe"].get("finetune"))),
        making_seconds=stage_seconds(revision, MAKING),
    )


def finished_runs(root: Path) -> tuple[list[Run], list[str]]:
    """Read every finished experiment, and say of each that cannot be read why.

    Those of another version are among these, those whose files are elsewhere, and trials of a search, which
    end before test rows are opened.
    """
    runs: list[Run] = []
    left_out: list[str] = []
    for name, commit in experiment_revisions(root).items():
        try:
            runs.append(read_run(Revision(root, name, commit)))
        except DataError as error:
            left_out.append(str(error))
    return runs, left_out


def _model(plan: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """The model as resolved; of a class that params.yaml names, the name of the class."""
    named = plan.get("settings", {}).get("class")
    return named.rpartition(".")[2] if named else str(plan.get("model", params["model"]))


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping of dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def value_at(values: Any, path: str) -> Any:
    """What a dotted path leads to in nested mappings; None where it leads nowhere."""
    for part in filter(None, path.split(".")):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def json_of(revision: Revision, path: str) -> dict[str, Any]:
    """What a JSON file of a revision says; empty where it has none."""
    content = revision.read(path)
    return json_mapping(content, f"{path} of {revision.name}") if content else {}


def _classes(revision: Revision) -> tuple[ClassScore, ...]:
    content, name = revision.read(PER_CLASS), f"{PER_CLASS} of {revision.name}"
    if content is None:
        return ()
    with reading(name):
        return tuple(
            ClassScore(row["class"], int(row["train_rows"]), float(row["f1"]) if row["f1"] else None)
            for row in read_csv(content, name)
        )


def _resamples(revision: Revision) -> Resamples:
    content = revision.read(RESAMPLES)
    return {} if content is None else read_resamples(content, f"{RESAMPLES} of {revision.name}")


def split_share(split: Mapping[str, Any], part: str, beside: str) -> float:
    """Rows of a part over all others drawn with it, before a long tail was made of the training rows."""
    before = (split.get("imbalance") or {}).get("train_before")
    train = sum(before.values()) if before else split["rows"]["train"]
    others = 0 if split.get("strategy") == "given" and beside == "test" else split["rows"][beside]
    return float(split["rows"][part] / max(1, train + others))
