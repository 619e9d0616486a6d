"""The examination as a whole. It changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evenly.doctor import Finding, broken
from evenly.doctor.endpoint import endpoint_findings
from evenly.doctor.installation import installation_findings, machine_findings
from evenly.doctor.project import (
    data_findings,
    dvc_findings,
    git_findings,
    laid_findings,
    read_settings,
    remote_findings,
)
from evenly.params.models import MODELS


def examine(root: Path, environment: Mapping[str, str], *, llm: bool = False) -> list[Finding]:
    """Look at everything that a run needs, in the order in which one would mend it.

    With `llm`, at the endpoint of the language model even where the recipe asks none.
    """
    found = list(installation_findings(root, environment))
    if not (root / "dvc.yaml").is_file():
        says = f"{root.resolve()} holds no dvc.yaml"
        nowhere = broken("project", says, "go to the root of the project; `evenly init` lays a new one")
        return [*found, nowhere, *machine_findings(root, None)]
    found += laid_findings(root)
    params, entry, settings = read_settings(root, environment)
    found += machine_findings(root, params.threads if params else None)
    found += [*git_findings(root), *dvc_findings(root), *remote_findings(root)]
    found += [*settings, *data_findings(root, entry, params.dataset if params else None)]
    recipe = params.recipes.get(params.balancing) if params else None
    by_model = params is not None and params.model != "auto" and bool(MODELS[params.model].asked_by)
    if llm or by_model or (recipe is not None and recipe.asks):
        found += endpoint_findings(root, environment)
    return found
