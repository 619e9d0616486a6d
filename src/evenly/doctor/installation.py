"""Python, the libraries that pyproject.toml asks for, the python that stages run with, and the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenly.doctor import Finding, broken, ok, warning
from evenly.wording import counted

if TYPE_CHECKING:
    from packaging.requirements import Requirement

#: Extras that users choose; `test` is for developers.
_EXTRAS_FOR_NOBODY = ("test", "docs")
_GIB = 2**30
#: Below these DVC's cache soon has no room for another run, or for any.
_LITTLE, _NONE = 5 * _GIB, _GIB // 4
_IMPORTS = (
    "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ('pydantic', 'pyarrow', 'torch'))))"
)


def installation_findings(root: Path, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Look at Python, libraries, extras, and the python on the path."""
    project = _pyproject(root)
    yield _python(project)
    yield from _libraries(project)
    yield _extras(project)
    yield _python_of_stages(environment)


def _pyproject(root: Path) -> dict[str, Any]:
    """The section `project` of this checkout's pyproject.toml, else what the installed package says."""
    file = root / "pyproject.toml"
    if file.is_file():
        project: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
        if project.get("name") == "evenly":
            return project
    try:
        installed = importlib.metadata.metadata("evenly")
    except importlib.metadata.PackageNotFoundError:
        return {}
    python = "".join(installed.get_all("Requires-Python") or [])
    lines = [line.partition(";") for line in installed.get_all("Requires-Dist") or []]
    needed = [line for line, _, marker in lines if not marker]
    extras = {
        name: [line for line, _, marker in lines if re.search(rf"extra == ['\"]{name}['\"]", marker)]
        for name in installed.get_all("Provides-Extra") or []
    }
    return {"requires-python": python, "dependencies": needed, "optional-dependencies": extras, "wheel": True}


def _python(project: Mapping[str, Any]) -> Finding:
    from packaging.specifiers import SpecifierSet

    here, needed = platform.python_version(), str(project.get("requires-python", ""))
    if SpecifierSet(needed).contains(here, prereleases=True):
        return ok("python", f"Python {here} at {sys.prefix}")
    says = f"Python {here}, but evenly needs {needed}"
    return broken("python", says, "make the environment with a newer Python")


def _libraries(project: Mapping[str, Any]) -> Iterator[Finding]:
    from packaging.requirements import Requirement

    needed = [Requirement(text) for text in project.get("dependencies", [])]
    if not needed:
        yield warning("libraries", "nothing says which libraries are needed", "pip install --editable .")
        return
    faults = [fault for requirement in needed if (fault := _unmet(requirement))]
    again = "--upgrade evenly" if "wheel" in project else "--constraint constraints.txt --editable ."
    for fault in faults:
        yield broken("libraries", fault, f"pip install {again}")
    if not faults:
        yield ok("libraries", f"{len(needed)} libraries in versions that evenly allows")


def _unmet(requirement: Requirement) -> str | None:
    """What is wrong with an installed library; None where nothing is."""
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    try:
        here = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(here, prereleases=True):
        return None
    return f"{requirement.name} is {here}, but {requirement.specifier} is needed"


def _extras(project: Mapping[str, Any]) -> Finding:
    from packaging.requirements import Requirement

    extras = {
        name: [_unmet(Requirement(text)) for text in texts]
        for name, texts in project.get("optional-dependencies", {}).items()
        if name not in _EXTRAS_FOR_NOBODY
    }
    here = [name for name, unmet in extras.items() if not any(unmet)]
    absent = [name for name in extras if name not in here]
    says = f"installed: {', '.join(here) or 'none'}"
    if absent:
        says += f"; optional: {', '.join(absent)}"
    return ok("extras", says, "pip install 'evenly[NAME]' adds one" if absent else "")


def _python_of_stages(environment: Mapping[str, str]) -> Finding:
    """DVC runs stages as `python -m stages.NAME`: with the first python on the path, whichever that is."""
    path = shutil.which("python", path=environment.get("PATH"))
    activate = f"source {Path(sys.prefix) / 'bin' / 'activate'}"
    if path is None:
        return broken("stages", "there is no `python` on the path to run stages with", activate)
    if Path(path).parent == Path(sys.executable).parent:
        return ok("stages", "stages run with this Python")
    able = subprocess.run([path, "-c", _IMPORTS], capture_output=True).returncode == 0
    says = f"stages would run with {path}, which is not this Python"
    if able:
        return warning("stages", says, activate)
    return broken("stages", f"{says} and lacks the libraries", activate)


def machine_findings(root: Path, threads: int | None) -> Iterator[Finding]:
    """Look at the processor's cores (`threads` is that of params.yaml), at GPU and disk."""
    yield _processor(threads)
    yield _gpu()
    yield _disk(root)


def _processor(threads: int | None) -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    says = f"{counted(cores, 'processor core')} to use"
    if threads:
        says += f"; `threads` in params.yaml is {threads}"
    if threads and threads > cores:
        return warning("threads", says, f"set threads to {cores} or less: results depend on it")
    return ok("threads", says)


def _gpu() -> Finding:
    try:
        import torch
    except ImportError:
        return warning("GPU", "unknown, since torch cannot be imported")
    if torch.cuda.is_available():
        devices = [torch.cuda.get_device_properties(k) for k in range(torch.cuda.device_count())]
        names = ", ".join(f"{device.name} ({device.total_memory / _GIB:.0f} GiB)" for device in devices)
        return ok("GPU", f"{names}; networks train on it")
    if not shutil.which("nvidia-smi"):
        return ok("GPU", "none; networks train on the processor")
    return warning(
        "GPU",
        f"there is an NVIDIA driver, but torch {torch.__version__} cannot use it, so networks train on the "
        "processor",
        "install the build of torch that fits the driver (pytorch.org says which)",
    )


def _disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free
    says = f"{free / _GIB:.1f} GiB free for the cache"
    if free >= _LITTLE:
        return ok("disk", says)
    fix = "`dvc gc --workspace --all-commits --all-experiments` frees what no run needs"
    return broken("disk", says, fix) if free < _NONE else warning("disk", says, fix)
