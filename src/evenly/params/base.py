"""What all settings have in common, and how a YAML file becomes them.

Settings are frozen pydantic models, made once at the door of a stage or command. An unknown or wrong key is
one sentence that names the file, the key, and what is allowed.
"""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from evenly.errors import ParameterError
from evenly.wording import near_names


class Settings(BaseModel):
    """Base of every settings class: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


def class_name(value: Any) -> Any:
    """A class name as text: YAML reads 0 as a number and true as a truth value."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


ClassName = Annotated[str, BeforeValidator(class_name)]


def written_as_word(key: str) -> Any:
    """Let a class of settings take a word alone for `{key: word}`."""
    return model_validator(mode="before")(lambda value: {key: value} if isinstance(value, str) else value)


#: How deep settings may nest, and how many values they may have when aliases are unfolded.
_DEEPEST, _MOST_VALUES = 40, 100_000
_TOO_DEEP = f"nests deeper than {_DEEPEST} levels; settings are a few levels of keys and values."
_MAPPING = "it should be a mapping of keys to values"
#: What a validator says in words of Python, in those of YAML.
_WORDS = {
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "dict_type": _MAPPING,
    "mapping_type": _MAPPING,
    "tuple_type": "it should be a list",
    "list_type": "it should be a list",
    "none_required": "it should be null",
    "string_type": "it should be text; put it in quotes if it is one",
    **dict.fromkeys(
        ("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "it should be a whole number"
    ),
    **dict.fromkeys(("float_type", "float_parsing"), "it should be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "it should be true or false"),
    "recursion_loop": "it holds itself",
    r"^https?://": "it should begin with http:// or https://",
    r"^[0-9a-f]{64}$": "it should be 64 hexadecimal digits",
}

S = TypeVar("S", bound=Settings)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a mapping from YAML 1.2 as DVC writes it (`1e-05` is a number, `off` is a word)."""
    from ruamel.yaml.error import YAMLError

    path = Path(path)
    try:
        content = _loaded(path.read_bytes())
    except FileNotFoundError:
        raise ParameterError(
            f"{path} does not exist; run this in the root of an evenly project; `evenly init` lays one."
        ) from None
    except YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" near line {where.line + 1}" if where else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split()).rstrip(".")
        raise ParameterError(f"{path} is not valid YAML{line}: {problem}.") from error
    except RecursionError:
        raise ParameterError(f"{path} {_TOO_DEEP}") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        problem = " ".join(str(getattr(error, "strerror", None) or error).split()).rstrip(".")
        raise ParameterError(f"{path} cannot be read as YAML in UTF-8: {problem}.") from error
    if not isinstance(content, dict):
        raise ParameterError(f"{path} must be a mapping of keys to values.")
    _check_extent(content, path)
    return content


def _loaded(content: bytes) -> Any:
    """Read by libyaml, in an eighth of the time; what it does not know or refuses, by ruamel itself.

    It takes a tab behind a key, which DVC refuses, and does not follow a `%YAML` line.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if b"\t" not in content and not content.startswith(b"%"):
        with suppress(YAMLError, UnicodeError, RecursionError):
            return YAML(typ="safe").load(content)
    return YAML(typ="safe", pure=True).load(content)


def _check_extent(content: Any, path: Path) -> None:
    """Refuse what nests without end, or unfolds to very many values because aliases repeat each other."""
    waiting, seen = [(content, 1)], 0
    while waiting:
        value, depth = waiting.pop()
        inner: Collection[Any] = value if isinstance(value, list | tuple | set) else ()
        if isinstance(value, dict):
            inner = value.values()
        seen += len(inner)
        if depth > _DEEPEST:
            raise ParameterError(f"{path} {_TOO_DEEP}")
        if seen > _MOST_VALUES:
            raise ParameterError(
                f"{path} unfolds to more than {_MOST_VALUES:,} values; write out less by aliases."
            )
        waiting += [(one, depth + 1) for one in inner]


def settings_from(kind: type[S], values: Mapping[str, Any], where: str) -> S:
    """Validated settings from plain values, which messages call `where`: a file, or `params.yaml: train`.

    A `ParameterError` names the first wrong key, the value found, and what is allowed.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise ParameterError(_sentence(kind, _findings(error, values), values, where)) from error
    except RecursionError:
        raise ParameterError(f"{where} {_TOO_DEEP}") from None


@dataclass(frozen=True)
class _Finding:
    """One thing that a validator has found: the keys that lead there, those of its branches beside them."""

    kind: str
    keys: tuple[str, ...]
    tags: tuple[str, ...]
    message: str
    value: Any
    context: Mapping[str, Any]


def _findings(error: ValidationError, values: Any) -> list[_Finding]:
    """Everything that is wrong, with keys as they are written: without the names of a union's branches."""
    found: list[_Finding] = []
    for one in error.errors(include_url=False):
        keys, inner = _written_keys(one["loc"], values, one["type"] in ("missing", "extra_forbidden"))
        tags = tuple(str(part) for part in one["loc"] if str(part) not in keys)
        context = one.get("ctx", {})
        cause = context.get("error")
        if isinstance(cause, ValidationError):
            found += [
                replace(deeper, keys=(*keys, *deeper.keys), tags=(*tags, *deeper.tags))
                for deeper in _findings(cause, inner)
            ]
        else:
            kind = one["type"]
            if one["loc"][-1:] == ("[key]",):
                kind = "invalid_key" if kind == "string_type" else "key"
            found.append(_Finding(kind, keys, tags, one["msg"], one["input"], context))
    return found


def _written_keys(location: Sequence[int | str], values: Any, last: bool) -> tuple[tuple[str, ...], Any]:
    """The parts of a location that lead through the values, and what they lead to."""
    keys: list[str] = []
    for k, part in enumerate(location):
        if isinstance(values, Mapping):
            written = next((key for key in values if key == part or str(key) == str(part)), None)
            if written is not None:
                keys.append(str(part))
                values = values[written]
            elif last and k == len(location) - 1:
                keys.append(str(part))
        elif isinstance(values, list | tuple) and isinstance(part, int) and part < len(values):
            keys.append(str(part))
            values = values[part]
    return tuple(keys), values


def _sentence(kind: type[BaseModel], found: list[_Finding], values: Any, where: str) -> str:
    """The first thing to mend: a key that is not known, else what lies deepest of a union, else the first."""
    unknown = [one for one in found if one.kind == "extra_forbidden"]
    first = (unknown or found)[0]
    if not unknown and first.tags:
        below = [one for one in found if one.keys[: len(first.keys)] == first.keys]
        first = max(below, key=lambda one: len(one.keys))
    same = [one for one in found if one.keys == first.keys]
    near: list[str] = []
    key = ".".join(first.keys)
    if first.kind.startswith("union_tag"):
        key += "." + str(first.context["discriminator"]).strip("'")
    if first.kind == "extra_forbidden":
        known = _fields_at(kind, first)
        given = _written_keys(first.keys[:-1], values, False)[1]
        free = [name for name in known if not (isinstance(given, Mapping) and name in given)]
        near = near_names(first.keys[-1] if first.keys else "", free)
        hint = f"; allowed are {', '.join(known)}." if known else "."
        text = f"is not a known key; did you mean {near[0]!r}?" if near else f"is not a known key{hint}"
    elif first.kind in ("missing", "union_tag_not_found"):
        text = "is missing."
    elif first.kind == "union_tag_invalid":
        text = f"is {first.context['tag']!r}: it should be one of {first.context['expected_tags']}."
    elif first.kind == "key":
        text = f"is no key that can stand there: {_allowed(first)}."
    elif first.kind == "invalid_key":
        text = "is a key that YAML does not read as text; put it in quotes."
    else:
        allowed = " or ".join(dict.fromkeys(_allowed(one) for one in same))
        allowed = allowed.replace(" or it should be", ", or" if "', '" in allowed else " or")
        text = f"is {_as_written(first.value)}: {allowed}."
    # Give "file: section" and the key below it as one dotted key.
    lead = f"{where}.{key}" if ":" in where and key else f"{where}: {key}" if key else where
    meant = {(*first.keys[:-1], *near)}
    rest = {one.keys for one in found} - {first.keys} - meant
    others = [keys for keys in rest if first.keys[: len(keys)] != keys]
    return f"{lead} {text}" + (f" ({len(others)} more below it)" if others else "")


def _allowed(one: _Finding) -> str:
    """What is allowed, in words of YAML."""
    words = _WORDS.get(str(one.context.get("pattern", one.kind)))
    message = words or one.message.removeprefix("Value error, ").rstrip(".")
    message = message.replace("Input should be", "it should be", 1)
    return message[0].lower() + message[1:]


def _as_written(value: Any) -> str:
    """A value as YAML has it, cut where it is long or nests."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = brief.maxlong = 80
    text = brief.repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _fields_at(kind: type[BaseModel], one: _Finding) -> list[str]:
    """Field names of the settings class in which a key was found; empty where that cannot be told."""
    current: type[BaseModel] | None = kind
    for part in one.keys[:-1]:
        fields: Mapping[str, Any] = current.model_fields if current else {}
        field = fields.get(part) or next((f for f in fields.values() if f.alias == part), None)
        if field is None:
            continue  # a key of a mapping, or the place in a list
        inside = _models_in(field.annotation)
        tagged = [m for m in inside if {str(f.default) for f in m.model_fields.values()} & set(one.tags)]
        inside = inside if len(inside) == 1 else tagged
        current = inside[0] if len(inside) == 1 else None
    return sorted(f.alias or name for name, f in current.model_fields.items()) if current else []


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The settings classes that an annotation names, at whatever depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
