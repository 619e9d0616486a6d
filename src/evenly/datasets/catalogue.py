"""Adding to datasets.yaml without disturbing what people wrote there, and putting raw data under DVC."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evenly.datasets.sources import RAW_FOLDER
from evenly.errors import DataError
from evenly.files import atomic_folder, atomic_write, write_text


def write_entry(name: str, values: Mapping[str, Any], path: str | Path) -> None:
    """Set keys of an entry of datasets.yaml, or add it at the end; comments and layout of the file stay.

    Mappings in `values` are merged into those that are there, one level deep.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    before = Path(path).read_text(encoding="utf-8")
    content = yaml.load(before)
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
    text = io.StringIO()
    yaml.dump(CommentedMap({name: entry}) if is_new else content, text)
    write_text(f"{before.rstrip()}\n\n{text.getvalue()}" if is_new else text.getvalue(), path)


def copy_in(source: Path, name: str, root: Path) -> str:
    """Copy a file or folder to `data/raw/NAME`, a file with its ending, and return that path.

    Raises
    ------
    DataError
        When there is something under that name already.
    """
    suffix = "" if source.is_dir() else source.suffix.lower()
    relative = f"{RAW_FOLDER}/{name}{suffix}"
    target = root / relative
    if target.exists():
        if target.resolve() == source.resolve():
            return relative
        raise DataError(f"{relative} is there already; remove it first, or add the data under another name.")
    if source.is_dir():
        with atomic_folder(target) as temporary:
            shutil.copytree(source, temporary, dirs_exist_ok=True)
    else:
        with atomic_write(target) as temporary:
            shutil.copyfile(source, temporary)
    return relative


def track(relative: str, root: Path) -> None:
    """Put a path under DVC, so that changes are noticed and queued experiments find the data (`dvc add`).

    Raises
    ------
    DataError
        When DVC refuses, with its words.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "add", "--quiet", relative],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split())
        raise DataError(
            f"`dvc add {relative}` did not work ({words}); the data are in place: mend that, and run it by "
            "hand."
        )
