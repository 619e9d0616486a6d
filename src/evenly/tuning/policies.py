"""Policies that vary: transforms left out, by name or by family, and all strengths multiplied by a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotated_types import Ge, Le
from pydantic import BaseModel

from evenly.errors import RecipeError
from evenly.params.augmentation import Policy

#: Transforms of pictures that do the same kind of thing.
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "geometry": ("flip", "rotate", "shift", "scale", "shear", "crop", "elastic"),
    "colour": ("brightness", "contrast", "hue", "saturation"),
    "damage": ("blur", "noise", "cutout"),
}
#: What is no transform but says how they are applied.
_FRAME = ("modality", "border", "border_value")
#: Fields that say how strong a transform is, where that is a size that grows from 0.
_SIZES = ("degrees", "share", "strength", "noise", "replace")


def transforms(policy: Mapping[str, Any]) -> list[str]:
    """Names of the transforms that a policy may draw."""
    return [name for name, value in policy.items() if name not in _FRAME and value is not None]


def families(policy: Mapping[str, Any]) -> list[str]:
    """Names of the families of which a policy has transforms."""
    return [name for name, members in FAMILIES.items() if set(members) & set(transforms(policy))]


def changed_policy(policy: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Make a policy from another.

    Parameters
    ----------
    policy
        As in params.yaml.
    changes
        `strength`, a factor of every size (of `scale`, of its logarithm), held within what a policy may have;
        a family or a transform to false, which leaves it out (true leaves it as it is); a transform to its
        settings; `TRANSFORM.FIELD` to a value, where the policy has the transform.

    Raises
    ------
    RecipeError
        When no transform is left.
    """
    made = {name: dict(value) if isinstance(value, Mapping) else value for name, value in policy.items()}
    for key, value in sorted(changes.items()):
        name, _, field = key.partition(".")
        if field:
            if isinstance(made.get(name), dict):
                made[name][field] = value
        elif isinstance(value, bool):
            for transform in () if value else FAMILIES.get(name, (name,)):
                made.pop(transform, None)
        elif name != "strength":
            made[name] = value
    factor = changes.get("strength", 1)
    if factor != 1:
        made |= {name: _multiplied(name, made[name], factor) for name in transforms(made)}
    if not transforms(made):
        raise RecipeError("The policy has no transform left; rows would only be copied.")
    return made


def _multiplied(name: str, values: Mapping[str, Any], factor: float) -> dict[str, Any]:
    transform = _kind(name)
    made = dict(values)
    for field, value in values.items():
        if field in _SIZES:
            made[field] = _within(transform, field, value * factor)
        elif name == "scale" and field in ("low", "high"):
            made[field] = _within(transform, field, value**factor)
    return made


def _kind(name: str) -> type[BaseModel]:
    """The settings class of a transform."""
    kinds = getattr(Policy.model_fields[name].annotation, "__args__", ())
    return next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))


def _within(transform: type[BaseModel], field: str, value: float) -> float:
    """Hold a number within what the field allows, to three digits."""
    for limit in transform.model_fields[field].metadata:
        if isinstance(limit, Le):
            value = min(value, float(limit.le))  # type: ignore[arg-type]
        if isinstance(limit, Ge):
            value = max(value, float(limit.ge))  # type: ignore[arg-type]
    return float(f"{value:.3g}")
