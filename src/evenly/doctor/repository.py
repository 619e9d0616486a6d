"""Git, DVC and its remote: whether experiments can be made, are what they seem, and can be shared."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

from evenly.doctor.findings import Finding
from evenly.errors import DataError
from evenly.experiments.history import changed_stages, git

_SHOWN = 4
#: File names as they are, whatever letters they have.
_PLAIN = ("-c", "core.quotePath=false")
#: Files that reproducing changes; they belong to the run, not to what it was made from.
_LOCK = "dvc.lock"


def git_findings(root: Path) -> Iterator[Finding]:
    """Look at the repository, the user's name, and at changes that would enter experiments."""
    if shutil.which("git") is None:
        yield Finding("git", "broken", "git is not installed", "install git")
        return
    try:
        git(root, "rev-parse", "--git-dir")
    except DataError:
        yield Finding(
            "git", "broken", "no git repository: experiments are commits", "`git init`, then commit all files"
        )
        return
    try:
        commit = git(root, "rev-parse", "--short", "HEAD").strip()
    except DataError:
        yield Finding(
            "git", "broken", "no commit yet: experiments start from one", "`git add -A`, `git commit`"
        )
        return
    if not _configured(root, "user.email") or not _configured(root, "user.name"):
        yield Finding(
            "git",
            "warning",
            "git does not know who you are",
            "`git config user.name` and `user.email` set it",
        )
    changes = [line[3:] for line in git(root, *_PLAIN, "status", "--porcelain", "--", ".").splitlines()]
    theirs = [path for path in changes if path != _LOCK]
    if not theirs:
        rest = f", but for {_LOCK}: commit it with the run that it describes" if changes else ""
        yield Finding("git", "ok", f"at {commit}, nothing uncommitted{rest}")
        return
    shown = ", ".join(theirs[:_SHOWN]) + (" and others" if len(theirs) > _SHOWN else "")
    count = "1 uncommitted change" if len(theirs) == 1 else f"{len(theirs)} uncommitted changes"
    yield Finding(
        "git",
        "warning",
        f"{count} would enter every experiment: {shown}",
        "commit, or restore what is not meant",
    )


def dvc_findings(root: Path) -> Iterator[Finding]:
    """Look at whether DVC is set up, and whether its lock goes with dvc.yaml and the workspace."""
    if not (root / ".dvc").is_dir():
        yield Finding("DVC", "broken", "DVC is not initialised here", "`dvc init`, then commit")
        return
    if shutil.which("dvc") is None:
        yield Finding("DVC", "warning", "`dvc` is not on the path", "activate the environment")
    try:
        changed = changed_stages(root)
    except DataError as error:
        yield Finding("DVC", "broken", str(error).rstrip("."), "mend what DVC complains of")
        return
    if changed:
        shown = ", ".join(changed[:_SHOWN]) + (" and others" if len(changed) > _SHOWN else "")
        yield Finding("DVC", "warning", f"{_LOCK} is behind: {shown} would run", "`dvc repro`, then commit")
    else:
        yield Finding("DVC", "ok", f"{_LOCK} goes with dvc.yaml and what is here; nothing would run")
    hooks = root / ".git" / "hooks" / "post-checkout"
    installed = hooks.is_file() and "dvc" in hooks.read_text(encoding="utf-8", errors="replace")
    if not installed:
        yield Finding("hooks", "ok", "DVC's git hooks are not installed", "optional: `dvc install`")
    else:
        yield Finding("hooks", "ok", "DVC's git hooks are installed")


def remote_findings(root: Path) -> Iterator[Finding]:
    """Look at where runs are pushed to; only a folder is tried out."""
    config = ConfigParser(strict=False, interpolation=None)
    config.read([root / ".dvc" / "config", root / ".dvc" / "config.local"], encoding="utf-8")
    # git-config style sections: ['remote "name"'] with DVC's own quotes around them.
    remotes = {
        section.strip("'").removeprefix("remote").strip(' "'): dict(config[section])
        for section in config.sections()
        if section.strip("'").startswith("remote ")
    }
    default = config.get("core", "remote", fallback=None)
    if not remotes:
        yield Finding(
            "remote",
            "warning",
            "none: runs cannot be shared, and are lost with this disk",
            "`dvc remote add --default NAME URL`",
        )
        return
    if default not in remotes:
        yield Finding(
            "remote", "warning", f"{', '.join(remotes)}, but none is the default", "`dvc remote default NAME`"
        )
    for name, told in remotes.items():
        yield _remote(root, name, told.get("url", ""))


def _remote(root: Path, name: str, url: str) -> Finding:
    if "://" in url and not url.startswith("file://"):
        return Finding("remote", "ok", f"{name} at {_without_password(url)} is configured; not contacted")
    folder = (root / ".dvc" / url.removeprefix("file://")).resolve()
    nearest = next(one for one in (folder, *folder.parents) if one.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        return Finding(
            "remote", "broken", f"{name}: {folder} cannot be written to", "mend its rights, or its URL"
        )
    if nearest != folder:
        return Finding(
            "remote", "warning", f"{name}: {folder} does not exist yet", "`dvc push` makes it; check the path"
        )
    return Finding("remote", "ok", f"{name} at {folder} is writable")


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _configured(root: Path, key: str) -> bool:
    done = subprocess.run(["git", "config", key], cwd=root, capture_output=True)
    return done.returncode == 0
