"""evenly: which balancing technique helps on imbalanced classification data, by how much, at what cost.

Importing it imports nothing else: a stage with nothing to do must end within a fraction of a second. What
notebooks use is in `evenly.api`, and is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from evenly.api.model import Model, load
    from evenly.api.runs import Comparison, compare
    from evenly.api.samplers import (
        ADASYN,
        SMOTE,
        SMOTEENN,
        SVMSMOTE,
        BorderlineSMOTE,
        EditedNearestNeighbours,
        KMeansSMOTE,
        RandomOverSampler,
        RandomUnderSampler,
        SMOTETomek,
        TomekLinks,
        resample,
    )
    from evenly.errors import EvenlyError

#: Public names by the module that has them.
_PUBLIC = {
    "errors": ("EvenlyError",),
    "api.model": ("Model", "load"),
    "api.runs": ("Comparison", "compare"),
    "api.samplers": (
        "ADASYN",
        "SMOTE",
        "SMOTEENN",
        "SVMSMOTE",
        "BorderlineSMOTE",
        "EditedNearestNeighbours",
        "KMeansSMOTE",
        "RandomOverSampler",
        "RandomUnderSampler",
        "SMOTETomek",
        "TomekLinks",
        "resample",
    ),
}

__all__ = [
    "ADASYN",
    "SMOTE",
    "SMOTEENN",
    "SVMSMOTE",
    "BorderlineSMOTE",
    "Comparison",
    "EditedNearestNeighbours",
    "EvenlyError",
    "KMeansSMOTE",
    "Model",
    "RandomOverSampler",
    "RandomUnderSampler",
    "SMOTETomek",
    "TomekLinks",
    "compare",
    "load",
    "resample",
]


def __getattr__(name: str) -> Any:
    for module, names in _PUBLIC.items():
        if name in names:
            return getattr(importlib.import_module(f"evenly.{module}"), name)
    raise AttributeError(f"module 'evenly' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
