"""Find the training rows that the model gets wrong or nearly so, as data/plan/mine.json asks."""

from stages import asks_nothing, run, vector_cache

HARD = "data/hard/hard.parquet"
SUSPECTS = "reports/suspect_labels.csv"
METRICS = "metrics/mining.json"
PLOTS = "plots/mining"


def main() -> None:
    from evenly.files import write_json
    from evenly.samples import read_samples, write_no_samples, write_samples

    if asks_nothing("data/plan/mine.json"):
        from evenly.mining import write_nothing_mined

        write_no_samples(HARD)
        write_nothing_mined(SUSPECTS, PLOTS)
        write_json({}, METRICS)
        print("mine_hard_examples: nothing to do")
        return

    from evenly.plans import MinePlan, read_plan

    plan = read_plan(MinePlan, "data/plan/mine.json")
    assert plan is not None

    from pathlib import Path

    from evenly.classifiers import load_classifier
    from evenly.classifiers.classifier import read_manifest
    from evenly.features import load_featurizer
    from evenly.mining.mine import mine
    from evenly.mining.outputs import mining_metrics, summary, write_plots, write_suspects

    mined = mine(
        load_classifier("models/train", vector_cache()),
        read_samples("data/balanced/train.parquet"),
        plan,
        read_manifest(Path("models/train")).plan,
        load_featurizer("data/features/featurizer", vector_cache()),
    )
    if len(mined.hard):
        write_samples(mined.hard, HARD)
    else:
        write_no_samples(HARD)
    write_suspects(mined, SUSPECTS)
    write_plots(mined, PLOTS)
    write_json(mining_metrics(mined), METRICS)
    print(f"mine_hard_examples: {summary(mined)}")


if __name__ == "__main__":
    run(main)
