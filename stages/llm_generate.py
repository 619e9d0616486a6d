"""LLM generation: new rows of the scarce classes from an OpenAI-compatible endpoint, never paid for twice.

With `--dry-run` it prints what is still to be asked and what that would cost, sends nothing and writes
nothing.
"""

import sys

from stages import asks_nothing, run


def main() -> None:
    from evenly.files import write_json
    from evenly.samples import read_samples, write_no_samples, write_samples

    if asks_nothing("data/plan/llm.json"):
        write_no_samples("data/generated/llm.parquet")
        write_json({}, "metrics/llm.json")
        print("llm_generate: nothing to do")
        return

    from evenly.plans import LlmPlan, read_plan

    plan = read_plan(LlmPlan, "data/plan/llm.json")
    assert plan is not None

    import os
    from pathlib import Path

    from rich.console import Console

    from evenly.llm.engine.endpoint import journal_folder, keys_from
    from evenly.llm.generate import generate_samples
    from evenly.llm.judging import planned_judge
    from evenly.llm.panel import watching
    from evenly.llm.preview import plan_estimate
    from evenly.llm.writing.prompts import Prompts
    from evenly.llm.writing.result import shortfalls
    from evenly.params.generation import read_engine_settings

    train, prompts = read_samples("data/split/train.parquet"), Prompts(Path("prompts"))
    settings = plan.model.applied_to(read_engine_settings("params.yaml"))
    folder = journal_folder(os.environ)
    if "--dry-run" in sys.argv[1:]:
        judge = planned_judge(plan, settings, train, os.environ)
        print("\n".join(plan_estimate(plan, train, prompts, settings, folder, judge).lines()))
        return

    with watching(Console(stderr=True)) as watch:
        generation = generate_samples(plan, train, prompts, settings, keys_from(os.environ), folder, watch)
    if generation.samples is None:
        write_no_samples("data/generated/llm.parquet")
    else:
        write_samples(generation.samples, "data/generated/llm.parquet")
    write_json(generation.metrics, "metrics/llm.json")

    m = generation.metrics
    cost = "unknown" if m["cost"] is None else f"{m['cost']:.4f}"
    print(
        f"llm_generate: {m['accepted']} of {m['wanted']} samples in {m['calls']} calls "
        f"({m['run']['from_journal']} answers from the journal), {m['tokens_paid']} tokens, cost {cost}"
    )
    for sentence in shortfalls(m):
        print(f"  short: {sentence}")


if __name__ == "__main__":
    run(main)
