"""Evaluate: opens the test split for the first time; metrics, decision rules, plots, predictions, report."""

from stages import run, vector_cache


def main() -> None:
    from pathlib import Path

    import numpy as np

    from evenly.classifiers.classifier import read_manifest
    from evenly.evaluation.decisions import write_rules
    from evenly.evaluation.evaluate import evaluate, load_models, model_folders
    from evenly.evaluation.examples import ExampleRows
    from evenly.evaluation.outputs import write_evaluation
    from evenly.evaluation.remarks import summary
    from evenly.evaluation.robustness import robustness
    from evenly.features import load_featurizer
    from evenly.files import read_json
    from evenly.params.project import read_params
    from evenly.quality.compare import quality_by_origin
    from evenly.samples import read_samples

    params = read_params()
    plan = read_manifest(Path("models/train")).plan
    train, validation, test = (
        read_samples(f"data/split/{name}.parquet") for name in ("train", "val", "test")
    )
    balanced = read_samples("data/balanced/train.parquet")
    models = load_models("models", vector_cache())
    evaluation = evaluate(
        models,
        train=train,
        balanced=balanced,
        validation=validation,
        test=test,
        settings=params.evaluate,
        prior=params.deployment_prior,
        seed=params.seed,
    )
    quality = None
    if params.evaluate.quality == "auto":
        quality = quality_by_origin(
            balanced,
            train=train,
            held_out=validation,
            unseen=test,
            featurizer=load_featurizer("data/features/featurizer", vector_cache()),
            seed=params.seed,
            threads=plan.threads,
        )
    points = []
    if params.evaluate.robustness and plan.asked is not None:
        print("Damaged test rows are left out: each would be asked about, and paid for.")
    elif params.evaluate.robustness:
        bins = params.evaluate.calibration_bins
        points = robustness(models, test, seed=params.seed, bins=bins)
    write_evaluation(
        evaluation,
        ".",
        title=f"{params.dataset} · {params.balancing}",
        facts={
            "data set": params.dataset,
            "modality": evaluation.test.modality,
            "recipe": params.balancing,
            "model": plan.settings.title,
            "loss": plan.loss,
            "sampler": plan.sampler,
            "seed": params.seed,
            "final model": evaluation.final.name,
        },
        stages={name: read_json(f"metrics/{name}.json") for name in ("split", "filter", "resample")},
        robustness=points,
        quality=quality,
        rows=ExampleRows(
            train,
            balanced,
            read_samples("data/filtered/rejected.parquet", train.schema),
            np.load("data/features/train.npy", allow_pickle=False),
            np.load("data/features/test.npy", allow_pickle=False),
            vectors=lambda some: load_featurizer("data/features/featurizer", vector_cache()).transform(some),
        ),
    )
    rules = [result.rule for result in evaluation.rules]
    final = model_folders("models")[evaluation.final.name]
    deployment = evaluation.deployment if evaluation.reweighted else None
    write_rules(
        rules,
        evaluation.chosen_rule,
        evaluation.classes,
        deployment=deployment,
        rare=evaluation.rare,
        sets=(evaluation.coverage, np.array([one.set_threshold for one in evaluation.per_class])),
        model=final,
    )
    print(summary(evaluation))


if __name__ == "__main__":
    run(main)
