"""Imported: the rows made elsewhere that data/plan/imported.json names, from data/imported."""

from stages import asks_nothing, run

OUTPUT = "data/generated/imported.parquet"


def main() -> None:
    from evenly.samples import write_no_samples

    if asks_nothing("data/plan/imported.json"):
        write_no_samples(OUTPUT)
        print("imported: nothing to do")
        return

    from evenly.plans import ImportedPlan, read_plan

    plan = read_plan(ImportedPlan, "data/plan/imported.json")
    assert plan is not None

    from evenly.datasets.imported import find_origins, read_imported
    from evenly.samples import read_samples, write_samples

    train = read_samples("data/split/train.parquet")
    origins = find_origins(plan.dataset, plan.origins, plan.where)
    samples = read_imported(plan.dataset, origins, train.schema)
    write_samples(samples, OUTPUT)
    print(f"imported: {len(samples):,} rows of {', '.join(origins)}")


if __name__ == "__main__":
    run(main)
