"""Errors by group: against counting by hand, in every file that tells of them, and absent without groups."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from evaluated_runs import Run, long_tailed_run
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from evenly.evaluation.groups import GroupErrors, group_errors, group_metrics, minority_groups
from evenly.evaluation.intervals import bootstrap_weights
from evenly.evaluation.outputs import write_evaluation
from evenly.evaluation.results import Evaluation
from evenly.evaluation.summary import print_summary
from evenly.samples import SampleTable, Schema, samples_from_columns


def rows_of(labels: list[str], values: list[str], prefix: str = "r") -> SampleTable:
    columns = {"id": [f"{prefix}{k:03d}" for k in range(len(labels))], "label": labels, "attribute": values}
    return samples_from_columns(columns | {"text": labels}, Schema("text", ("a", "b")))


TRAIN = rows_of(["a"] * 10 + ["b"] * 10, ["x"] * 8 + ["y"] * 2 + ["y"] * 7 + ["x"] * 3)


def errors_of(test: SampleTable, predicted: np.ndarray, resamples: int = 50) -> GroupErrors:
    found = group_errors(predicted, train=TRAIN, balanced=TRAIN, test=test, resamples=resamples, seed=3)
    assert found is not None
    return found


def by_hand(labels: list[str], values: list[str], wrong: np.ndarray) -> dict[str, float]:
    groups: dict[tuple[str, str], list[bool]] = {}
    for label, value, missed in zip(labels, values, wrong.tolist(), strict=True):
        groups.setdefault((label, value), []).append(missed)
    errors = {pair: sum(group) / len(group) for pair, group in groups.items()}
    found = {
        "error": float(wrong.mean()),
        "worst_group_error": max(errors.values()),
        "largest_difference": max(errors.values()) - min(errors.values()),
    }
    for name, pairs in (
        ("majority_error", [("a", "x"), ("b", "y")]),
        ("minority_error", [("a", "y"), ("b", "x")]),
    ):
        pooled = [missed for pair in pairs for missed in groups.get(pair, [])]
        if pooled:
            found[name] = sum(pooled) / len(pooled)
    return found


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_the_numbers_are_those_of_counting_by_hand(data: st.DataObject) -> None:
    pairs = data.draw(
        st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy")), min_size=1, max_size=40)
    )
    labels, values = ([pair[i] for pair in pairs] for i in (0, 1))
    predicted = np.array(data.draw(st.lists(st.integers(0, 1), min_size=len(pairs), max_size=len(pairs))))
    test = rows_of(labels, values)
    found = errors_of(test, predicted)
    wanted = by_hand(labels, values, predicted != test.codes)
    assert {name: interval.value for name, interval in found.summary.items()} == pytest.approx(wanted)
    assert found.worst.error.value == pytest.approx(wanted["worst_group_error"])
    for result in found.groups:
        assert result.error.low <= result.error.value <= result.error.high


def test_intervals_are_percentiles_of_the_same_numbers_on_resampled_rows() -> None:
    rng = np.random.default_rng(0)
    labels, values = list(rng.choice(["a", "b"], 120)), list(rng.choice(["x", "y"], 120))
    test = rows_of(labels, values)
    predicted = np.where(rng.random(120) < 0.3, 1 - test.codes, test.codes)
    found = errors_of(test, predicted, resamples=200)
    wrong = predicted != test.codes
    draws = []
    for weights in np.concatenate(list(bootstrap_weights(120, 200, 3))).astype(int):
        again = np.repeat(np.arange(120), weights)
        draws.append(by_hand([labels[k] for k in again], [values[k] for k in again], wrong[again]))
    for name, interval in found.summary.items():
        low, high = np.percentile([draw[name] for draw in draws], (2.5, 97.5))
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-5)


def test_the_order_of_the_test_rows_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    test = rows_of(list(rng.choice(["a", "b"], 60)), list(rng.choice(["x", "y"], 60)))
    predicted = rng.integers(0, 2, 60)
    order = rng.permutation(60)
    assert errors_of(test.take(order), predicted[order]) == errors_of(test, predicted)


def test_a_minority_has_less_than_an_equal_share_of_its_class() -> None:
    train = {"a/x": 50, "a/y": 50, "b/x": 5, "b/y": 15, "c/x": 7}
    assert minority_groups(train, {"c/y": 3}) == {"b/x", "c/y"}


# -- in the files of a run -----------------------------------------------------------------------------------


def with_places(table: SampleTable) -> SampleTable:
    """Every fourth row of class a is elsewhere, and all but every fourth of the others."""
    places = ["here" if (label == "a") == (k % 4 != 0) else "there" for k, label in enumerate(table.labels)]
    return table.with_column("attribute", places)


@pytest.fixture(scope="module")
def grouped() -> Evaluation:
    run = long_tailed_run()
    tables = (with_places(table) for table in (run.train, run.balanced, run.validation, run.test))
    return Run(*tables, run.model).evaluate()


@pytest.fixture(scope="module")
def written(grouped: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("grouped")
    write_evaluation(grouped, root, title="t", facts={}, stages={})
    return root


def test_the_metrics_file_has_the_groups(grouped: Evaluation, written: Path) -> None:
    found = json.loads((written / "metrics" / "evaluate.json").read_text())["groups"]
    assert found == group_metrics(grouped.groups)
    per_group = found["per_group"]
    worst = found["test"]["worst_group"]
    assert per_group[worst]["error"] == found["test"]["worst_group_error"]
    assert sum(group["rows"] for group in per_group.values()) == len(grouped.test)
    assert found["test"]["error"] == pytest.approx(1 - grouped.final.test["accuracy"].value, abs=1e-6)
    assert found["test"]["worst_group_error_low"] <= found["test"]["worst_group_error"]


def test_the_table_the_picture_and_the_report_have_them_too(grouped: Evaluation, written: Path) -> None:
    with (written / "plots" / "evaluate" / "per_group.csv").open() as file:
        rows = {row["group"]: row for row in csv.DictReader(file)}
    assert grouped.groups is not None
    assert list(rows) == [result.name for result in grouped.groups.groups]
    assert {name for name, row in rows.items() if row["minority"] == "yes"} == {
        "a/there", "b/here", "c/here", "d/here",
    }  # fmt: skip
    assert (written / "plots" / "evaluate" / "per_group.png").read_bytes().startswith(b"\x89PNG")
    page = (written / "reports" / "report.html").read_text()
    assert "<h2>Groups</h2>" in page and "Worst group" in page and "a/there" in page


def test_the_terminal_names_the_worst_group(grouped: Evaluation, written: Path) -> None:
    console = Console(record=True, width=200, file=StringIO())
    print_summary(written / "metrics" / "evaluate.json", console)
    assert grouped.groups is not None
    assert f"Worst of 8 groups: {grouped.groups.worst.name}, error" in console.export_text()


def test_without_an_attribute_nothing_speaks_of_groups(evaluation: Evaluation, tmp_path: Path) -> None:
    assert evaluation.groups is None
    write_evaluation(evaluation, tmp_path, title="t", facts={}, stages={})
    assert "groups" not in json.loads((tmp_path / "metrics" / "evaluate.json").read_text())
    assert not (tmp_path / "plots" / "evaluate" / "per_group.csv").exists()
    assert "<h2>Groups</h2>" not in (tmp_path / "reports" / "report.html").read_text()
