from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparison_projects import MakeRun
from rich.console import Console

from evenly.comparison.leaderboards import compare
from evenly.comparison.recommendation import (
    Effort,
    Recommendation,
    effort,
    efforts,
    rare_class,
    recommendation,
)
from evenly.comparison.report import write_comparison
from evenly.comparison.tables import print_comparison
from evenly.comparison.techniques import fields
from evenly.experiments.runs import Run

#: What recipes of each kind say, as a run knows it.
DOES: dict[str, dict[str, Any]] = {
    "none": {},
    "class_weights": {"recipe.train.loss": "weighted"},
    "smote": {"recipe.resample.method": "smote"},
    "offline_augmentation": {"recipe.augment.policy": "auto"},
    "vae": {"recipe.generate.kind": "vae"},
    "llm": {"recipe.llm.samples_per_call": 10},
    "hard_examples": {"recipe.mining.by": "misclassified", "recipe.finetune.ratio": 1.0},
}
NOISE = (-0.01, 0.0, 0.01, 0.0, 0.0)


def sweep(make_run: MakeRun, means: dict[str, float], **others: Any) -> list[Run]:
    """Five seeds of each recipe about a mean, on validation as on test rows."""
    runs = []
    for place, (recipe, mean) in enumerate(means.items()):
        loss = "weighted" if recipe == "class_weights" else "cross_entropy"
        runs += [
            make_run(recipe, seed, mean + float(noise), settings=DOES[recipe], loss=loss, **others)
            for seed, noise in enumerate(np.roll(NOISE, place))
        ]
    return runs


def advised(runs: list[Run], metric: str = "macro_f1") -> Recommendation:
    found = recommendation(compare(runs, metric).leaderboards[0])
    assert found is not None
    return found


def test_the_simplest_technique_within_one_standard_error_is_recommended(make_run: MakeRun) -> None:
    found = advised(sweep(make_run, {"none": 0.8, "llm": 0.9, "offline_augmentation": 0.897, "smote": 0.896}))
    assert (found.best, found.name, found.effort) == ("llm", "smote", Effort.RESAMPLING)
    assert list(found.within) == ["smote", "offline_augmentation", "llm"]
    assert "Recommended: smote." in found.sentence
    assert "On validation rows llm has the best macro F1 (.900" in found.sentence
    assert "Breiman et al. 1984" in found.sentence


def test_the_standard_error_allows_for_seeds_that_share_rows(make_run: MakeRun) -> None:
    found = advised(sweep(make_run, {"none": 0.8, "smote": 0.9}))
    # 1/n + test rows over the others, times the variance over seeds (Nadeau & Bengio 2003).
    assert found.standard_error == pytest.approx(math.sqrt((1 / 5 + 0.25) * np.var(NOISE, ddof=1)))


def test_what_is_further_than_one_standard_error_below_is_not_recommended(make_run: MakeRun) -> None:
    found = advised(sweep(make_run, {"none": 0.8, "smote": 0.9}))
    assert found.name == found.best == "smote"
    assert "nothing simpler comes within one standard error" in found.sentence
    assert "beats no balancing by .100" in found.sentence


def test_doing_nothing_is_recommended_where_nothing_is_better_by_more(make_run: MakeRun) -> None:
    found = advised(sweep(make_run, {"none": 0.8, "smote": 0.801, "llm": 0.802}))
    assert found.name == "none"
    assert found.sentence.startswith("Recommended: no balancing.")


@pytest.mark.parametrize(
    ("simpler", "harder"),
    [
        ("none", "class_weights"),
        ("class_weights", "smote"),
        ("smote", "offline_augmentation"),
        ("offline_augmentation", "vae"),
        ("vae", "llm"),
        ("llm", "hard_examples"),
    ],
)
def test_the_order_of_simplicity(make_run: MakeRun, simpler: str, harder: str) -> None:
    means = {"none": 0.5} | {simpler: 0.9, harder: 0.901}
    assert advised(sweep(make_run, means)).name == simpler


def test_a_decision_rule_is_as_simple_as_weights_and_simpler_than_rows(make_run: MakeRun) -> None:
    runs = sweep(make_run, {"none": 0.8}, rules={"logit_adjustment": 0.9})
    runs += sweep(make_run, {"smote": 0.9})
    assert advised(runs).name == "none + logit adjustment"


def test_parts_count_where_two_techniques_ask_for_as_much(make_run: MakeRun) -> None:
    both = {**DOES["llm"], **DOES["smote"]}
    runs = sweep(make_run, {"none": 0.5, "llm": 0.9})
    runs += [make_run("llm_smote", seed, 0.901 + noise, settings=both) for seed, noise in enumerate(NOISE)]
    assert advised(runs).name == "llm"
    assert effort(fields(runs)[0].techniques["llm_smote"]) == (Effort.LANGUAGE_MODEL, 2)


def test_settings_outside_the_recipe_count_as_well() -> None:
    assert efforts({"recipe.model": "llm"}, "cross_entropy") == [Effort.LANGUAGE_MODEL]
    assert efforts({"train.sampler": "class_balanced"}, "focal") == [Effort.RESAMPLING, Effort.DECIDING]
    assert efforts({"train.sampler": "uniform", "train.mix": None, "recipe.llm": None}, "cross_entropy") == []


def test_test_rows_choose_nothing(make_run: MakeRun) -> None:
    runs = sweep(make_run, {"none": 0.8, "smote": 0.9}, validation=None)
    runs += [make_run("llm", s, 0.99, validation=0.6 + n, settings=DOES["llm"]) for s, n in enumerate(NOISE)]
    assert advised(runs).best == "smote"


def test_a_metric_of_which_less_is_better_is_turned_round(make_run: MakeRun) -> None:
    runs = sweep(make_run, {"none": 0.8}, nll=0.3) + sweep(make_run, {"smote": 0.8}, nll=0.5)
    assert advised(runs, "nll").name == "none"


def test_techniques_without_all_seeds_are_named_and_not_considered(make_run: MakeRun) -> None:
    runs = sweep(make_run, {"none": 0.8}) + sweep(make_run, {"smote": 0.99})[:3]
    found = advised(runs)
    assert found.name == "none" and found.left_out == ("smote",)
    assert "Not considered" in found.sentence and "smote" in found.sentence


def test_one_seed_recommends_nothing(make_run: MakeRun) -> None:
    assert recommendation(compare([make_run("none", 1), make_run("smote", 1)]).leaderboards[0]) is None


def test_every_report_begins_with_the_recommendation(make_run: MakeRun, tmp_path: Path) -> None:
    comparison = compare(sweep(make_run, {"none": 0.8, "smote": 0.9}))
    write_comparison(comparison, tmp_path)
    sentence = advised(sweep(make_run, {"none": 0.8, "smote": 0.9})).sentence
    markdown = (tmp_path / "comparison.md").read_text()
    assert markdown.index(sentence) < markdown.index("| Technique")
    page = (tmp_path / "comparison.html").read_text()
    assert page.index("What to take") < page.index("Verdicts")
    found = json.loads((tmp_path / "comparison.json").read_text())["leaderboards"][0]["recommendation"]
    assert found["name"] == "smote" and found["sentence"] == sentence
    with (tmp_path / "printed").open("w") as file:
        console = Console(width=400, record=True, file=file)
        print_comparison(comparison, console)
    assert console.export_text().lstrip().startswith(sentence)


def test_validation_rows_that_cannot_tell_techniques_apart_are_said_to(make_run: MakeRun) -> None:
    means = {"none": 0.7, "smote": 0.85}
    runs = [
        make_run(recipe, seed, mean + noise, validation=1.0, settings=DOES[recipe], validation_rows=8)
        for place, (recipe, mean) in enumerate(means.items())
        for seed, noise in enumerate(np.roll(NOISE, place))
    ]
    sentence = advised(runs).sentence
    assert "Recommended: no balancing." in sentence
    assert "Beware: on test rows, smote beats no balancing by .150" in sentence
    assert "the 8 validation rows score all techniques the same" in sentence and "would settle it" in sentence


def test_a_recommendation_that_test_rows_contradict_says_so(make_run: MakeRun) -> None:
    runs = sweep(make_run, {"none": 0.8})
    runs += [
        make_run("smote", seed, 0.75 + noise, validation=0.9 + noise, settings=DOES["smote"])
        for seed, noise in enumerate(np.roll(NOISE, 1))
    ]
    sentence = advised(runs).sentence
    assert "Recommended: smote." in sentence and "falls behind no balancing" in sentence
    assert "Beware: test rows contradict the validation rows" in sentence


@pytest.mark.parametrize(
    ("spread", "words"),
    [(0.01, "test rows exclude that it gains .010 or more"), (2, "test rows do not show that it helps")],
)
def test_a_recommendation_that_test_rows_do_not_bear_out_says_so(
    make_run: MakeRun, spread: float, words: str
) -> None:
    runs = sweep(make_run, {"none": 0.8})
    differences = np.array([0.5, -1, 1.5, -1, 0.5]) * 0.01 * spread
    runs += [
        make_run("smote", seed, 0.8 + noise + more, validation=0.9 + noise, settings=DOES["smote"])
        for seed, (noise, more) in enumerate(zip(NOISE, differences, strict=True))
    ]
    sentence = advised(runs).sentence
    assert "Recommended: smote." in sentence and "Beware: the validation rows favour it" in sentence
    assert words in sentence


def test_what_the_rule_of_one_standard_error_passes_over_is_no_contradiction(make_run: MakeRun) -> None:
    sentence = advised(sweep(make_run, {"none": 0.8, "llm": 0.9, "smote": 0.896})).sentence
    assert "On validation rows llm has the best" in sentence and "Recommended: smote." in sentence
    assert "Beware" not in sentence


def test_the_rare_class_is_told_without_balancing_and_by_what_is_taken(make_run: MakeRun) -> None:
    def scored(recipe: str, seed: int, f1: float, recall: float) -> Run:
        run = make_run(recipe, seed, f1, settings=DOES[recipe])
        rare = {"rare_f1": f1, "rare_recall": recall, "rare_class": "fraud"}
        return replace(run, scores={"test": {**run.scores["test"], **rare}})

    runs = [scored("none", seed, 0.5 + seed / 100, 0.4) for seed in (1, 2, 3)]
    runs += [scored("smote", seed, 0.7 + seed / 100, 0.6) for seed in (1, 2, 3)]
    board = compare(runs).leaderboards[0]
    found = rare_class(board, "smote")
    assert found is not None
    assert found.startswith("The rare class, fraud, from no balancing to")
    assert found.endswith("mean over seeds on test rows: F1 .520 → .720, recall .400 → .600.")
    alone = rare_class(board, "none")
    assert alone is not None and "without balancing" in alone and alone.endswith("F1 .520, recall .400.")
    assert rare_class(compare(sweep(make_run, {"none": 0.8})).leaderboards[0], "none") is None
