"""The examination as a whole, which changes nothing, and that of the project: whether its settings can be
run, experiments can be made and shared, and the data are here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from pathlib import Path

from evenly import __version__
from evenly.doctor import Finding, broken, ok, warning
from evenly.doctor.endpoint import endpoint_findings
from evenly.doctor.installation import installation_findings, machine_findings
from evenly.errors import DataError, EvenlyError
from evenly.experiments.experiments import Technique, Workshop
from evenly.experiments.history import changed_stages, interrupted_runs
from evenly.laying import CODE, code_fault, project_files
from evenly.llm.engine.endpoint import keys_from
from evenly.params.base import read_yaml
from evenly.params.datasets import DATASETS_FILE, DatasetEntry, read_entries
from evenly.params.models import MODELS
from evenly.params.project import PARAMS_FILE, Params, read_params
from evenly.wording import counted, first_names

RAW = "data/raw"
#: The file that reproducing changes; it belongs to the run, not to what it was made from.
_LOCK = "dvc.lock"


def examine(root: Path, environment: Mapping[str, str], *, llm: bool = False) -> list[Finding]:
    """Look at everything that a run needs, in the order in which one would mend it.

    With `llm`, at the endpoint of the language model even where the recipe asks none.
    """
    found = list(installation_findings(root, environment))
    if not (root / "dvc.yaml").is_file():
        says = f"{root.resolve()} holds no dvc.yaml"
        nowhere = broken("project", says, "go to the root of the project; `evenly init` lays a new one")
        return [*found, nowhere, *machine_findings(root, None)]
    found += laid_findings(root)
    params, entry, settings = read_settings(root, environment)
    found += machine_findings(root, params.threads if params else None)
    found += [*git_findings(root), *dvc_findings(root), *remote_findings(root)]
    found += [*settings, *data_findings(root, entry, params.dataset if params else None)]
    recipe = params.recipes.get(params.balancing) if params else None
    by_model = params is not None and params.model != "auto" and bool(MODELS[params.model].asked_by)
    if llm or by_model or (recipe is not None and recipe.asks):
        found += endpoint_findings(root, environment)
    return found


def read_settings(
    root: Path, environment: Mapping[str, str]
) -> tuple[Params | None, DatasetEntry | None, list[Finding]]:
    """Read params.yaml and its data set's entry (None where unreadable), and try to plan their run."""
    found: list[Finding] = []
    params, entries = None, {}
    try:
        params = read_params(root / PARAMS_FILE)
        found.append(ok("params.yaml", f"valid; {len(params.recipes)} recipes"))
    except EvenlyError as error:
        found.append(broken("params.yaml", error))
    try:
        entries = read_entries(root / DATASETS_FILE)
        found.append(ok("datasets.yaml", f"valid; {len(entries)} data sets"))
    except EvenlyError as error:
        found.append(broken("datasets.yaml", error))
    # Experiments are named by what is in the repository.
    if params is not None and _git(root, "rev-parse", "--git-dir"):
        try:
            workshop = Workshop(root, keys_from(environment))
            workshop.experiment(Technique(params.balancing), params.dataset, params.seed)
            run = f"{params.dataset} with {params.balancing}, model {params.model}, seed {params.seed}"
            found.append(ok("next run", f"{run} can be started"))
        except EvenlyError as error:
            if entries:  # else datasets.yaml has its own finding
                found.append(broken("next run", error))
    return params, entries.get(params.dataset) if params else None, found


def laid_findings(root: Path) -> Iterator[Finding]:
    """Look at whether a laid project knows the installed code, and at what an upgrade has left."""
    if not (root / CODE).is_dir():
        return  # a checkout
    faults = [fault for file in sorted((root / CODE).iterdir()) if (fault := code_fault(root, file.name))]
    rests = sorted(f"{name}.new" for name in project_files() if (root / f"{name}.new").exists())
    if faults:
        yield broken("laid files", faults[0])
    elif rests:
        says = f"an upgrade has left {first_names(rests, 4)}"
        yield warning("laid files", says, "merge into the file beside, then delete")
    else:
        yield ok("laid files", f"laid by `evenly init`, and of the code of evenly {__version__}")


def git_findings(root: Path) -> Iterator[Finding]:
    """Look at the repository, the user's name, and at changes that would enter experiments."""
    if shutil.which("git") is None:
        yield broken("git", "git is not installed", "install git")
        return
    if not _git(root, "rev-parse", "--git-dir"):
        yield broken("git", "no git repository: experiments are commits", "`git init`, then commit all files")
        return
    commit = _git(root, "rev-parse", "--verify", "--quiet", "--short", "HEAD").strip()
    if not commit:
        yield broken("git", "no commit yet: experiments start from one", "`git add -A`, `git commit`")
        return
    if not _git(root, "config", "user.email") or not _git(root, "config", "user.name"):
        fix = "`git config user.name` and `user.email` set it"
        yield warning("git", "git does not know who you are", fix)
    changes = [line[3:] for line in _git(root, "status", "--porcelain", "--", ".").splitlines()]
    entering = [path for path in changes if path != _LOCK]
    if entering:
        count = counted(len(entering), "uncommitted change")
        says = f"{count} would enter every experiment: {first_names(entering, 4)}"
        yield warning("git", says, "commit, or restore what is not meant")
    else:
        rest = f", but for {_LOCK}: commit it with the run that it describes" if changes else ""
        yield ok("git", f"at {commit}, nothing uncommitted{rest}")


def dvc_findings(root: Path) -> Iterator[Finding]:
    """Look at whether DVC is set up, and whether its lock goes with dvc.yaml and the workspace."""
    if not (root / ".dvc").is_dir():
        yield broken("DVC", "DVC is not initialised here", "`dvc init`, then commit")
        return
    if shutil.which("dvc") is None:
        yield warning("DVC", "`dvc` is not on the path", "activate the environment")
    try:
        changed = changed_stages(root)
    except DataError as error:
        yield broken("DVC", error, "mend what DVC complains of")
        return
    if changed:
        says = f"{_LOCK} is behind: {first_names(changed, 4)} would run"
        yield warning("DVC", says, "`dvc repro`, then commit")
    else:
        yield ok("DVC", f"{_LOCK} goes with dvc.yaml and what is here; nothing would run")
    for run in interrupted_runs(root):
        mend = f"dvc queue kill --force {run.name}" if run.queued else f"rm -r {run.checkout}"
        yield warning("runs", f"{run.name} was killed, yet `dvc exp show` calls it running", f"`{mend}`")
    hooks = root / ".git" / "hooks" / "post-checkout"
    if hooks.is_file() and "dvc" in hooks.read_text(encoding="utf-8", errors="replace"):
        yield ok("hooks", "DVC's git hooks are installed")
    else:
        yield ok("hooks", "DVC's git hooks are not installed", "optional: `dvc install`")


def remote_findings(root: Path) -> Iterator[Finding]:
    """Look at where runs are pushed to; only a folder is tried out."""
    config = ConfigParser(strict=False, interpolation=None)
    config.read([root / ".dvc" / "config", root / ".dvc" / "config.local"], encoding="utf-8")
    # git-config style sections: ['remote "name"'] with DVC's own quotes around them.
    urls = {
        section.strip("'").removeprefix("remote").strip(' "'): config[section].get("url", "")
        for section in config.sections()
        if section.strip("'").startswith("remote ")
    }
    if not urls:
        says = "none: runs cannot be shared, and are lost with this disk"
        yield warning("remote", says, "`dvc remote add --default NAME URL`")
    elif config.get("core", "remote", fallback=None) not in urls:
        yield warning("remote", f"{', '.join(urls)}, but none is the default", "`dvc remote default NAME`")
    for name, url in urls.items():
        yield _remote(root, name, url)


def _remote(root: Path, name: str, url: str) -> Finding:
    if "://" in url and not url.startswith("file://"):
        scheme, _, rest = url.partition("://")
        without_password = f"{scheme}://{rest.rpartition('@')[2]}"
        return ok("remote", f"{name} at {without_password} is configured; not contacted")
    folder = (root / ".dvc" / url.removeprefix("file://")).resolve()
    nearest = next(one for one in (folder, *folder.parents) if one.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        return broken("remote", f"{name}: {folder} cannot be written to", "mend its rights, or its URL")
    if nearest != folder:
        says = f"{name}: {folder} does not exist yet"
        return warning("remote", says, "`dvc push` makes it; check the path")
    return ok("remote", f"{name} at {folder} is writable")


def data_findings(root: Path, entry: DatasetEntry | None, name: str | None) -> Iterator[Finding]:
    """Look at the files of the data set in use (where that is known), and at what git ignores."""
    if entry is not None and name is not None:
        yield _files(root, entry, name)
    yield from _ignored(root)


def _files(root: Path, entry: DatasetEntry, name: str) -> Finding:
    if entry.builtin:
        return ok("data", f"{name} is built in")
    fetch = f"`evenly fetch {name}`" if entry.url or entry.urls else f"`evenly add {name} FILE_OR_FOLDER`"
    if not entry.path:
        return broken("data", f"the entry {name} of datasets.yaml has no data yet", fetch)
    path = (root / entry.path).resolve()
    if not path.is_relative_to(root.resolve()):
        if not path.exists():
            return broken("data", f"{entry.path} of {name} does not exist", fetch)
        if entry.sha256:
            return ok("data", f"{entry.path} is outside the project, known by its sha256")
        says = f"{entry.path} is outside the project: a change goes unnoticed"
        return warning("data", says, f"`evenly add {name} {entry.path}` copies it into the project")
    inside = path.relative_to(root.resolve())
    # Of the path, or of a folder that it lies in.
    places = (f"{one}.dvc" for one in (inside, *inside.parents) if one != Path())
    tracked = next((place for place in places if (root / place).is_file()), None)
    if not path.exists():
        fix = f"`dvc pull {tracked}`, or {fetch}" if tracked else fetch
        return broken("data", f"{entry.path} of {name} does not exist", fix)
    if tracked:
        return ok("data", f"{entry.path} is tracked by DVC")
    if _git(root, "ls-files", "--", entry.path).strip():
        return ok("data", f"{entry.path} is tracked by git")
    says = f"{entry.path} is tracked by neither DVC nor git: queued experiments and sweeps lack it"
    return broken("data", says, f"`dvc add {entry.path}`, then commit")


def _ignored(root: Path) -> Iterator[Finding]:
    # DVC looks for no `.dvc` file in a folder that git ignores, and deletes its data before an experiment; an
    # output that git does not ignore enters experiments as a file of its own.
    if not _git(root, "rev-parse", "--git-dir"):
        return
    if _scm_ignores(root, RAW):
        says = f"{RAW} itself is ignored: DVC does not see the .dvc files in it, and deletes the data before "
        fix = f"write /{RAW}/?* and !/{RAW}/*.dvc in the place of /{RAW}/*"
        yield broken(".gitignore", f"{says}experiments", fix)
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
        if isinstance(out, str) or next(iter(out.values())).get("cache", True)
    ]
    # With a slash, since git cannot know that an output which is not there yet is a folder.
    ignored = _git(root, "check-ignore", "--no-index", "--", *outs, *(f"{out}/" for out in outs))
    seen = sorted(set(outs) - {line.rstrip("/") for line in ignored.splitlines()})
    if seen:
        says = f"git does not ignore the outputs {first_names(seen, 4)}"
        yield warning(".gitignore", says, "add them to .gitignore")
    else:
        yield ok(".gitignore", "outputs are ignored by git, .dvc files are not")


def _scm_ignores(root: Path, path: str) -> bool:
    """Whether git's rules ignore the folder, or the `.dvc` files in it, as DVC looks at it."""
    from scmrepo.exceptions import SCMError
    from scmrepo.git import Git

    try:
        scm = Git(str(root.resolve()), search_parent_directories=True)
    except SCMError:
        return False
    folder = root.resolve() / path
    return bool(scm.is_ignored(f"{folder}/") or scm.is_ignored(str(folder / "any.dvc")))


def _git(root: Path, *arguments: str) -> str:
    """What git prints, file names as they are, whatever letters they have; nothing where it fails."""
    command = ["git", "-c", "core.quotePath=false", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, encoding="utf-8").stdout
