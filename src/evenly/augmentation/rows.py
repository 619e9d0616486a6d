"""From a plan to a sample table of augmented rows, whatever the modality."""

from __future__ import annotations

import itertools
import json
import logging

from evenly.augmentation.lineage import Offspring, Parent, descents, new_offspring
from evenly.errors import RecipeError
from evenly.groups import by_class, by_group
from evenly.plans import AugmentPlan
from evenly.samples import SampleTable, samples_from_columns

logger = logging.getLogger(__name__)


def augment(train: SampleTable, plan: AugmentPlan, workers: int | None = None) -> SampleTable:
    """Make new rows, each a label-preserving transform of one real training row of its class.

    The real rows of a class take turns as parents, in an order shuffled by the seed. A row's random numbers
    come from the seed, its parent's id and its ordinal alone: the order of `train` and the other classes do
    not matter, and a higher count only adds rows.

    Parameters
    ----------
    train
        Training rows. Synthetic ones among them are no parents.
    workers
        Processes for images. None takes the cores that this process may use when there are many images,
        else one. The rows are the same whatever the number.

    Returns
    -------
    SampleTable
        Rows of origin `augmented`, ordered by class and then by turn: `parent` is the parent's id, `id` is
        `<parent>~aug<ordinal>`, `details` what was drawn, as JSON; group, attribute and
        weight are the parent's. Texts and table rows differ from all training rows of their class and from
        each other; where the policy cannot vary a class further, fewer rows come back and the log says so.
    """
    if plan.balance_on == "group":
        flat = plan.model_copy(update={"balance_on": "class"})
        return by_class(augment(by_group(train), flat, workers), train.schema)
    policy = plan.policy
    if policy.modality != train.modality:
        raise RecipeError(
            f"The augmentation policy is for modality {policy.modality} and the data set is of modality "
            f"{train.modality}; name a {train.modality} policy in the recipe's augment.policy, or say auto."
        )
    rows = train.sorted_by_id()
    parents = _parents(rows, plan)
    made: list[Offspring] = []
    if train.modality == "image":
        from evenly.augmentation.images import image_offspring

        turns = (
            turn
            for label, family in parents.items()
            for turn in itertools.islice(descents(family, plan.seed), plan.counts[label])
        )
        made = image_offspring(rows, list(turns), policy, plan.seed, workers)
    else:
        if train.modality == "text":
            from evenly.augmentation.texts import text_variation as variation
        else:
            from evenly.augmentation.tables import table_variation as variation
        for label, family in parents.items():
            vary = variation(rows, label, policy)
            children = new_offspring(family, plan.counts[label], plan.seed, vary)
            if len(children) < plan.counts[label]:
                few = f"{len(children)} of {plan.counts[label]} augmented rows"
                why = f"the policy cannot vary its {len(family)} training rows further"
                logger.warning("class %s: %s; %s", label, few, why)
            made += children
    return _table(rows, made)


def _parents(rows: SampleTable, plan: AugmentPlan) -> dict[str, list[Parent]]:
    """Real rows of every class that is to grow, in class order."""
    families: dict[str, list[Parent]] = {label: [] for label in rows.classes if plan.counts.get(label)}
    for position, (name, label, real) in enumerate(zip(rows.ids, rows.labels, rows.is_real, strict=True)):
        if real and label in families:
            families[label].append(Parent(position, name))
    for label, count in plan.counts.items():
        if count and not families.get(label):
            raise RecipeError(
                f"Class {label!r} is to get {count} augmented rows but has no real training row to vary; "
                f"leave it out of the recipe's augment.targets."
            )
    return families


def _table(rows: SampleTable, made: list[Offspring]) -> SampleTable:
    to_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode
    positions = [child.descent.parent.position for child in made]
    columns: dict[str, list[object]] = {
        "id": [child.descent.id for child in made],
        "label": [rows.labels[k] for k in positions],
        "origin": ["augmented"] * len(made),
        "parent": [child.descent.parent.id for child in made],
        "details": [to_json(child.details) for child in made],
    }
    for name in ("group", "attribute", "sample_weight"):
        if rows.has(name):
            inherited = rows.column(name)
            columns[name] = [inherited[k] for k in positions]
    features = [feature.name for feature in rows.schema.features]
    payload = features if rows.modality == "table" else [rows.modality]
    columns |= {name: [child.payload[name] for child in made] for name in payload}
    return samples_from_columns(columns, rows.schema)
