"""The examination of an installation as a whole: every finding, in the order in which one would mend it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evenly.doctor.findings import Finding


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
