from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluated_runs import Run, ScoreReader, long_tailed_run, score_table

from evenly.errors import DataError, ModelError
from evenly.evaluation.evaluate import load_models, model_folders
from evenly.evaluation.metrics import HEADLINE
from evenly.evaluation.outputs import metrics_json, write_per_class, write_predictions
from evenly.evaluation.results import Evaluation
from evenly.files import write_json
from evenly.params.evaluation import EvaluateSettings, PriorSetting
from evenly.samples import SampleTable, samples_from_columns


def relabelled(table: SampleTable, seed: int) -> SampleTable:
    """The same rows, their labels shuffled."""
    columns = {name: table.table.column(name).to_pylist() for name in table.table.column_names}
    columns["label"] = list(np.random.default_rng(seed).permutation(columns["label"]))
    return samples_from_columns(columns, table.schema)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_nothing_that_is_tuned_has_seen_a_test_row(long_tail: Run, evaluation: Evaluation) -> None:
    other = long_tail.evaluate(test=relabelled(long_tail.test, 0))
    assert other.final.test["accuracy"].value < evaluation.final.test["accuracy"].value
    for ours, theirs in zip(evaluation.rules, other.rules, strict=True):
        assert ours.rule.temperature == theirs.rule.temperature
        assert np.array_equal(ours.rule.offsets, theirs.rule.offsets)


def test_what_is_tuned_is_tuned_on_validation(long_tail: Run, evaluation: Evaluation) -> None:
    other = long_tail.evaluate(validation=relabelled(long_tail.validation, 0))
    tuned, others = ({r.rule.name: r.rule for r in e.rules} for e in (evaluation, other))
    assert not np.array_equal(tuned["tuned_thresholds"].offsets, others["tuned_thresholds"].offsets)
    assert tuned["temperature"].temperature != others["temperature"].temperature


def test_the_order_of_the_test_rows_does_not_matter(long_tail: Run, evaluation: Evaluation) -> None:
    backwards = long_tail.test.take(np.arange(len(long_tail.test))[::-1])
    assert metrics_json(long_tail.evaluate(test=backwards)) == metrics_json(evaluation)


def test_the_same_run_gives_the_same_numbers(long_tail: Run, evaluation: Evaluation) -> None:
    assert json.dumps(metrics_json(long_tail.evaluate())) == json.dumps(metrics_json(evaluation))


def test_prior_adjustment_wins_where_it_is_the_bayes_rule(evaluation: Evaluation) -> None:
    """The model is the Bayes classifier at the training prior; validation and test have equal classes."""
    rules = {result.rule.name: result for result in evaluation.rules}
    for metric in ("macro_f1", "balanced_accuracy"):
        assert rules["logit_adjustment"].gain[metric].low > 0
    assert rules["logit_adjustment"].gain["nll"].high < 0
    assert rules["logit_adjustment"].metrics["nll"].value == min(
        r.metrics["nll"].value for r in evaluation.rules
    )


def test_adjusting_gains_nothing_for_a_model_that_was_balanced_already(long_tail: Run) -> None:
    balanced = replace(long_tail.model, effective_prior=np.full(4, 0.25))
    rules = {r.rule.name: r for r in long_tail.evaluate({"train": balanced}).rules}
    gain = rules["logit_adjustment"].gain["macro_f1"]
    assert (gain.low, gain.value, gain.high) == (0, 0, 0)


def test_temperature_cools_a_model_that_is_too_sure(long_tail: Run) -> None:
    shouting = replace(long_tail.model, sharpness=3.0)
    rules = {r.rule.name: r for r in long_tail.evaluate({"train": shouting}).rules}
    assert rules["temperature"].rule.temperature > 1.5
    assert rules["temperature"].gain["nll"].high < 0
    assert rules["temperature"].gain["accuracy"].value == 0


def test_random_labels_give_an_auroc_whose_interval_holds_one_half(long_tail: Run) -> None:
    found = long_tail.evaluate(test=relabelled(long_tail.test, 3)).final.test["auroc"]
    assert found.low < 0.5 < found.high


def test_rules_are_weighted_to_a_deployment_prior_that_the_test_does_not_have(long_tail: Run) -> None:
    prior = {"a": 97.0, "b": 1.0, "c": 1.0, "d": 1.0}
    evaluation = long_tail.evaluate(prior=prior)
    rules = {r.rule.name: r for r in evaluation.rules}
    assert evaluation.reweighted
    recall = {c.name: c.recall or 0.0 for c in evaluation.per_class}
    expected = sum(prior[name] / 100 * recall[name] for name in recall)
    assert rules["argmax"].metrics["accuracy"].value == pytest.approx(expected)
    assert rules["logit_adjustment"].metrics["accuracy"].value > rules["logit_adjustment_uniform"].metrics[
        "accuracy"
    ].value  # fmt: skip
    assert evaluation.final.test["accuracy"].value == pytest.approx(np.mean(list(recall.values())))


def test_the_train_prior_is_that_of_real_rows_not_of_the_balanced_table() -> None:
    run = long_tailed_run(origins=("real", "smote"))
    shares = run.evaluate(prior="train").deployment
    counts = np.array(list(run.train.counts.values()))
    assert shares == pytest.approx((counts + 1) / (counts.sum() + 4))


def test_train_metrics_are_those_of_the_real_rows_and_origins_are_told_apart() -> None:
    run = long_tailed_run(origins=("real", "smote"))
    result = run.evaluate().final
    assert [o.origin for o in result.origins] == ["real", "smote"]
    assert sum(o.rows for o in result.origins) == len(run.balanced)
    assert result.train["accuracy"] == pytest.approx(result.origins[0].accuracy)
    assert result.train["nll"] == pytest.approx(result.origins[0].mean_loss)


def test_two_models_are_compared_on_the_same_rows(long_tail: Run) -> None:
    better = replace(long_tail.model, effective_prior=np.full(4, 0.25))
    evaluation = long_tail.evaluate({"train": long_tail.model, "finetune": better})
    assert evaluation.final.name == "finetune"
    found = metrics_json(evaluation)
    assert found["difference"]["macro_f1_low"] > 0
    gap = found["test"]["macro_f1"] - found["earlier"]["train"]["test"]["macro_f1"]
    assert found["difference"]["macro_f1"] == pytest.approx(gap, abs=2e-6)


def test_one_model_is_compared_with_nothing(evaluation: Evaluation) -> None:
    assert {"difference", "earlier"}.isdisjoint(metrics_json(evaluation))


def test_a_class_without_test_rows_is_told_and_left_out(long_tail: Run) -> None:
    evaluation = long_tail.evaluate(test=long_tail.test.take(long_tail.test.labels != "d"))
    absent = evaluation.per_class[3]
    assert (absent.test_rows, absent.recall, absent.f1, absent.auroc) == (0, None, None, None)
    assert metrics_json(evaluation)["test"]["classes_without_rows"] == 1
    others = [c.f1 or 0.0 for c in evaluation.per_class[:3]]
    assert evaluation.final.test["macro_f1"].value == pytest.approx(np.mean(others))


def test_one_test_class_alone_leaves_out_the_metrics_that_need_two(long_tail: Run) -> None:
    test = long_tail.evaluate(test=long_tail.test.take(long_tail.test.labels == "a")).final.test
    assert "auroc" not in test
    assert test["accuracy"].value > 0


def test_metrics_json_holds_every_metric_with_its_interval_and_no_nan(evaluation: Evaluation) -> None:
    found = metrics_json(evaluation)
    json.dumps(found, allow_nan=False)
    for name in HEADLINE.keys() - {"expected_cost"}:
        assert found["test"][f"{name}_low"] <= found["test"][name] <= found["test"][f"{name}_high"]
        assert name in found["validation"]
        assert name in found["train"]
    gap = found["train"]["macro_f1"] - found["test"]["macro_f1"]
    assert found["gap"]["train_minus_test"]["macro_f1"] == pytest.approx(gap, abs=2e-6)
    assert found["test"]["worst_class"] == evaluation.worst_class.name
    assert "gain" not in found["decision_rules"]["argmax"]


def test_predictions_hold_one_probability_column_a_class(evaluation: Evaluation, tmp_path: Path) -> None:
    write_predictions(evaluation, tmp_path / "predictions.csv")
    rows = rows_of(tmp_path / "predictions.csv")
    assert list(rows[0]) == ["id", "label", "predicted", "confidence", "p_a", "p_b", "p_c", "p_d"]
    assert [row["id"] for row in rows] == list(evaluation.test.ids)
    for row in rows:
        shares = {name: float(row[f"p_{name}"]) for name in "abcd"}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert float(row["confidence"]) == max(shares.values())
        assert shares[row["predicted"]] == max(shares.values())
    hits = np.mean([row["label"] == row["predicted"] for row in rows])
    assert hits == pytest.approx(evaluation.final.test["accuracy"].value)


def test_the_per_class_table_has_every_class_and_its_counts(evaluation: Evaluation, tmp_path: Path) -> None:
    write_per_class(evaluation, tmp_path / "per_class.csv")
    rows = rows_of(tmp_path / "per_class.csv")
    assert [row["class"] for row in rows] == list("abcd")
    assert [int(row["train_rows"]) for row in rows] == [100, 37, 14, 5]
    assert all(float(row["recall_low"]) <= float(row["recall"]) <= float(row["recall_high"]) for row in rows)


def test_a_class_name_with_a_comma_stays_one_cell(tmp_path: Path) -> None:
    run = long_tailed_run(('red, "dark"', "blue"), test_each=5)
    write_predictions(run.evaluate(), tmp_path / "predictions.csv")
    assert 'p_red, "dark"' in rows_of(tmp_path / "predictions.csv")[0]


def test_a_model_for_other_classes_is_refused(long_tail: Run) -> None:
    schema = score_table(("x", "y"), (2, 2), 0).schema
    with pytest.raises(ModelError, match="models/train knows the classes x, y"):
        long_tail.evaluate({"train": ScoreReader(None, schema, np.full(2, 0.5))})


def test_a_split_without_rows_is_refused(long_tail: Run) -> None:
    with pytest.raises(DataError, match="test split has no rows"):
        long_tail.evaluate(test=long_tail.test.take([]))


def test_where_the_second_round_was_not_kept_there_is_one_model(tmp_path: Path) -> None:
    write_json({"kept": "train"}, tmp_path / "finetune" / "model.json")
    assert model_folders(tmp_path) == {"train": tmp_path / "train"}
    write_json({"format": 1}, tmp_path / "finetune" / "model.json")
    assert list(model_folders(tmp_path)) == ["train", "finetune"]
    (tmp_path / "finetune" / "model.json").write_text('{"kept": "tr')
    (tmp_path / "train").mkdir()
    with pytest.raises(ModelError, match=r"train holds no model: there is no model\.json"):
        load_models(tmp_path)


# -- rows that weigh ---------------------------------


def _weighed(table: SampleTable, weights: np.ndarray) -> SampleTable:
    return table.with_column("sample_weight", weights.astype(float))


def _doubled(table: SampleTable, weights: np.ndarray) -> SampleTable:
    """Rows as often as their weights say, under ids of their own."""
    rows = table.table.take(np.repeat(np.arange(len(table)), weights))
    place = rows.column_names.index("id")
    return replace(table, table=rows.set_column(place, "id", [[f"{i:05d}" for i in range(len(rows))]]))


#: Rules that both ways of counting make alike: shares of few rows are smoothed, and ties broken by rounding.
@pytest.mark.parametrize(
    ("prior", "rules"),
    [("validation", ("argmax", "tuned_thresholds")), ("train", ("argmax", "logit_adjustment"))],
)
def test_rows_of_weight_two_score_as_doubled_rows(
    long_tail: Run, prior: PriorSetting, rules: tuple[str, ...]
) -> None:
    weights = [
        np.random.default_rng(9).integers(1, 3, len(t)) for t in (long_tail.validation, long_tail.test)
    ]
    settings = EvaluateSettings(bootstrap=200, threshold_shrinkage=0)
    tables = (long_tail.validation, long_tail.test)
    weighed, doubled = (
        long_tail.evaluate(
            prior=prior,
            settings=settings,
            validation=make(tables[0], weights[0]),
            test=make(tables[1], weights[1]),
        )
        for make in (_weighed, _doubled)
    )
    plain = long_tail.evaluate(prior=prior, settings=settings)
    pairs = [(weighed.final.test, doubled.final.test), (weighed.final.validation, doubled.final.validation)]
    both = zip(weighed.rules, doubled.rules, strict=True)
    pairs += [(one.metrics, other.metrics) for one, other in both if one.rule.name in rules]
    for one, other in pairs:
        for name, value in one.items():
            if "calibration" not in name:  # its bins follow the number of rows
                found, wanted = (getattr(v, "value", v) for v in (value, other[name]))
                assert found == pytest.approx(wanted, abs=1e-9), name
    for one, other in zip(weighed.per_class, doubled.per_class, strict=True):
        assert (one.recall, one.f1, one.auroc) == pytest.approx((other.recall, other.f1, other.auroc))
    assert weighed.final.test["macro_f1"].value != pytest.approx(plain.final.test["macro_f1"].value)


def test_weights_that_are_all_alike_change_no_score_and_no_interval(long_tail: Run) -> None:
    alike = {
        part: _weighed(table, np.full(len(table), 2))
        for part, table in (("validation", long_tail.validation), ("test", long_tail.test))
    }
    weighed, plain = long_tail.evaluate(**alike), long_tail.evaluate()
    for name, interval in plain.final.test.items():
        assert weighed.final.test[name].ends == pytest.approx(interval.ends, abs=1e-6), name
    assert weighed.chosen_rule == plain.chosen_rule
