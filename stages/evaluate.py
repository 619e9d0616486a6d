"""Evaluate: opens the test split for the first time; metrics, decision rules, plots, predictions, report."""

from stages import run


def main() -> None:
    from pathlib import Path

    from evenly.classifiers.storage import read_manifest
    from evenly.evaluation.evaluate import evaluate
    from evenly.evaluation.remarks import summary
    from evenly.evaluation.run import load_models, write_evaluation
    from evenly.files import read_json
    from evenly.params.project import read_params
    from evenly.samples import read_samples

    params = read_params()
    plan = read_manifest(Path("models/train")).plan
    models = load_models("models")
    evaluation = evaluate(
        models,
        train=read_samples("data/split/train.parquet"),
        balanced=read_samples("data/balanced/train.parquet"),
        validation=read_samples("data/split/val.parquet"),
        test=read_samples("data/split/test.parquet"),
        settings=params.evaluate,
        prior=params.deployment_prior,
        seed=params.seed,
    )
    write_evaluation(
        evaluation,
        ".",
        title=f"{params.dataset} · {params.balancing}",
        facts={
            "data set": params.dataset,
            "modality": evaluation.test.modality,
            "recipe": params.balancing,
            "model": plan.model,
            "loss": plan.loss,
            "sampler": plan.sampler,
            "seed": params.seed,
            "final model": evaluation.final.name,
        },
        stages={name: read_json(f"metrics/{name}.json") for name in ("split", "filter", "resample")},
    )
    print(summary(evaluation))


if __name__ == "__main__":
    run(main)
