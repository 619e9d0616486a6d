"""Screening: keep the generated rows that deserve to be trained on, and say why the rest went."""

from stages import run

GENERATED = ("data/generated/llm.parquet", "data/generated/model.parquet")
KEPT, REJECTED = "data/filtered/kept.parquet", "data/filtered/rejected.parquet"
REVIEWS = "data/review/verdicts.csv"
PAGES = "reports/filter"


def main() -> None:
    from evenly.files import write_json, write_text
    from evenly.samples import has_no_samples, write_no_samples

    if all(has_no_samples(path) for path in GENERATED):
        write_no_samples(KEPT)
        write_no_samples(REJECTED)
        write_json({"candidates": 0, "kept": 0, "relabelled": 0, "rejected": 0}, "metrics/filter.json")
        write_text("# Generated samples\n\nNothing was generated.\n", f"{PAGES}/augmentation.md")
        print("filter: nothing was generated")
        return
    screen_generated()


def screen_generated() -> None:
    from pathlib import Path

    from evenly.features.featurizer import load_featurizer
    from evenly.files import write_json
    from evenly.params.project import read_params
    from evenly.samples import concatenate, read_samples, write_samples
    from evenly.screening.pages import write_pages
    from evenly.screening.review import read_reviews
    from evenly.screening.screen import screen

    params = read_params()
    train = read_samples("data/split/train.parquet")
    screening = screen(
        concatenate([read_samples(path, train.schema) for path in GENERATED]),
        train=train,
        validation=read_samples("data/split/val.parquet"),
        test=read_samples("data/split/test.parquet"),
        settings=params.filter,
        featurizer=load_featurizer("data/features"),
        seed=params.seed,
        review=read_reviews(REVIEWS) if Path(REVIEWS).exists() else None,
    )
    write_samples(screening.kept, KEPT)
    write_samples(screening.rejected, REJECTED)
    write_json(screening.report, "metrics/filter.json")
    write_pages(screening, PAGES, share=params.filter.review_share, seed=params.seed)
    print(f"filter: {screening.report['kept']:,} of {screening.report['candidates']:,} candidates kept")


if __name__ == "__main__":
    run(main)
