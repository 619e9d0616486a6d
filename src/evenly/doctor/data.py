"""Whether the data set is here, and will be in the temporary checkouts of queued experiments."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from evenly.doctor.findings import Finding
from evenly.errors import EvenlyError
from evenly.params.datasets import DatasetEntry

RAW = "data/raw"


def data_findings(root: Path, entry: DatasetEntry | None, name: str | None) -> Iterator[Finding]:
    """Look at the files of the data set in use, and at what git ignores.

    Parameters
    ----------
    root
        The project's folder.
    entry, name
        Of the data set in use; None where the settings cannot be read.
    """
    if entry is not None and name is not None:
        yield _files(root, entry, name)
    yield from _ignored(root)


def _files(root: Path, entry: DatasetEntry, name: str) -> Finding:
    if entry.builtin:
        return Finding("data", "ok", f"{name} is built in")
    fetch = f"`evenly fetch {name}`" if entry.url or entry.urls else f"`evenly add {name} FILE_OR_FOLDER`"
    if not entry.path:
        return Finding("data", "broken", f"the entry {name} of datasets.yaml has no data yet", fetch)
    path = root / entry.path
    if not path.exists():
        tracked = _dvc_file(root, path)
        fix = f"`dvc pull {tracked.relative_to(root.resolve())}`, or {fetch}" if tracked else fetch
        return Finding("data", "broken", f"{entry.path} of {name} does not exist", fix)
    if not path.resolve().is_relative_to(root.resolve()):
        if entry.sha256:
            return Finding("data", "ok", f"{entry.path} is outside the project, known by its sha256")
        fix = f"`evenly add {name} {entry.path}` copies it into the project"
        return Finding(
            "data", "warning", f"{entry.path} is outside the project: a change goes unnoticed", fix
        )
    if _dvc_file(root, path):
        return Finding("data", "ok", f"{entry.path} is tracked by DVC")
    if _git(root, "ls-files", "--", entry.path).strip():
        return Finding("data", "ok", f"{entry.path} is tracked by git")
    return Finding(
        "data",
        "broken",
        f"{entry.path} is tracked by neither DVC nor git: queued experiments and sweeps lack it",
        f"`dvc add {entry.path}`, then commit",
    )


def _dvc_file(root: Path, path: Path) -> Path | None:
    """The `.dvc` file of a path, or of a folder that it lies in."""
    inside = (
        path.resolve().relative_to(root.resolve()) if path.resolve().is_relative_to(root.resolve()) else None
    )
    if inside is None:
        return None
    for one in (inside, *inside.parents):
        file = root.resolve() / f"{one}.dvc"
        if one != Path() and file.is_file():
            return file
    return None


def _ignored(root: Path) -> Iterator[Finding]:
    """DVC looks for no `.dvc` file in a folder that git ignores, and deletes its data before an experiment;
    an output that git does not ignore enters experiments as a file of its own.
    """
    from evenly.params.base import read_yaml

    if not _git(root, "rev-parse", "--git-dir"):
        return
    if _scm_ignores(root, RAW):
        yield Finding(
            ".gitignore",
            "broken",
            f"{RAW} itself is ignored: DVC does not see the .dvc files in it, and deletes the data before "
            "experiments",
            f"write /{RAW}/?* and !/{RAW}/*.dvc in the place of /{RAW}/*",
        )
        return
    try:
        stages = read_yaml(root / "dvc.yaml").get("stages") or {}
    except EvenlyError:
        return  # DVC says what is wrong with it
    outs = [
        out if isinstance(out, str) else next(iter(out))
        for stage in stages.values()
        for key in ("outs", "metrics", "plots")
        for out in stage.get(key, ())
    ]
    # With a slash, since git cannot know that an output which is not there yet is a folder.
    asked = _git(root, "check-ignore", "--no-index", "--", *outs, *(f"{out}/" for out in outs))
    seen = sorted(set(outs) - {line.rstrip("/") for line in asked.splitlines()})
    if seen:
        shown = ", ".join(seen[:4]) + (" and others" if len(seen) > 4 else "")
        yield Finding(
            ".gitignore", "warning", f"git does not ignore the outputs {shown}", "add them to .gitignore"
        )
    else:
        yield Finding(".gitignore", "ok", "outputs are ignored by git, .dvc files are not")


def _scm_ignores(root: Path, path: str) -> bool:
    """What DVC asks: whether git's rules ignore the folder, or the `.dvc` files in it."""
    from scmrepo.exceptions import SCMError
    from scmrepo.git import Git

    try:
        scm = Git(str(root.resolve()), search_parent_directories=True)
    except SCMError:
        return False
    folder = root.resolve() / path
    return bool(scm.is_ignored(f"{folder}/") or scm.is_ignored(str(folder / "any.dvc")))


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "core.quotePath=false", *arguments], cwd=root, capture_output=True, encoding="utf-8"
    )
    return done.stdout
