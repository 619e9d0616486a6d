"""From class counts and a recipe to plans: how many samples each producer makes for each class, and how to
train.

Everything that can be refused is refused here, before any work is done: a recipe, model or loss that does
not go with the data set costs a second, not a night.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from evenly.errors import RecipeError
from evenly.groups import class_totals, nested
from evenly.imbalance import tiers
from evenly.params.augmentation import Policy
from evenly.params.datasets import DatasetEntry
from evenly.params.generation import AskingSettings, require_endpoint, resolved_mode
from evenly.params.generative import gated_counts, generator_settings, share_capped
from evenly.params.llm import EngineSettings
from evenly.params.losses import LossName, LossSettings
from evenly.params.models import (
    MODELS,
    ModelName,
    ModelSettings,
    check_combination,
    check_training,
    default_model,
    resolved_training,
)
from evenly.params.project import Params
from evenly.params.recipes import AugmentSettings, GenerateRecipe, LlmRecipe, Recipe
from evenly.params.resampling import BalanceOn, ResampleSettings, Targets, Tier, made_sampler
from evenly.params.screening import JUDGE_WITHOUT_ENDPOINT
from evenly.params.training import SamplerName, TrainingSettings, finetune_training
from evenly.plans import (
    AskedModel,
    AugmentPlan,
    FinetunePlan,
    GeneratePlan,
    LlmPlan,
    MinePlan,
    ResamplePlan,
    RowsPlan,
    TrainPlan,
)
from evenly.samples import Modality, Schema
from evenly.wording import first_names, nearest_names

Counts = Mapping[str, int]

#: What `policy: auto` means.
DEFAULT_POLICY: dict[Modality, str] = {
    "image": "image_standard",
    "text": "text_light",
    "table": "table_light",
}


@dataclass(frozen=True)
class Plans:
    """One plan per later stage (None: nothing to do), and the counts to expect after each producer.

    `expected` counts by class, `groups` by group: nothing where the data have no spurious attribute, and the
    training rows alone where the recipe balances classes.
    """

    llm: LlmPlan | None
    augment: AugmentPlan | None
    generate: GeneratePlan | None
    resample: ResamplePlan | None
    train: TrainPlan
    mine: MinePlan | None
    finetune: FinetunePlan | None
    expected: dict[str, dict[str, int]] = field(default_factory=dict)
    groups: dict[str, dict[str, int]] = field(default_factory=dict)


def find_recipe(params: Params) -> Recipe:
    """The recipe that `balancing` names.

    Raises
    ------
    RecipeError
        Naming the recipes there are.
    """
    if params.balancing in params.recipes:
        return params.recipes[params.balancing]
    hint = f"; {nearest_names(params.balancing, params.recipes)}"
    raise RecipeError(f"params.yaml: balancing is {params.balancing!r}, which is no entry of recipes{hint}")


def check_recipe(params: Params, entry: DatasetEntry, keys: Mapping[str, str]) -> None:
    """Refuse what settings and the data set's entry show without its rows; `make_plans` refuses the rest.

    Parameters
    ----------
    params, entry, keys
        As for `make_plans`.

    Raises
    ------
    RecipeError
        When recipe, model, loss and data set do not go together.
    """
    recipe = find_recipe(params)
    where = f"recipes.{params.balancing}"
    if recipe.llm is not None:
        resolved_mode(recipe.llm.mode, entry.modality, f"{where}.llm")
        _endpoint(params, keys)
    if recipe.augment is not None:
        _policy(recipe.augment.policy, entry.modality, params, where)
    if recipe.generate is not None:
        generator_settings(recipe.generate, entry.modality, f"{where}.generate")
    _check_judge(recipe, entry.modality, params)
    _check_sampler(recipe)
    train = _train_plan(recipe, entry.modality, params, entry, where)
    grouped = recipe.balance_on == "group", train.training.retrain_head == "group"
    if any(grouped) and entry.columns.attribute is None:
        _required(None, f"{where}.{'balance_on' if grouped[0] else 'train.retrain_head'}", params)


def make_plans(
    counts: Counts,
    schema: Schema,
    params: Params,
    entry: DatasetEntry,
    keys: Mapping[str, str],
    groups: Counts | None = None,
) -> Plans:
    """Turn a recipe into plans.

    Parameters
    ----------
    counts
        Real training rows per class.
    schema
        Of the training table.
    params
        All settings; `params.balancing` names the recipe.
    entry
        The data set's entry, which knows which mirror images keep a label and what classes are about.
    keys
        Names of environment variables to their values: whether the key of an endpoint is there.
    groups
        Real training rows per group (`evenly.groups.group_counts`); None without a spurious attribute.

    Returns
    -------
    Plans
        `expected["train"]` are the real counts, `expected["augment"]` and so on those after each producer.

    Raises
    ------
    RecipeError
        When recipe, model, loss and data set do not go together.
    """
    recipe = find_recipe(params)
    where = f"recipes.{params.balancing}"
    by = recipe.balance_on
    if by == "group":
        counts = _required(groups, f"{where}.balance_on", params)
    _check_judge(recipe, schema.modality, params)
    _check_sampler(recipe)
    class_tiers = tiers(counts, params.tiers)
    planned = dict(counts)
    expected = {"train": dict(counts)}

    llm = None
    if recipe.llm is not None:
        asked = _llm_counts(recipe.llm, counts, class_tiers, f"{where}.llm")
        llm = _llm_plan(recipe.llm, asked, by, schema, params, entry, keys)
        planned = {name: planned[name] + asked[name] for name in planned}
        expected["llm"] = dict(planned)

    augment = None
    if recipe.augment is not None:
        augment = _augment_plan(recipe.augment, counts, planned, class_tiers, schema, params, entry, where)
        planned = {name: planned[name] + augment.counts.get(name, 0) for name in planned}
        expected["augment"] = dict(planned)

    generate = None
    if recipe.generate is not None:
        generate, left = _generate_plan(recipe.generate, counts, planned, class_tiers, schema, params, where)
        if any(left.values()):
            augment = _with_fallbacks(augment, left, schema, params, entry, where)
            planned = {name: planned[name] + left.get(name, 0) for name in planned}
            expected["augment"] = dict(planned)
        planned = {name: planned[name] + generate.counts.get(name, 0) for name in planned}
        expected["generate"] = dict(planned)

    resample = None
    if recipe.resample is not None:
        resample = _resample_plan(recipe.resample, counts, planned, class_tiers, params, where)
        if recipe.resample.spec.thins:
            planned = {name: min(n, resample.targets.get(name, n)) for name, n in planned.items()}
        else:
            planned = {name: max(n, resample.targets.get(name, n)) for name, n in planned.items()}
        expected["resample"] = dict(planned)

    train = _train_plan(recipe, schema.modality, params, entry, where)
    if train.training.retrain_head == "group":
        _required(groups, f"{where}.train.retrain_head", params)
    by_class = {step: class_totals(n, schema.classes) if by == "group" else n for step, n in expected.items()}
    return Plans(
        llm=llm,
        augment=_counted(augment, by),
        generate=_counted(generate, by),
        resample=_counted(resample, by),
        train=train,
        mine=_mine_plan(recipe, params),
        finetune=_finetune_plan(recipe, train),
        expected=by_class,
        groups=expected if by == "group" else {"train": dict(groups)} if groups else {},
    )


def _check_judge(recipe: Recipe, modality: Modality, params: Params) -> None:
    """Refuse a judge of generated rows without an endpoint; images are not shown to one."""
    generates = recipe.llm is not None or recipe.generate is not None
    if params.filter.judge is not None and params.llm is None and generates and modality != "image":
        raise RecipeError(JUDGE_WITHOUT_ENDPOINT)


def _check_sampler(recipe: Recipe) -> None:
    """Refuse a sampler of imbalanced-learn that there is not, or that does not take its options."""
    settings = recipe.resample
    if settings is not None and settings.sampler is not None:
        made_sampler(settings.sampler, settings.options, seed=0)


def _required(groups: Counts | None, where: str, params: Params) -> Counts:
    """The rows of each group, where there are groups."""
    if not groups:
        raise RecipeError(
            f"params.yaml: {where} is group, but the data set {params.dataset!r} has no spurious attribute; "
            "name its column in datasets.yaml (columns: attribute), or say class."
        )
    return groups


R = TypeVar("R", bound=RowsPlan)


def _counted(plan: R | None, by: BalanceOn) -> R | None:
    """The plan, saying what its counts are counts of."""
    return None if plan is None else plan.model_copy(update={"balance_on": by})


def target_counts(
    targets: Targets, counts: Counts, planned: Counts, class_tiers: Mapping[str, Tier], where: str
) -> dict[str, int]:
    """The number of rows that each class is brought to."""
    unknown = sorted(set(targets.classes) - set(planned))
    if unknown:
        raise RecipeError(
            f"params.yaml: {where}.classes names {unknown[0]!r}; "
            f"classes are {first_names(planned, 20, '{!r}')}."
        )
    sizes = sorted(planned.values())
    by_rule: dict[str, int] = dict(planned)
    if targets.fixed is not None:
        by_rule = dict.fromkeys(planned, targets.fixed)
    elif targets.per_tier is not None:
        by_rule = {name: targets.per_tier.get(class_tiers[name], planned[name]) for name in planned}
    elif targets.to is not None:
        reference = {
            "match_majority": sizes[-1],
            "match_median": sizes[len(sizes) // 2],
            "match_minority": sizes[0],
        }[targets.to]
        by_rule = dict.fromkeys(planned, reference)
    if targets.max_ratio is not None:
        by_rule = {name: min(n, math.floor(targets.max_ratio * counts[name])) for name, n in by_rule.items()}
    return by_rule | targets.classes


def _llm_counts(
    settings: LlmRecipe, counts: Counts, class_tiers: Mapping[str, Tier], where: str
) -> dict[str, int]:
    """New rows of each class or group; they depend on real rows alone, whatever other producers make."""
    goal = target_counts(settings.targets, counts, counts, class_tiers, f"{where}.targets")
    return {name: max(0, goal[name] - counts[name]) for name in counts}


def _llm_plan(
    settings: LlmRecipe,
    asked: Counts,
    by: BalanceOn,
    schema: Schema,
    params: Params,
    entry: DatasetEntry,
    keys: Mapping[str, str],
) -> LlmPlan:
    """What the endpoint is asked for: so many rows of each class, or of each group."""
    where = f"recipes.{params.balancing}.llm"
    mode = resolved_mode(settings.mode, schema.modality, where)
    engine = _endpoint(params, keys)
    asking = {name: getattr(settings, name) for name in AskingSettings.model_fields}
    return LlmPlan(
        mode=mode,
        counts=dict(asked) if by == "class" else {},
        group_counts=nested(asked) if by == "group" else {},
        attribute=entry.columns.attribute if by == "group" else None,
        notes=entry.classes,
        asking=AskingSettings(**asking),
        model=AskedModel.of(engine),
        seed=params.seed,
    )


def _endpoint(params: Params, keys: Mapping[str, str]) -> EngineSettings:
    without = [name for name, recipe in params.recipes.items() if recipe.llm is None]
    return require_endpoint(params.llm, keys, params.balancing, without)


def _augment_plan(
    settings: AugmentSettings,
    counts: Counts,
    planned: Counts,
    class_tiers: Mapping[str, Tier],
    schema: Schema,
    params: Params,
    entry: DatasetEntry,
    where: str,
) -> AugmentPlan:
    policy = _policy(settings.policy, schema.modality, params, where).restricted_to_flips(entry.flip)
    goal = target_counts(settings.targets, counts, planned, class_tiers, f"{where}.augment.targets")
    made = {
        name: max(0, goal[name] - planned[name], settings.copies_of_all * counts[name]) for name in planned
    }
    return AugmentPlan(policy=policy, counts=made, seed=params.seed)


def _generate_plan(
    settings: GenerateRecipe,
    counts: Counts,
    planned: Counts,
    class_tiers: Mapping[str, Tier],
    schema: Schema,
    params: Params,
    where: str,
) -> tuple[GeneratePlan, dict[str, int]]:
    """The generator's plan, and the rows of classes too small for it, which augmentation makes instead."""
    where = f"{where}.generate"
    generator = generator_settings(settings, schema.modality, where)
    goal = target_counts(settings.targets, counts, planned, class_tiers, f"{where}.targets")
    asked = {name: max(0, goal[name] - planned[name]) for name in planned}
    gated = gated_counts(asked, counts, settings)
    plan = GeneratePlan(
        kind=settings.kind,
        counts=share_capped(gated.counts, planned, settings.max_synthetic_share),
        generator=generator,
        sampling=settings.sampling,
        fallbacks=gated.reasons,
        seed=params.seed,
        threads=params.threads,
    )
    return plan, gated.fallbacks


def _with_fallbacks(
    plan: AugmentPlan | None,
    left: Counts,
    schema: Schema,
    params: Params,
    entry: DatasetEntry,
    where: str,
) -> AugmentPlan:
    """The augmentation plan with the rows of classes that a generator was refused for."""
    if plan is None:
        policy = _policy("auto", schema.modality, params, where).restricted_to_flips(entry.flip)
        return AugmentPlan(policy=policy, counts=dict(left), seed=params.seed)
    names = [*plan.counts, *(name for name in left if name not in plan.counts)]
    added = {name: plan.counts.get(name, 0) + left.get(name, 0) for name in names}
    return plan.model_copy(update={"counts": added})


def _policy(name: str, modality: Modality, params: Params, where: str) -> Policy:
    resolved = DEFAULT_POLICY[modality] if name == "auto" else name
    if resolved not in params.policies:
        raise RecipeError(
            f"params.yaml: {where}.augment.policy is {name!r}; policies are {', '.join(params.policies)}."
        )
    policy = params.policies[resolved]
    if policy.modality != modality:
        fitting = ", ".join(n for n, p in params.policies.items() if p.modality == modality)
        raise RecipeError(
            f"params.yaml: {where}.augment.policy {resolved!r} is for {policy.modality} data, "
            f"but {params.dataset!r} is {modality} data; choose one of {fitting}."
        )
    return policy


def _resample_plan(
    settings: ResampleSettings,
    counts: Counts,
    planned: Counts,
    class_tiers: Mapping[str, Tier],
    params: Params,
    where: str,
) -> ResamplePlan:
    goal: dict[str, int] = {}
    default = settings.spec.default_targets
    if default is not None:
        goal = target_counts(
            settings.targets or default, counts, planned, class_tiers, f"{where}.resample.targets"
        )
    elif settings.targets is not None:
        raise RecipeError(
            f"params.yaml: {where}.resample.targets has no meaning with "
            f"{settings.sampler or settings.method!r}, which removes "
            "the rows that it finds; take the key out."
        )
    return ResamplePlan(
        method=settings.method,
        targets=goal,
        k_neighbors=settings.k_neighbors,
        clean_neighbors=settings.clean_neighbors,
        clean=settings.clean,
        sampler=settings.sampler,
        options=settings.options,
        thins=settings.sampler is not None and settings.spec.thins,
        seed=params.seed,
    )


def _train_plan(
    recipe: Recipe, modality: Modality, params: Params, entry: DatasetEntry, where: str
) -> TrainPlan:
    """The resolved model, loss and optimisation; what this model and loss do not read stays at its default.

    Without that, editing the settings of one loss or of the networks would train every model again.
    """
    model, settings = resolved_model(recipe, modality, params)
    loss: LossName = (recipe.train.loss or "cross_entropy") if params.loss == "auto" else params.loss
    losses = recipe.train.changed_losses(params.losses)
    network = MODELS[model].is_network
    training = TrainingSettings()
    augment = None
    if network:
        training = resolved_training(params.train, settings, recipe.train.settings)
    if modality == "image" and training.augment is not None:
        policy = _policy(training.augment, modality, params, f"{where}.train")
        augment = policy.restricted_to_flips(entry.flip)
    sampler: SamplerName = recipe.train.sampler or (training.sampler if network else "uniform")
    check_combination(model, modality, loss, sampler, losses)
    check_training(model, modality, training, recipe.train.settings)
    if (
        modality == "text"
        and MODELS[model].needs_payload
        and recipe.resample is not None
        and recipe.resample.spec.interpolates
    ):
        raise RecipeError(
            f"params.yaml: {where}.resample makes rows that are vectors without a text, which the model "
            f"{model!r} cannot read; use random_over, or a vector model such as logistic_regression."
        )
    return TrainPlan(
        model=model,
        settings=settings,
        loss=loss,
        losses=LossSettings(**{loss: getattr(losses, loss)}),
        sampler=sampler,
        training=training.model_copy(update={"sampler": "uniform", "augment": None}),
        augment=augment,
        synthetic_weight=recipe.train.synthetic_weight,
        seed=params.seed,
        threads=params.threads,
    )


def resolved_model(recipe: Recipe, modality: Modality, params: Params) -> tuple[ModelName, ModelSettings]:
    """What is trained: the model of params.yaml, else that of the recipe, else the modality's own."""
    own = recipe.model
    name: ModelName = own.name if own else default_model(modality)
    if params.model != "auto":
        name = params.model
    if own is not None and own.name == name:
        return name, own.changed_settings(params.models)
    return name, getattr(params.models, name)


def _mine_plan(recipe: Recipe, params: Params) -> MinePlan | None:
    if recipe.mining is None:
        return None
    return MinePlan(**dict(recipe.mining), seed=params.seed, threads=params.threads)


def _finetune_plan(recipe: Recipe, train: TrainPlan) -> FinetunePlan | None:
    """The second round; its training settings are derived from those of the first."""
    if recipe.finetune is None:
        return None
    return FinetunePlan(
        ratio=recipe.finetune.ratio,
        originals=recipe.finetune.originals,
        keep=recipe.finetune.keep,
        training=finetune_training(recipe.finetune, train.training),
        seed=train.seed,
        threads=train.threads,
    )
