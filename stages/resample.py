"""Resample: assembles the training table and brings its classes to their targets."""

from stages import run, vector_cache

PLAN = "data/plan/resample.json"
ADDITIONS = ("data/filtered/kept.parquet", "data/augmented/augmented.parquet")


def main() -> None:
    from evenly.distribution import growing, write_class_distribution
    from evenly.files import read_json, write_json
    from evenly.groups import group_counts
    from evenly.imbalance import group_measures, imbalance_measures
    from evenly.resampling import assemble
    from evenly.resampling.report import untouched
    from evenly.samples import read_samples, write_samples

    train = read_samples("data/split/train.parquet")
    kept, augmented = (read_samples(path, train.schema) for path in ADDITIONS)
    table = assemble(train, [kept, augmented])
    steps = growing(train.counts, {"kept": kept.counts, "augment": augmented.counts})
    report = untouched(table.counts)
    if read_json(PLAN):  # a recipe without resampling must not pay for imports
        from evenly.features import load_featurizer
        from evenly.plans import ResamplePlan, read_plan
        from evenly.resampling.resample import resample

        plan = read_plan(ResamplePlan, PLAN)
        assert plan is not None
        table, report = resample(table, plan, load_featurizer("data/features/featurizer", vector_cache()))
        steps["resample"] = table.counts
    write_samples(table, "data/balanced/train.parquet")
    imbalance = {step: imbalance_measures(counts) for step, counts in steps.items()}
    found = {**report.to_json(), "imbalance": imbalance}
    if report.unit == "group":
        found["imbalance_of_groups"] = group_measures(
            {"train": group_counts(train), "resample": group_counts(table)}
        )
    write_json(found, "metrics/resample.json")
    write_class_distribution(steps, "plots/resample", picture=len(steps) > 1)
    for message in report.messages():
        print(f"resample: {message}")
    print(f"resample: {len(train)} real rows, {len(table)} in the balanced table ({report.method})")


if __name__ == "__main__":
    run(main)
