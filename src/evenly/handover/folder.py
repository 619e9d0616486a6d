"""The experiment folder: all that somebody without this repository needs of a finished run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evenly.errors import DataError
from evenly.files import atomic_folder, write_csv, write_json, write_text
from evenly.handover import tables
from evenly.handover.card import model_card
from evenly.handover.provenance import Provenance, find_provenance
from evenly.handover.stored import StoredRun, read_stored_run

#: Folder of the model in an experiment folder.
MODEL = "model"
#: What makes the run's files of its base commit, for `git apply`.
PATCH = "code.patch"
#: Pictures of the evaluation, by their name in the folder.
_PICTURES = {"confusion_matrix.png": "confusion.png", "confidence_distribution.png": "confidence.png"}
_COPIES = {"per_class.csv": "reports/per_class.csv", "predictions.csv": "reports/predictions.csv"}


def export_run(root: Path, name: str, target: Path) -> StoredRun:
    """Write the experiment folder of a run, whole or not at all.

    Parameters
    ----------
    root
        The project's folder.
    name
        An experiment, branch, tag or commit, or `workspace`.
    target
        A folder that does not exist, or is empty.

    Raises
    ------
    DataError
        When the target is taken, the run is unknown, or its outputs cannot be had.
    """
    check_target(target)
    stored = read_stored_run(root, name)
    write_experiment_folder(stored, target)
    return stored


def check_target(target: Path) -> None:
    """Refuse a folder that has something in it, or a file in its place.

    Raises
    ------
    DataError
        When there is something already.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise DataError(f"{target} is a file or a link; name a folder that does not exist yet.")
    if target.is_dir() and any(target.iterdir()):
        raise DataError(f"{target} is not empty; name a folder that does not exist yet, or empty it.")


def write_experiment_folder(stored: StoredRun, target: Path) -> None:
    """Write the experiment folder of a run that has been read; the same run gives the same bytes."""
    provenance = find_provenance(stored.revision)
    code = _code(provenance)
    pictures = stored.folder("plots/evaluate")
    with atomic_folder(target) as folder:
        for name, content in (
            ("config", tables.config(stored)),
            ("dataset_statistics", tables.dataset_statistics(stored)),
            ("class_mapping", tables.class_mapping(stored)),
            ("balancing_analysis", tables.balancing_analysis(stored)),
            ("experiment_summary", tables.experiment_summary(stored, code)),
        ):
            write_json(content, folder / f"{name}.json")
        write_csv(folder / "test_metrics.csv", tables.TEST_COLUMNS, tables.test_metrics(stored))
        write_csv(
            folder / "confidence_analysis.csv", tables.CONFIDENCE_COLUMNS, tables.confidence_analysis(stored)
        )
        for name, picture in _PICTURES.items():
            _copy(pictures[picture], folder / name)
        for name, path in _COPIES.items():
            (folder / name).write_bytes(stored.needed(path))
        for name, file in stored.model.items():
            _copy(file, folder / MODEL / name)
        if provenance.patch:
            (folder / PATCH).write_bytes(provenance.patch)
        write_text(model_card(stored, code), folder / "README.md")


def _code(provenance: Provenance) -> Mapping[str, Any]:
    patch = PATCH if provenance.patch else None
    return {"commit": provenance.commit, "base": provenance.base, "patch": patch}


def _copy(source: Path, target: Path) -> None:
    """Copy content without DVC's read-only mode."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
