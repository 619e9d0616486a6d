"""Fitted estimators in files without pickle.

The same fit gives the same bytes, and no type is loaded that a model of its name does not consist of.
"""

import io
import json
import pkgutil
import sys
import zipfile
from collections.abc import Collection
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

from evenly.classifiers.classifier import REMEDY
from evenly.classifiers.estimators import CONSISTS_OF, OWN_FILES, READERS, library
from evenly.errors import ModelError
from evenly.params.models import AnyModelSettings, ModelName, SklearnSettings
from evenly.params.named import OWN_PACKAGES, imported_class, named_packages

SKOPS_FILE = "estimator.skops"
#: What every estimator keeps its numbers and settings in.
_PLAIN = {f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "NoneType", "str", "tuple")}
#: Types of the standard library that estimators of others hold.
_HARMLESS = {"collections.OrderedDict", "collections.defaultdict", "collections.Counter"}
_PLAIN |= {f"numpy.{name}" for name in ("ndarray", "bool", "float32", "float64", "int32", "int64", "uint64")}


def save_estimator(estimator: Any, model: ModelName, folder: Path) -> None:
    """Write an estimator into a folder; the same fit gives the same bytes.

    Raises
    ------
    ModelError
        When an estimator of others holds what cannot be written without pickle.
    """
    if model in OWN_FILES:
        estimator.save_model(str(folder / OWN_FILES[model]))
        return
    try:
        content = _skops().dumps(estimator)
    except Exception as error:
        if model != "sklearn":
            raise
        raise ModelError(
            f"A {type(estimator).__name__} cannot be saved without pickle ({error}); choose another model."
        ) from error
    (folder / SKOPS_FILE).write_bytes(_canonical_skops(content))


def load_estimator(settings: AnyModelSettings, folder: Path, trust: Collection[str] = ()) -> Any:
    """Read an estimator that `save_estimator` wrote, if it names no types that such a model does not have.

    One of a class that others wrote is read if its package is one of `trust`, or named by params.yaml here.
    """
    model = settings.kind
    path = folder / OWN_FILES.get(model, SKOPS_FILE)
    if not path.exists():
        raise ModelError(f"{path} does not exist; {REMEDY}.")
    if model in OWN_FILES:
        read, package = READERS[model], library(model)
        try:
            return read(package, str(path))
        except Exception as error:  # its own error class is only known where it is installed
            first = " ".join(str(error).split())[:200]
            raise ModelError(f"{path} cannot be read by {model} ({first}); {REMEDY}.") from error
    skops = _skops()
    try:
        if isinstance(settings, SklearnSettings):
            return skops.load(path, trusted=_types_of_others(path, settings, {*trust, *named_packages()}))
        trusted = set(CONSISTS_OF[model])
        unknown = _named_classes(path) - trusted - _PLAIN
        try:
            estimator = None if unknown else skops.load(path, trusted=sorted(trusted))
        except skops.exceptions.UntrustedTypesFoundException:
            unknown = set(skops.get_untrusted_types(file=path)) - trusted
        if unknown:
            raise ModelError(
                f"{path} names the type {min(unknown)}, which no {model} consists of; it is not loaded. "
                "Use a model from a source that you trust."
            )
        found = f"{type(estimator).__module__}.{type(estimator).__qualname__}"
        if found != CONSISTS_OF[model][0]:
            raise ModelError(f"{path} holds a {found}, which is no {model}; {REMEDY}.")
        return estimator
    except ModelError:
        raise
    except Exception as error:  # skops raises whatever the damage happens to break
        raise ModelError(f"{path} is damaged ({error}); {REMEDY}.") from error


def _skops() -> Any:
    """`skops.io`, in stages and commands without its list of all of scikit-learn's estimators.

    Which types a model may hold is checked here by name. A program that imports `evenly` may use skops
    itself and gets the whole list, but for copies of other libraries, one of which would bring torch.
    """
    import sklearn.utils

    listed = pkgutil.iter_modules

    def own_modules(path: Any = None, prefix: str = "") -> Any:
        return (found for found in listed(path, prefix) if found.name != "sklearn.externals")

    unlisted = "evenly.api" not in sys.modules
    with (
        patch.object(pkgutil, "iter_modules", own_modules),
        patch.object(sklearn.utils, "all_estimators", list) if unlisted else nullcontext(),
    ):
        import skops.io
    return skops.io


def _types_of_others(path: Path, settings: SklearnSettings, packages: set[str]) -> list[str]:
    """Types in a file that skops does not trust by itself, all of them classes of trusted packages."""
    found: list[str] = _skops().get_untrusted_types(file=path)
    for name in (*found, settings.estimator or ""):
        package = name.partition(".")[0]
        if package not in packages | OWN_PACKAGES and name not in _HARMLESS:
            raise ModelError(
                f"{path} holds a {name}, whose package is neither scikit-learn nor named in params.yaml here "
                f"(models.sklearn.class), so it is not loaded. If you trust where the model is from: "
                f"`evenly predict --trust {package}`, evenly.load(..., trust={package!r})."
            )
        if name in found and not isinstance(imported_class(name, str(path)), type):
            raise ModelError(f"{path} names {name}, which is no class; it is not loaded.")
    return found


def _named_classes(path: Path) -> set[str]:
    """Classes that a skops file names."""
    found: set[str] = set()

    def seen(node: dict[str, Any]) -> None:
        if "__class__" in node:
            found.add(f"{node.get('__module__')}.{node['__class__']}")

    with zipfile.ZipFile(path) as archive:
        json.loads(archive.read("schema.json"), object_hook=seen)
    return found


def _canonical_skops(content: bytes) -> bytes:
    """Compress a skops file, its object ids numbered in order of appearance, and without times.

    skops names objects and array files by their address in memory, and the archive dates its members.
    """
    source = zipfile.ZipFile(io.BytesIO(content))
    numbers: dict[str, int] = {}

    def number(identifier: str) -> int:
        return numbers.setdefault(identifier, len(numbers))

    members: dict[str, str] = {}

    def renumbered(node: Any) -> Any:
        if isinstance(node, list):
            return [renumbered(item) for item in node]
        if not isinstance(node, dict):
            return node
        out: dict[str, Any] = {}
        for key, value in node.items():
            if key == "__id__":
                # Which constants Python keeps one copy of is chance: none of them shares its number.
                constant = node.get("__loader__") == "JsonNode"
                out[key] = number(f"constant {len(numbers)}" if constant else str(value))
            elif key == "file" and isinstance(value, str):
                stem, dot, ending = value.partition(".")
                members[value] = out[key] = f"{number(stem)}{dot}{ending}"
            else:
                out[key] = renumbered(value)
        return out

    schema = json.dumps(renumbered(json.loads(source.read("schema.json"))), indent=1)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for old, new in members.items():
            archive.writestr(_member(new), source.read(old))
        archive.writestr(_member("schema.json"), schema)
    return target.getvalue()


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    return info
