"""Which code made a run: its commit, the commit that it was tried out on, and what lies between them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from evenly.errors import DataError
from evenly.experiments.history import Revision, experiment_revisions, git

# The same bytes whatever the user's git configuration says, binary files included.
_DIFF = (
    "diff", "--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames",
    "--src-prefix=a/", "--dst-prefix=b/",
)  # fmt: skip


@dataclass(frozen=True)
class Provenance:
    """The code of a run.

    Attributes
    ----------
    commit
        Of the run: DVC's own for an experiment, which no branch has; None for the workspace.
    base
        The commit that a repository is sure to have: what an experiment was started on, else `commit`, for
        the workspace HEAD.
    patch
        What makes the run's files of the base's, for `git apply`; empty where they are the same.
    """

    commit: str | None
    base: str
    patch: bytes


def find_provenance(revision: Revision) -> Provenance:
    """Find the code of a run.

    Raises
    ------
    DataError
        With git's own first line, when it fails.
    """
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
        said = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"])[0]
        raise DataError(f"git {arguments[0]} failed: {said.removeprefix('fatal: ')}.")
    return done.stdout
