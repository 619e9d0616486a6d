"""Groups of techniques by name, and which of them this project can run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenly.errors import ParameterError, RecipeError
from evenly.experiments.experiments import Experiment, Technique, Workshop, read_technique
from evenly.wording import near_names

#: Recipes that change the loss or its weights, make no row and cost no more than `none`.
RIVALS = ("class_weights", "logit_adjustment")
#: Recipes whose model draws balanced rows by itself: for tables, they make no row either.
BALANCED_ENSEMBLES = ("easy_ensemble", "balanced_random_forest", "rusboost")
#: Named sets of techniques, those of the literature; the other groups are read from the recipes themselves.
GROUPS: dict[str, tuple[str, ...]] = {
    "baseline": (),
    "resampling": ("random_oversampling", "smote", "adasyn"),
    "augmentation": ("offline_augmentation",),
    "loss_function": ("focal",),
    "combined": ("smote+loss=focal", "offline_augmentation+loss=focal"),
    "rivals": RIVALS,
    "ensembles": BALANCED_ENSEMBLES,
    "spurious": ("random_oversampling", "group_oversampling", "group_retrain_head", "afr"),
}
#: Groups that the recipe without balancing is part of.
WITH_BASELINE = ("baseline", "rivals")
CLASSICAL = ("baseline", "resampling", "augmentation", "loss_function", "combined", "ensembles")
#: Groups of the recipes that have this section.
PRODUCERS = {"llm": "llm", "generative": "generate"}


@dataclass(frozen=True)
class Plan:
    """What a sweep would run, in the order to start it, and why some of what was asked for is left out."""

    experiments: tuple[Experiment, ...]
    left_out: tuple[str, ...]


def group_names() -> list[str]:
    """All names of groups."""
    return [*GROUPS, "classical", *PRODUCERS, "all"]


def group_contents() -> dict[str, str]:
    """What is in each group, in words."""
    of_recipes = {name: f"every recipe with a section `{key}`" for name, key in PRODUCERS.items()}
    named = {name: ", ".join(GROUPS[name]) or "no balancing" for name in GROUPS}
    rivals = f"no balancing, {named['rivals']}: they make no row and cost next to nothing"
    return {
        "classical": f"the groups {', '.join(CLASSICAL)}",
        **named,
        "rivals": rivals,
        **of_recipes,
        "all": "every recipe of params.yaml, and combined",
    }


def unbalanced(recipes: Mapping[str, Any]) -> str:
    """Name of the recipe that changes nothing, which the others are measured against."""
    return next((name for name, values in recipes.items() if not set(values or ()) - {"description"}), "none")


def techniques_of(name: str, recipes: Mapping[str, Any]) -> list[Technique]:
    """The techniques of a group, or the single one (`smote`, `smote+loss=focal`) that is no group's name."""
    if name in GROUPS:
        baseline = [Technique(unbalanced(recipes))] if name in WITH_BASELINE else []
        return baseline + [read_technique(text) for text in GROUPS[name]]
    if name == "classical":
        return [t for group in CLASSICAL for t in techniques_of(group, recipes)]
    if name in PRODUCERS:
        return [Technique(recipe) for recipe, values in recipes.items() if values.get(PRODUCERS[name])]
    if name == "all":
        return [Technique(recipe) for recipe in recipes] + techniques_of("combined", recipes)
    technique = read_technique(name)
    if technique.recipe not in recipes:
        known = [*group_names(), *recipes]
        near = near_names(technique.recipe, known)
        hint = f"did you mean {near[0]!r}?" if near else f"groups are {', '.join(group_names())}."
        raise RecipeError(f"{technique.recipe!r} is no group and no recipe of params.yaml; {hint}")
    return [technique]


def plan_sweep(
    workshop: Workshop,
    names: Sequence[str],
    *,
    datasets: Sequence[str],
    seeds: Sequence[int],
    settings: Sequence[tuple[str, str]] = (),
) -> Plan:
    """Say what to run: groups, recipes, and recipes with settings, each with all data sets and seeds.

    Techniques come in the order given, every one with all its seeds before the next, so that the baseline is
    there first and what the seeds share is made by it. No balancing is always among them: nothing can be said
    without it. A member of a group that does not go with the data set, the model or this installation is left
    out with a sentence; what was named itself is refused.

    Raises
    ------
    RecipeError
        When a recipe that was named itself cannot be run, or nothing is left to run.
    """
    recipes = workshop.params.get("recipes") or {}
    groups = set(group_names())
    wanted: dict[Technique, bool] = {Technique(unbalanced(recipes)): False}
    for name in names:
        for technique in techniques_of(name, recipes):
            wanted[technique] = wanted.get(technique, False) or name not in groups
    experiments: dict[str, Experiment] = {}
    left_out: dict[str, None] = {}
    for dataset in datasets:
        for technique, by_name in wanted.items():
            variant = Technique(
                technique.recipe, tuple(sorted({**dict(settings), **dict(technique.settings)}.items()))
            )
            try:
                runs = [workshop.experiment(variant, dataset, seed) for seed in seeds]
            except RecipeError as error:
                if by_name:
                    raise
                left_out[f"{technique.label} on {dataset} is left out. {error}"] = None
                continue
            experiments |= {experiment.name: experiment for experiment in runs}
    if not experiments:
        raise RecipeError("Nothing is left to run: " + " ".join(left_out))
    return Plan(tuple(experiments.values()), tuple(left_out))


def read_seeds(text: str) -> list[int]:
    """Read seeds: `1..10`, `3`, `1,2,5`, and any mixture of these."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\.\.(\d+))?\s*", part)
        if match is None or (match[2] and int(match[2]) < int(match[1])):
            raise ParameterError(f"Seeds are given as 1..10 or 1,2,5, not {text!r}.")
        seeds += range(int(match[1]), int(match[2] or match[1]) + 1)
    return list(dict.fromkeys(seeds))
