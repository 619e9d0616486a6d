"""Analyze: how imbalanced the training rows are, and one plan file for each later stage."""

from stages import run


def main() -> None:
    import os
    from pathlib import Path

    from evenly.distribution import write_class_distribution
    from evenly.features.featurizer import encodes_images
    from evenly.files import write_json
    from evenly.groups import group_counts
    from evenly.imbalance import group_measures, imbalance_measures, tiers
    from evenly.llm.engine.endpoint import keys_from
    from evenly.params.datasets import read_entry
    from evenly.params.models import LlmSettings
    from evenly.params.project import read_params
    from evenly.planning import make_plans
    from evenly.plans import write_plan
    from evenly.samples import read_samples

    params = read_params()
    train = read_samples("data/split/train.parquet")
    entry = read_entry(params.dataset)
    groups = group_counts(train) if train.has("attribute") else None
    encoded = encodes_images("data/features/featurizer")
    plans = make_plans(train.counts, train.schema, params, entry, keys_from(os.environ), groups, encoded)

    train_plan, settings = plans.train, plans.train.settings
    if train_plan.asked is not None and isinstance(settings, LlmSettings):
        asked = train_plan.asked.with_prompt(Path("prompts", settings.prompt))
        train_plan = train_plan.model_copy(update={"asked": asked})

    write_plan(plans.llm, "data/plan/llm.json")
    write_plan(plans.imported, "data/plan/imported.json")
    write_plan(plans.generate, "data/plan/generate.json")
    write_plan(plans.augment, "data/plan/augment.json")
    write_plan(plans.resample, "data/plan/resample.json")
    write_plan(train_plan, "data/plan/train.json")
    write_plan(plans.mine, "data/plan/mine.json")
    write_plan(plans.finetune, "data/plan/finetune.json")

    measures = {name: imbalance_measures(counts) for name, counts in plans.expected.items()}
    found = {**measures, "tiers": tiers(train.counts, params.tiers)}
    write_class_distribution(plans.expected, "plots/analyze")
    if plans.groups:
        found["groups"] = group_measures(plans.groups)
        write_class_distribution(plans.groups, "plots/analyze", unit="group")
    write_json(found, "metrics/imbalance.json")

    real = measures["train"]
    print(
        f"{real['rows']} training rows in {real['classes']} classes, "
        f"imbalance ratio {real['imbalance_ratio']:g}, "
        f"Gini {real['gini']:.3f}; recipe {params.balancing!r}, "
        f"model {plans.train.model}, loss {plans.train.loss}"
    )


if __name__ == "__main__":
    run(main)
