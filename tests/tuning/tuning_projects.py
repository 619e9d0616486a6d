"""Helpers of these tests: a recipe of the real params.yaml as a search sees it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from evenly.params.base import read_yaml, settings_from
from evenly.params.project import Params
from evenly.samples import Modality
from evenly.tuning.candidates import Origin

ROOT = Path(__file__).resolve().parents[2]


@cache
def _shipped() -> dict[str, Any]:
    return read_yaml(ROOT / "params.yaml")


def origin(recipe: str, modality: Modality = "image", **values: Any) -> Origin:
    """A recipe of the project, with other values of params.yaml."""
    told = _shipped() | {"balancing": recipe} | values
    return Origin(told, settings_from(Params, told, "params.yaml"), modality)
