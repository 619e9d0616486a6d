"""Train the generator of data/plan/generate.json on the training rows, and sample it to the plan."""

from stages import asks_nothing, run

OUTPUT = "data/generated/model.parquet"
METRICS = "metrics/generate.json"
PLOTS = "plots/generate"


def main() -> None:
    from pathlib import Path

    from evenly.files import write_json
    from evenly.samples import read_samples, write_no_samples, write_samples

    Path(PLOTS).mkdir(parents=True, exist_ok=True)
    if asks_nothing("data/plan/generate.json"):
        write_no_samples(OUTPUT)
        write_json({}, METRICS)
        print("generate: nothing to do")
        return

    from evenly.plans import GeneratePlan, read_plan

    plan = read_plan(GeneratePlan, "data/plan/generate.json")
    assert plan is not None

    from evenly.classifiers.progress import training_log
    from evenly.generators.generate import generate

    train = read_samples("data/split/train.parquet")
    with training_log(f"{PLOTS}/training", plan.generator.checkpoints, show=print) as log:
        made = generate(train, plan, log, Path(PLOTS) / "samples")
    if made.samples is None:
        write_no_samples(OUTPUT)
    else:
        write_samples(made.samples, OUTPUT)
    write_json(made.metrics, METRICS)
    write_json(made.seconds, "logs/generate.json")

    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in made.seconds.items())
    print(f"generate: {made.metrics['made']} of {made.metrics['asked']} rows by {plan.kind} ({spent})")
    for sentence in [*plan.fallbacks.values(), *made.metrics["remarks"]]:
        print(f"  {sentence}")


if __name__ == "__main__":
    run(main)
