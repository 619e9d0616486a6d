"""Whether params.yaml and datasets.yaml can be run as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evenly.doctor.findings import Finding
from evenly.errors import DataError, EvenlyError
from evenly.experiments.experiments import Technique, Workshop
from evenly.experiments.history import git
from evenly.llm.engine.endpoint import keys_from
from evenly.params.datasets import DATASETS_FILE, DatasetEntry, read_entries
from evenly.params.project import PARAMS_FILE, read_params


@dataclass(frozen=True)
class ProjectSettings:
    """What other checks need of the settings; None where they cannot be read.

    `asks_model` is whether the recipe asks a language model.
    """

    threads: int | None = None
    dataset: str | None = None
    entry: DatasetEntry | None = None
    asks_model: bool = False


def read_settings(root: Path, environment: Mapping[str, str]) -> tuple[ProjectSettings, list[Finding]]:
    """Read both files and try whether the run that they describe can be started."""
    found: list[Finding] = []
    try:
        params = read_params(root / PARAMS_FILE)
        found.append(Finding("params.yaml", "ok", f"valid; {len(params.recipes)} recipes"))
    except EvenlyError as error:
        params = None
        found.append(_broken("params.yaml", error))
    try:
        entries = read_entries(root / DATASETS_FILE)
        found.append(Finding("datasets.yaml", "ok", f"valid; {len(entries)} data sets"))
    except EvenlyError as error:
        entries = {}
        found.append(_broken("datasets.yaml", error))
    if params is None:
        return ProjectSettings(), found
    recipe = params.recipes.get(params.balancing)
    asks_model = recipe is not None and recipe.llm is not None
    settings = ProjectSettings(params.threads, params.dataset, entries.get(params.dataset), asks_model)
    if not _in_git(root):
        return settings, found
    try:
        workshop = Workshop(root, keys_from(environment))
        workshop.experiment(Technique(params.balancing), params.dataset, params.seed)
        run = f"{params.dataset} with {params.balancing}, model {params.model}, seed {params.seed}"
        found.append(Finding("next run", "ok", f"{run} can be started"))
    except EvenlyError as error:
        if entries:  # else datasets.yaml has its own finding
            found.append(_broken("next run", error))
    return settings, found


def _in_git(root: Path) -> bool:
    """Whether there is a repository: experiments are named by what is in it."""
    try:
        git(root, "rev-parse", "--git-dir")
    except DataError:
        return False
    return True


def _broken(area: str, error: EvenlyError) -> Finding:
    return Finding(area, "broken", str(error).rstrip("."))
