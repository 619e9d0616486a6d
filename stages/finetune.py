"""Train the model on with hard examples, and keep the better of the two, as data/plan/finetune.json asks."""

from stages import asks_nothing, run, vector_cache

TRAINED, TRAIN = "models/train", "data/balanced/train.parquet"
HARD, VALIDATION = "data/hard/hard.parquet", "data/split/val.parquet"
MODEL, METRICS = "models/finetune", "metrics/finetune"


def main() -> None:
    from evenly.files import write_json

    if asks_nothing("data/plan/finetune.json"):
        why = "no recipe asks for a second round"
        write_json({"kept": "train", "why": why}, f"{MODEL}/model.json")
        write_json({}, f"{METRICS}/metrics.json")
        print("finetune: nothing to do")
        return

    from evenly.plans import FinetunePlan, read_plan

    plan = read_plan(FinetunePlan, "data/plan/finetune.json")
    assert plan is not None

    import os
    import shutil
    import time
    from contextlib import nullcontext
    from pathlib import Path

    from evenly.classifiers.classifier import no_log
    from evenly.classifiers.progress import headline, training_environment, training_log, write_metrics
    from evenly.classifiers.training.checkpoints import training_key
    from evenly.finetuning import finetune, write_finetuned
    from evenly.samples import read_samples

    train = read_samples(TRAIN)
    hard, validation = read_samples(HARD, train.schema), read_samples(VALIDATION, train.schema)
    key = training_key(plan, [TRAINED, TRAIN, HARD, VALIDATION])
    checkpoints = Path(os.environ.get("DVC_ROOT") or ".", ".cache", "checkpoints", key)
    writes = os.environ.get("RANK", "0") == "0"  # `accelerate launch` numbers its processes

    start = time.perf_counter(), time.process_time()
    live = training_log(METRICS, plan.training.most_epochs, show=print)
    with live if writes else nullcontext(no_log) as log:
        tuned = finetune(TRAINED, plan, train, hard, validation, log, checkpoints, vector_cache())
    seconds = {"wall_s": time.perf_counter() - start[0], "cpu_s": time.process_time() - start[1]}
    if not writes:
        return

    write_metrics(tuned.summary, METRICS, tuned.verdict())
    write_finetuned(tuned, MODEL)
    shutil.rmtree(checkpoints, ignore_errors=True)
    environment = training_environment(plan.threads)
    write_json(seconds | {"hard_rows": len(hard), "environment": environment}, "logs/finetune.json")
    if tuned.summary is not None:
        print(f"{len(hard)} hard rows: {headline(tuned.summary)}")
    print(f"finetune: kept the model of {tuned.kept}: {tuned.why}")


if __name__ == "__main__":
    run(main)
