"""A temporary project to run the real pipeline in: the working tree as one commit, with nothing of this
checkout's state.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Project:
    """A checkout to run commands in, as a user would."""

    root: Path

    def run(
        self, *command: str, check: bool = True, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the root of the project; its standard output and error are joined."""
        folder = str(Path(sys.executable).parent)
        drop = ("DVC_", "PYTEST_", "EVENLY_", "VIRTUAL_ENV")
        env = {k: v for k, v in os.environ.items() if not k.startswith(drop) and k != "PYTHONPATH"}
        env |= {"PATH": folder + os.pathsep + env["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "NO_COLOR": "1"}
        env |= {"DVC_NO_ANALYTICS": "1", "COLUMNS": "200"}
        done = subprocess.run(
            command,
            cwd=self.root,
            env=env,
            text=True,
            timeout=timeout,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}")
        return done

    def dvc(self, *arguments: str, **keywords: Any) -> str:
        """Run `dvc`, and give what it printed."""
        return self.run("dvc", *arguments, **keywords).stdout

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
        if name == "dvc.lock" or not (ROOT / name).is_file():
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    project = Project(folder)
    project.run("git", "init", "-q", "-b", "main")
    project.run("git", "config", "user.name", "Test")
    project.run("git", "config", "user.email", "test@example.org")
    project.commit("The project as a newcomer gets it")
    return project
