"""From one choice of settings to the recipe that it means, and to the technique that an experiment runs."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evenly.errors import ParameterError
from evenly.experiments.experiments import Technique, digest, override_text
from evenly.experiments.groups import unbalanced
from evenly.experiments.runs import value_at
from evenly.params.models import MODELS, resolved_training
from evenly.params.project import Params
from evenly.params.recipes import Recipe
from evenly.params.resampling import ResampleSettings
from evenly.planning import DEFAULT_POLICY, find_recipe, resolved_model
from evenly.samples import Modality
from evenly.tuning.space import FAMILIES, Assignment, changed_policy

#: Producers and training: the parts of a recipe that a key can lead into.
SECTIONS = ("llm", "augment", "generate", "resample", "train", "mining", "finetune")
#: Keys that say which run it is, or what is done with the test rows.
_FORBIDDEN = (
    "seed", "dataset", "balancing", "deployment_prior", "evaluate", "recipes", "policies", "threads",
)  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """A recipe that is being tried."""

    #: As in params.yaml, with `policy` in the place of the policy's name where there is one.
    recipe: dict[str, Any]
    policy: dict[str, Any] | None = None  # Its own augmentation policy; None where it uses one of params.yaml
    #: Keys of params.yaml outside of the recipe, dotted, with other values.
    settings: dict[str, Any] = field(default_factory=dict)


class Origin:
    """The recipe that a search starts from, with everything around it that its settings refer to.

    `values` are params.yaml as it is written and `params` the same as settings, whose `balancing` names the
    recipe; both have `settings` already, which the user has set for all runs. `encoded` says that
    the features of images are vectors of a pretrained encoder, `rows` how many training rows there are, 0
    where they are not known.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        params: Params,
        modality: Modality,
        settings: tuple[tuple[str, str], ...] = (),
        encoded: bool = False,
        rows: int = 0,
    ) -> None:
        self.settings = settings
        self.values = values
        self.params = params
        self.modality = modality
        self.name = params.balancing
        self.recipe: Recipe = find_recipe(params)
        self.model, self.model_settings = resolved_model(self.recipe, modality, params, rows, encoded)
        self.written = written_recipe(self.recipe)
        self.policy_place: tuple[str, str] | None = None
        if self.recipe.augment is not None:
            self.policy_place = ("augment", "policy")
        elif self.written.get("train", {}).get("augment") is not None:
            self.policy_place = ("train", "augment")

    @property
    def unbalanced(self) -> str:
        """Name of the recipe that changes nothing."""
        return unbalanced(self.values.get("recipes") or {})

    @property
    def policy_name(self) -> str:
        """Name of the policy that the recipe draws transforms from, with `auto` resolved."""
        section, key = self.policy_place or ("", "")
        name = str(self.written.get(section, {}).get(key, "auto"))
        return DEFAULT_POLICY[self.modality] if name == "auto" else name

    @property
    def makes_synthetic_rows(self) -> bool:
        """Whether the training table gets rows that are neither real nor copies."""
        recipe = self.recipe
        makers = recipe.llm or recipe.augment or recipe.generate
        return bool(makers) or (recipe.resample is not None and recipe.resample.spec.interpolates)

    def policy(self, name: str) -> dict[str, Any]:
        """A policy as params.yaml has it."""
        policies = self.values.get("policies") or {}
        if name not in policies:
            raise ParameterError(f"{name!r} is no policy of params.yaml; there are {', '.join(policies)}.")
        return dict(policies[name])

    def current(self, key: str) -> Any:
        """The value that a setting has now; null where the recipe leaves it out and there is no default."""
        section, _, rest = key.partition(".")
        if section == "policy":
            return self._current_policy(key, rest)
        if section == "train":
            return self._current_training(key, rest)
        if section in SECTIONS:
            block = getattr(self.recipe, section)
            if block is None and rest:
                raise ParameterError(f"{key} cannot be varied: the recipe {self.name!r} has no {section}.")
            if key == ".".join(self.policy_place or ()):
                return self.policy_name
            return value_at(None if block is None else block.model_dump(mode="json"), rest)
        return self._current_elsewhere(key, section)

    def candidate(self, assignment: Assignment) -> Candidate:
        """The recipe with other values. What has the value that it has now stays unwritten."""
        changed = {key: value for key, value in assignment.items() if value != self.current(key)}
        recipe = copy.deepcopy(self.written)
        settings: dict[str, Any] = {}
        transforms: dict[str, Any] = {}
        for key, value in sorted(changed.items()):
            section, _, rest = key.partition(".")
            if section == "policy":
                transforms[rest] = value
            elif section in SECTIONS:
                put(recipe, key, value)
            else:
                settings[key] = value
        for section in ("llm", "augment", "generate", "resample"):
            _complete_targets(recipe.get(section), section)
        return Candidate(recipe, self._changed_policy(recipe, transforms), settings)

    def technique(self, candidate: Candidate) -> Technique:
        """What an experiment runs: the recipe itself where nothing is changed, else one with its own name."""
        own = {key: override_text(value) for key, value in candidate.settings.items()}
        settings = tuple(sorted({**dict(self.settings), **own}.items()))
        if candidate.policy is None and candidate.recipe == self.written:
            return Technique(self.name, settings)
        name = f"{self.name}_{digest([candidate.recipe, candidate.policy])[:8]}"
        added = [(f"recipes.{name}", self.named(candidate, name)[0])]
        if candidate.policy is not None:
            added.append((f"policies.{name}", candidate.policy))
        return Technique(name, settings, tuple((key, json.dumps(value)) for key, value in added))

    def itself(self, recipe: str | None = None) -> Technique:
        """The recipe as it is, or another one, with what the user has set."""
        return Technique(recipe or self.name, self.settings)

    def named(self, candidate: Candidate, name: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Recipe and policy where both are called `name`."""
        recipe = copy.deepcopy(candidate.recipe)
        if candidate.policy is not None and self.policy_place is not None:
            section, key = self.policy_place
            recipe[section][key] = name
        return recipe, candidate.policy

    def _changed_policy(self, recipe: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any] | None:
        if not changes or self.policy_place is None:
            return None
        section, key = self.policy_place
        name = recipe[section][key] if recipe[section].get(key, "auto") != "auto" else self.policy_name
        base = self.policy(name)
        made = changed_policy(base, changes)
        return None if made == base else made

    def _current_policy(self, key: str, rest: str) -> Any:
        if self.policy_place is None:
            raise ParameterError(f"{key} cannot be varied: the recipe {self.name!r} transforms nothing.")
        if rest == "strength":
            return 1.0
        policy = self.policy(self.policy_name)
        name, _, field_ = rest.partition(".")
        if name in FAMILIES and not field_:
            return True
        if name in ("", "modality") or name not in type(self.params.policies[self.policy_name]).model_fields:
            raise ParameterError(
                f"{key} is no part of a policy: give policy.strength, policy.geometry, policy.colour, "
                "policy.damage, policy.TRANSFORM or policy.TRANSFORM.FIELD."
            )
        return value_at(policy, rest) if field_ else name in policy

    def _current_training(self, key: str, rest: str) -> Any:
        train = self.recipe.train
        if rest == "loss":
            if self.params.loss != "auto":
                raise ParameterError(
                    f"{key} cannot be varied while params.yaml sets loss: {self.params.loss}."
                )
            return train.loss or "cross_entropy"
        if rest == "synthetic_weight":
            return train.synthetic_weight
        training = self.params.train
        if MODELS[self.model].is_network:
            training = resolved_training(training, self.model_settings, train.settings)
        if rest == "sampler" and train.sampler is not None:
            return train.sampler
        if rest.partition(".")[0] not in type(training).model_fields:
            raise ParameterError(f"{key} is no setting of a training.")
        return value_at(training.model_dump(mode="json"), rest)

    def _current_elsewhere(self, key: str, section: str) -> Any:
        place: Any = self.values
        for part in key.split("."):
            if section in _FORBIDDEN or not isinstance(place, Mapping) or part not in place:
                raise ParameterError(
                    f"{key} cannot be varied: give a key of the recipe ({', '.join(SECTIONS)}), of its "
                    "policy (policy.strength), or another one that params.yaml has, but for "
                    f"{', '.join(_FORBIDDEN)}."
                )
            place = place[part]
        return place


def written_recipe(recipe: Recipe) -> dict[str, Any]:
    """A recipe as one would write it: what was given, words as the mappings that they stand for."""
    written = recipe.model_dump(mode="json", exclude_unset=True)
    written.pop("description", None)
    train = written.get("train")
    if train is not None:
        written["train"] = {**train.pop("settings", {}), **train}
    return written


def put(values: dict[str, Any], path: str, value: Any) -> None:
    """Set what a dotted path leads to in nested mappings, which are made where there are none."""
    *parts, last = path.split(".")
    for part in parts:
        if not isinstance(values.get(part), dict):
            values[part] = {}
        values = values[part]
    values[last] = value


def _complete_targets(block: Any, section: str) -> None:
    """Give targets that only have a cap the rule that a producer has without any."""
    targets = block.get("targets") if isinstance(block, dict) else None
    if not isinstance(targets, dict):
        return
    if not any(targets.get(key) is not None for key in ("to", "fixed", "per_tier", "classes")):
        default = None
        if section == "resample":
            default = ResampleSettings.model_validate(block | {"targets": None}).spec.default_targets
        targets["to"] = (default.to if default else None) or "match_majority"
