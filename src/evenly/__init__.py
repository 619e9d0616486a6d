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


#: Where the public names are that are no samplers.
_ELSEWHERE = {
    "EvenlyError": "evenly.errors",
    "Model": "evenly.api.model",
    "load": "evenly.api.model",
    "Comparison": "evenly.api.runs",
    "compare": "evenly.api.runs",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'evenly' has no attribute {name!r}")
    return getattr(importlib.import_module(_ELSEWHERE.get(name, "evenly.api.samplers")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
