"""What varies in a search where the user has not said it: a handful of settings for each part of a recipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evenly.errors import RecipeError
from evenly.params.generative import KINDS
from evenly.params.losses import LossName
from evenly.params.models import MODELS
from evenly.params.recipes import GenerateRecipe
from evenly.params.resampling import RESAMPLERS, ResampleSettings, Targets
from evenly.tuning.candidates import Origin
from evenly.tuning.space import Range, Setting, Space, families, transforms

#: Caps on the rows of a class, times its real rows.
_RATIOS = (None, 2, 4, 8, 16)
#: Losses that are worth a try; logit_adjusted with its default tau is balanced_softmax.
_LOSSES: tuple[LossName, ...] = (
    "cross_entropy", "weighted", "class_balanced", "focal", "ldam", "balanced_softmax",
)  # fmt: skip
#: What a quota of a language model is multiplied by: never above what the recipe may cost now.
_QUOTAS = (0.25, 0.5, 1)


def default_space(origin: Origin) -> Space:
    """The settings to vary for a recipe, each with the value that it has now among its options."""
    found = []
    for key, domain in _domains(origin):
        current = origin.current(key)
        if isinstance(domain, tuple):
            domain = (current, *(value for value in domain if value != current))
        if isinstance(domain, Range) or len(domain) > 1:
            found.append(Setting(key, current, domain))
    if not found:
        raise RecipeError(
            f"Nothing of the recipe {origin.name!r} varies by default with the model {origin.model}; say "
            "what to vary with --space FILE."
        )
    return tuple(found)


def _domains(origin: Origin) -> Iterator[tuple[str, tuple[Any, ...] | Range]]:
    if origin.recipe.llm is not None:
        yield from _quotas("llm.targets", origin.recipe.llm.targets)
    if origin.recipe.augment is not None:
        yield from _ratio("augment.targets", origin.recipe.augment.targets)
        yield "augment.copies_of_all", (0, 1, 2)
    if origin.policy_place is not None:
        yield from _policy(origin)
    if origin.recipe.generate is not None:
        yield from _generate(origin.recipe.generate)
    if origin.recipe.resample is not None:
        yield from _resample(origin, origin.recipe.resample)
    yield from _train(origin)
    if origin.recipe.finetune is not None:
        yield "finetune.ratio", (0.5, 1.0, 2.0, 4.0)


def _quotas(key: str, targets: Targets) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Fewer rows than asked for now: more would cost more than the user has agreed to."""
    if targets.per_tier is not None:
        for tier, count in targets.per_tier.items():
            yield f"{key}.per_tier.{tier}", tuple(dict.fromkeys(round(count * share) for share in _QUOTAS))
    elif targets.fixed is not None:
        yield f"{key}.fixed", tuple(dict.fromkeys(max(1, round(targets.fixed * share)) for share in _QUOTAS))
    if targets.max_ratio is not None:
        yield f"{key}.max_ratio", tuple(max(1.0, targets.max_ratio * share) for share in _QUOTAS)
    else:
        yield f"{key}.max_ratio", _RATIOS


def _ratio(key: str, targets: Targets | None) -> Iterator[tuple[str, tuple[Any, ...]]]:
    if targets is None or targets.to is not None:
        yield f"{key}.max_ratio", _RATIOS


def _policy(origin: Origin) -> Iterator[tuple[str, tuple[Any, ...] | Range]]:
    """Which policy, how strong, and without which families of transforms (of text: without which edits)."""
    policies = origin.params.policies.items()
    fitting = tuple(name for name, policy in policies if policy.modality == origin.modality)
    if len(fitting) > 1:
        yield ".".join(origin.policy_place or ()), fitting
    yield "policy.strength", Range(low=0.5, high=2.0, log=True)
    policy = origin.policy(origin.policy_name)
    if origin.modality == "image":
        for family in families(policy):
            yield f"policy.{family}", (True, False)
    elif len(transforms(policy)) > 1:
        for transform in transforms(policy):
            yield f"policy.{transform}", (True, False)


def _generate(generate: GenerateRecipe) -> Iterator[tuple[str, tuple[Any, ...]]]:
    yield "generate.max_synthetic_share", (0.1, 0.2, 0.3, 0.5, 0.7)
    yield from _ratio("generate.targets", generate.targets)
    for key, options in KINDS[generate.kind].settings.items():
        yield f"generate.{key}", options
    yield "generate.sampling.hard", (0.0, 0.25, 0.5)


def _resample(origin: Origin, resample: ResampleSettings) -> Iterator[tuple[str, tuple[Any, ...]]]:
    spec = resample.spec
    if spec.rule is None or resample.sampler is not None:
        for key, options in spec.settings.items():
            yield f"resample.{key}", options
        return
    reads_texts = origin.modality == "text" and MODELS[origin.model].needs_payload
    others = {
        name: other
        for name, other in RESAMPLERS.items()
        if other.searched and not (reads_texts and other.interpolates)
    }
    yield "resample.method", tuple(others)
    for key, options in {k: v for other in others.values() for k, v in other.settings.items()}.items():
        yield f"resample.{key}", options
    yield from _ratio("resample.targets", resample.targets)


def _train(origin: Origin) -> Iterator[tuple[str, tuple[Any, ...]]]:
    if origin.params.loss == "auto":
        yield "train.loss", tuple(loss for loss in _LOSSES if loss in MODELS[origin.model].losses)
    if origin.makes_synthetic_rows:
        yield "train.synthetic_weight", (1.0, 0.75, 0.5, 0.25)
    if MODELS[origin.model].is_network:
        yield "train.sampler", ("uniform", "square_root", "class_balanced")
        mix = origin.current("train.mix")
        known = mix["method"] if mix else None
        yield "train.mix", (None, *(method for method in ("mixup", "remix") if method != known))
