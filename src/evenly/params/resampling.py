"""To how many rows classes are brought, and every method of resampling as one specification.

The work is done in `evenly.resampling`: adding a method takes an entry in `RESAMPLERS` and its rule there.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from evenly.errors import RecipeError
from evenly.params.base import Settings, written_as_word
from evenly.params.named import imported_class
from evenly.wording import nearest_names

Tier = Literal["ultra_minority", "minority", "other"]
#: What is brought to equal numbers: classes, or groups (a class with one value of the spurious attribute).
BalanceOn = Literal["class", "group"]


class Targets(Settings):
    """How many samples each class is brought to (not: how many are added).

    Exactly one of `to`, `fixed` and `per_tier` says the rule; `classes` overrides it class by class, and
    `max_ratio` caps the result at that many times the class's real training rows. In YAML, the words alone
    (`targets: match_majority`) stand for `{to: match_majority}`.
    """

    to: Literal["match_majority", "match_median", "match_minority"] | None = None
    fixed: PositiveInt | None = None
    per_tier: dict[Tier, NonNegativeInt] | None = None
    classes: dict[str, NonNegativeInt] = Field(default_factory=dict)
    max_ratio: Annotated[float, Field(ge=1)] | None = None

    _from_word = written_as_word("to")

    @model_validator(mode="after")
    def _one_rule(self) -> Targets:
        rules = [name for name in ("to", "fixed", "per_tier") if getattr(self, name) is not None]
        if len(rules) > 1:
            raise ValueError(f"give one of to, fixed and per_tier, not {' and '.join(rules)}")
        if not rules and not self.classes:
            raise ValueError("give one of to, fixed, per_tier or classes")
        return self


@dataclass(frozen=True)
class ResamplerSpec:
    """A method of resampling: what planning, search and advice must know of it."""

    #: How rows are made: `duplicate`, or a rule of `evenly.resampling.selection`; None where none are made.
    rule: str | None = None
    #: How rows next to other classes are removed: by `tomek` links or edited neighbours (`enn`).
    cleaning: Literal["tomek", "enn"] | None = None
    #: Whether classes above their target lose rows by lot.
    thins: bool = False
    #: Keys of `ResampleSettings` that it reads, with the values that a search tries.
    settings: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    #: Whether a search tries it in the place of another method that makes rows.
    searched: bool = False

    @property
    def interpolates(self) -> bool:
        """Whether it makes rows that are neither real nor copies."""
        return self.rule not in (None, "duplicate")

    @property
    def default_targets(self) -> Targets | None:
        """What classes are brought to where the recipe does not say; None where targets have no meaning."""
        if self.thins:
            return Targets(to="match_minority")
        return None if self.rule is None else Targets(to="match_majority")


_NEIGHBOURS = {"k_neighbors": (2, 3, 5, 8)}
_CLEANING = {"clean": ("majority", "not_minority", "all"), "clean_neighbors": (1, 3, 5)}

#: Every method of our own, by name.
RESAMPLERS: dict[str, ResamplerSpec] = {
    "random_over": ResamplerSpec("duplicate", searched=True),
    "smote": ResamplerSpec("smote", settings=_NEIGHBOURS, searched=True),
    "borderline_smote": ResamplerSpec("borderline_smote", settings=_NEIGHBOURS, searched=True),
    "svm_smote": ResamplerSpec("svm_smote", settings=_NEIGHBOURS, searched=True),
    "kmeans_smote": ResamplerSpec("kmeans_smote", settings=_NEIGHBOURS),
    "adasyn": ResamplerSpec("adasyn", settings=_NEIGHBOURS, searched=True),
    "smotenc": ResamplerSpec("smotenc", settings=_NEIGHBOURS),
    "random_under": ResamplerSpec(thins=True),
    "tomek": ResamplerSpec(cleaning="tomek", settings=_CLEANING),
    "enn": ResamplerSpec(cleaning="enn", settings=_CLEANING),
    "smote_tomek": ResamplerSpec("smote", "tomek", settings=_NEIGHBOURS, searched=True),
    "smote_enn": ResamplerSpec("smote", "enn", settings=_NEIGHBOURS, searched=True),
}
#: The method that stands for any sampler of imbalanced-learn, or with its interface.
LIBRARY = "imblearn"

if TYPE_CHECKING:
    ResampleMethod = str
else:
    ResampleMethod = Literal[(*RESAMPLERS, LIBRARY)]


class ResampleSettings(Settings):
    """What `resample` does to the assembled training table.

    `targets` defaults to `match_majority` for methods that add rows and to `match_minority` for those that
    remove rows by number; the cleaning methods (`tomek`, `enn`) take none.

    With `method: imblearn`, `class` names a sampler of imbalanced-learn (`NearMiss`), or a class with its
    interface by its dotted path, and `options` are its arguments.
    """

    method: ResampleMethod
    targets: Targets | None = None
    k_neighbors: PositiveInt = 5
    clean_neighbors: PositiveInt = 3
    #: Classes that the cleaning methods may remove rows from: all but the smallest, all, the largest alone.
    clean: Literal["majority", "not_minority", "all"] = "not_minority"
    sampler: str | None = Field(default=None, alias="class")
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sampler_of_the_library(self) -> ResampleSettings:
        if (self.sampler is not None) != (self.method == LIBRARY):
            raise ValueError("method: imblearn and class: SAMPLER go together, such as class: NearMiss")
        if self.options and self.sampler is None:
            raise ValueError("options are the arguments of a sampler of imbalanced-learn: method: imblearn")
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values = handler(self)
        if self.sampler is None:
            return {key: value for key, value in values.items() if key not in ("sampler", "options")}
        return {"class" if key == "sampler" else key: value for key, value in values.items()}

    @property
    def spec(self) -> ResamplerSpec:
        """What is known of the method."""
        return RESAMPLERS[self.method] if self.sampler is None else library_spec(self.sampler, self.options)


def library_spec(name: str, options: Mapping[str, Any]) -> ResamplerSpec:
    """What a sampler of imbalanced-learn says of itself; what it does not say is taken for making rows."""
    sampler = library_sampler(name)
    kind = getattr(sampler, "_sampling_type", "")
    if name == "RandomOverSampler" and not options.get("shrinkage"):
        return ResamplerSpec("duplicate")
    if kind == "over-sampling":
        return ResamplerSpec("library")
    keeps = kind == "clean-sampling" or "prototype_selection" in sampler.__module__
    return ResamplerSpec(None if keeps else "library", thins=kind == "under-sampling")


def library_sampler(name: str) -> Any:
    """The class of imbalanced-learn of this name, or the one that a dotted path leads to."""
    if "." in name:
        found = imported_class(name, "params.yaml: resample.class")
        if not callable(getattr(found, "fit_resample", None)):
            raise RecipeError(f"params.yaml: resample.class {name!r} is no class with a fit_resample.")
        return found
    from imblearn import combine, over_sampling, under_sampling

    known = {key: part for part in (over_sampling, under_sampling, combine) for key in part.__all__}
    if name not in known:
        raise RecipeError(
            f"params.yaml: resample.class {name!r} is no sampler of imbalanced-learn; "
            f"{nearest_names(name, known)}"
        )
    return getattr(known[name], name)


def made_sampler(
    name: str, options: Mapping[str, Any], seed: int, targets: Mapping[int, int] | None = None
) -> Any:
    """A sampler with its options, the seed, and the rows that classes are brought to, where it takes them."""
    kind = library_sampler(name)
    known = inspect.signature(kind).parameters
    own = {"random_state": seed, "sampling_strategy": dict(targets) if targets else None}
    values = {key: value for key, value in own.items() if value is not None and key in known} | dict(options)
    try:
        sampler = kind(**values)
        getattr(sampler, "_validate_params", lambda: None)()
        return sampler
    except (TypeError, ValueError) as error:
        reason = str(error).rstrip(".")
        raise RecipeError(f"params.yaml: resample.options do not suit {name}: {reason}.") from None
