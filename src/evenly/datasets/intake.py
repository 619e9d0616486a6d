"""Bringing data in: downloads (resumable, verified, never half there), copies of the user's files, the entry
in datasets.yaml, and DVC.
"""

from __future__ import annotations

import http.client
import io
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evenly.datasets.sources import RAW_FOLDER, checksum
from evenly.errors import DataError, ParameterError
from evenly.files import atomic_folder, atomic_write, write_text
from evenly.params.datasets import DATASETS_FILE, DatasetEntry

#: Where half a download waits for the rest; git-ignored, and no part of the pipeline.
PARTIAL_FOLDER = Path(".cache/fetch")

_CHUNK = 1 << 16
_TIMEOUT = 60.0

Progress = Callable[[str, int, int | None], None]


def downloads(entry: DatasetEntry, name: str) -> list[tuple[str, str, str]]:
    """What `evenly fetch` brings: URL, path relative to the project, and SHA-256 of each file."""
    if entry.url and entry.path and isinstance(entry.sha256, str):
        return [(entry.url, entry.path, entry.sha256)]
    if entry.urls and entry.files and isinstance(entry.sha256, dict):
        given = entry.files.given()
        return [(url, f"{entry.path}/{given[part]}", entry.sha256[part]) for part, url in entry.urls.items()]
    if entry.builtin:
        raise DataError(f"{name} is built in and needs no download; `dvc exp run -S dataset={name}` uses it.")
    raise DataError(
        f"{name} has no url in datasets.yaml; bring its data with `evenly add {name} FILE_OR_FOLDER`."
    )


def fetch(url: str, target: Path, sha256: str, partial: Path, progress: Progress | None = None) -> bool:
    """Download one file to `target`, going on where an interrupted download stopped; False if it was there.

    What has come so far waits as `SHA256.part` in the folder `partial`; `target` appears only when it is
    whole and verified. `progress` takes the file's name, the bytes here so far, and those in all, None where
    unknown.
    """
    if target.exists():
        actual = checksum(target)
        if actual == sha256:
            return False
        raise DataError(
            f"{target} is there already, with the SHA-256 {actual} instead of {sha256}; move it away and "
            "fetch again."
        )
    part = partial / f"{sha256}.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    resumed = part.exists() and part.stat().st_size > 0
    _download(url, part, target.name, progress)
    actual = checksum(part)
    if actual != sha256 and resumed:  # the half that was here may be of another version
        part.unlink()
        _download(url, part, target.name, progress)
        actual = checksum(part)
    if actual != sha256:
        part.unlink()
        raise DataError(
            f"{url} has the SHA-256 {actual} instead of {sha256}, so it is not the file that datasets.yaml "
            "means; nothing was kept."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)
    return True


def _download(url: str, part: Path, title: str, progress: Progress | None) -> None:
    """Append to `part` what is missing of the file at `url`; start over where the server cannot go on."""
    here = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "evenly"})
    if here:
        request.add_header("Range", f"bytes={here}-")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            going_on = answer.status == 206 and _range_start(answer.headers.get("Content-Range")) == here
            length = answer.headers.get("Content-Length")
            here = here if going_on else 0
            total = here + int(length) if length else None
            with part.open("ab" if going_on else "wb") as stream:
                while block := answer.read(_CHUNK):
                    stream.write(block)
                    here += len(block)
                    if progress:
                        progress(title, here, total)
        if total is not None and here < total:
            raise DataError(_broken_off(url, f"{here} of {total} bytes came"))
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and here:  # everything is here already, or the file has become shorter
                return
            raise DataError(
                f"{url} answers {error.code} {error.reason}; try later, or bring the file by hand."
            ) from error
    except (OSError, http.client.HTTPException) as error:
        raise DataError(
            _broken_off(url, str(getattr(error, "reason", error)) or type(error).__name__)
        ) from error


def _broken_off(url: str, why: str) -> str:
    return (
        f"The download of {url} broke off ({why}); run the same command again, it goes on where it stopped."
    )


def _range_start(header: str | None) -> int | None:
    """The first byte that `Content-Range: bytes 100-199/200` announces."""
    try:
        return int((header or "").removeprefix("bytes").strip().split("-")[0])
    except ValueError:
        return None


# -- the user's own data -------------------------------------------------------------------------------------


def bring_in(source: Path, name: str, values: Mapping[str, Any], root: Path) -> str:
    """Copy data to data/raw, set keys of their entry of datasets.yaml, put them under DVC; give their path.

    Whatever fails, data/raw and datasets.yaml are left as they were.
    """
    relative = _place(source, name, root)
    target = root / relative
    entries = root / DATASETS_FILE
    text = entry_text(entries.read_text(encoding="utf-8"), name, {**values, "path": relative}, entries)
    beside = (entries, root / f"{relative}.dvc", root / RAW_FOLDER / ".gitignore")
    before = {file: file.read_bytes() if file.exists() else None for file in beside}
    ours = not target.exists()
    try:
        if ours:
            _copy(source, target)
        write_text(text, entries)
        track(relative, root)
    except BaseException as error:
        if ours:
            _remove(target)
        for file, content in before.items():
            _restore(file, content)
        if isinstance(error, OSError):
            raise DataError(
                f"{source} could not be brought to {relative} ({_reason(error)}); data/raw and "
                f"{DATASETS_FILE} are as they were: mend that, and add the data again."
            ) from error
        raise
    return relative


def refuse_into_itself(source: Path, name: str, root: Path) -> None:
    """Refuse to copy a folder that holds the place where the copy would lie."""
    target = (root / RAW_FOLDER / name).resolve()
    if source.is_dir() and target != source.resolve() and target.is_relative_to(source.resolve()):
        raise DataError(
            f"{source} holds {RAW_FOLDER}, where the copy would lie, so it cannot be copied; name the file "
            "or the folder of the data themselves."
        )


def _place(source: Path, name: str, root: Path) -> str:
    """Where the data are to lie: `data/raw/NAME`, a file with its ending."""
    suffix = "" if source.is_dir() else source.suffix.lower()
    relative = f"{RAW_FOLDER}/{name}{suffix}"
    target = root / relative
    if (target.exists() or target.is_symlink()) and target.resolve() != source.resolve():
        raise DataError(f"{relative} is there already; remove it first, or add the data under another name.")
    return relative


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        with atomic_folder(target) as temporary:
            hidden = shutil.ignore_patterns(".*", "__MACOSX")
            shutil.copytree(source, temporary, ignore=hidden, dirs_exist_ok=True)
    else:
        with atomic_write(target) as temporary:
            shutil.copyfile(source, temporary)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _restore(file: Path, content: bytes | None) -> None:
    """Bring a file back to what it was, or away where it was not there; one that is so is not touched."""
    if content is None:
        file.unlink(missing_ok=True)
    elif not file.exists() or file.read_bytes() != content:
        file.write_bytes(content)


def _reason(error: OSError) -> str:
    """What the system says, of the first file where several failed."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        return str(error.args[0][0][-1])
    return error.strerror or str(error) or type(error).__name__


def entry_text(before: str, name: str, values: Mapping[str, Any], path: Path) -> str:
    """The text of datasets.yaml with keys of an entry set, or with one more; comments and layout stay.

    Mappings in `values` are merged into those that are there, one level deep.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.error import YAMLError

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    try:
        content = yaml.load(before)
    except YAMLError as error:
        raise ParameterError(
            f"{path} cannot be written anew ({getattr(error, 'problem', error)}); mend it first."
        ) from error
    content = CommentedMap() if content is None else content
    is_new = name not in content
    entry = CommentedMap() if is_new else content[name]
    for key, value in values.items():
        if isinstance(value, Mapping):
            inner = entry.get(key)
            if not isinstance(inner, CommentedMap):
                inner = entry[key] = CommentedMap()
                inner.fa.set_flow_style()
            inner.update(value)
        else:
            entry[key] = value
    if is_new:
        text = io.StringIO()
        yaml.dump(CommentedMap({name: entry}), text)
        longer = f"{before.rstrip()}\n\n{text.getvalue()}".lstrip()
        try:
            if name in yaml.load(longer):
                return longer
        except YAMLError:  # the file is one mapping in braces
            content[name] = entry
    text = io.StringIO()
    yaml.dump(content, text)
    return text.getvalue()


def track(relative: str, root: Path) -> None:
    """Put a path under DVC, so that changes are noticed and queued experiments find the data (`dvc add`)."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "add", "--quiet", relative],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split()).rstrip(".")
        raise DataError(
            f"`dvc add {relative}` did not work ({words}); mend that, and run this command again."
        )
