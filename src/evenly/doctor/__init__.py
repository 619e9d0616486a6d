"""Examining an installation and its project: findings, each with what mends it. Nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Status = Literal["ok", "warning", "broken"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    area
        What it is about, in a word or two.
    status
        Whether it works, may surprise, or stops work.
    says
        What was found, in one sentence without a full stop.
    fix
        What mends it; empty where there is nothing to mend, or `says` says so already.
    """

    area: str
    status: Status
    says: str
    fix: str = ""

    def json(self) -> dict[str, str]:
        """As plain values."""
        return asdict(self)


def ok(area: str, says: str, fix: str = "") -> Finding:
    """A finding that works."""
    return Finding(area, "ok", says, fix)


def warning(area: str, says: str, fix: str = "") -> Finding:
    """A finding that may surprise."""
    return Finding(area, "warning", says, fix)


def broken(area: str, says: str | Exception, fix: str = "") -> Finding:
    """A finding that stops work; an error says it in its own words."""
    return Finding(area, "broken", str(says).rstrip("."), fix)


def worst(findings: Sequence[Finding]) -> Status:
    """Give the worst status of all."""
    statuses = {finding.status for finding in findings}
    return "broken" if "broken" in statuses else "warning" if "warning" in statuses else "ok"


def examine(root: Path, environment: Mapping[str, str], *, llm: bool = False) -> list[Finding]:
    """Look at everything that a run needs, in the order in which one would mend it.

    Parameters
    ----------
    root
        The project's folder.
    environment
        Environment variables.
    llm
        Look at the endpoint of the language model even where the recipe asks none.
    """
    from evenly.doctor import endpoint, installation, project

    found = list(installation.installation_findings(root, environment))
    if not (root / "dvc.yaml").is_file():
        says = f"{root.resolve()} holds no dvc.yaml"
        nowhere = broken("project", says, "go to the root of the project, or clone it")
        return [*found, nowhere, *installation.machine_findings(root, None)]
    params, entry, settings = project.read_settings(root, environment)
    found += installation.machine_findings(root, params.threads if params else None)
    found += [*project.git_findings(root), *project.dvc_findings(root), *project.remote_findings(root)]
    found += [*settings, *project.data_findings(root, entry, params.dataset if params else None)]
    recipe = params.recipes.get(params.balancing) if params else None
    if llm or (recipe is not None and recipe.llm is not None):
        found += endpoint.endpoint_findings(root, environment)
    return found
