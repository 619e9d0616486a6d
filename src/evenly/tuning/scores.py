"""What an experiment says about the validation rows: its metric, and what its model predicts for them.

Nothing here reads a test row or a number made from one.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evenly.errors import DataError
from evenly.experiments.history import Revision, experiment_revisions
from evenly.files import atomic_write

#: Metrics that training writes for the validation rows and that mean the same whatever the loss.
METRICS = ("macro_f1", "balanced_accuracy")
#: The last stage that a trial needs: the one after it opens the test split.
LAST_STAGE = "finetune"


def find_experiments(root: Path, names: Sequence[str]) -> list[Revision]:
    """Give the finished experiments of these names.

    Raises
    ------
    DataError
        When one has not finished, or has been removed.
    """
    finished = experiment_revisions(root)
    missing = next((name for name in names if name not in finished), None)
    if missing is not None:
        raise DataError(f"The experiment {missing} is not there any more; the same command runs it again.")
    return [Revision(root, name, finished[name]) for name in names]


def validation_score(revision: Revision, metric: str) -> float:
    """The metric on validation rows of the model that an experiment has kept.

    Raises
    ------
    DataError
        When the experiment has not written it, as without validation rows.
    """
    rounds = {name: _json(revision, f"metrics/{name}/metrics.json") for name in ("train", "finetune")}
    value = rounds[kept_round(revision)].get("val", {}).get(metric)
    if value is None:
        raise DataError(
            f"{revision.name} has no {metric} of validation rows; a search needs a data set that has some."
        )
    return float(value)


def kept_round(revision: Revision) -> str:
    """Which round's model an experiment has kept: `train` or `finetune`."""
    return str(_json(revision, "models/finetune/model.json").get("kept", "finetune"))


def validation_share(revision: Revision) -> float:
    """Validation rows over all other rows that the split is drawn from."""
    split = _json(revision, "metrics/split.json")
    rows = split["rows"]
    before = (split.get("imbalance") or {}).get("train_before")
    train = sum(before.values()) if before else rows["train"]
    others = train if split.get("strategy") == "given" else train + rows["test"]
    return float(rows["validation"] / max(1, others))


def validation_predictions(revision: Revision, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """Classes of the validation rows, and those that the model of an experiment predicts.

    Parameters
    ----------
    revision
        A finished experiment.
    cache
        Folder in which predictions stay, by the experiment's name.

    Returns
    -------
    y, predicted : int64 (n,)
        In the order of the validation table.
    """
    kept = cache / f"{revision.name}.npz"
    if kept.is_file():
        with np.load(kept) as arrays:
            return arrays["y"], arrays["predicted"]
    from evenly.classifiers import load_classifier
    from evenly.samples import read_samples

    with tempfile.TemporaryDirectory() as folder:
        model, table = Path(folder, "model"), Path(folder, "val.parquet")
        revision.copy_folder(f"models/{kept_round(revision)}", model)
        table.write_bytes(revision.read("data/split/val.parquet") or b"")
        rows = read_samples(table)
        probabilities = load_classifier(model).predict_proba(rows)
    y, predicted = rows.codes.astype(np.int64), probabilities.argmax(axis=1).astype(np.int64)
    with atomic_write(kept) as temporary, temporary.open("wb") as file:
        np.savez(file, y=y, predicted=predicted)
    return y, predicted


def _json(revision: Revision, path: str) -> dict[str, Any]:
    content = revision.read(path)
    if content is None:
        raise DataError(f"{revision.name} has no {path}; `dvc exp remove {revision.name}` and run it again.")
    found: dict[str, Any] = json.loads(content)
    return found
