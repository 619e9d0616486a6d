"""Screening: keep the generated rows that deserve to be trained on, and say why the rest went."""

from stages import run, vector_cache

GENERATED = ("data/generated/llm.parquet", "data/generated/imported.parquet", "data/generated/model.parquet")
KEPT, REJECTED = "data/filtered/kept.parquet", "data/filtered/rejected.parquet"
REVIEWS, SPENT = "data/review/verdicts.csv", "metrics/llm.json"
REPORTS, PLOTS = "reports", "plots/filter"


def main() -> None:
    from evenly.files import write_json
    from evenly.samples import has_no_samples, write_no_samples
    from evenly.screening import write_nothing_generated

    if all(has_no_samples(path) for path in GENERATED):
        write_no_samples(KEPT)
        write_no_samples(REJECTED)
        write_json({"candidates": 0, "kept": 0, "relabelled": 0, "rejected": 0}, "metrics/filter.json")
        write_nothing_generated(REPORTS, PLOTS)
        print("filter: nothing was generated")
        return
    screen_generated()


def screen_generated() -> None:
    import os
    from pathlib import Path

    from evenly.features.featurizer import load_featurizer
    from evenly.files import read_json, write_json
    from evenly.params.project import read_params
    from evenly.plans import LlmPlan, read_plan
    from evenly.samples import concatenate, read_samples, write_samples
    from evenly.screening.pages import genuine_sentence, write_pages
    from evenly.screening.review import read_reviews
    from evenly.screening.screen import screen

    params, plan = read_params(), read_plan(LlmPlan, "data/plan/llm.json")
    train = read_samples("data/split/train.parquet")
    by_llm, *others = (read_samples(path, train.schema) for path in GENERATED)
    planned = plan.requested if plan is not None else by_llm.counts
    judge = None
    if params.filter.judge is not None:
        from evenly.llm.judging import llm_judge

        notes = plan.notes if plan is not None else {}
        column = plan.label_column if plan is not None else None
        spent = read_json(SPENT) if Path(SPENT).exists() else None
        judge = llm_judge(params.llm, train, notes, os.environ, spent, column)
    screening = screen(
        concatenate([by_llm, *others]),
        train=train,
        validation=read_samples("data/split/val.parquet"),
        test=read_samples("data/split/test.parquet"),
        settings=params.filter,
        featurizer=load_featurizer("data/features/featurizer", vector_cache()),
        seed=params.seed,
        judge=judge,
        review=read_reviews(REVIEWS) if Path(REVIEWS).exists() else None,
        requested={
            name: planned.get(name, 0) + sum(t.counts[name] for t in others) for name in train.classes
        },
    )
    write_samples(screening.kept, KEPT)
    write_samples(screening.rejected, REJECTED)
    write_json(screening.report, "metrics/filter.json")
    write_pages(screening, REPORTS, PLOTS, share=params.filter.review_share, seed=params.seed)
    if sentence := genuine_sentence(screening.report["genuine"]):
        print(f"filter: {sentence}")
    for check, reasons in screening.report["skipped"].items():
        for why in reasons:
            if why.startswith("class "):
                print(f"filter: {check} does not hold for {why}")
    warnings = len(screening.report["warnings"])
    print(
        f"filter: {screening.report['kept']:,} of {screening.report['candidates']:,} candidates kept"
        + (f", {warnings} warnings in {REPORTS}/augmentation.md" if warnings else "")
    )


if __name__ == "__main__":
    run(main)
