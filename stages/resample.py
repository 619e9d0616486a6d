"""Resample: assembles the training table and brings its classes to their targets."""

from stages import run

PLAN = "data/plan/resample.json"
ADDITIONS = ("data/filtered/kept.parquet", "data/augmented/augmented.parquet")


def main() -> None:
    from evenly.files import read_json, write_json
    from evenly.samples import read_samples, write_samples
    from evenly.synthesis.resampling.assembly import assemble
    from evenly.synthesis.resampling.report import untouched

    train = read_samples("data/split/train.parquet")
    table = assemble(train, [read_samples(path, train.schema) for path in ADDITIONS])
    report = untouched(table.counts)
    if read_json(PLAN):  # a recipe without resampling must not pay for imports
        from evenly.features import load_featurizer
        from evenly.plans import ResamplePlan, read_plan
        from evenly.synthesis.resampling.resample import resample

        plan = read_plan(ResamplePlan, PLAN)
        assert plan is not None
        table, report = resample(table, plan, load_featurizer("data/features/featurizer"))
    write_samples(table, "data/balanced/train.parquet")
    write_json(report.to_json(), "metrics/resample.json")
    for message in report.messages():
        print(f"resample: {message}")
    print(f"resample: {len(train)} real rows, {len(table)} in the balanced table ({report.method})")


if __name__ == "__main__":
    run(main)
