"""Python, the libraries that pyproject.toml asks for, and the python that stages will run with."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenly.doctor.findings import Finding

if TYPE_CHECKING:
    from packaging.requirements import Requirement

#: Extras that users choose; `test` is for developers.
_EXTRAS_FOR_NOBODY = ("test",)
_SEEN = (
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
        told = importlib.metadata.metadata("evenly")
    except importlib.metadata.PackageNotFoundError:
        return {}
    python = "".join(told.get_all("Requires-Python") or [])
    needed = [line for line in told.get_all("Requires-Dist") or [] if "extra ==" not in line]
    return {"requires-python": python, "dependencies": needed}


def _python(project: Mapping[str, Any]) -> Finding:
    from packaging.specifiers import SpecifierSet

    here, needed = platform.python_version(), str(project.get("requires-python", ""))
    if SpecifierSet(needed).contains(here, prereleases=True):
        return Finding("python", "ok", f"Python {here} at {sys.prefix}")
    return Finding(
        "python",
        "broken",
        f"Python {here}, but evenly needs {needed}",
        "make the environment with a newer Python",
    )


def _libraries(project: Mapping[str, Any]) -> Iterator[Finding]:
    from packaging.requirements import Requirement

    needed = [Requirement(text) for text in project.get("dependencies", [])]
    if not needed:
        yield Finding(
            "libraries", "warning", "nothing says which libraries are needed", "pip install --editable ."
        )
        return
    wrong = [said for one in needed if (said := _unmet(one))]
    for said in wrong:
        yield Finding("libraries", "broken", said, "pip install --constraint constraints.txt --editable .")
    if not wrong:
        yield Finding("libraries", "ok", f"{len(needed)} libraries in versions that pyproject.toml allows")


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
    return Finding("extras", "ok", says, "pip install 'evenly[NAME]' adds one" if absent else "")


def _python_of_stages(environment: Mapping[str, str]) -> Finding:
    """DVC runs stages as `python -m stages.NAME`: with the first python on the path, whichever that is."""
    path = shutil.which("python", path=environment.get("PATH"))
    activate = f"source {Path(sys.prefix) / 'bin' / 'activate'}"
    if path is None:
        return Finding("stages", "broken", "there is no `python` on the path to run stages with", activate)
    if Path(path).parent == Path(sys.executable).parent:
        return Finding("stages", "ok", "stages run with this Python")
    able = subprocess.run([path, "-c", _SEEN], capture_output=True).returncode == 0
    says = f"stages would run with {path}, which is not this Python"
    if able:
        return Finding("stages", "warning", says, activate)
    return Finding("stages", "broken", f"{says} and lacks the libraries", activate)
