"""Classes that params.yaml names by a dotted path: importing them, making classifiers of them, and whose
packages a saved model may therefore hold.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evenly.errors import ParameterError, RecipeError
from evenly.params.base import read_yaml
from evenly.params.models import SklearnSettings

WHERE = "params.yaml: models.sklearn"
#: Packages whose classes any saved model may hold: evenly depends on them.
OWN_PACKAGES = frozenset({"sklearn", "imblearn"})


def imported_class(path: str, key: str) -> Any:
    """What a dotted path, which stands at `key`, leads to; modules of the working folder are found too."""
    module, _, name = path.rpartition(".")
    folder = str(Path.cwd())
    sys.path.append(folder)
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        missing = (error.name or module).partition(".")[0]
        raise RecipeError(
            f"{key} {path!r} cannot be imported: {error}; correct the path, or `pip install {missing}`."
        ) from None
    except Exception as error:  # whatever the module does
        raise RecipeError(f"{key} {path!r} cannot be imported: {_said(error)}.") from error
    finally:
        sys.path.remove(folder)
    if found is None:
        raise RecipeError(f"{key} {path!r} cannot be imported: {module} has no {name}.")
    return found


def made_estimator(settings: SklearnSettings, seed: int = 0, threads: int = 1) -> Any:
    """The classifier that settings name, unfitted; seed and threads go where it takes them and has none."""
    if settings.estimator is None:
        raise RecipeError(
            f"{WHERE}.class is null; name a classifier, such as sklearn.neighbors.KNeighborsClassifier."
        )
    from sklearn.base import is_classifier

    path, name = settings.estimator, settings.title
    kind = imported_class(path, f"{WHERE}.class")
    if not isinstance(kind, type) or not callable(getattr(kind, "fit", None)):
        raise RecipeError(f"{WHERE}.class {path!r} is no class with a fit; name a classifier.")
    estimator = _made(kind, settings.options, seed, threads, f"{WHERE}.options")
    if not is_classifier(estimator):
        raise RecipeError(f"{WHERE}.class {path!r} is no classifier by scikit-learn's rules; name one.")
    if not hasattr(estimator, "predict_proba"):
        raise RecipeError(
            f"{WHERE}.class {path!r} gives no probabilities with these options; wrap it: class: "
            f"sklearn.calibration.CalibratedClassifierCV, options: {{estimator: {{class: {path}}}}}."
        )
    if _parameters(estimator).get("class_weight") is not None:
        raise RecipeError(
            f"{WHERE}.options sets class_weight, by which {name} weighs classes without evenly's knowing the "
            "prior of its scores; leave it out and say `loss: weighted`."
        )
    return estimator


def takes_weights(estimator: Any) -> bool:
    """Whether rows may count by weights in its fit."""
    from sklearn.utils.validation import has_fit_parameter

    return bool(has_fit_parameter(estimator, "sample_weight"))


def named_packages() -> frozenset[str]:
    """Packages of the classes that the params.yaml of the working folder names for models."""
    try:
        content = read_yaml("params.yaml")
    except ParameterError:
        return frozenset()
    models = [content.get("model"), content.get("models")]
    if isinstance(recipes := content.get("recipes"), dict):
        models += [one.get("model") for one in recipes.values() if isinstance(one, dict)]
    return frozenset(path.partition(".")[0] for model in models for path in _classes(model))


def _made(kind: Any, options: Mapping[str, Any], seed: int, threads: int, key: str) -> Any:
    values = {
        name: _made(
            imported_class(str(value["class"]), f"{key}.{name}.class"),
            value.get("options") or {},
            seed,
            threads,
            f"{key}.{name}.options",
        )
        if isinstance(value, Mapping) and "class" in value and set(value) <= {"class", "options"}
        else value
        for name, value in options.items()
    }
    try:
        estimator = kind(**values)
        parameters = _parameters(estimator)
        own = {"random_state": seed % 2**32, "n_jobs": threads}
        own = {name: value for name, value in own.items() if name in parameters and name not in options}
        if own:
            estimator.set_params(**own)
        if hasattr(estimator, "_parameter_constraints"):
            estimator._validate_params()
    except RecipeError:
        raise
    except Exception as error:  # whatever a class raises that others have written
        raise RecipeError(f"{key} do not suit {kind.__name__}: {_said(error)}.") from error
    return estimator


def _parameters(estimator: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = getattr(estimator, "get_params", dict)()
    return found


def _classes(value: Any) -> Iterator[str]:
    """Dotted paths under `class`, at whatever depth."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "class" and isinstance(inner, str):
                yield inner
            yield from _classes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _classes(inner)


def _said(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
