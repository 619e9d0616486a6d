from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from comparison_projects import MakeRun

from evenly.comparison.findings import Failure
from evenly.comparison.leaderboards import compare
from evenly.comparison.plots import indistinct_groups
from evenly.comparison.recommendation import recommendation, recommendations
from evenly.comparison.report import write_comparison
from evenly.comparison.techniques import fields
from evenly.comparison.verdicts import headline, verdicts, verdicts_over_data_sets
from evenly.experiments.runs import Run
from evenly.resamples import Scored, shared_weights
from evenly.wording import decimal


def words(runs: list[Run]) -> str:
    return "\n".join(verdicts(compare(runs).leaderboards[0]))


def test_a_technique_that_helps_is_said_to_beat_no_balancing_with_its_interval(
    digits_runs: list[Run],
) -> None:
    board = compare(digits_runs).leaderboards[0]
    gain = board.of("offline_augmentation").against_baseline
    assert gain is not None
    said = f"beats no balancing by {decimal(gain.mean)} (95% {decimal(gain.low)} to {decimal(gain.high)})"
    assert f"offline_augmentation {said}" in words(digits_runs)
    assert 0.05 < gain.mean < 0.07 and gain.low < gain.mean < gain.high
    assert (gain.wins, gain.ties, gain.losses) == (5, 0, 0)


def test_what_cannot_be_told_apart_is_said_not_to_be(digits_runs: list[Run]) -> None:
    assert re.search(
        r"smote cannot be told from no balancing \([+−]\.\d{3}, 95% −\.\d{3} to \+\.\d{3}\)",
        words(digits_runs),
    )


def test_a_technique_read_as_vectors_beside_terms_is_said_not_to_be_all_that_differs(
    make_run: MakeRun,
) -> None:
    def runs(recipe: str, reads: str, asked: str = "auto") -> list[Run]:
        settings = {"models.logistic_regression.reads": asked}
        model = {"model": "logistic_regression", "reads": reads, "settings": settings}
        return [make_run(recipe, seed, 0.8 + 0.01 * seed, **model) for seed in range(3)]  # type: ignore[arg-type]

    forced = [*runs("none", "terms"), *runs("smote", "vectors"), *runs("random_oversampling", "terms")]
    assert "smote reads texts as vectors, no balancing as terms: the new rows have no text" in words(forced)
    assert "reads=vectors` tells the two apart" in words(forced)
    chosen = [*runs("none", "vectors", "vectors"), *runs("smote", "vectors", "vectors")]
    assert "as vectors" not in words(chosen)


def test_what_harms_falls_behind(digits_runs: list[Run]) -> None:
    assert re.search(
        r"adasyn falls behind no balancing by \.0[78]\d \(95% \.0\d\d to \.\d{3}\)", words(digits_runs)
    )


def test_the_summary_names_the_cheap_rival_that_no_technique_beats(digits_runs: list[Run]) -> None:
    summary = verdicts(compare(digits_runs).leaderboards[0])[0]
    assert "No technique that makes rows or trains longer is shown to beat the best cheap rival" in summary
    assert "none + logit adjustment" in summary


def test_nothing_helps_only_where_a_gain_worth_having_is_excluded(make_run: MakeRun) -> None:
    runs = [make_run("none", seed, 0.8 + 0.01 * seed) for seed in range(5)]
    alike = [make_run("smote", seed, 0.8 + 0.01 * seed + 0.001 * (seed % 2)) for seed in range(5)]
    assert verdicts(compare([*runs, *alike]).leaderboards[0])[0].startswith("Nothing helps: by macro F1")
    # The same gains, where a thousandth is of interest.
    assert "Cannot tell" in verdicts(compare([*runs, *alike], worth=0.001).leaderboards[0])[0]


def test_what_cannot_be_told_says_what_could_not_have_been_seen_and_what_would_show_it(
    make_run: MakeRun,
) -> None:
    runs = [make_run("none", seed, 0.8 + 0.01 * seed) for seed in range(5)]
    runs += [make_run("smote", seed, 0.8 + 0.01 * ((seed + 2) % 5)) for seed in range(5)]
    board = compare(runs).leaderboards[0]
    sentence = verdicts(board)[0]
    gain = board.of("smote").against_baseline
    assert gain is not None
    assert sentence.startswith("Cannot tell whether anything helps")
    assert f"below about {(gain.high - gain.low) / 2:.3f}".replace("0.", ".") in sentence
    assert "times as many rows" in sentence


def test_two_seeds_give_no_verdict(make_run: MakeRun) -> None:
    runs = [make_run("none", s, 0.5 + 0.001 * s) for s in (1, 2)] + [
        make_run("smote", s, 0.9) for s in (1, 2)
    ]
    comparison = compare(runs)
    assert verdicts(comparison.leaderboards[0])[0].startswith("Two seeds give no verdict")
    assert recommendations(comparison) == []
    assert not any(
        s.against_baseline and s.against_baseline.differs for s in comparison.leaderboards[0].standings
    )


def drawn(run: Run, names: Sequence[str], hits: Mapping[str, np.ndarray]) -> Run:
    """The run with what its rules score on resamples of rows, whose accuracy stands for macro F1."""
    weights = np.concatenate(list(shared_weights(names)))
    samples = {
        Scored(part, rule, "macro_f1"): (weights @ right) / weights.sum(axis=1)
        for rule, right in hits.items()
        for part in ("validation", "test")
    }
    return replace(run, resamples=samples)


def test_on_given_rows_that_all_seeds_score_alike_nothing_is_called_better(make_run: MakeRun) -> None:
    names = [f"row-{k}" for k in range(200)]
    plain, other = np.ones(200), np.ones(200)
    plain[:42], other[1:42] = 0, 0
    runs = []
    for seed in range(1, 7):
        for recipe, right in (("none", plain), ("smote", other)):
            run = make_run(recipe, seed, float(right.mean()), test_given=True)
            runs.append(drawn(run, names, {"argmax": right, "temperature": right}))
    board = compare(runs).leaderboards[0]
    gain = board.of("smote").against_baseline
    assert gain is not None and gain.mean == pytest.approx(0.005) and gain.wins == 6
    assert not gain.differs and gain.low < 0 < gain.high
    advised = recommendation(board)
    assert advised is not None and advised.name == "none"
    assert advised.standard_error == pytest.approx(0.029, abs=0.003)  # √(.79 · .21 / 200)


def test_every_technique_is_read_out_by_the_rule_that_validation_rows_choose(make_run: MakeRun) -> None:
    generator = np.random.default_rng(0)
    runs = []
    for seed in range(1, 6):
        noise = generator.normal(0, 0.003, 4)
        by_rule = {"logit_adjustment": 0.90 + noise[1], "tuned_thresholds": 0.85}
        runs.append(make_run("none", seed, 0.8 + noise[0], rules=by_rule))
        by_rule = {"logit_adjustment": 0.95 + noise[3], "tuned_thresholds": 0.9}
        runs.append(make_run("smote", seed, 0.86 + noise[2], rules=by_rule))
    comparison = compare(runs)
    board = comparison.leaderboards[0]
    best = board.standings[0]
    assert (best.name, best.rule, best.title) == ("smote", "logit_adjustment", "smote + logit adjustment")
    assert best.against_same_rule is not None and best.against_rival is not None
    # Like with like: what the rows did. The best against the best: what to take.
    assert best.against_same_rule.reference == "none + logit adjustment" == board.rival
    assert best.against_same_rule.mean == pytest.approx(0.05, abs=0.01)
    assert {reading.rule for reading in best.readings} == {
        "argmax", "temperature", "logit_adjustment", "tuned_thresholds",
    }  # fmt: skip
    advice = " ".join(recommendations(comparison))
    assert advice.startswith("Recommended: smote + logit adjustment.")
    assert "Free: on the same models of no balancing, logit adjustment" in advice
    sentence = next(s for s in verdicts(board) if s.startswith("smote + logit adjustment beats"))
    assert "under the same rule, smote beats none + logit adjustment" in sentence
    # Runs hold F1 by class of what is decided without a rule, on both sides.
    assert "F1 by class size, both without a rule: +.06" in sentence


def test_a_rule_is_never_chosen_on_test_rows(make_run: MakeRun) -> None:
    runs = []
    for seed in range(5):
        runs.append(make_run("none", seed, 0.8))
        run = make_run("smote", seed, 0.8, rules={"tuned_thresholds": 0.99})
        run.scores["decision_rules"]["tuned_thresholds"]["validation"]["macro_f1"] = 0.5
        runs.append(run)
    assert compare(runs).leaderboards[0].of("smote").rule == "argmax"


def test_one_seed_says_nothing(make_run: MakeRun) -> None:
    comparison = compare([make_run("none", 1, 0.5), make_run("smote", 1, 0.9)])
    assert verdicts(comparison.leaderboards[0])[0].startswith("One seed says nothing")
    assert comparison.leaderboards[0].of("smote").against_baseline is None


def test_without_a_run_of_none_nothing_is_claimed(make_run: MakeRun) -> None:
    assert "There is no run of `none`" in headline(compare([make_run("smote", s, 0.9) for s in (1, 2)]))


def test_the_rival_is_chosen_on_validation_and_not_on_test(make_run: MakeRun) -> None:
    runs = []
    for seed in range(5):
        # On test rows, class weights would look best; on validation rows they do not.
        rules = {"logit_adjustment": 0.85, "tuned_thresholds": 0.84}
        runs.append(make_run("none", seed, 0.8, rules=rules))
        runs.append(make_run("class_weights", seed, 0.95, validation=0.7))
    board = compare(runs).leaderboards[0]
    assert board.rival == "none + logit adjustment"
    assert board.standings[0].name == "class_weights"


def test_only_seeds_in_common_are_paired(make_run: MakeRun) -> None:
    runs = [make_run("none", seed, 0.8 + 0.01 * seed) for seed in range(1, 6)]
    runs += [make_run("smote", seed, 0.85 + 0.012 * seed) for seed in (2, 3, 9)]
    gain = compare(runs).leaderboards[0].of("smote").against_baseline
    assert gain is not None and gain.seeds == 2
    assert gain.mean == pytest.approx((0.054 + 0.056) / 2)


def test_p_values_are_adjusted_for_the_number_of_techniques(digits_runs: list[Run]) -> None:
    board = compare(digits_runs).leaderboards[0]
    gains = {s.name: s.against_baseline for s in board.standings if s.against_baseline}
    # The rival was chosen on validation rows, and a temperature decides as no balancing does.
    rival = gains.pop(str(board.rival))
    assert rival.holm_p == rival.p_value
    assert gains.pop("none + temperature").ties == 5
    smallest = min(gains.values(), key=lambda gain: gain.p_value)
    assert smallest.holm_p == pytest.approx(len(gains) * smallest.p_value)


def test_no_balancing_against_the_rival_is_the_rival_against_no_balancing(digits_runs: list[Run]) -> None:
    board = compare(digits_runs).leaderboards[0]
    one, other = board.of("none").against_rival, board.of(str(board.rival)).against_baseline
    assert one is not None and other is not None
    assert (one.mean, one.holm_p) == pytest.approx((-other.mean, other.holm_p))


def test_a_metric_of_which_less_is_better_is_turned_round(digits_runs: list[Run]) -> None:
    board = compare(digits_runs, "nll").leaderboards[0]
    gain = board.of("smote").against_baseline
    assert gain is not None and gain.mean < 0 and gain.losses == 5
    assert board.standings[-1].name == "smote"


def test_worse_probabilities_are_told_as_a_price(digits_runs: list[Run]) -> None:
    assert "calibration gets worse with smote (log loss +.10" in words(digits_runs)


def test_runs_with_other_settings_are_another_technique(make_run: MakeRun) -> None:
    runs = [make_run("none", 1), make_run("smote", 1), make_run("smote", 1, settings={"loss": "focal"})]
    runs += [make_run("smote", 1, settings={"train.epochs": 3})]
    assert set(fields(runs)[0].techniques) >= {"none", "smote", "smote + focal", "smote, train.epochs=3"}


def test_of_two_equal_runs_the_later_counts(make_run: MakeRun) -> None:
    early, late = make_run("none", 1, 0.5, committed=10), make_run("none", 1, 0.7, committed=20)
    for runs in ([early, late], [late, early]):
        field = fields(runs)[0]
        assert field.replaced == 1
        assert field.techniques["none"].values("macro_f1") == {1: 0.7}


def test_models_and_data_sets_are_not_mixed(make_run: MakeRun) -> None:
    runs = [
        make_run("none", 1),
        make_run("none", 1, model="random_forest"),
        make_run("none", 1, dataset="wine"),
    ]
    assert [field.title for field in fields(runs)] == [
        "digits_lt · small_cnn",
        "digits_lt · random_forest",
        "wine · small_cnn",
    ]


def test_the_scarce_classes_are_told_where_the_seeds_agree(digits_runs: list[Run]) -> None:
    board = compare(digits_runs).leaderboards[0]
    classes = board.of("offline_augmentation").classes
    assert classes is not None
    by_size = {gain.name: gain for gain in classes.by_size}
    assert by_size["scarcest third"].gain > by_size["largest third"].gain + 0.15
    assert by_size["scarcest third"].train_rows == 5
    assert "F1 by class size: " in words(digits_runs)
    assert "in the scarcest third" in words(digits_runs)


def test_money_is_set_against_the_gain(make_run: MakeRun) -> None:
    runs = [make_run("none", seed, 0.8 + 0.01 * seed) for seed in range(5)]
    runs += [make_run("llm", seed, 0.84 + 0.011 * seed, money=0.5, tokens=1000) for seed in range(5)]
    standing = compare(runs).leaderboards[0].of("llm")
    assert standing.gain_per_money == pytest.approx(0.042 / 0.5)
    unpriced = [replace(run, money=None) if run.recipe == "llm" else run for run in runs]
    assert compare(unpriced).leaderboards[0].of("llm").gain_per_money is None


def test_over_data_sets_ranks_records_and_tests_are_given(make_run: MakeRun) -> None:
    runs = []
    for i in range(7):
        for seed in (1, 2):
            for recipe, score in (("none", 0.7), ("smote", 0.71), ("adasyn", 0.6)):
                jitter = 0.001 * ((i * 3 + seed) % 4)
                runs.append(make_run(recipe, seed, score + 0.01 * i + jitter, dataset=f"d{i}"))
    across = compare(runs).across
    assert across is not None and across.ranks is not None
    assert across.rows[0].name == "smote" and across.rows[0].rank == 1.0
    assert (across.rows[0].wins, across.rows[0].losses) == (7, 0)
    said = "\n".join(verdicts_over_data_sets(across))
    assert "smote beats no balancing (7 won, 0 tied, 0 lost" in said
    assert "adasyn falls behind no balancing" in said


def test_few_data_sets_are_said_to_be_few(make_run: MakeRun) -> None:
    scores = {"none": 0.7, "smote": 0.8}
    runs = [make_run(r, 1, score, dataset=d) for r, score in scores.items() for d in ("a", "b")]
    across = compare(runs).across
    assert across is not None
    assert "2 data sets are too few" in "\n".join(verdicts_over_data_sets(across))


def test_bars_join_ranks_within_the_critical_difference() -> None:
    assert indistinct_groups([1.0, 1.5, 2.6, 4.0], 1.2) == [(0, 1), (1, 2)]
    assert indistinct_groups([1.0, 3.0], 1.2) == []


def test_the_report_is_self_contained_and_says_what_the_tables_say(
    digits_runs: list[Run], tmp_path: Path
) -> None:
    comparison = compare(digits_runs, failures=[Failure("svm-smote-s1", "resample: it <failed>")])
    write_comparison(comparison, tmp_path)
    page = (tmp_path / "comparison.html").read_text()
    assert "it &lt;failed&gt;" in page and "//" not in re.sub(
        r'src="data:[^"]*"|<script>.*</script>', "", page, flags=re.DOTALL
    )
    assert page.count("data:image/png;base64") == 3
    markdown = (tmp_path / "comparison.md").read_text()
    for verdict in verdicts(comparison.leaderboards[0]):
        assert verdict in markdown
    for address in re.findall(r"!\[.*?\]\((.*?)\)", markdown):
        assert (tmp_path / address).stat().st_size > 0
    rows = list(csv.DictReader((tmp_path / "comparison.csv").open()))
    told = json.loads((tmp_path / "comparison.json").read_text())["leaderboards"][0]["techniques"]
    assert [row["technique"] for row in rows] == [technique["name"] for technique in told]
    assert float(rows[0]["mean"]) == pytest.approx(told[0]["mean"], rel=1e-5)
    assert "svm-smote-s1" in markdown


def test_the_same_runs_give_the_same_files(digits_runs: list[Run], tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_comparison(compare(digits_runs), tmp_path / name)
    for name in ("comparison.html", "comparison.md", "comparison.csv", "comparison.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0531, ".053"), (-0.0119, "−.012"), (1.2041, "1.204"), (-0.0001, ".000"), (0, ".000")],
)
def test_numbers_are_printed_as_in_papers(value: float, text: str) -> None:
    assert decimal(value) == text


def test_runs_are_compared_by_their_worst_group_where_data_have_groups(make_run: MakeRun) -> None:
    def run(recipe: str, seed: int, error: float) -> Run:
        made = make_run(recipe, seed, 0.8)
        return replace(made, scores={**made.scores, "groups": {"test": {"worst_group_error": error}}})

    runs = [run("none", seed, 0.5 + 0.01 * seed) for seed in range(5)]
    runs += [run("group_oversampling", seed, 0.2 + 0.01 * (seed % 3)) for seed in range(5)]
    board = compare(runs, "worst_group_error").leaderboards[0]
    assert [standing.name for standing in board.standings] == ["group_oversampling", "none"]
    gain = board.of("group_oversampling").against_baseline
    assert gain is not None and gain.wins == 5
    assert "group_oversampling beats no balancing" in words_by(runs, "worst_group_error")


def words_by(runs: list[Run], metric: str) -> str:
    return "\n".join(verdicts(compare(runs, metric).leaderboards[0]))


def test_a_language_model_that_is_asked_stands_beside_the_others_and_is_not_cheap(make_run: MakeRun) -> None:
    auto = {"model": "auto"}
    runs = [make_run("none", 1, model="logistic_regression", settings=auto)]
    runs.append(make_run("llm_few_shot", 1, model="llm", settings={**auto, "recipe.model.name": "llm"}))
    (field,) = fields(runs)
    assert list(field.techniques) == ["none", "llm_few_shot"]
    assert not field.techniques["llm_few_shot"].cheap


def test_a_recipe_that_balances_by_its_model_stands_beside_the_others_as_a_cheap_rival(
    make_run: MakeRun,
) -> None:
    runs = [
        make_run(recipe, 1, model="random_forest", settings={"model": "auto"}) for recipe in ("none", "smote")
    ]
    own = {"model": "auto", "recipe.model": "easy_ensemble"}
    runs.append(make_run("easy_ensemble", 1, model="easy_ensemble", settings=own))
    runs.append(make_run("smote", 1, model="easy_ensemble", settings={"model": "easy_ensemble"}))
    runs.append(make_run("none", 1, model="catboost", settings={"model": "catboost"}))
    found = {field.title: list(field.techniques) for field in fields(runs)}
    assert found == {
        "digits_lt · random_forest": ["none", "smote", "easy_ensemble"],
        "digits_lt · easy_ensemble": ["smote"],
        "digits_lt · catboost": ["none"],
    }
    assert fields(runs)[0].techniques["easy_ensemble"].cheap
    assert [field.title for field in fields(runs[2:3])] == ["digits_lt · easy_ensemble"]


def test_a_gain_of_unknown_spread_is_no_proof_that_nothing_helps(make_run: MakeRun) -> None:
    # Equal gains in every seed, and no resamples that say what the rows leave open.
    runs = [make_run("none", seed, 0.75) for seed in range(5)]
    runs += [make_run("smote", seed, 0.875) for seed in range(5)]
    runs += [make_run("adasyn", seed, 0.6 + 0.001 * seed) for seed in range(5)]
    assert verdicts(compare(runs).leaderboards[0])[0].startswith("Cannot tell: some runs do not say")
