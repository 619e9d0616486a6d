"""One experiment on a machine that shares git, and DVC's cache or remote, with the one that asked for it.

`python -m evenly.experiments.jobs URL NAME` fetches what the job is from the repository at URL, runs it in a
clone of its own, and pushes the experiment with how it went. Whoever asked reads the result there: nothing
else leads from one machine to the other. Several names are run side by side, on the same GPUs.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from configparser import ConfigParser
from pathlib import Path
from typing import Any

from evenly.errors import EvenlyError
from evenly.experiments import lockfile, supervisor
from evenly.experiments.history import configured, git, without_keys

#: A commit on top of the code to run; its message is the job as JSON.
JOBS = "refs/evenly/jobs/"
#: A commit whose message says how a job went: its seconds, those of its stages, the end of what it printed.
OUTCOMES = "refs/evenly/outcomes/"
#: How a job begins its sentence when no experiment at all can run where it is.
UNFIT = "No job can run here: "
#: How much of what a job printed comes home.
LAST_CHARACTERS = 6000
#: In the workspace that sent the job; a machine that finds the same text there shares its files.
MARK = ".cache/sweeps/workspace"
#: Folders of `.cache/` that runs share: paid answers, vectors, checkpoints.
_SHARED = ("llm", "vectors", "checkpoints")
# What DVC says of raw data that it has a hash of and nothing else.
_MISSING = re.compile(r"missing data 'source': (.+)")


class UnfitError(EvenlyError):
    """Nothing is wrong with the experiment: this machine does not reach what every job needs."""


def job_commit(root: Path, parent: str | None, content: Mapping[str, Any]) -> str:
    """Make a commit that says something: on top of `parent` with its files, or of nothing at all.

    The same content gives the same commit, at any time.
    """
    identity = {
        f"GIT_{who}_{what}": "evenly" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    dates = {f"GIT_{who}_DATE": "@0 +0000" for who in ("AUTHOR", "COMMITTER")}
    tree = f"{parent}^{{tree}}" if parent else git(root, "mktree").strip()
    above = ["-p", parent] if parent else []
    text = json.dumps(content, sort_keys=True)
    return git(root, "commit-tree", tree, *above, "-m", text, env=identity | dates).strip()


def run_job(url: str, name: str) -> int:
    """Run a job of which there is no result yet, in a clone that is gone afterwards.

    The exit status is 0 once the hub knows how it went, well or not: schedulers try again what fails.
    """
    with tempfile.TemporaryDirectory(prefix="evenly-") as folder:
        clone = Path(folder, "clone")
        clone.mkdir()
        git(clone, "init", "--quiet")
        try:
            if git(clone, "ls-remote", url, f"refs/exps/*/{name}"):
                print(f"{name} is finished already.")
                return 0
            git(clone, "fetch", "--quiet", "--depth", "2", url, JOBS + name)
        except EvenlyError as error:
            raise UnfitError(
                f"{error} Jobs reach the repository at {without_keys(url)}; `git:` in cluster.yaml names it."
            ) from None
        job = json.loads(git(clone, "log", "-1", "--format=%B", "FETCH_HEAD"))
        git(clone, "checkout", "--quiet", "--detach", "FETCH_HEAD^")
        try:
            return _run_in(clone, Path(folder), url, job)
        except UnfitError as error:
            print(f"{UNFIT}{error}")
            _tell(clone, url, name, {"failed": True, "unfit": f"{UNFIT}{error}"})
            return 0


def _run_in(clone: Path, folder: Path, url: str, job: Mapping[str, Any]) -> int:
    """Run the experiment in the clone, push what came out, and say how it went."""
    root = clone / job["folder"]
    remote = _share(root, job)
    logs = folder / "stages"
    logs.mkdir()
    env = lockfile.environment(logs) | {"DVC_SITE_CACHE_DIR": str(folder / "dvc")}
    began = time.monotonic()
    dvc = [sys.executable, "-m", "dvc"]
    options = ["--name", job["name"], *(["--pull"] if remote else [])]
    code, printed = _run(lockfile.command(options, job["overrides"], job["until"]), root, env)
    if code and remote and (lost := _MISSING.search(printed)):
        raise UnfitError(f"{lost[1]} is not in DVC's remote; send your raw data there with `dvc push`.")
    reference = git(clone, "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{job['name']}").strip()
    if reference and (remote or job["push"]):
        # The data before the reference: an experiment that can be seen has its results.
        pushed, told = _run([*dvc, "push", "--run-cache"], root, env)
        if pushed:
            raise UnfitError(f"`dvc push` exited with {pushed}: {told.strip().splitlines()[-1]}")
    outcome = {
        "failed": not reference,
        "code": code,
        "seconds": round(time.monotonic() - began, 2),
        "stages": {log.stem: json.loads(log.read_text()) for log in sorted(logs.glob("*.json"))},
        "printed": printed[-LAST_CHARACTERS:],
    }
    _tell(clone, url, job["name"], outcome, *([f"{reference}:{reference}"] if reference else []))
    return 0


def _tell(clone: Path, url: str, name: str, outcome: Mapping[str, Any], *pushes: str) -> None:
    git(clone, "push", "--quiet", url, f"+{job_commit(clone, None, outcome)}:{OUTCOMES}{name}", *pushes)


def _share(root: Path, job: Mapping[str, Any]) -> bool:
    """Let the clone use cache and paid answers of the workspace that sent the job, where that is in sight.

    Gives whether the data travel by DVC's remote instead.
    """
    git(root, "config", "user.name", "evenly")
    git(root, "config", "user.email", "evenly@localhost")
    workspace, cache = Path(job["workspace"]), Path(job["cache"])
    mark = workspace / MARK
    try:
        shared = mark.read_text() == job["mark"] and cache.is_dir()
    except OSError:
        shared = False
    if not shared:
        if not configured(root, "core", "remote"):
            raise UnfitError(
                f"DVC's cache at {cache} is not in sight, and the project has no DVC remote; add one with "
                "`dvc remote add --default NAME URL` and commit .dvc/config."
            )
        return True
    config = ConfigParser(strict=False, interpolation=None)
    config.read(workspace / ".dvc" / "config.local", encoding="utf-8")
    config.read_dict({"cache": {"dir": str(cache)}})
    with (root / ".dvc" / "config.local").open("w", encoding="utf-8") as file:
        config.write(file)
    if (workspace / ".env").exists():
        (root / ".env").symlink_to(workspace / ".env")
    for name in _SHARED:
        (workspace / ".cache" / name).mkdir(parents=True, exist_ok=True)
        (root / ".cache").mkdir(exist_ok=True)
        (root / ".cache" / name).symlink_to(workspace / ".cache" / name)
    return False


def _run(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> tuple[int, str]:
    """Run a command that ends with this process, showing what it prints; its exit status, and all of it."""
    lines = []
    with subprocess.Popen(
        [sys.executable, "-I", str(Path(supervisor.__file__).resolve()), *command],
        cwd=folder,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return process.returncode, "".join(lines)


def job_command(python: str, url: str, names: Sequence[str]) -> str:
    """Give the shell command of a job."""
    return shlex.join([python, "-m", "evenly.experiments.jobs", url, *names])


def main(url: str, *names: str) -> int:
    """Run jobs side by side; the exit status is that of the worst."""
    if len(names) > 1:
        # The package itself is already in this process.
        together = [subprocess.Popen([sys.executable, "-m", __spec__.name, url, name]) for name in names]
        return max(process.wait() for process in together)
    try:
        return run_job(url, names[0])
    except UnfitError as error:
        print(f"{UNFIT}{error}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    # Whoever ends a job politely finds nothing of it left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(*sys.argv[1:]))
