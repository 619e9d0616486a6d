"""The files of a project in a repository of one's own: what `evenly init` lays, and what an upgrade changes.

They are those of the checkout, and a wheel carries them. Instead of the source code, which such a repository
has not, a stage depends on `.evenly/code/STAGE`: the checksums of the installed code that it runs.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import evenly
from evenly.errors import DataError, EvenlyError
from evenly.files import atomic_write, read_json
from evenly.wording import counted, first_names

CODE = ".evenly/code"
LAID = ".evenly/laid.json"
#: What a wheel holds them as, below the package.
_IN_WHEEL = "project"
#: Lists of patterns: where one is there already, ours are a block at its end.
_LISTS = (".gitignore", ".dvcignore")
_BEGIN, _END = b"# --- evenly: begin ---\n", b"# --- evenly: end ---\n"
_BLOCK = re.compile(rb"(?:\A|(?<=\n))# --- evenly: begin ---\r?\n(.*?)# --- evenly: end ---\r?\n?", re.DOTALL)
_DVC_CONFIG = ".dvc/config"
#: Git must see these, whatever else the repository ignores.
_SEEN = ("dvc.lock", "data/raw/any.dvc", "data/imported/any.dvc")


@dataclass
class Laid:
    """What was done to a repository, by path."""

    #: Files that were not there.
    new: list[str] = field(default_factory=list)
    #: Files that were there, to which ours was added.
    added_to: list[str] = field(default_factory=list)
    #: Files that nobody had changed: lines that came and went.
    replaced: dict[str, tuple[int, int]] = field(default_factory=dict)
    #: Files that somebody had changed, beside which ours lies as `.new`, with the lines in which they differ.
    beside: dict[str, tuple[int, int]] = field(default_factory=dict)
    #: Files that nobody had changed, which this version has no more.
    removed: list[str] = field(default_factory=list)
    #: Stages whose code is another.
    stages: list[str] = field(default_factory=list)
    #: The version that had laid the files before.
    before: str = ""
    #: Whether the repository was made.
    made_repository: bool = False


def lay(root: Path) -> Laid:
    """Lay the files of a project into a repository, all or none; nothing that is there is replaced."""
    if (root / LAID).is_file():
        raise DataError(
            f"{root.resolve()} is a project already, laid by evenly {_read_laid(root)[0]}; "
            "`evenly init --upgrade` brings it to the installed version."
        )
    if (root / "src" / "evenly" / "__init__.py").is_file():
        raise DataError(f"{root.resolve()} is a checkout of evenly itself, which has all files already.")
    top = _repository(root)
    files, laid = project_files(), Laid(made_repository=top is None)
    contents: dict[str, bytes] = {}
    in_the_way = []
    for name, ours in files.items():
        target = root / name
        if blocked := _blocked(root, name):
            in_the_way.append(blocked)
        elif not target.exists():
            contents[name] = _listed(b"", ours) if name in _LISTS else ours
            laid.new.append(name)
        elif name in _LISTS or name == _DVC_CONFIG:
            join = _listed if name in _LISTS else _configured
            joined = join(target.read_bytes(), ours)
            if joined != target.read_bytes():
                contents[name] = joined
                laid.added_to.append(name)
        elif target.read_bytes() != ours and name != ".dvc/.gitignore":
            in_the_way.append(name)
    if in_the_way:
        raise DataError(
            f"{first_names(dict.fromkeys(in_the_way), 6)} of {root.resolve()} would be in the way, and "
            "nothing was laid: move what is there, or begin in a repository of its own."
        )
    if top is not None:
        _refuse_hidden(root, [*files, *_SEEN])
    else:
        root.mkdir(parents=True, exist_ok=True)
        _git(root, "init", "--quiet", "--initial-branch", "main")
    contents[LAID] = _laid_json(files)
    _write_all(root, contents)
    return laid


def upgrade(root: Path) -> Laid:
    """Bring laid files to the installed version; beside those that somebody has changed, lay `.new`."""
    if not (root / LAID).is_file():
        raise DataError(f"{root.resolve()} holds no {LAID}: nothing was laid here; `evenly init` does that.")
    (before, known), files = _read_laid(root), project_files()
    laid, contents = Laid(before=before), dict[str, bytes]()
    for name, ours in files.items():
        here = _current(root, name)
        if name.startswith(f"{CODE}/"):
            if here != ours:
                contents[name] = ours
                laid.stages.append(PurePosixPath(name).name)
        elif known.get(name) == _digest(ours):
            continue  # this version has what was laid; changes are the user's
        elif here is None and name not in known:
            contents[name] = _listed(b"", ours) if name in _LISTS else ours
            laid.new.append(name)
        elif here is not None and _digest(here) == known.get(name):
            contents[name] = _listed((root / name).read_bytes(), ours) if name in _LISTS else ours
            laid.replaced[name] = _lines(here, ours)
        elif here != ours:
            contents[f"{name}.new"] = ours
            laid.beside[name] = _lines(here or b"", ours)
    rests = {f"{name}.new": files[name] for name in laid.beside}
    left = [rest for rest, ours in rests.items() if _current(root, rest) not in (None, ours)]
    blocked = [path for name in contents if (path := _blocked(root, name))]
    if left or blocked:
        raise DataError(
            f"{first_names(left or blocked, 6)} would be in the way, and nothing was changed: merge what an "
            "earlier upgrade has left and delete it, then run `evenly init --upgrade` again."
        )
    contents[LAID] = _laid_json(files)
    gone = [name for name in known if name not in files]
    laid.removed = [name for name in gone if (h := _current(root, name)) and _digest(h) == known[name]]
    _write_all(root, contents)
    for name in laid.removed:
        (root / name).unlink()
    return laid


def code_fault(root: Path, stage: str) -> str | None:
    """Say that a laid project knows a stage by other code than is installed; None where all is well."""
    known = root / CODE / stage
    if not known.is_file():
        return None
    lines = known.read_text(encoding="utf-8").splitlines()
    if _code_digests(line.partition("  ")[2] for line in lines) == lines:
        return None
    version = _read_laid(root)[0] if (root / LAID).is_file() else "another version"
    return (
        f"the installed evenly {evenly.__version__} runs other code than {CODE}/{stage} says, which evenly "
        f"{version} has laid; `evenly init --upgrade` makes it known to DVC, or install that version again"
    )


def project_files() -> dict[str, bytes]:
    """Give the files of a project by path, as the installed version lays them."""
    package = Path(evenly.__file__).parent
    wheel, checkout = package / _IN_WHEEL, package.parent.parent
    if wheel.is_dir():
        sources = {file.relative_to(wheel).as_posix(): file for file in sorted(wheel.rglob("*"))}
    elif (checkout / "pyproject.toml").is_file() and (checkout / "dvc.yaml").is_file():
        tables = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]
        included = tables["build"]["targets"]["wheel"]["force-include"]
        sources = {
            file.relative_to(checkout).as_posix(): file
            for path in included
            for file in sorted([checkout / path, *(checkout / path).rglob("*")])
        }
    else:
        raise DataError(f"{package} holds no files to lay; install evenly again from a wheel or a checkout.")
    files = {
        name: file.read_bytes()
        for name, file in sources.items()
        if file.is_file() and "__pycache__" not in file.parts
    }
    text, code = _without_sources(files["dvc.yaml"].decode("utf-8"))
    return files | {"dvc.yaml": text.encode("utf-8")} | code


def _without_sources(text: str) -> tuple[str, dict[str, bytes]]:
    """Let each stage of dvc.yaml depend on the checksums of its code, and give these files."""
    lines, sources = [], dict[str, list[str]]()
    stage = ""
    for line in text.splitlines():
        if found := re.fullmatch(r"  (\w+):", line):
            stage = found[1]
        if source := re.fullmatch(r"( +- )src/(evenly/\S+)", line):
            if stage not in sources:
                lines.append(f"{source[1]}{CODE}/{stage}")
            sources.setdefault(stage, []).append(source[2])
        else:
            lines.append(line)
    code = {
        f"{CODE}/{name}": "".join(f"{line}\n" for line in _code_digests(paths)).encode()
        for name, paths in sources.items()
    }
    return "\n".join(lines) + "\n", code


def _code_digests(paths: Iterable[str]) -> list[str]:
    """Checksums of installed files and folders, `evenly/…`, a line each."""
    above = Path(evenly.__file__).parent.parent
    lines = []
    for path in paths:
        source = above / path
        files = sorted(source.rglob("*")) if source.is_dir() else [source]
        total = hashlib.sha256()
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                total.update(f"{file.relative_to(above).as_posix()}\0{_digest(file.read_bytes())}\n".encode())
        lines.append(f"{total.hexdigest()}  {path}")
    return lines


def _read_laid(root: Path) -> tuple[str, dict[str, str]]:
    """The version that has laid the files, and their checksums."""
    try:
        content = read_json(root / LAID)
        if isinstance(content["version"], str) and isinstance(content["files"], dict):
            return content["version"], content["files"]
    except (OSError, EvenlyError, KeyError, TypeError):
        pass
    raise DataError(f"{root / LAID} is damaged; `git checkout {LAID}` gives back the one that was laid.")


def _laid_json(files: Mapping[str, bytes]) -> bytes:
    value = {"version": evenly.__version__, "files": {name: _digest(files[name]) for name in sorted(files)}}
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def _digest(content: bytes) -> str:
    """SHA-256, whatever line ends git has checked out."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def _current(root: Path, name: str) -> bytes | None:
    """What is there of a laid file: of a list of patterns, our block; None where there is none."""
    if not (root / name).is_file():
        return None
    content = (root / name).read_bytes()
    if name not in _LISTS:
        return content
    block = _BLOCK.search(content)
    return block[1] if block else None


def _listed(before: bytes, ours: bytes) -> bytes:
    """A list of patterns with our block: in the place of the one that is there, else at its end."""
    block = _BEGIN + ours + _END
    if _BLOCK.search(before):
        return _BLOCK.sub(lambda _: block, before, count=1)
    gap = b"" if not before else b"\n" if before.endswith(b"\n") else b"\n\n"
    return before + gap + block


def _configured(before: bytes, ours: bytes) -> bytes:
    """DVC's configuration with the options of ours that it has not."""
    from configobj import ConfigObj, ConfigObjError

    try:
        there, wanted = ConfigObj(io.BytesIO(before)), ConfigObj(io.BytesIO(ours))
    except ConfigObjError as error:
        raise DataError(f"{_DVC_CONFIG} cannot be read ({error}); mend it first.") from error
    missing = False
    for section, options in wanted.items():
        for key, value in options.items():
            if key not in there.setdefault(section, {}):
                there[section][key], missing = value, True
    if not missing:
        return before
    out = io.BytesIO()
    there.write(out)
    return out.getvalue()


def _blocked(root: Path, name: str) -> str | None:
    """What stands where a file's folder should be, or a folder where the file should be."""
    above = [*reversed(PurePosixPath(name).parents)][1:]
    for folder in above:
        if (root / folder).exists() and not (root / folder).is_dir():
            return folder.as_posix()
    return f"{name}/" if (root / name).is_dir() else None


def _lines(before: bytes, now: bytes) -> tuple[int, int]:
    """How many lines came and went."""
    old, new = (content.decode("utf-8", "replace").splitlines() for content in (before, now))
    changes = list(difflib.unified_diff(old, new, n=0, lineterm=""))[2:]
    return sum(line[0] == "+" for line in changes), sum(line[0] == "-" for line in changes)


def _write_all(root: Path, contents: Mapping[str, bytes]) -> None:
    """Write all files, or none where one cannot be written."""
    folders = sorted({parent for name in contents for parent in (root / name).parents if not parent.exists()})
    try:
        with ExitStack() as stack:
            # Left in the opposite order of entering: the list of what is laid comes to its place last.
            for name, content in reversed(list(contents.items())):
                stack.enter_context(atomic_write(root / name)).write_bytes(content)
    except OSError as error:
        for folder in reversed(folders):
            with suppress(OSError):
                folder.rmdir()
        where = error.filename or root
        raise DataError(f"{where} cannot be written ({error.strerror}); nothing was laid.") from error


def _repository(root: Path) -> Path | None:
    """The root of the repository that a folder is in, which it must be itself; None outside of any."""
    if shutil.which("git") is None:
        raise DataError("git is not installed, and experiments are commits: install it first.")
    if root.exists() and not root.is_dir():
        raise DataError(f"{root} is a file; name a folder.")
    near = next(folder for folder in (root.resolve(), *root.resolve().parents) if folder.is_dir())
    found = _git(near, "rev-parse", "--show-toplevel").strip()
    if not found:
        if unreadable := next((path for path in (near, *near.parents) if (path / ".git").exists()), None):
            raise DataError(
                f"git cannot read the repository {unreadable}; mend what `git status` says there."
            )
        return None
    if Path(found).resolve() != root.resolve():
        raise DataError(
            f"{root.resolve()} lies in the repository {found}, and the pipeline belongs to a repository's "
            "root: run `evenly init` there, or begin outside of it."
        )
    return Path(found)


def _refuse_hidden(root: Path, names: Iterable[str]) -> None:
    """Refuse a repository that ignores what must be committed, naming the first rule that does."""
    done = subprocess.run(
        ["git", "check-ignore", "--verbose", "--no-index", "-z", "--stdin"],
        cwd=root, input="\0".join(names), capture_output=True, text=True,
    )  # fmt: skip
    parts = done.stdout.split("\0")
    for source, line, pattern, path in zip(*[iter(parts)] * 4, strict=False):
        if not pattern.startswith("!"):
            raise DataError(
                f"{source}, line {line} ({pattern}) hides {path} from Git, where evenly needs it, and "
                "nothing was laid: make the pattern narrower, then run `evenly init` again."
            )


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True).stdout


def changed_lines(came: int, went: int) -> str:
    """Say how many lines came and went."""
    numbers = {"more": came, "fewer": went}
    parts = [f"{counted(number, 'line')} {word}" for word, number in numbers.items() if number]
    return ", ".join(parts) or "line ends only"
