"""Make label-preserving transforms of training rows, as data/plan/augment.json asks."""

from stages import asks_nothing, run

OUTPUT = "data/augmented/augmented.parquet"


def main() -> None:
    from evenly.samples import read_samples, write_no_samples, write_samples

    if asks_nothing("data/plan/augment.json"):
        write_no_samples(OUTPUT)
        print("offline_augment: nothing to do")
        return

    from evenly.plans import AugmentPlan, read_plan

    plan = read_plan(AugmentPlan, "data/plan/augment.json")
    assert plan is not None

    import time

    from evenly.augmentation import augment
    from evenly.groups import group_counts

    train = read_samples("data/split/train.parquet")
    start = time.perf_counter()
    augmented = augment(train, plan)
    seconds = time.perf_counter() - start
    write_samples(augmented, OUTPUT)

    made, planned = len(augmented), sum(plan.counts.values())
    short = f" of {planned} asked for" if made < planned else ""
    rate = made / max(seconds, 1e-9)
    print(f"offline_augment: {made} rows{short} in {seconds:.1f} s ({rate:,.0f} a second)")
    counts = augmented.counts if plan.balance_on == "class" else group_counts(augmented)
    for name, wanted in plan.counts.items():
        if counts.get(name, 0) < wanted:
            print(
                f"  {plan.balance_on} {name}: {counts.get(name, 0)} of {wanted}; "
                "its rows cannot be varied further"
            )


if __name__ == "__main__":
    run(main)
