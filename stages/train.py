"""Fit the classifier of the plan on the balanced training rows; validation rows choose when to stop."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import nullcontext
from pathlib import Path

from stages import run, vector_cache

TRAIN, VALIDATION = "data/balanced/train.parquet", "data/split/val.parquet"
FEATURIZER = "data/features/featurizer"


def main() -> None:
    """Plan, balanced train and validation in; model folder and training metrics out."""
    from evenly.classifiers import build_classifier
    from evenly.classifiers.classifier import no_log
    from evenly.classifiers.progress import headline, training_environment, training_log, write_metrics
    from evenly.classifiers.training.checkpoints import training_key
    from evenly.classifiers.weights import origin_weights
    from evenly.errors import DataError
    from evenly.features import load_featurizer
    from evenly.files import write_json
    from evenly.plans import TrainPlan, read_plan
    from evenly.samples import read_samples

    plan = read_plan(TrainPlan, "data/plan/train.json")
    if plan is None:
        raise DataError("data/plan/train.json is empty; run `dvc repro analyze` to make it.")
    train = read_samples(TRAIN)
    validation = read_samples(VALIDATION, train.schema)
    classifier = build_classifier(plan, train.schema, load_featurizer(FEATURIZER, vector_cache()))
    weight = origin_weights(train, plan.synthetic_weight)
    # In the original workspace, where a training that was killed in a temporary one finds them again.
    key = training_key(plan, [TRAIN, VALIDATION, FEATURIZER])
    checkpoints = Path(os.environ.get("DVC_ROOT") or ".", ".cache", "checkpoints", key)
    writes = os.environ.get("RANK", "0") == "0"  # `accelerate launch` numbers its processes

    start = time.perf_counter(), time.process_time()
    live = training_log("metrics/train", plan.training.most_epochs, show=print)
    with live if writes else nullcontext(no_log) as log:
        summary = classifier.fit(train, validation, log, weight, checkpoints)
    seconds = {"wall_s": time.perf_counter() - start[0], "cpu_s": time.process_time() - start[1]}
    if not writes:
        return

    write_metrics(summary, "metrics/train")
    classifier.save("models/train")
    shutil.rmtree(checkpoints, ignore_errors=True)
    environment = training_environment(plan.threads)
    write_json(seconds | {"train_rows": len(train), "environment": environment}, "logs/train.json")
    for note in summary.notes:
        print(note)
    print(f"{plan.settings.title} with {plan.loss} on {len(train)} rows: {headline(summary)}")


if __name__ == "__main__":
    run(main)
