from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from evenly.params.llm import EngineSettings


def _server_module() -> ModuleType:
    """The server beside this file, whatever pytest has made of sys.path."""
    name = "evenly_test_llm_server"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("server.py"))
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def _process() -> Iterator[Any]:
    with _server_module().running_server() as server:
        yield server


@pytest.fixture
def server(_process: Any) -> Any:
    """A well-behaved loopback server; `server.reset(p429=0.2)` makes it misbehave."""
    _process.reset()
    return _process


@pytest.fixture
def another_server() -> Callable[[], AbstractContextManager[Any]]:
    """Start a server of one's own, which ends with the block."""
    return _server_module().running_server


@pytest.fixture
def settings(server: Any) -> Callable[..., EngineSettings]:
    def make(**changes: Any) -> EngineSettings:
        values = {"base_url": server.base_url, "model": "m", "max_tokens": 400, "concurrency": 16}
        return EngineSettings.model_validate(values | changes)

    return make
