"""What the outputs of one finished run say, read back without a checkout, and which code made them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenly.classifiers.classifier import HOLDS_ROWS, MANIFEST
from evenly.errors import DataError
from evenly.evaluation.decisions import RULES, RuleName
from evenly.experiments.history import Revision, changed_stages, experiment_revisions, find_revisions, git
from evenly.experiments.runs import Run, json_of, read_run, value_at
from evenly.files import json_mapping, read_csv, seal_fault
from evenly.params.datasets import DATASETS_FILE
from evenly.params.project import PARAMS_FILE

#: Metrics of the stages before `evaluate`, which has its own place in a run.
_METRICS = ("split", "imbalance", "llm", "generate", "filter", "resample", "mining")
# The same bytes whatever the user's git configuration says, binary files included.
_DIFF = (
    "diff", "--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames",
    "--src-prefix=a/", "--dst-prefix=b/",
)  # fmt: skip


@dataclass(frozen=True)
class StoredRun:
    """A finished run."""

    revision: Revision
    run: Run
    #: params.yaml, and the entry of the data set in datasets.yaml.
    params: Mapping[str, Any]
    entry: Mapping[str, Any]
    #: What each stage before `evaluate` says in `metrics/STAGE.json`; empty for one with nothing to do.
    metrics: Mapping[str, Mapping[str, Any]]
    #: The stage that made the model that was kept: `train`, or `finetune` where the second round was better.
    final: str
    #: What `finetune` says of that: empty where it made the model.
    kept: Mapping[str, Any]
    #: Files of that model, by their name in its folder, and its `model.json`.
    model: Mapping[str, Path]
    manifest: Mapping[str, Any]

    @property
    def classes(self) -> list[str]:
        """In class order."""
        return [str(name) for name in self.manifest["schema"]["classes"]]

    @property
    def holds_rows(self) -> bool:
        """Whether the model's folder has training rows in it, as that of k-NN."""
        return bool(self.manifest["details"].get(HOLDS_ROWS))

    @property
    def modality(self) -> str:
        """`text`, `image` or `table`."""
        return str(self.manifest["schema"]["modality"])

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What the recipe of the run asks for."""
        return self.params.get("recipes", {}).get(self.run.recipe) or {}

    @property
    def best_rule(self) -> RuleName:
        """The decision rule with the highest macro F1 on validation rows, the plainest of equal ones; no test
        row has a say.
        """
        rules = self.run.scores["decision_rules"]
        scored = [(rule, rules[rule]["validation"]["macro_f1"]) for rule in RULES if rule in rules]
        return max(scored, key=lambda pair: pair[1])[0]

    def needed(self, path: str) -> bytes:
        """Content of an output; a `DataError` where there is none."""
        content = self.revision.read(path)
        if content is None:
            raise self._missing(path)
        return content

    def table(self, path: str) -> list[dict[str, str]]:
        """Rows of an output that is a CSV file."""
        return read_csv(self.needed(path), f"{path} of {self.revision.name}")

    def folder(self, path: str) -> Mapping[str, Path]:
        """Files of an output that is a folder; a `DataError` where there are none."""
        files = self.revision.files(path)
        if not files:
            raise self._missing(path)
        return files

    def _missing(self, path: str) -> DataError:
        return DataError(f"{self.revision.name} has no {path}; run `dvc repro` there and commit.")


def read_stored_run(root: Path, name: str) -> StoredRun:
    """Read a finished run: an experiment, branch, tag or commit, or `workspace`.

    One whose outputs were made with other settings than it has now is refused.
    """
    revision = find_revisions(root, [name])[0]
    run = read_run(revision)
    _check_current(revision)
    params, entries = revision.yaml(PARAMS_FILE), revision.yaml(DATASETS_FILE)
    kept = _json(revision.files("models/finetune"), MANIFEST)
    final = "train" if kept.get("kept") == "train" or not kept else "finetune"
    model = revision.files(f"models/{final}")
    manifest = _json(model, MANIFEST)
    if not manifest:
        raise DataError(f"{name} has no models/{final}; run `dvc repro` there and commit.")
    if fault := seal_fault(manifest, {key: path for key, path in model.items() if key != MANIFEST}):
        raise DataError(
            f"{name}: models/{final}/{MANIFEST} {fault}; run `dvc repro` there and commit, then try again."
        )
    return StoredRun(
        revision=revision,
        run=run,
        params=params,
        entry=entries.get(run.dataset) or {},
        metrics={stage: json_of(revision, f"metrics/{stage}.json") for stage in _METRICS},
        final=final,
        kept=kept if final == "train" else {},
        model=model,
        manifest=manifest,
    )


def _json(files: Mapping[str, Path], name: str) -> dict[str, Any]:
    return json_mapping(files[name].read_bytes(), str(files[name])) if name in files else {}


def _check_current(revision: Revision) -> None:
    """Refuse a run whose outputs were made from something else than what it would be handed over with."""
    if revision.commit is None:
        stages = changed_stages(revision.root)
        if stages:
            raise DataError(
                f"The workspace has changed since its last run ({', '.join(stages)}): `dvc repro` runs what "
                "has changed, and HEAD or an experiment can be named instead."
            )
        return
    for stage in revision.yaml("dvc.lock").get("stages", {}).values():
        for file, values in stage.get("params", {}).items():
            now = revision.yaml(file)
            for key, value in values.items():
                if value_at(now, key) != value:
                    raise DataError(
                        f"{revision.name} was committed with another {key} in {file} than its outputs were "
                        "made with; run `dvc repro` there and commit."
                    )


@dataclass(frozen=True)
class Provenance:
    """The code of a run."""

    #: Of the run: DVC's own for an experiment, which no branch has; None for the workspace.
    commit: str | None
    #: One that a repository is sure to have: what an experiment started on, else `commit`, or HEAD.
    base: str
    #: What makes the run's files of the base's, for `git apply`; empty where they are the same.
    patch: bytes


def find_provenance(revision: Revision) -> Provenance:
    """Find the code of a run; a `DataError` with git's own first line, when it fails."""
    root = revision.root
    if revision.commit is None:
        head = git(root, "rev-parse", "HEAD").strip()
        return Provenance(None, head, _workspace_patch(root))
    commit = revision.commit
    if commit not in experiment_revisions(root).values():
        return Provenance(commit, commit, b"")
    base = git(root, "rev-parse", f"{commit}^").strip()
    return Provenance(commit, base, _bytes(root, [*_DIFF, base, commit]))


def _workspace_patch(root: Path) -> bytes:
    """What the workspace has that HEAD has not, new files included, without touching the user's index."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        _bytes(root, ["read-tree", "HEAD"], index)
        _bytes(root, ["add", "--all", "--intent-to-add", ":/"], index)
        return _bytes(root, [*_DIFF, "HEAD"], index)


def _bytes(root: Path, arguments: list[str], environment: dict[str, str] | None = None) -> bytes:
    done = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, env={**os.environ, **(environment or {})}
    )
    if done.returncode:
        message = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"])[0]
        raise DataError(f"git {arguments[0]} failed: {message.removeprefix('fatal: ')}.")
    return done.stdout
