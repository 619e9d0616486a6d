"""What git and DVC remember of runs: finished experiments by name, and files of any revision, read without
checking anything out and, but for the state of the workspace, without starting DVC.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from configparser import ConfigParser
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evenly.datasets.sources import RAW_FOLDER, source_identity
from evenly.errors import DataError, EvenlyError
from evenly.files import json_mapping, reading
from evenly.params.datasets import DATASETS_FILE, read_entry
from evenly.params.project import PARAMS_FILE, read_params

#: What DVC notes of a run that has failed, or was cancelled; less is not there yet.
_ENDED = 4
#: The stage that notes which raw data a run is made of.
_SOURCE = "source"
_EXPERIMENT = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(.+)")
_REMEDY = "delete that file; `dvc pull` gets it from a remote, and `dvc repro` there makes it again"
_FIELDS = "%(refname)%09%(objectname)%09%(committerdate:unix)"


def experiment_revisions(root: Path) -> dict[str, str]:
    """Commit of every finished DVC experiment by name, oldest first; the newest where a name is taken twice.

    DVC writes an experiment's reference when it has finished: what is here has a result.
    """
    listed = git(root, "for-each-ref", "--sort=committerdate", f"--format={_FIELDS}", "refs/exps")
    commits: dict[str, str] = {}
    for line in listed.splitlines():
        reference, commit, _ = line.split("\t")
        if match := _EXPERIMENT.fullmatch(reference):
            commits.pop(match[1], None)
            commits[match[1]] = commit
    return commits


def git(root: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Give what a git command prints; its own first line is the message where it fails.

    `env` is added to the environment.
    """
    done = subprocess.run(
        ["git", *arguments],
        cwd=root,
        env=os.environ | env if env else None,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    if done.returncode:
        message = (done.stderr.strip().splitlines() or ["no message"])[0].removeprefix("fatal: ")
        raise DataError(without_keys(f"git {arguments[0]} failed: {message.rstrip('.')}."))
    return done.stdout


def without_keys(text: str) -> str:
    """Leave out of a text what stands before the @ of its URLs, which may be a key."""
    return re.sub(r"//[^@/\s]+@", "//…@", text)


@dataclass(frozen=True)
class Revision:
    """The project as it was at a commit, or as it is now.

    `name` is what the user calls it (an experiment, a branch, a tag, a commit); the workspace has no commit.
    """

    root: Path
    name: str
    commit: str | None

    @cached_property
    def committed(self) -> int:
        """When it was committed, in seconds since 1970; the workspace is later than all."""
        if self.commit is None:
            return 2**62
        return int(git(self.root, "show", "-s", "--format=%ct", self.commit))

    @cached_property
    def stages(self) -> dict[str, dict[str, Any]]:
        """What dvc.lock says of each stage: `deps`, `params` and `outs`."""
        stages: dict[str, dict[str, Any]] = self.yaml("dvc.lock").get("stages", {})
        return stages

    @cached_property
    def outputs(self) -> dict[str, str]:
        """MD5 of every output in dvc.lock, by path; that of a folder ends in `.dir`."""
        with reading(f"dvc.lock of {self.name}", "`git checkout dvc.lock` gives back the last one"):
            return hashes(out for stage in self.stages.values() for out in stage.get("outs", []))

    def yaml(self, path: str) -> dict[str, Any]:
        """Read a YAML file that git tracks; empty where there is none."""
        from ruamel.yaml import YAML

        name = path if self.commit is None else f"{path} of {self.name}"
        with reading(name, "mend it, or take another revision"):
            return dict(YAML(typ="safe").load(self._tracked(path) or "") or {})

    def read(self, path: str) -> bytes | None:
        """Read an output of the pipeline, or a file in one; None where this revision has no such file.

        One that it has, but that is not in DVC's cache, or no longer what the run has written, is a
        DataError.
        """
        md5 = self.outputs.get(path)
        if self.commit is None:
            file = self.root / path
            content = file.read_bytes() if file.is_file() else None
            if content is not None and md5 not in (None, hashlib.md5(content).hexdigest()):
                raise DataError(
                    f"{path} is damaged, or of another run than dvc.lock describes; run `dvc repro` to make "
                    "it anew."
                )
            return content
        if md5 is not None:
            return self._whole(md5, path)
        folder = next((out for out in self.outputs if path.startswith(f"{out}/")), None)
        inside = self.files(folder).get(path.removeprefix(f"{folder}/")) if folder else None
        return None if inside is None else inside.read_bytes()

    def files(self, path: str) -> dict[str, Path]:
        """Where the files of an output folder lie, by their name in it; empty where there is none."""
        if self.commit is None:
            folder = self.root / path
            paths = sorted(file for file in folder.rglob("*") if file.is_file())
            return {file.relative_to(folder).as_posix(): file for file in paths}
        md5 = self.outputs.get(path)
        if md5 is None:
            return {}
        with reading(f"{path} of {self.name}", _REMEDY):
            listed = [
                (one["relpath"], one["md5"])
                for one in json.loads(self._whole(md5, path, md5.removesuffix(".dir")))
            ]
        return {name: self._cached(content, f"{path}/{name}") for name, content in listed}

    @property
    def complete(self) -> bool:
        """Whether all outputs are in DVC's cache."""
        try:
            for path, md5 in self.outputs.items():
                _ = self.files(path) if md5.endswith(".dir") else self._cached(md5, path)
        except DataError:
            return False
        return True

    def copy_folder(self, path: str, target: Path) -> None:
        """Copy the files of an output that is a folder below `target`."""
        files = self.files(path)
        if not files:
            raise DataError(f"{self.name} has no {path}; run it again.")
        for name, file in files.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target / name)

    def files_below(self, folder: str, ending: str) -> list[str]:
        """Paths of the files with this ending in the output folders below `folder`, in order."""
        if self.commit is None:
            paths = (self.root / folder).rglob(f"*{ending}")
            return sorted(file.relative_to(self.root).as_posix() for file in paths)
        outs = [out for out, md5 in self.outputs.items() if out.startswith(f"{folder}/") and ".dir" in md5]
        return sorted(f"{out}/{name}" for out in outs for name in self.files(out) if name.endswith(ending))

    def _whole(self, md5: str, path: str, digest: str | None = None) -> bytes:
        """Read content of DVC's cache that is what its name says; `path` is what messages call it."""
        file = self._cached(md5, path)
        content = file.read_bytes()
        if hashlib.md5(content).hexdigest() != (digest or md5):
            raise DataError(f"{path} of {self.name} is damaged in DVC's cache ({file}); {_REMEDY}.")
        return content

    def _cached(self, md5: str, path: str) -> Path:
        """Find content in DVC's cache; `path` is what messages call it."""
        for cache in (self.root / ".dvc" / "cache", cache_folder(self.root)):
            content = cache / "files" / "md5" / md5[:2] / md5[2:]
            if content.is_file():
                return content
        raise DataError(
            f"{path} of {self.name} is not in DVC's cache: `dvc pull` (of an experiment: `dvc exp pull`; of "
            "other branches: `dvc fetch --all-branches`) gets it from a remote, and `dvc exp run` with the "
            "same settings makes it again."
        )

    def _tracked(self, path: str) -> str | None:
        if self.commit is None:
            file = self.root / path
            return file.read_text(encoding="utf-8") if file.is_file() else None
        done = subprocess.run(
            ["git", "show", f"{self.commit}:./{path}"], cwd=self.root, capture_output=True, encoding="utf-8"
        )
        return None if done.returncode else done.stdout


def hashes(entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """MD5 by path, of the `deps` or `outs` that dvc.lock lists."""
    return {entry["path"]: entry["md5"] for entry in entries if "md5" in entry}


def cache_folder(root: Path) -> Path:
    """Where DVC's cache is: `.dvc/cache`, or where `dvc cache dir` has put it."""
    return (root / ".dvc" / (configured(root, "cache", "dir") or "cache")).resolve()


def configured(root: Path, section: str, key: str) -> str | None:
    """What DVC's configuration in the project says; that of this machine comes before the project's."""
    for name in ("config.local", "config"):
        config = ConfigParser(strict=False, interpolation=None)
        config.read(root / ".dvc" / name, encoding="utf-8")
        if (value := config.get(section, key, fallback=None)) is not None:
            return value
    return None


def find_revisions(root: Path, names: list[str]) -> list[Revision]:
    """Resolve what the user named: experiments, branches, tags, commits, or `workspace`."""
    experiments = experiment_revisions(root)
    revisions = []
    for name in names:
        if name == "workspace":
            revisions.append(Revision(root, name, None))
            continue
        commit = experiments.get(name)
        if commit is None:
            done = subprocess.run(
                ["git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"],
                cwd=root,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise DataError(
                    f"{name!r} is no experiment, branch, tag or commit; `dvc exp list --all-commits` shows "
                    "the experiments."
                )
            commit = done.stdout.strip()
        revisions.append(Revision(root, name, commit))
    return revisions


def changed_stages(root: Path) -> list[str]:
    """Names of the stages and `.dvc` files of the workspace that DVC would run or commit again.

    What other data sets have changed below data/raw is left out: it changes no result.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"], cwd=root, capture_output=True, encoding="utf-8"
    )
    lines = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
    if done.returncode:
        raise DataError(f"dvc status failed: {lines[0].removeprefix('ERROR: ').rstrip('.')}.")
    changed = sorted(json.loads(done.stdout.strip().splitlines()[-1]))
    raw = [name for name in changed if name == _SOURCE or name.startswith(f"{RAW_FOLDER}/")]
    return [name for name in changed if name not in raw] if raw and _same_source(root) else changed


def _same_source(root: Path) -> bool:
    """Whether the raw data of the data set in use are those that its stage has noted."""
    try:
        name = read_params(root / PARAMS_FILE).dataset
        found = source_identity(read_entry(name, root / DATASETS_FILE), name, [root])
    except EvenlyError:
        return False
    return read_cache(root / "data" / "source.json") == found


@dataclass(frozen=True)
class InterruptedRun:
    """A run that DVC still takes for running, although no process works on it any more."""

    name: str
    #: Its temporary checkout, and where DVC has noted that it runs there.
    checkout: Path
    notes: tuple[Path, ...]
    queued: bool


def interrupted_runs(root: Path) -> list[InterruptedRun]:
    """Killed runs of `dvc exp run --temp` and of the queue; none while DVC works in this project."""
    exps = (root / ".dvc" / "tmp" / "exps").resolve()
    notes: dict[Path, list[Path]] = {}
    for note in sorted([*exps.glob("run/*/*.run"), *exps.glob("standalone/run/*/*.run")]):
        info = read_cache(note)
        checkout = Path(info.get("root_dir") or root).resolve()
        if info.get("status", _ENDED) < _ENDED and checkout.is_relative_to(exps) and checkout.is_dir():
            notes.setdefault(checkout, []).append(note)
    found = []
    for checkout, of_it in notes.items():
        info, folders = read_cache(of_it[0]), tuple(note.parent for note in of_it)
        queued = info.get("location") == "dvc-task"
        found.append(InterruptedRun(info.get("name") or of_it[0].stem, checkout, folders, queued))
    return found if found and not _dvc_works_in(root.resolve()) else []


def clear_interrupted(root: Path) -> None:
    """Remove what killed runs of `dvc exp run --temp` have left: their checkout, and the notes of them."""
    for run in interrupted_runs(root):
        for folder in (run.checkout, *run.notes) if not run.queued else ():
            shutil.rmtree(folder, ignore_errors=True)


#: Commands of DVC that run stages; any other, and what it leaves in the background, works on no run.
_RUNS = {"run", "repro", "reproduce", "exec-run", "queue-worker"}


def _dvc_works_in(root: Path) -> bool:
    """Whether any process of DVC that runs stages, or a stage, has its working folder in the project."""
    import psutil

    for process in psutil.process_iter():
        try:
            names = {part.rpartition("/")[2] for part in process.cmdline()}
            running = ("dvc" in names and names & _RUNS) or any(name.startswith("stages.") for name in names)
            if running and Path(process.cwd()).is_relative_to(root):
                return True
        except (psutil.Error, OSError):  # it has ended, or is somebody else's
            continue
    return False


def read_cache(path: Path) -> dict[str, Any]:
    """Read a JSON file of `.cache/`; empty where there is none, or half of one."""
    try:
        return json_mapping(path.read_bytes(), str(path))
    except (OSError, DataError):
        return {}
