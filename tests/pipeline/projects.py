"""A temporary project to run the real pipeline in: the working tree as one commit, with nothing of this
checkout's state.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from tests import forked

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Project:
    """A checkout to run commands in, as a user would, without their imports (tests/forked.py)."""

    root: Path

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the root of the project; its standard output and error are joined."""
        path = [forked.commands(), str(Path(sys.executable).parent), os.environ["PATH"]]
        drop = ("DVC_", "PYTEST_", "EVENLY_", "VIRTUAL_ENV")
        env = {k: v for k, v in os.environ.items() if not k.startswith(drop) and k != "PYTHONPATH"}
        env |= {"PATH": os.pathsep.join(path), "GIT_CONFIG_GLOBAL": os.devnull, "NO_COLOR": "1"}
        env |= {"DVC_NO_ANALYTICS": "1", "COLUMNS": "200"}
        done = subprocess.run(
            command,
            cwd=self.root,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}")
        return done

    def dvc(self, *arguments: str, check: bool = True) -> str:
        """Run `dvc`, and give what it printed."""
        return self.run("dvc", *arguments, check=check).stdout

    def evenly(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `evenly` with the code of this project."""
        return self.run("evenly", *arguments, check=check)

    def copy(self, root: Path) -> Project:
        """Copy the project with its cache to a folder that does not exist yet."""
        shutil.copytree(self.root, root, symlinks=True)
        return Project(root)

    def stages_run(self, output: str) -> list[str]:
        """Names of the stages whose command DVC ran, in order."""
        lines = [line.strip() for line in output.splitlines()]
        return [line.split("'")[1] for line in lines if line.startswith("Running stage")]

    def commit(self, message: str) -> None:
        """Commit everything that git does not ignore."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)


def make_project(folder: Path) -> Project:
    """Copy what git would commit of this checkout into `folder`, as a repository with one commit."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if name in ("dvc.lock", "scores.json") or not (ROOT / name).is_file():
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    project = Project(folder)
    project.run("git", "init", "-q", "-b", "main")
    introduce(project)
    project.commit("The project as a newcomer gets it")
    return project


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that one of pytest's processes has `make` fill, for all of them; no test changes it."""
    own = factory.getbasetemp()
    place = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    done = place.with_name(f"{name}.done")
    with FileLock(f"{place}.lock"):
        if not done.exists():
            shutil.rmtree(place, ignore_errors=True)
            make(place)
            done.touch()
    return place


def first_run_of_all(factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """A project in which `dvc repro` has run once on the embedded default, and what that printed."""

    def make(place: Path) -> None:
        printed = make_project(place / "project").dvc("repro")
        (place / "printed.txt").write_text(printed, encoding="utf-8")

    place = made_once(factory, "first", make)
    return Project(place / "project"), (place / "printed.txt").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Team:
    """A project that is shared: `author` has pushed it and its experiment `colleague` to `hub`, and its data
    to the DVC remote `folder`.
    """

    author: Project
    hub: Path

    #: What the experiment sets.
    changes = ("-S", "balancing=adasyn", "-S", "train.epochs=2")

    def clone(self, folder: Path) -> Project:
        """Clone as somebody else would, with nothing of the author's cache."""
        self.author.run("git", "clone", "--quiet", str(self.hub), str(folder))
        project = Project(folder)
        introduce(project)
        return project

    def push(self, remote: str) -> None:
        """Push the data of the first run and of the experiment."""
        self.author.dvc("push", "--run-cache", "--remote", remote)
        self.author.dvc("exp", "push", "--run-cache", "--remote", remote, "origin", "colleague")


def make_team(first_run: Project, folder: Path) -> None:
    """Share a project after its first run, as docs/sharing.md says."""
    author = first_run.copy(folder / "author")
    team = Team(author, folder / "hub.git")
    author.dvc("remote", "add", "--default", "folder", str(folder / "store"))
    author.commit("First run, and where its data are")
    author.run("git", "init", "--quiet", "--bare", "--initial-branch", "main", str(team.hub))
    author.run("git", "remote", "add", "origin", str(team.hub))
    author.run("git", "push", "--quiet", "origin", "main")
    author.dvc("exp", "run", "--temp", "--name", "colleague", *team.changes)
    team.push("folder")


def make_bucket(address: str) -> None:
    """Make the bucket of `give_bucket` on an S3 server."""
    urllib.request.urlopen(urllib.request.Request(f"{address}/evenly-data", method="PUT")).close()


def give_bucket(project: Project, address: str) -> None:
    """Put the remote `bucket` and its keys where `dvc remote modify --local` puts them."""
    values = {"url": "s3://evenly-data/dvc", "endpointurl": address}
    values |= {"access_key_id": "test", "secret_access_key": "test"}
    lines = ["['remote \"bucket\"']", *(f"    {key} = {value}" for key, value in values.items())]
    (project.root / ".dvc" / "config.local").write_text("\n".join(lines) + "\n")


def introduce(project: Project) -> None:
    """Tell git who commits."""
    project.run("git", "config", "user.name", "Test")
    project.run("git", "config", "user.email", "test@example.org")
