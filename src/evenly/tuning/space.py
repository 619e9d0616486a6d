"""What may vary in a search: named settings with options or ranges, and policies with another strength."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annotated_types import Ge, Le
from pydantic import BaseModel, model_validator

from evenly.errors import ParameterError, RecipeError
from evenly.params.augmentation import Policy
from evenly.params.base import Settings, settings_from
from evenly.transforms.drawing import COLOUR, GEOMETRY

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

#: One value for every setting of a space.
Assignment = Mapping[str, Any]

#: Significant digits of numbers drawn from a range: what a person would write.
_DIGITS = 3


class Range(Settings):
    """Numbers from `low` to `high`, both included: whole where both are, on a grid where `step` is given.

    `log` draws evenly on a logarithmic scale; it has no steps.
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low is {self.low} and not below high, {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs a low above 0 and takes no step")
        if self.step is not None and self.step <= 0:
            raise ValueError("step must be above 0")
        return self

    @property
    def whole(self) -> bool:
        """Whether the numbers are whole."""
        return all(isinstance(end, int) for end in (self.low, self.high, self.step or 1))


@dataclass(frozen=True)
class Setting:
    """One thing that varies."""

    #: Dotted: a key of the recipe (`augment.targets.max_ratio`), of its policy (`policy.strength`), or of
    #: params.yaml (`losses.focal.gamma`).
    key: str
    current: Any  # The value that the recipe has now
    domain: tuple[Any, ...] | Range  # What may stand there: plain values to choose from, or a range

    @property
    def as_text(self) -> str:
        """The domain in a few words."""
        if not isinstance(self.domain, Range):
            return ", ".join(value_text(value) for value in self.domain)
        step = f", step {self.domain.step}" if self.domain.step else ""
        return f"{self.domain.low} to {self.domain.high}{', log scale' if self.domain.log else step}"

    @property
    def has_current(self) -> bool:
        """Whether the value that the recipe has now is among what may stand here."""
        if not isinstance(self.domain, Range):
            return self.current in self.domain
        known = isinstance(self.current, int | float) and not isinstance(self.current, bool)
        return known and self.domain.low <= self.current <= self.domain.high

    @property
    def distribution(self) -> BaseDistribution:
        """The domain as Optuna has it; options are JSON, which can be any plain value."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if not isinstance(self.domain, Range):
            return CategoricalDistribution([json.dumps(value, sort_keys=True) for value in self.domain])
        low, high, log, step = self.domain.low, self.domain.high, self.domain.log, self.domain.step
        if self.domain.whole:
            return IntDistribution(int(low), int(high), log=log, step=int(step or 1))
        return FloatDistribution(low, high, log=log, step=step)

    def read(self, drawn: Any) -> Any:
        """Give the value that Optuna's stands for."""
        if isinstance(self.domain, Range):
            return float(f"{drawn:.{_DIGITS}g}") if isinstance(drawn, float) else drawn
        return json.loads(drawn)

    def written(self, value: Any) -> Any:
        """Give Optuna's value for one of the domain: what `read` undoes."""
        return value if isinstance(self.domain, Range) else json.dumps(value, sort_keys=True)


Space = tuple[Setting, ...]


def value_text(value: Any) -> str:
    """A value as YAML would have it in a line."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def read_domains(values: Mapping[str, Any], where: str) -> dict[str, tuple[Any, ...] | Range]:
    """Read domains from plain values of the file `where`: a list is options, a mapping a range."""
    domains: dict[str, tuple[Any, ...] | Range] = {}
    for key, domain in values.items():
        if isinstance(domain, list) and len(domain) > 1:
            domains[key] = tuple(domain)
        elif isinstance(domain, dict):
            domains[key] = settings_from(Range, domain, f"{where}: {key}")
        else:
            raise ParameterError(
                f"{where}: {key} is {value_text(domain)}; give a list of two or more values, or "
                "{low: ..., high: ...}, with log: true or a step if you like."
            )
    return domains


def narrowed(space: Space, prefixes: tuple[str, ...]) -> Space:
    """Only the settings whose key is, or is below, one of the prefixes; all of them without prefixes."""
    for prefix in prefixes:
        if not any(_is_below(setting.key, prefix) for setting in space):
            keys = ", ".join(setting.key for setting in space)
            raise ParameterError(
                f"--over {prefix} leads to no setting of the space, which has {keys}; "
                "`--space FILE` brings others."
            )
    return tuple(s for s in space if not prefixes or any(_is_below(s.key, prefix) for prefix in prefixes))


def _is_below(key: str, prefix: str) -> bool:
    return key == prefix or key.startswith(f"{prefix}.")


#: Transforms of pictures that do the same kind of thing.
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "geometry": GEOMETRY,
    "colour": COLOUR,
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
    """Make a policy from another."""
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
