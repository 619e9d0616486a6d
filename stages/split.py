"""Split: raw data to train, validation and test sample tables, and a report of what was found on the way."""

from stages import run, source_roots


def main() -> None:
    from evenly.datasets.load import load_splits
    from evenly.files import write_json
    from evenly.params.datasets import read_entry
    from evenly.params.project import read_params
    from evenly.samples import write_samples

    params = read_params()
    splits = load_splits(read_entry(params.dataset), params.dataset, params.seed, source_roots())

    write_samples(splits.train, "data/split/train.parquet")
    write_samples(splits.validation, "data/split/val.parquet")
    write_samples(splits.test, "data/split/test.parquet")
    write_json(splits.report.to_json(), "metrics/split.json")

    for warning in splits.report.warnings:
        print(f"Warning: {warning}")
    print(f"{params.dataset}: {splits.report.summary()}")


if __name__ == "__main__":
    run(main)
