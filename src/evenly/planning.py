"""From class counts and a recipe to plans: how many samples each producer makes for each class, and how to
train.

Everything that can be refused is refused here, before any work is done: a recipe, model or loss that does
not go with the data set costs a second, not a night.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from evenly.datasets.imported import find_origins
from evenly.errors import RecipeError
from evenly.groups import class_totals, nested
from evenly.imbalance import tiers
from evenly.params.augmentation import Policy
from evenly.params.datasets import DatasetEntry
from evenly.params.generation import AskingSettings, require_endpoint, resolved_mode
from evenly.params.generative import generator_settings, left_to_augmentation, share_capped
from evenly.params.llm import EngineSettings
from evenly.params.losses import LossName, LossSettings
from evenly.params.models import (
    MODELS,
    LogisticRegressionSettings,
    ModelName,
    ModelSettings,
    SklearnSettings,
    check_combination,
    check_training,
    default_model,
    resolved_training,
)
from evenly.params.named import made_estimator, takes_weights
from evenly.params.project import Params
from evenly.params.recipes import AugmentSettings, GenerateRecipe, LlmRecipe, Recipe
from evenly.params.resampling import ResampleSettings, Targets, Tier, made_sampler
from evenly.params.screening import JUDGE_WITHOUT_ENDPOINT
from evenly.params.training import TrainingSettings, finetune_training
from evenly.plans import (
    AskedModel,
    AskedPlan,
    AugmentPlan,
    FinetunePlan,
    GeneratePlan,
    ImportedPlan,
    LlmPlan,
    MinePlan,
    ResamplePlan,
    TrainPlan,
)
from evenly.samples import Modality, Schema
from evenly.wording import first_names, nearest_names

Counts = Mapping[str, int]

#: What `policy: auto` means.
DEFAULT_POLICY = {"image": "image_standard", "text": "text_light", "table": "table_light"}


@dataclass(frozen=True)
class Plans:
    """One plan per later stage (None: nothing to do), and the counts to expect after each producer.

    `expected` counts by class, `groups` by group: nothing where the data have no spurious attribute, and the
    training rows alone where the recipe balances classes.
    """

    llm: LlmPlan | None
    imported: ImportedPlan | None
    augment: AugmentPlan | None
    generate: GeneratePlan | None
    resample: ResamplePlan | None
    train: TrainPlan
    mine: MinePlan | None
    finetune: FinetunePlan | None
    expected: dict[str, dict[str, int]] = field(default_factory=dict)
    groups: dict[str, dict[str, int]] = field(default_factory=dict)


def find_recipe(params: Params) -> Recipe:
    """The recipe that `balancing` names."""
    if params.balancing in params.recipes:
        return params.recipes[params.balancing]
    hint = nearest_names(params.balancing, params.recipes)
    raise RecipeError(f"params.yaml: balancing is {params.balancing!r}, which is no entry of recipes; {hint}")


@dataclass
class _Case:
    """A recipe, the data set that it is for, and the rows that its producers are planned to make so far.

    `counts` are the real training rows, by group where the recipe balances groups.
    """

    params: Params
    entry: DatasetEntry
    keys: Mapping[str, str]
    modality: Modality
    counts: Counts = field(default_factory=dict)
    encoded: bool = False
    rows: int = 0

    def __post_init__(self) -> None:
        self.recipe = find_recipe(self.params)
        self.where = f"recipes.{self.params.balancing}"
        self.planned = dict(self.counts)
        self.expected = {"train": dict(self.counts)}

    def goal(self, targets: Targets, section: str) -> dict[str, int]:
        """The number of rows that each class is brought to by the producer `section`."""
        class_tiers = tiers(self.counts, self.params.tiers)
        where = f"params.yaml: {self.where}.{section}.targets"
        # The quota of a language model depends on real rows alone, whatever other producers make.
        present = self.counts if section == "llm" else self.planned
        return target_counts(targets, self.counts, present, class_tiers, where)

    def add(self, step: str, rows: Counts) -> None:
        """Count the new rows of a producer."""
        self.planned = {name: n + rows.get(name, 0) for name, n in self.planned.items()}
        self.expected[step] = dict(self.planned)

    def policy(self, name: str, section: str = "augment") -> Policy:
        """The policy of this name, without mirror images that would change a label."""
        resolved = DEFAULT_POLICY[self.modality] if name == "auto" else name
        policies, where = self.params.policies, f"params.yaml: {self.where}.{section}.policy"
        if resolved not in policies:
            raise RecipeError(f"{where} is {name!r}; policies are {', '.join(policies)}.")
        policy = policies[resolved]
        if policy.modality != self.modality:
            fitting = ", ".join(n for n, p in policies.items() if p.modality == self.modality)
            raise RecipeError(
                f"{where} {resolved!r} is for {policy.modality} data, "
                f"but {self.params.dataset!r} is {self.modality} data; choose one of {fitting}."
            )
        return policy.restricted_to_flips(self.entry.flip)

    def endpoint(self) -> EngineSettings:
        """The endpoint that the recipe asks."""
        without = [name for name, recipe in self.params.recipes.items() if not recipe.asks]
        by_name = None if self.recipe.asks else self.params.model
        return require_endpoint(self.params.llm, self.keys, self.params.balancing, without, by_name)

    def required(self, groups: Counts | None, key: str) -> Counts:
        """The rows of each group, where there are groups."""
        if not groups:
            raise RecipeError(
                f"params.yaml: {self.where}.{key} is group, but the data set {self.params.dataset!r} has no "
                "spurious attribute; name its column in datasets.yaml (columns: attribute), or say class."
            )
        return groups

    def check_judge_and_sampler(self) -> None:
        """Refuse a judge without an endpoint (images are not shown to one), and a sampler that cannot be."""
        recipe, params = self.recipe, self.params
        generates = any(made is not None for made in (recipe.llm, recipe.imported, recipe.generate))
        if params.filter.judge is not None and params.llm is None and generates and self.modality != "image":
            raise RecipeError(JUDGE_WITHOUT_ENDPOINT)
        if recipe.resample is not None and recipe.resample.sampler is not None:
            made_sampler(recipe.resample.sampler, recipe.resample.options, seed=0)


def check_recipe(
    params: Params, entry: DatasetEntry, keys: Mapping[str, str], encoded: bool = False, rows: int = 0
) -> None:
    """Refuse what settings and the data set's entry show without its rows; `make_plans` refuses the rest.

    `encoded` as there; `rows` are training rows, 0 where these are not known.
    """
    case = _Case(params, entry, keys, entry.modality, encoded=encoded, rows=rows)
    recipe = case.recipe
    if recipe.llm is not None:
        resolved_mode(recipe.llm.mode, entry.modality, f"{case.where}.llm")
        case.endpoint()
    if recipe.imported is not None:
        find_origins(params.dataset, recipe.imported.origins, f"{case.where}.imported")
    if recipe.augment is not None:
        case.policy(recipe.augment.policy)
    if recipe.generate is not None:
        generator_settings(recipe.generate, entry.modality, f"{case.where}.generate")
    case.check_judge_and_sampler()
    train = _train_plan(case)
    by_group = recipe.balance_on == "group"
    if (by_group or train.training.retrain_head == "group") and entry.columns.attribute is None:
        case.required(None, "balance_on" if by_group else "train.retrain_head")


def make_plans(
    counts: Counts,
    schema: Schema,
    params: Params,
    entry: DatasetEntry,
    keys: Mapping[str, str],
    groups: Counts | None = None,
    encoded: bool = False,
) -> Plans:
    """Turn a recipe into plans.

    Parameters
    ----------
    counts
        Real training rows per class.
    params
        All settings; `params.balancing` names the recipe.
    keys
        Names of environment variables to their values: whether the key of an endpoint is there.
    groups
        Real training rows per group (`evenly.groups.group_counts`); None without a spurious attribute.
    encoded
        Whether the features of images are vectors of a pretrained encoder.

    Returns
    -------
    Plans
        `expected["train"]` are the real counts, `expected["augment"]` and so on those after each producer.
    """
    case = _Case(params, entry, keys, schema.modality, counts, encoded, sum(counts.values()))
    recipe, by = case.recipe, case.recipe.balance_on
    if by == "group":
        case = replace(case, counts=case.required(groups, "balance_on"))
    case.check_judge_and_sampler()
    # In the order in which producers fill up: each counts what those before it are asked for.
    llm = None if recipe.llm is None else _llm_plan(recipe.llm, case)
    augment = None if recipe.augment is None else _augment_plan(recipe.augment, case)
    generate = None
    if recipe.generate is not None:
        generate, augment = _generate_plan(recipe.generate, augment, case)
    resample = None if recipe.resample is None else _resample_plan(recipe.resample, case)
    train = _train_plan(case)
    if train.training.retrain_head == "group":
        case.required(groups, "train.retrain_head")
    imported = mine = finetune = None
    if recipe.imported is not None:
        where = f"{case.where}.imported"
        imported = ImportedPlan(dataset=params.dataset, origins=recipe.imported.origins, where=where)
    if recipe.mining is not None:
        mine = MinePlan(**dict(recipe.mining), seed=params.seed, threads=params.threads)
    if recipe.finetune is not None:
        training = finetune_training(recipe.finetune, train.training)
        mixed = {name: getattr(recipe.finetune, name) for name in ("ratio", "originals", "keep")}
        finetune = FinetunePlan(**mixed, training=training, seed=params.seed, threads=params.threads)
    expected = case.expected
    by_class = {step: class_totals(n, schema.classes) if by == "group" else n for step, n in expected.items()}
    return Plans(
        llm=llm,
        imported=imported,
        augment=augment,
        generate=generate,
        resample=resample,
        train=train,
        mine=mine,
        finetune=finetune,
        expected=by_class,
        groups=expected if by == "group" else {"train": dict(groups)} if groups else {},
    )


def target_counts(
    targets: Targets, counts: Counts, planned: Counts, class_tiers: Mapping[str, Tier], where: str
) -> dict[str, int]:
    """The number of rows that each class is brought to."""
    unknown = sorted(set(targets.classes) - set(planned))
    if unknown:
        raise RecipeError(
            f"{where}.classes names {unknown[0]!r}; classes are {first_names(planned, 20, '{!r}')}."
        )
    sizes = sorted(planned.values())
    by_rule: dict[str, int] = dict(planned)
    if targets.fixed is not None:
        by_rule = dict.fromkeys(planned, targets.fixed)
    elif targets.per_tier is not None:
        by_rule = {name: targets.per_tier.get(class_tiers[name], planned[name]) for name in planned}
    elif targets.to is not None:
        place = {"match_majority": -1, "match_median": len(sizes) // 2, "match_minority": 0}[targets.to]
        by_rule = dict.fromkeys(planned, sizes[place])
    if targets.max_ratio is not None:
        by_rule = {name: min(n, math.floor(targets.max_ratio * counts[name])) for name, n in by_rule.items()}
    return by_rule | targets.classes


def _llm_plan(settings: LlmRecipe, case: _Case) -> LlmPlan:
    goal = case.goal(settings.targets, "llm")
    rows = {name: max(0, goal[name] - n) for name, n in case.counts.items()}
    grouped = case.recipe.balance_on == "group"
    plan = LlmPlan(
        mode=resolved_mode(settings.mode, case.modality, f"{case.where}.llm"),
        counts={} if grouped else rows,
        group_counts=nested(rows) if grouped else {},
        attribute=case.entry.columns.attribute if grouped else None,
        label_column=case.entry.columns.label,
        notes=case.entry.classes,
        asking=AskingSettings(**{name: getattr(settings, name) for name in AskingSettings.model_fields}),
        model=AskedModel.of(case.endpoint()),
        seed=case.params.seed,
    )
    case.add("llm", rows)
    return plan


def _augment_plan(settings: AugmentSettings, case: _Case) -> AugmentPlan:
    policy = case.policy(settings.policy)
    goal = case.goal(settings.targets, "augment")
    rows = {
        name: max(0, goal[name] - n, settings.copies_of_all * case.counts[name])
        for name, n in case.planned.items()
    }
    case.add("augment", rows)
    return _augment_counts(policy, rows, case)


def _augment_counts(policy: Policy, rows: Counts, case: _Case) -> AugmentPlan:
    return AugmentPlan(
        balance_on=case.recipe.balance_on, policy=policy, counts=dict(rows), seed=case.params.seed
    )


def _generate_plan(
    settings: GenerateRecipe, augment: AugmentPlan | None, case: _Case
) -> tuple[GeneratePlan, AugmentPlan | None]:
    """The generator's plan, and that of augmentation with the rows of classes too small for the generator."""
    generator = generator_settings(settings, case.modality, f"{case.where}.generate")
    goal = case.goal(settings.targets, "generate")
    wanted = {name: max(0, goal[name] - n) for name, n in case.planned.items()}
    fallbacks = left_to_augmentation(wanted, case.counts, settings)
    possible = {name: 0 if name in fallbacks else n for name, n in wanted.items()}
    plan = GeneratePlan(
        balance_on=case.recipe.balance_on,
        kind=settings.kind,
        counts=share_capped(possible, case.planned, settings.max_synthetic_share),
        generator=generator,
        sampling=settings.sampling,
        fallbacks=fallbacks,
        seed=case.params.seed,
        threads=case.params.threads,
    )
    if left := {name: wanted[name] for name in fallbacks}:
        augment = augment or _augment_counts(case.policy("auto"), {}, case)
        rows = {name: n + left.get(name, 0) for name, n in augment.counts.items()}
        augment = augment.model_copy(update={"counts": left | rows})
        case.add("augment", left)
    case.add("generate", plan.counts)
    return plan, augment


def _resample_plan(settings: ResampleSettings, case: _Case) -> ResamplePlan:
    goal: dict[str, int] = {}
    default = settings.spec.default_targets
    if default is not None:
        goal = case.goal(settings.targets or default, "resample")
    elif settings.targets is not None:
        raise RecipeError(
            f"params.yaml: {case.where}.resample.targets has no meaning with "
            f"{settings.sampler or settings.method!r}, which removes "
            "the rows that it finds; take the key out."
        )
    bound = min if settings.spec.thins else max
    case.planned = {name: bound(n, goal.get(name, n)) for name, n in case.planned.items()}
    case.expected["resample"] = dict(case.planned)
    return ResamplePlan(
        balance_on=case.recipe.balance_on,
        **{name: value for name, value in settings if name != "targets"},
        targets=goal,
        thins=settings.sampler is not None and settings.spec.thins,
        seed=case.params.seed,
    )


def _train_plan(case: _Case) -> TrainPlan:
    """The resolved model, loss and optimisation; what this model and loss do not read stays at its default.

    Without that, editing the settings of one loss or of the networks would train every model again.
    """
    recipe, modality, params = case.recipe, case.modality, case.params
    model, settings = resolved_model(recipe, modality, params, case.rows, case.encoded)
    loss: LossName = (recipe.train.loss or "cross_entropy") if params.loss == "auto" else params.loss
    losses = recipe.train.changed_losses(params.losses)
    training, augment = TrainingSettings(), None
    if MODELS[model].is_network:
        training = resolved_training(params.train, settings, recipe.train.settings)
    if modality == "image" and training.augment is not None:
        augment = case.policy(training.augment, "train.augment")
    sampler = recipe.train.sampler or training.sampler
    check_combination(model, modality, loss, sampler, losses)
    check_training(model, modality, training, recipe.train.settings)
    weighs_rows = MODELS[model].weighs_rows
    if isinstance(settings, SklearnSettings):
        weighs_rows = takes_weights(made_estimator(settings))
    weighing = {f"the loss {loss}": loss != "cross_entropy", "a second round": recipe.finetune is not None}
    weighing["train.synthetic_weight below 1"] = recipe.train.synthetic_weight != 1
    asked = None
    if MODELS[model].asked_by:
        if recipe.mining is not None or recipe.finetune is not None:
            raise RecipeError(
                f"params.yaml: {case.where} looks for rows that the model finds hard, and {model} would be "
                "asked, and paid, about every training row; choose another recipe, or another model."
            )
        asked = AskedPlan(model=AskedModel.of(case.endpoint()), notes=case.entry.classes)
    if not weighs_rows and any(weighing.values()):
        what = next(name for name, asked in weighing.items() if asked)
        raise RecipeError(
            f"params.yaml: {case.where} asks for {what}, which counts rows by weights, and {settings.title} "
            "takes none; leave it out, or choose another model."
        )
    vector_rows = recipe.resample is not None and recipe.resample.spec.interpolates
    vector_rows = vector_rows and (modality == "text" or case.encoded)
    if isinstance(settings, LogisticRegressionSettings):
        settings = settings.resolved(modality, vector_rows, params.features.text.method == "encoder")
    if vector_rows and (MODELS[model].needs_payload or (case.encoded and MODELS[model].is_network)):
        what, or_else = ("an image", ", or features.image.method: pixels") if case.encoded else ("a text", "")
        raise RecipeError(
            f"params.yaml: {case.where}.resample makes rows that are vectors without {what}, which the model "
            f"{model!r} cannot read; use random_over, or a vector model such as logistic_regression{or_else}."
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
        asked=asked,
        seed=params.seed,
        threads=params.threads,
    )


def resolved_model(
    recipe: Recipe, modality: Modality, params: Params, rows: int, encoded: bool = False
) -> tuple[ModelName, ModelSettings]:
    """What is trained: the model of params.yaml, else that of the recipe, else the one for such data."""
    own = recipe.model
    if own is not None and MODELS[own.name].is_technique and params.model not in ("auto", own.name):
        raise RecipeError(
            f"params.yaml: recipes.{params.balancing} is its model, {own.name}: nothing of it is "
            f"left with the model {params.model}; set `model: auto`, or choose another recipe."
        )
    if own is not None and params.model in ("auto", own.name):
        return own.name, own.changed_settings(params.models)
    name: ModelName = default_model(modality, rows, encoded) if params.model == "auto" else params.model
    return name, getattr(params.models, name)
