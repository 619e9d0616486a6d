"""What all settings have in common, and how a YAML file becomes them.

Settings are frozen pydantic models, made once at the door of a stage or command. An unknown or wrong key is
one sentence that names the file, the key, and what is allowed.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from evenly.errors import ParameterError


class Settings(BaseModel):
    """Base of every settings class: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


S = TypeVar("S", bound=Settings)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML 1.2 file as DVC writes it (`1e-05` is a number, `off` is a word).

    Raises
    ------
    ParameterError
        When the file is missing, is not YAML, or is not a mapping.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path = Path(path)
    try:
        content = YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise ParameterError(f"{path} does not exist; run this in the root of an evenly project.") from None
    except YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" near line {where.line + 1}" if where else ""
        raise ParameterError(
            f"{path} is not valid YAML{line}: {getattr(error, 'problem', error)}."
        ) from error
    if not isinstance(content, dict):
        raise ParameterError(f"{path} must be a mapping of keys to values.")
    return content


def settings_from(kind: type[S], values: Mapping[str, Any], where: str) -> S:
    """Validated settings from plain values.

    Parameters
    ----------
    kind
        The settings class.
    values
        As read from YAML.
    where
        What to call the values in messages: a file, or a file and a key (`params.yaml: train`).

    Raises
    ------
    ParameterError
        Naming the first wrong key, the value found, and what is allowed.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise ParameterError(_sentence(kind, error, where)) from error


def _sentence(kind: type[BaseModel], error: ValidationError, where: str) -> str:
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join(path)
    # Give "file: section" and the key below it as one dotted key.
    lead = f"{where}.{key}" if ":" in where and key else f"{where}: {key}" if key else where
    more = len(error.errors()) - 1
    rest = f" ({more} more below it)" if more else ""
    if first["type"] == "extra_forbidden":
        known = _fields_at(kind, path[:-1])
        near = difflib.get_close_matches(path[-1], known, n=1)
        hint = (
            f"; did you mean {near[0]!r}?" if near else f"; allowed are {', '.join(known)}." if known else "."
        )
        return f"{lead} is not a known key{hint}{rest}"
    if first["type"] == "missing":
        return f"{lead} is missing.{rest}"
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    shown = repr(first["input"])
    if len(shown) > 80:
        shown = shown[:77] + "..."
    return f"{lead} is {shown}: {message[0].lower() + message[1:]}.{rest}"


def _fields_at(kind: type[BaseModel], path: list[str]) -> list[str]:
    """Field names of the settings class that `path` leads to; empty where that cannot be told."""
    current: Any = kind
    for part in path:
        fields = getattr(current, "model_fields", {})
        if part not in fields:
            continue  # a key of a mapping, or the name of a union's branch
        annotation = fields[part].annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        current = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
        if current is None:
            return []
    return sorted(one.alias or name for name, one in getattr(current, "model_fields", {}).items())
