from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from datafiles import make_entry

from evenly.datasets.load import Splits, load_splits


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file below the test's folder from text, bytes, or records (as JSON lines)."""

    def write(name: str, content: str | bytes | list[Mapping[str, Any]]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            content = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def split(tmp_path: Path) -> Callable[..., Splits]:
    """Split the data at `path` (relative to the test's folder) with these keys in the entry."""

    def split(path: str | None = None, seed: int = 0, **values: Any) -> Splits:
        place = {"path": path} if path else {}
        return load_splits(make_entry(**place, **values), "mine", seed, [tmp_path])

    return split
