"""Generation: no recipe of this version trains a generator, so the table is empty."""

from stages import run


def main() -> None:
    from evenly.files import write_json
    from evenly.samples import write_no_samples

    write_no_samples("data/generated/model.parquet")
    write_json({}, "metrics/generate.json")


if __name__ == "__main__":
    run(main)
