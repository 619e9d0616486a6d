"""Sending a finished run to a tracker that others watch: MLflow or Weights & Biases, each an optional extra.

What is sent is read back from the run, so that one which DVC took from its cache is sent as well as one that
was just trained, and no tracker can change an output of the pipeline.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
import math
import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evenly.errors import DataError, RecipeError
from evenly.experiments.runs import flattened
from evenly.handover.folder import write_experiment_folder
from evenly.handover.stored import StoredRun, read_stored_run
from evenly.wording import first_line

Tracker = Literal["mlflow", "wandb"]
#: Where trackers keep things that go to no server: git ignores it, so that no experiment takes it in.
FOLDER = Path(".cache/trackers")
#: Tag and setting by which a run is found again.
TAG = "evenly.run"
_PARAMS_AT_ONCE, _METRICS_AT_ONCE, _LONGEST = 100, 1000, 6000


@dataclass(frozen=True)
class Record:
    """What a tracker gets of a run."""

    #: Of its outputs: the same run has the same key, whatever it is called.
    key: str
    name: str
    #: Data set, recipe, model.
    tags: Mapping[str, str]
    #: Settings by dotted key, as text.
    params: Mapping[str, str]
    #: Final numbers by path, such as `test/macro_f1`.
    metrics: Mapping[str, float]
    #: By path, such as `fit/val/loss`, the steps with their values, as dvclive logged them.
    curves: Mapping[str, tuple[tuple[int, float], ...]]


def track_run(root: Path, name: str, tracker: Tracker, project: str, uri: str | None) -> str:
    """Send a finished run to a tracker, and say where it is now; a run that it has already is not sent twice.

    `project` is the experiment of MLflow, or the project of Weights & Biases; `uri` is MLflow's tracking URI,
    None for a database under `.cache/trackers/`.
    """
    if importlib.util.find_spec(tracker) is None:
        raise RecipeError(f"{tracker} is not installed: `pip install 'evenly[{tracker}]'` adds it.")
    stored = read_stored_run(root, name)
    record = run_record(stored)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "experiment"
        write_experiment_folder(stored, folder)
        (root / FOLDER).mkdir(parents=True, exist_ok=True)
        if tracker == "mlflow":
            local = f"sqlite:///{(root / FOLDER / 'mlflow.db').resolve()}"
            return _to_mlflow(record, folder, project, uri or local, root)
        return _to_wandb(record, folder, project, root)


def run_record(stored: StoredRun) -> Record:
    """Arrange what a run has stored as trackers want it."""
    run, scores = stored.run, stored.run.scores
    settings = {
        "dataset": run.dataset,
        "recipe": run.recipe,
        "model": run.model,
        "loss": run.loss,
        "seed": run.seed,
        "recipe_settings": stored.recipe,
        "plan": stored.manifest["plan"],
    }
    parts = {part: scores.get(part, {}) for part in ("test", "validation", "train", "gap", "decision_rules")}
    cost = {"synthetic_rows": run.added_rows, "tokens": run.tokens, "money": run.money}
    numbers = flattened({**parts, "cost": {**cost, "fit_cpu_seconds": run.fit_seconds}})
    content = "\n".join(f"{path} {md5}" for path, md5 in sorted(stored.revision.outputs.items()))
    return Record(
        key=hashlib.sha256(content.encode()).hexdigest()[:16],
        name=run.name,
        tags={"dataset": run.dataset, "recipe": run.recipe, "model": run.model},
        params={_word(key): str(value)[:_LONGEST] for key, value in flattened(settings).items()},
        metrics={
            _word(key.replace(".", "/")): float(value)
            for key, value in numbers.items()
            if isinstance(value, int | float) and math.isfinite(value)
        },
        curves=_curves(stored, "fit", "metrics/train") | _curves(stored, "finetune", "metrics/finetune"),
    )


def _curves(stored: StoredRun, prefix: str, path: str) -> dict[str, tuple[tuple[int, float], ...]]:
    """What dvclive has logged step by step; a value that is no number is left out."""
    found = {}
    for name, file in stored.revision.files(path).items():
        if name.endswith(".tsv"):
            metric = name.removeprefix("plots/metrics/").removesuffix(".tsv")
            rows = csv.reader(io.StringIO(file.read_text(encoding="utf-8")), delimiter="\t")
            next(rows, None)
            points = ((int(step), float(value)) for step, value in rows)
            found[_word(f"{prefix}/{metric}")] = tuple(p for p in points if math.isfinite(p[1]))
    return found


def _word(name: str) -> str:
    """A name that both trackers take."""
    return re.sub(r"[^\w./ -]", "_", name)


def _to_mlflow(record: Record, folder: Path, project: str, uri: str, root: Path) -> str:
    from mlflow.entities import Metric, Param
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    if not MLFLOW_HTTP_REQUEST_MAX_RETRIES.is_set():
        MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(2)  # its own seven take minutes to say that nobody is there
    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in record.metrics.items()]
    metrics += [Metric(name, v, now, step) for name, points in record.curves.items() for step, v in points]
    params = [Param(name, value) for name, value in record.params.items()]
    try:
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(project)
        # A database alone has no place for files; a server has its own.
        place = (root / FOLDER / "mlflow").resolve().as_uri() if uri.startswith("sqlite:") else None
        id_ = experiment.experiment_id if experiment else client.create_experiment(project, place)
        same = f"tags.`{TAG}` = '{record.key}' and attributes.status = 'FINISHED'"
        known = client.search_runs([id_], same, max_results=1)
        where = f"{record.name} in experiment {project} of {uri}"
        if known:
            return f"{where}, where it was already (run {known[0].info.run_id})"
        run = client.create_run(id_, run_name=record.name, tags={**record.tags, TAG: record.key}).info.run_id
        try:
            for at in range(0, len(params), _PARAMS_AT_ONCE):
                client.log_batch(run, params=params[at : at + _PARAMS_AT_ONCE])
            for at in range(0, len(metrics), _METRICS_AT_ONCE):
                client.log_batch(run, metrics=metrics[at : at + _METRICS_AT_ONCE])
            client.log_artifacts(run, str(folder))
        except BaseException:
            client.set_terminated(run, "FAILED")
            raise
        client.set_terminated(run)
    except MlflowException as error:
        raise DataError(f"MLflow at {uri} did not take the run: {first_line(error)}.") from error
    return f"{where} (run {run})"


def _to_wandb(record: Record, folder: Path, project: str, root: Path) -> str:
    import wandb

    try:
        run = wandb.init(
            project=project,
            name=record.name,
            id=record.key,
            config={**record.params, TAG: record.key},
            tags=[f"{name}:{value}"[:64] for name, value in record.tags.items()],
            dir=str(root / FOLDER),
            resume="never",
            settings=wandb.Settings(silent=True, disable_git=True, save_code=False, x_disable_stats=True),
        )
        for part in dict.fromkeys(name.split("/")[0] for name in record.curves):
            run.define_metric(f"{part}/*", step_metric=f"{part}/step")
            curves = {
                name: dict(points) for name, points in record.curves.items() if name.startswith(f"{part}/")
            }
            for step in sorted({step for points in curves.values() for step in points}):
                row = {name: points[step] for name, points in curves.items() if step in points}
                run.log({f"{part}/step": step, **row})
        run.summary.update(dict(record.metrics))
        artifact = wandb.Artifact(f"run-{record.key}", type="experiment")
        artifact.add_dir(str(folder))
        run.log_artifact(artifact)
        run.finish()
    except wandb.errors.Error as error:
        raise DataError(
            f"Weights & Biases did not take the run: {first_line(error)}; `wandb login` sets a key, and "
            "WANDB_MODE=offline keeps the run here."
        ) from error
    if run.settings.mode == "offline" or not run.url:
        return f"{record.name} in {run.settings.sync_dir} (`wandb sync` sends it)"
    return f"{record.name} at {run.url}"
