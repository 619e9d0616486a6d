"""What an examination finds, and the examination as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
        return {"area": self.area, "status": self.status, "says": self.says, "fix": self.fix}


def examine(root: Path, environment: Mapping[str, str], *, llm: bool = False) -> list[Finding]:
    """Look at everything that a run needs, in the order in which one would mend it. Changes nothing.

    Parameters
    ----------
    root
        The project's folder.
    environment
        Environment variables.
    llm
        Look at the endpoint of the language model even where the recipe asks none.
    """
    from evenly.doctor.data import data_findings
    from evenly.doctor.endpoint import endpoint_findings
    from evenly.doctor.installation import installation_findings
    from evenly.doctor.machine import machine_findings
    from evenly.doctor.repository import dvc_findings, git_findings, remote_findings
    from evenly.doctor.settings import read_settings

    found = list(installation_findings(root, environment))
    if not (root / "dvc.yaml").is_file():
        where = Finding(
            "project",
            "broken",
            f"{root.resolve()} holds no dvc.yaml",
            "go to the root of the project, or clone it",
        )
        return [*found, where, *machine_findings(root, None)]
    settings, said = read_settings(root, environment)
    found += [*machine_findings(root, settings.threads), *git_findings(root), *dvc_findings(root)]
    found += [*remote_findings(root), *said, *data_findings(root, settings.entry, settings.dataset)]
    if llm or settings.asks_model:
        found += endpoint_findings(root, environment)
    return found


def worst(findings: Sequence[Finding]) -> Status:
    """Give the worst status of all."""
    found = {finding.status for finding in findings}
    return "broken" if "broken" in found else "warning" if "warning" in found else "ok"
