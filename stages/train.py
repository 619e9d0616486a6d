"""Fit the classifier of the plan on the balanced training rows; validation rows choose when to stop."""

from __future__ import annotations

import time

from stages import run


def main() -> None:
    """Plan, balanced train and validation in; model folder and training metrics out."""
    from evenly.classifiers import build_classifier
    from evenly.classifiers.progress import training_log, write_metrics
    from evenly.errors import DataError
    from evenly.features import load_featurizer
    from evenly.files import write_json
    from evenly.plans import TrainPlan, read_plan
    from evenly.samples import read_samples

    plan = read_plan(TrainPlan, "data/plan/train.json")
    if plan is None:
        raise DataError("data/plan/train.json is empty; run `dvc repro analyze` to make it.")
    train = read_samples("data/balanced/train.parquet")
    validation = read_samples("data/split/val.parquet", train.schema)
    classifier = build_classifier(plan, train.schema, load_featurizer("data/features/featurizer"))

    start = time.perf_counter(), time.process_time()
    with training_log("metrics/train", plan.training.epochs, show=print) as log:
        summary = classifier.fit(train, validation, log)
    seconds = {"wall_s": time.perf_counter() - start[0], "cpu_s": time.process_time() - start[1]}

    write_metrics(summary, "metrics/train")
    classifier.save("models/train")
    write_json(seconds | {"train_rows": len(train)}, "logs/train.json")
    for note in summary.notes:
        print(note)
    scores = ", ".join(
        f"{name} {value:.3f}" for name, value in summary.metrics.items() if name != "learning_rate"
    )
    print(f"{plan.model} with {plan.loss} on {len(train)} rows: {scores}")


if __name__ == "__main__":
    run(main)
