"""A model as a folder: what every kind of model writes beside its weights, and how it is read back.

`model.json` says what the model is; `featurizer/` is a copy of what turns its samples into vectors, where it
needs one. Nothing in the folder is a pickle, and nothing in it is a time.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evenly.errors import ModelError
from evenly.files import read_json, write_json
from evenly.params.base import settings_from
from evenly.plans import TrainPlan
from evenly.samples import Schema

logger = logging.getLogger(__name__)

FORMAT = 1
MANIFEST = "model.json"
FEATURIZER = "featurizer"


@dataclass(frozen=True)
class Manifest:
    """What `model.json` holds.

    Attributes
    ----------
    plan
        How the model was trained; `plan.model` is its kind.
    schema
        Of the samples that it takes: modality, classes, features.
    effective_prior
        The class prior that its scores carry, float64 (k,).
    libraries
        Versions of what fitted it.
    details
        What its kind needs besides, JSON-ready.
    """

    plan: TrainPlan
    schema: Schema
    effective_prior: np.ndarray
    libraries: dict[str, str]
    details: dict[str, Any]


def library_versions(*names: str) -> dict[str, str]:
    """Versions of Python and of installed distributions, by name."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names}


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write `model.json` into a folder."""
    content = {
        "format": FORMAT,
        "kind": manifest.plan.model,
        "plan": manifest.plan.model_dump(mode="json"),
        "schema": manifest.schema.to_json(),
        "effective_prior": [float(share) for share in manifest.effective_prior],
        "libraries": manifest.libraries,
        "details": manifest.details,
    }
    write_json(content, folder / MANIFEST)


def read_manifest(folder: Path) -> Manifest:
    """Read `model.json`, and warn where a library that fitted the model is now there in another version.

    Raises
    ------
    ModelError
        When the folder holds no model, or one of another format.
    """
    path = folder / MANIFEST
    try:
        content = read_json(path)
        if content["format"] != FORMAT:
            raise ModelError(
                f"{path} has format {content['format']}, this version reads {FORMAT}; train the model again."
            )
        manifest = Manifest(
            plan=settings_from(TrainPlan, content["plan"], str(path)),
            schema=Schema.from_json(content["schema"]),
            effective_prior=np.asarray(content["effective_prior"], dtype=np.float64),
            libraries=dict(content["libraries"]),
            details=dict(content["details"]),
        )
    except FileNotFoundError:
        raise ModelError(
            f"{folder} holds no model: there is no {MANIFEST} in it; give a folder such as models/train."
        ) from None
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{path} is damaged ({error}); train the model again with `dvc repro train`."
        ) from error
    here = library_versions(*(name for name in manifest.libraries if name != "python"))
    changed = [
        f"{name} {old}, now {here[name]}" for name, old in manifest.libraries.items() if old != here[name]
    ]
    if changed:
        logger.warning("%s was fitted with %s; probabilities may differ.", folder, "; ".join(changed))
    return manifest
