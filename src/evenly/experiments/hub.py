"""The git repository in which those who ask for experiments and those who run them meet.

What there is to run and how it went are references there (`jobs` says which), so that whoever asked may be
killed, and the next one knows as much.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evenly.errors import DataError, ParameterError
from evenly.experiments.experiments import Experiment, pipeline_sources
from evenly.experiments.history import (
    Revision,
    cache_folder,
    configured,
    experiment_revisions,
    git,
    without_keys,
)
from evenly.experiments.jobs import JOBS, MARK, OUTCOMES, job_commit
from evenly.files import write_text
from evenly.wording import first_names

#: What may differ from the last commit: it decides nothing of a result.
_FREE = ("dvc.lock",)


@dataclass(frozen=True)
class Outcome:
    """How a job went, as it says itself."""

    failed: bool
    code: int = 0
    seconds: float = 0.0
    #: What each stage has measured.
    stages: dict[str, Any] = field(default_factory=dict)
    #: The end of what it printed.
    printed: str = ""
    #: Why no job at all can run where it was.
    unfit: str = ""


class Hub:
    """The repository at `url`, seen from the project in `root`.

    Raises
    ------
    ParameterError
        When it cannot be reached, or something that is not committed would not travel.
    """

    def __init__(self, root: Path, url: str | None) -> None:
        self.root = root
        self.url = url or _origin(root) or git(root, "rev-parse", "--show-toplevel").strip()
        self._base = _committed(root)
        self._folder = git(root, "rev-parse", "--show-prefix").strip()
        mark = root / MARK
        if not mark.exists():
            write_text(uuid.uuid4().hex, mark)
        cache_folder(root).mkdir(parents=True, exist_ok=True)
        self._mark = mark.read_text(encoding="utf-8")
        try:
            self.references()
        except DataError as error:
            raise ParameterError(
                f"The git repository at {without_keys(self.url)}, in which jobs leave results, cannot be "
                f"reached: {error} Name another as `git:` in cluster.yaml, or mend `origin`."
            ) from None

    def references(self) -> set[str]:
        """Names of all references that are there."""
        listed = git(self.root, "ls-remote", self.url, "refs/exps/*", f"{OUTCOMES}*", f"{JOBS}*")
        return {line.split("\t")[1] for line in listed.splitlines()}

    def publish(self, experiments: Sequence[Experiment], push: Collection[str] = ()) -> None:
        """Say what there is to run; jobs named in `push` send their data to DVC's remote in any case."""
        pushes = []
        for experiment in experiments:
            job = {
                "name": experiment.name,
                "overrides": experiment.overrides,
                "until": experiment.until,
                "folder": self._folder,
                "workspace": str(self.root.resolve()),
                "cache": str(cache_folder(self.root)),
                "mark": self._mark,
                "push": self.remote and (experiment.name in push),
            }
            pushes.append(f"+{job_commit(self.root, self._base, job)}:{JOBS}{experiment.name}")
        git(self.root, "push", "--quiet", self.url, *pushes)

    def collect(self, names: Iterable[str]) -> dict[str, Outcome]:
        """Bring home what has ended of these experiments, and say how it went."""
        there = self.references()
        experiments = {
            match[1]: name for name in there if (match := re.fullmatch(r"refs/exps/.+/(.+)", name))
        }
        wanted = [name for name in names if name in experiments or OUTCOMES + name in there]
        fetched = [experiments[name] for name in wanted if name in experiments]
        fetched += [OUTCOMES + name for name in wanted if OUTCOMES + name in there]
        if fetched:
            git(self.root, "fetch", "--quiet", self.url, *(f"+{name}:{name}" for name in fetched))
        return {name: self._outcome(name, there, name in experiments) for name in wanted}

    def _outcome(self, name: str, there: Collection[str], finished: bool) -> Outcome:
        if OUTCOMES + name not in there:
            return Outcome(failed=False)
        said = json.loads(git(self.root, "log", "-1", "--format=%B", OUTCOMES + name))
        return Outcome(**said | {"failed": not finished})

    def forget(self, names: Iterable[str]) -> None:
        """Remove jobs that have ended, and how they went, from both ends."""
        there = self.references()
        gone = [kind + name for name in names for kind in (JOBS, OUTCOMES) if kind + name in there]
        if gone:
            git(self.root, "push", "--quiet", self.url, *(f":{name}" for name in gone))
        for name in gone:
            git(self.root, "update-ref", "-d", name)

    @property
    def remote(self) -> bool:
        """Whether data can travel by a DVC remote."""
        return configured(self.root, "core", "remote") is not None

    def pull(self, names: Iterable[str]) -> None:
        """Get the data of finished experiments that lie in DVC's remote only."""
        commits = experiment_revisions(self.root)
        missing = [name for name in names if not Revision(self.root, name, commits[name]).complete]
        if missing and self.remote:
            command = [sys.executable, "-m", "dvc", "exp", "pull", "--run-cache", self.url, *missing]
            done = subprocess.run(command, cwd=self.root, capture_output=True, encoding="utf-8")
            if done.returncode:
                told = (done.stderr.strip() or "no message").splitlines()[-1]
                raise DataError(f"The results lie in DVC's remote, and cannot be pulled: {told}")


def _origin(root: Path) -> str | None:
    try:
        return git(root, "remote", "get-url", "origin").strip()
    except DataError:
        return None


def _committed(root: Path) -> str:
    """The commit that jobs run; what they would not see is refused."""
    listed = git(root, "status", "--porcelain", "--untracked-files=all", "--", ".").splitlines()
    prefix, sources = git(root, "rev-parse", "--show-prefix").strip(), pipeline_sources(root)
    entries = [(line[:2], line[3:].strip('"').removeprefix(prefix)) for line in listed]
    changed = [
        name
        for kind, name in entries
        if name not in _FREE
        # A new file is of no matter where no stage depends on it.
        and (kind != "??" or any(name == one or name.startswith(f"{one}/") for one in sources))
    ]
    if changed:
        raise ParameterError(
            f"{first_names(changed, 3)} differ{'' if changed[1:] else 's'} from the last commit: jobs on "
            "other machines run what is committed; commit or stash that."
        )
    return git(root, "rev-parse", "HEAD").strip()
